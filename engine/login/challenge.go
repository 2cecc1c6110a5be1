package login

import (
	"encoding/binary"
	"errors"
	"time"

	"trine/engine/secret"
)

// Challenge is what a login that waits for another factor takes with it: it goes to the device sealed under the cluster key (RADIUS
// State, RFC 2865 section 5.24), and any node that has the key goes on from it. Nothing of it is kept but that it was used.
type Challenge struct {
	ID       uint64    // the decision that asked; it can be answered once
	User     uint64    // the user's id
	Version  uint64    // of his credential: a change of the password voids the challenge
	Client   uint64    // a hash of the service provider that asked
	Proved   Set       // the factors so far
	Asked    Set       // the factors of which one is wanted
	NotAfter time.Time // whole seconds
	Index    uint64    // the log index that the answering node must have reached
	// Code is the keyed form of the code that was sent by mail or text message; empty if none was. It is bound to the challenge.
	Code []byte
	// Push is the challenge that went to the person's devices, where Asked has Push.
	Push PushRound
}

// PushRound is what a login that waits for a device knows of the challenge that it sent. The login may be asked several times until the device
// has answered.
type PushRound struct {
	ID       uint64    // of the challenge: the decision that sent it
	NotAfter time.Time // when the device's time is over; whole seconds
	Number   uint8     // that the person is shown
	Round    uint8     // how often he was asked before
}

// challengeContext is what sealed challenges are bound to. It is for ever, since challenges outlive a release for a minute.
const (
	challengeContext = "trine/challenge/1"
	challengeFixed   = 1 + 4*8 + 2*2 + 8 + 8
	challengePush    = 8 + 8 + 2
	maxCode          = 64
	// MaxSealed is the length of the longest sealed challenge in bytes; it fits an attribute of RADIUS.
	MaxSealed = challengeFixed + maxCode + 33
)

// challengeFormat is the first byte of an opened challenge.
const challengeFormat = 1

var (
	// ErrForeign means that a token was not made by Challenge.Seal, or under a cluster key that this node does not have.
	ErrForeign = errors.New("the challenge is not one of this cluster's")
	errLong    = errors.New("the keyed code is longer than a challenge has room for")
)

// Seal appends the sealed challenge to dst, MaxSealed bytes at most. It fails with secret.ErrNoKey where the cluster has no key yet.
func (c *Challenge) Seal(dst []byte, keys *secret.Keyring) ([]byte, error) {
	if len(c.Code) > maxCode {
		return dst, errLong
	}
	var room [challengeFixed + maxCode]byte
	b := append(room[:0], challengeFormat)
	for _, n := range [...]uint64{c.ID, c.User, c.Version, c.Client} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(c.Proved))
	b = binary.BigEndian.AppendUint16(b, uint16(c.Asked))
	b = binary.BigEndian.AppendUint64(b, uint64(c.NotAfter.Unix()))
	b = binary.BigEndian.AppendUint64(b, c.Index)
	if c.Asked.Has(Push) {
		b = binary.BigEndian.AppendUint64(b, c.Push.ID)
		b = binary.BigEndian.AppendUint64(b, uint64(c.Push.NotAfter.Unix()))
		b = append(b, c.Push.Number, c.Push.Round)
	} else {
		b = append(b, c.Code...)
	}
	return keys.Seal(dst, b, []byte(challengeContext))
}

// OpenChallenge reads a sealed challenge; the error is ErrForeign. Whether it is still good is the caller's to ask.
func OpenChallenge(sealed []byte, keys *secret.Keyring) (c Challenge, err error) {
	if len(sealed) > MaxSealed {
		return c, ErrForeign
	}
	var room [challengeFixed + maxCode]byte
	b, err := keys.Open(room[:0], sealed, []byte(challengeContext))
	if err != nil || len(b) < challengeFixed || b[0] != challengeFormat {
		return c, ErrForeign
	}
	b = b[1:]
	for _, n := range [...]*uint64{&c.ID, &c.User, &c.Version, &c.Client} {
		*n, b = binary.BigEndian.Uint64(b), b[8:]
	}
	c.Proved, c.Asked = Set(binary.BigEndian.Uint16(b)), Set(binary.BigEndian.Uint16(b[2:]))
	c.NotAfter = time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0)
	c.Index = binary.BigEndian.Uint64(b[12:])
	rest := b[20:]
	switch {
	case !c.Asked.Has(Push):
		if len(rest) > 0 {
			c.Code = append([]byte(nil), rest...)
		}
	case len(rest) != challengePush:
		return c, ErrForeign
	default:
		c.Push = PushRound{
			ID: binary.BigEndian.Uint64(rest), NotAfter: time.Unix(int64(binary.BigEndian.Uint64(rest[8:])), 0), Number: rest[16], Round: rest[17],
		}
	}
	return c, nil
}

// askable lists the factors that a challenge of a packet protocol can ask for, in the order in which they are asked for where several would do:
// what costs nothing and disturbs least comes first.
var askable = [...]Factor{OTP, PIN, Push, SMS, Email}

// Askable returns the factors that a challenge of a packet protocol can ask for.
func Askable() Set { return SetOf(askable[:]...) }

// Preferred returns the factor of a set that is asked for first; NoFactor where a challenge can ask for none of them.
func Preferred(s Set) Factor {
	for _, f := range askable {
		if s.Has(f) {
			return f
		}
	}
	return NoFactor
}
