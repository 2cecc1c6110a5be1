package wire

import "encoding/binary"

const (
	startFixed    = 8
	replyFixed    = 6
	continueFixed = 5

	replyNoEcho   = 0x01
	continueAbort = 0x01
)

// AuthenStart begins an authentication, RFC 8907 section 5.1. Parsed, its texts
// are parts of the body; an empty one stands for none.
type AuthenStart struct {
	Action  Action
	PrivLvl uint8
	Type    AuthenType
	Service Service
	User    []byte
	Port    []byte
	RemAddr []byte
	Data    []byte // arbitrary bytes; see Challenge for CHAP's
}

// ParseAuthenStart reads body into s. The action, type, service and minor
// version must go together as table 1 of RFC 8907 section 5.4.1 has it, except
// that an enable (section 5.4.2.6) has no use for the type.
func ParseAuthenStart(h *Header, body []byte, q Quirks, s *AuthenStart) Fault {
	if len(body) < startFixed {
		return BodyShort
	}
	*s = AuthenStart{Action: Action(body[0]), PrivLvl: body[1], Type: AuthenType(body[2]), Service: Service(body[3])}
	c := cutter{body[startFixed:]}
	if !c.holds(q, int(body[4])+int(body[5])+int(body[6])+int(body[7])) {
		return LengthMismatch
	}
	s.User, s.Port, s.RemAddr, s.Data = c.cut(int(body[4])), c.cut(int(body[5])), c.cut(int(body[6])), c.cut(int(body[7]))
	if f := s.ranges(); f != OK {
		return f
	}
	if f := s.combination(h.Version); f != OK {
		return f
	}
	return texts(s.User, s.Port, s.RemAddr)
}

func (s *AuthenStart) ranges() Fault {
	switch {
	case !s.Action.known():
		return ActionUnknown
	case s.PrivLvl > MaxPrivLvl:
		return PrivLvlRange
	case !s.Type.known():
		return AuthenTypeUnknown
	case !s.Service.known():
		return ServiceUnknown
	}
	return OK
}

func (s *AuthenStart) combination(v Version) Fault {
	if s.Service == ServiceEnable {
		if s.Action != Login {
			return CombinationInvalid
		}
		return OK
	}
	switch {
	case s.Type == TypeNotSet:
		return AuthenTypeUnknown
	case s.Type == TypeASCII && s.Action == SendAuth, s.Type != TypeASCII && s.Action == ChangePassword:
		return CombinationInvalid
	case (s.Type == TypeASCII) != (v == Version0):
		return VersionMismatch
	case s.Type != TypeASCII && s.Action == Login && len(s.User) == 0:
		return UserMissing
	}
	return OK
}

// MinChallenge is the length in bytes of the shortest challenge that CHAP is
// accepted with, as RFC 8907 section 5.4.2.3 recommends.
const MinChallenge = 8

// Challenge takes the data of a CHAP, MS-CHAP or MS-CHAPv2 login apart: the PPP
// identifier, the challenge, and the response, which has 16 bytes with CHAP and
// 49 with the others. ChallengeLength means that the login must fail: the
// challenge has fewer than 8 bytes with CHAP, not 8 with MS-CHAP or not 16 with
// MS-CHAPv2, RFC 8907 sections 5.4.2.3 to 5.4.2.5.
func (s *AuthenStart) Challenge() (id uint8, challenge, response []byte, f Fault) {
	size := 49
	if s.Type == TypeCHAP {
		size = 16
	}
	n := len(s.Data) - 1 - size
	switch s.Type {
	case TypeCHAP:
		if n < MinChallenge {
			return 0, nil, nil, ChallengeLength
		}
	case TypeMSCHAP:
		if n != 8 {
			return 0, nil, nil, ChallengeLength
		}
	case TypeMSCHAPv2:
		if n != 16 {
			return 0, nil, nil, ChallengeLength
		}
	default:
		return 0, nil, nil, CombinationInvalid
	}
	return s.Data[0], s.Data[1 : 1+n : 1+n], s.Data[1+n:], OK
}

// AuthenContinue is the client's answer to a REPLY that asks, RFC 8907 section
// 5.3. What a person typed is passed on byte by byte: passwords are not
// US-ASCII everywhere.
type AuthenContinue struct {
	Abort   bool // the client gives up; Data may say why
	UserMsg []byte
	Data    []byte
}

// ParseAuthenContinue reads body into c.
func ParseAuthenContinue(body []byte, q Quirks, c *AuthenContinue) Fault {
	if len(body) < continueFixed {
		return BodyShort
	}
	user, data := int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint16(body[2:]))
	rest := cutter{body[continueFixed:]}
	if !rest.holds(q, user+data) {
		return LengthMismatch
	}
	*c = AuthenContinue{Abort: body[4]&continueAbort != 0, UserMsg: rest.cut(user), Data: rest.cut(data)}
	return OK
}

// AuthenReply is the server's answer to a START or CONTINUE, RFC 8907 section
// 5.2.
type AuthenReply struct {
	Status    AuthenStatus
	NoEcho    bool // what is asked for must not be shown while it is typed
	ServerMsg []byte
	Data      []byte
}

// ParseAuthenReply reads body into r.
func ParseAuthenReply(body []byte, q Quirks, r *AuthenReply) Fault {
	if len(body) < replyFixed {
		return BodyShort
	}
	message, data := int(binary.BigEndian.Uint16(body[2:])), int(binary.BigEndian.Uint16(body[4:]))
	rest := cutter{body[replyFixed:]}
	if !rest.holds(q, message+data) {
		return LengthMismatch
	}
	*r = AuthenReply{
		Status: AuthenStatus(body[0]), NoEcho: body[1]&replyNoEcho != 0,
		ServerMsg: rest.cut(message), Data: rest.cut(data),
	}
	if !r.Status.known() {
		return StatusUnknown
	}
	return OK
}
