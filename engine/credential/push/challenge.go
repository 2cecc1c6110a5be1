package push

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trine/engine/trace"
)

// The bounds of every policy and challenge.
const (
	MinValid   = 20 * time.Second
	MaxValid   = 10 * time.Minute
	MaxChoices = 6
	MaxUser    = 255 // bytes
	MaxPurpose = 1024
)

// Numbers to match have two digits, so that a person compares them at a glance.
const (
	minNumber = 10
	maxNumber = 99
)

// Policy says what challenges are like.
type Policy struct {
	// Choices is among how many numbers the person finds the one that the login page shows: 2 to MaxChoices. With 0, the device shows none
	// and the person types it: he cannot approve a login that he does not see, and not by chance but once in 90 times.
	Choices int
	Valid   time.Duration // how long the device may take to answer
}

// DefaultPolicy has the person type the number within a minute.
func DefaultPolicy() Policy { return Policy{Valid: time.Minute} }

var (
	// ErrPolicy means that a policy is out of bounds.
	ErrPolicy = errors.New("policy of push challenges is out of bounds")
	// ErrText means that a challenge's user or purpose is empty, too long, or no text that a device can show.
	ErrText = errors.New("not a text for a push challenge")
	// ErrForm means that bytes are not what Append made.
	ErrForm = errors.New("not a push challenge of this release")
)

// Validate returns ErrPolicy, wrapped with what is wrong.
func (p Policy) Validate() error {
	switch {
	case p.Choices != 0 && (p.Choices < 2 || p.Choices > MaxChoices):
		return fmt.Errorf("%w: %d choices, not 2 to %d, or 0 to have the number typed", ErrPolicy, p.Choices, MaxChoices)
	case p.Valid < MinValid || p.Valid > MaxValid:
		return fmt.Errorf("%w: valid for %v, not %v to %v", ErrPolicy, p.Valid, MinValid, MaxValid)
	}
	return nil
}

// Challenge is what a device is asked. All of it goes to the device, and all of it is signed.
type Challenge struct {
	ID       uint64    // of the login, by which the answer finds it
	Nonce    [32]byte  // random, so that no answer fits twice
	NotAfter time.Time // whole seconds
	User     string    // who logs in, for the person to read
	Purpose  string    // into what and from where, for the person to read
	Choices  []byte    // the numbers that the device shows, in order; none if it is typed
}

// New makes a challenge and the number that matches, which the login page shows and the device is not told. User and purpose are valid
// UTF-8 without control characters, of at most MaxUser and MaxPurpose bytes. Errors are ErrPolicy and ErrText.
func New(p Policy, id uint64, user, purpose string, now time.Time) (c Challenge, number uint8, err error) {
	if err := p.Validate(); err != nil {
		return Challenge{}, 0, err
	}
	if !readable(user, MaxUser) {
		return Challenge{}, 0, fmt.Errorf("%w: the user, which has 1 to %d bytes of UTF-8 without control characters", ErrText, MaxUser)
	}
	if !readable(purpose, MaxPurpose) {
		return Challenge{}, 0, fmt.Errorf("%w: the purpose, which has 1 to %d bytes of UTF-8 without control characters", ErrText, MaxPurpose)
	}
	c = Challenge{ID: id, NotAfter: time.Unix(now.Add(p.Valid).Unix(), 0), User: user, Purpose: purpose}
	rand.Read(c.Nonce[:])
	number = random()
	if p.Choices > 0 {
		c.Choices = append(c.Choices, number)
		for len(c.Choices) < p.Choices {
			if n := random(); !slices.Contains(c.Choices, n) {
				c.Choices = append(c.Choices, n)
			}
		}
		slices.Sort(c.Choices) // says nothing about which one it is
	}
	return c, number, nil
}

// random returns a number to match, each as likely as the others.
func random() uint8 {
	const numbers = maxNumber - minNumber + 1
	for {
		var b [1]byte
		rand.Read(b[:])
		if b[0] < 256/numbers*numbers {
			return minNumber + b[0]%numbers
		}
	}
}

func readable(text string, most int) bool {
	return text != "" && len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// The canonical form: format, id, nonce, not-after in seconds since 1970, the numbers after how many they are, the user after its length,
// the purpose after its length in two bytes. Numbers are big endian.
const form = 1

// Append appends the canonical form of the challenge, which is what the device gets.
func (c *Challenge) Append(dst []byte) []byte {
	dst = append(dst, form)
	dst = binary.BigEndian.AppendUint64(dst, c.ID)
	dst = append(dst, c.Nonce[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.NotAfter.Unix()))
	dst = append(append(dst, byte(len(c.Choices))), c.Choices...)
	dst = append(append(dst, byte(len(c.User))), c.User...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Purpose)))
	return append(dst, c.Purpose...)
}

