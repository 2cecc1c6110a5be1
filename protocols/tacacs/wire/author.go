package wire

import "encoding/binary"

const (
	requestFixed  = 8
	responseFixed = 6
)

// AuthorRequest asks what somebody may do, RFC 8907 section 6.1. Parsed, its
// texts and arguments are parts of the body; an empty one stands for none.
type AuthorRequest struct {
	Method  Method
	PrivLvl uint8
	Type    AuthenType
	Service Service
	User    []byte
	Port    []byte
	RemAddr []byte
	Args    Args
}

// ParseAuthorRequest reads body into r. The first argument must be service, and
// where that is shell there must be a cmd (RFC 8907 section 8.2); neither of
// them, nor protocol, may occur twice, since the device and the server could
// mean different ones.
func ParseAuthorRequest(body []byte, q Quirks, r *AuthorRequest) Fault {
	if f := parseRequest(body, q, r); f != OK {
		return f
	}
	return r.Args.demand()
}

// parseRequest reads what authorization and accounting have in common.
func parseRequest(body []byte, q Quirks, r *AuthorRequest) Fault {
	if len(body) < requestFixed {
		return BodyShort
	}
	*r = AuthorRequest{Method: Method(body[0]), PrivLvl: body[1], Type: AuthenType(body[2]), Service: Service(body[3])}
	c := cutter{body[requestFixed:]}
	user, port, remAddr, count := int(body[4]), int(body[5]), int(body[6]), int(body[7])
	if !c.holds(LooseLength, count) {
		return LengthMismatch
	}
	lengths := c.cut(count)
	size := sum(lengths)
	if !c.holds(q, user+port+remAddr+size) {
		return LengthMismatch
	}
	r.User, r.Port, r.RemAddr = c.cut(user), c.cut(port), c.cut(remAddr)
	r.Args = Args{lengths: lengths, text: c.cut(size)}
	if f := r.ranges(); f != OK {
		return f
	}
	if f := texts(r.User, r.Port, r.RemAddr); f != OK {
		return f
	}
	return r.Args.check(q)
}

func (r *AuthorRequest) ranges() Fault {
	switch {
	case !r.Method.known():
		return MethodUnknown
	case r.PrivLvl > MaxPrivLvl:
		return PrivLvlRange
	case !r.Type.known():
		return AuthenTypeUnknown
	case !r.Service.known():
		return ServiceUnknown
	}
	return OK
}

// AuthorResponse says what somebody may do, RFC 8907 section 6.2. A client must
// ignore the arguments of an AuthorError.
type AuthorResponse struct {
	Status    AuthorStatus
	ServerMsg []byte
	Data      []byte // for an administrator's log
	Args      Args
}

// ParseAuthorResponse reads body into r.
func ParseAuthorResponse(body []byte, q Quirks, r *AuthorResponse) Fault {
	if len(body) < responseFixed {
		return BodyShort
	}
	*r = AuthorResponse{Status: AuthorStatus(body[0])}
	c := cutter{body[responseFixed:]}
	count, message, data := int(body[1]), int(binary.BigEndian.Uint16(body[2:])), int(binary.BigEndian.Uint16(body[4:]))
	if !c.holds(LooseLength, count) {
		return LengthMismatch
	}
	lengths := c.cut(count)
	size := sum(lengths)
	if !c.holds(q, message+data+size) {
		return LengthMismatch
	}
	r.ServerMsg, r.Data = c.cut(message), c.cut(data)
	r.Args = Args{lengths: lengths, text: c.cut(size)}
	if !r.Status.known() {
		return StatusUnknown
	}
	return r.Args.check(q)
}