// ParseChallenge reads what Append made; anything else, one byte more too, is refused with ErrForm.
func ParseChallenge(b []byte) (Challenge, error) {
	var c Challenge
	if len(b) < 1+8+len(c.Nonce)+8+1 || b[0] != form {
		return Challenge{}, ErrForm
	}
	b = b[1:]
	c.ID, b = binary.BigEndian.Uint64(b), b[8:]
	b = b[copy(c.Nonce[:], b):]
	seconds := binary.BigEndian.Uint64(b)
	c.NotAfter, b = time.Unix(int64(seconds), 0), b[8:]
	choices, b, ok := cut(b, 1)
	if !ok || len(choices) == 1 || len(choices) > MaxChoices || seconds >= 1<<40 {
		return Challenge{}, ErrForm
	}
	for i, n := range choices {
		if n < minNumber || n > maxNumber || i > 0 && n <= choices[i-1] {
			return Challenge{}, ErrForm
		}
	}
	c.Choices = slices.Clone(choices)
	user, b, ok := cut(b, 1)
	if c.User = string(user); !ok || !readable(c.User, MaxUser) {
		return Challenge{}, ErrForm
	}
	purpose, b, ok := cut(b, 2)
	if c.Purpose = string(purpose); !ok || len(b) != 0 || !readable(c.Purpose, MaxPurpose) {
		return Challenge{}, ErrForm
	}
	return c, nil
}

// cut takes off what comes after its length in so many bytes.
func cut(b []byte, size int) (value, rest []byte, ok bool) {
	if len(b) < size {
		return nil, nil, false
	}
	n := 0
	for _, c := range b[:size] {
		n = n<<8 | int(c)
	}
	if b = b[size:]; len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// Answer is what a device says to a challenge.
type Answer struct {
	Approve   bool
	Number    uint8  // the number that the person chose or typed; 0 where he denied
	Signature []byte // by the device's key, of the challenge's Message
}

// Message returns what the device signs to give an answer: what it is for, the canonical challenge, 1 for approve or 0 for deny, and the
// number.
func (c *Challenge) Message(approve bool, number uint8) []byte {
	message := c.Append([]byte("trine/push/answer/1\x00"))
	if approve {
		return append(message, 1, number)
	}
	return append(message, 0, number)
}

// Verify verifies the answer of the device with a key, at a time; number is the one that New returned. The reason is
//
//   - [trace.OK]: approved in time with that number; whoever records it makes sure that the challenge was not answered yet;
//   - [trace.PushSignature]: not signed by the device, which is no answer: the challenge stands;
//   - [trace.PushDenied]: denied, also where that came too late: an alarm that the person raises is not lost;
//   - [trace.PushExpired]: approved at NotAfter or later;
//   - [trace.PushNumber]: approved with another number, which ends the challenge: there is no second guess.
func (c *Challenge) Verify(a Answer, key Key, number uint8, now time.Time) trace.Reason {
	switch {
	case !key.verifies(c.Message(a.Approve, a.Number), a.Signature):
		return trace.PushSignature
	case !a.Approve:
		return trace.PushDenied
	case !now.Before(c.NotAfter):
		return trace.PushExpired
	case a.Number != number || number < minNumber:
		return trace.PushNumber
	}
	return trace.OK
}

// Record adds to a trace what a device's answer or enrolment came to. Device is the device's name.
func Record(t *trace.Trace, reason trace.Reason, device string) {
	switch reason {
	case trace.OK:
		t.Add(trace.PushApproved, device, "")
	case trace.PushDenied:
		t.Add(trace.PushRejected, device, "")
	case trace.PushExpired:
		t.Add(trace.PushIgnored, device, "it came too late")
	case trace.PushNumber:
		t.Add(trace.PushIgnored, device, "the number is another one")
	case trace.PushEnrolment:
		t.Add(trace.PushIgnored, device, "its token or its key is none")
	case trace.FactorUnreadable:
		t.Add(trace.FactorIsBad, device, "")
	default:
		t.Add(trace.PushIgnored, device, "its signature does not hold")
	}
}
