package event

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event/field"
)

// DecidedView is a Decided without memory of its own: its slices belong to whoever filled it in, or to the bytes that it was
// decoded from; only Steps itself is the view's and reused. The fields are those of Decided in event.proto.
type DecidedView struct {
	Reason      []byte
	Client      []byte
	UserName    []byte
	User        []byte
	NAS         []byte
	Calling     []byte
	Called      []byte
	Source      []byte
	Protocol    []byte
	Service     []byte
	Command     []byte
	Port        []byte
	Steps       []StepView
	ID          uint64
	AtUnixNano  int64
	PolicyIndex uint64
	Verdict     Verdict
	Method      uint32
	NASPort     uint32
	TookMicros  uint32
	Kind        DecisionKind
	Level       uint32
	Privilege   uint32
}

// DecisionKind says what was decided. The numbers are recorded and never change.
type DecisionKind uint32

// The kinds of decisions.
const (
	DecidedLogin         DecisionKind = 0
	DecidedEnable        DecisionKind = 1 // a privilege level that somebody who has logged in asks for
	DecidedAuthorization DecisionKind = 2 // a service or a command
	DecidedChange        DecisionKind = 3 // a change of the password that is no login
	DecidedToken         DecisionKind = 4 // tokens, or what a token lets a service provider know
)

// String returns the kind's name as people read it.
func (k DecisionKind) String() string {
	switch k {
	case DecidedLogin:
		return "login"
	case DecidedEnable:
		return "enable"
	case DecidedAuthorization:
		return "authorization"
	case DecidedToken:
		return "token"
	case DecidedChange:
		return "change"
	}
	return strconv.FormatUint(uint64(k), 10)
}

// StepView is one step of a decision's trace.
type StepView struct {
	Subject   []byte
	Detail    []byte
	Code      uint32
	TookNanos uint32
}

// AppendDecided appends v encoded as the message Decided. It does not allocate beyond dst.
func AppendDecided(dst []byte, v *DecidedView) []byte {
	dst = field.AppendFixed(dst, 1, v.ID)
	dst = field.AppendNumber(dst, 2, uint64(v.Verdict))
	dst = appendText(dst, 3, v.Reason)
	dst = appendText(dst, 4, v.Client)
	dst = field.AppendBytes(dst, 5, v.UserName)
	dst = appendText(dst, 6, v.User)
	dst = field.AppendNumber(dst, 7, uint64(v.Method))
	dst = field.AppendBytes(dst, 8, v.NAS)
	dst = field.AppendBytes(dst, 9, v.Calling)
	dst = field.AppendBytes(dst, 10, v.Called)
	dst = field.AppendBytes(dst, 11, v.Source)
	dst = field.AppendNumber(dst, 12, uint64(v.NASPort))
	dst = field.AppendNumber(dst, 13, uint64(v.AtUnixNano))
	dst = field.AppendNumber(dst, 14, v.PolicyIndex)
	dst = field.AppendNumber(dst, 15, uint64(v.TookMicros))
	for i := range v.Steps {
		dst = appendStep(dst, &v.Steps[i])
	}
	dst = appendText(dst, 17, v.Protocol)
	dst = field.AppendNumber(dst, 18, uint64(v.Kind))
	dst = field.AppendBytes(dst, 19, v.Service)
	dst = field.AppendBytes(dst, 20, v.Command)
	dst = field.AppendNumber(dst, 21, uint64(v.Level))
	dst = field.AppendNumber(dst, 22, uint64(v.Privilege))
	return field.AppendBytes(dst, 23, v.Port)
}

// appendStep appends a step as field 16. A step is short, so its content is written behind one byte for its length and moved
// if that does not suffice.
func appendStep(dst []byte, s *StepView) []byte {
	dst = protowire.AppendTag(dst, 16, protowire.BytesType)
	at := len(dst)
	dst = append(dst, 0)
	dst = field.AppendNumber(dst, 1, uint64(s.Code))
	dst = appendText(dst, 2, s.Subject)
	dst = appendText(dst, 3, s.Detail)
	dst = field.AppendNumber(dst, 4, uint64(s.TookNanos))
	return closeLength(dst, at)
}

// closeLength writes the length of what follows the byte at at into that place, and moves it if the length takes more bytes.
func closeLength(dst []byte, at int) []byte {
	size := len(dst) - at - 1
	if size < 1<<7 {
		dst[at] = byte(size)
		return dst
	}
	extra := protowire.SizeVarint(uint64(size)) - 1
	for range extra {
		dst = append(dst, 0)
	}
	copy(dst[at+1+extra:], dst[at+1:at+1+size])
	protowire.AppendVarint(dst[:at], uint64(size))
	return dst
}

// Decode fills the view from an encoded Decided without copying. It returns ErrFormat for a field that this release does not
// know.
func (v *DecidedView) Decode(body []byte) error {
	*v = DecidedView{Steps: v.Steps[:0]}
	for len(body) > 0 {
		f, rest, ok := field.Next(body)
		if !ok {
			return fmt.Errorf("read decision: %w", ErrFormat)
		}
		body = rest
		var text *[]byte
		var small *uint32
		var large *uint64
		switch f.Num {
		case 1:
			large = &v.ID
		case 2:
			small = (*uint32)(&v.Verdict)
		case 3:
			text = &v.Reason
		case 4:
			text = &v.Client
		case 5:
			text = &v.UserName
		case 6:
			text = &v.User
		case 7:
			small = &v.Method
		case 8:
			text = &v.NAS
		case 9:
			text = &v.Calling
		case 10:
			text = &v.Called
		case 11:
			text = &v.Source
		case 12:
			small = &v.NASPort
		case 13:
			if f.Type == protowire.VarintType {
				v.AtUnixNano = int64(f.Value)
				continue
			}
		case 14:
			large = &v.PolicyIndex
		case 15:
			small = &v.TookMicros
		case 16:
			var s StepView
			if f.Type == protowire.BytesType && s.decode(f.Data) {
				v.Steps = append(v.Steps, s)
				continue
			}
		case 17:
			text = &v.Protocol
		case 18:
			small = (*uint32)(&v.Kind)
		case 19:
			text = &v.Service
		case 20:
			text = &v.Command
		case 21:
			small = &v.Level
		case 22:
			small = &v.Privilege
		case 23:
			text = &v.Port
		}
		if !store(&f, text, small, large, f.Num == 1) {
			return fmt.Errorf("read decision field %d: %w", f.Num, ErrFormat)
		}
	}
	return nil
}

func (s *StepView) decode(body []byte) bool {
	for len(body) > 0 {
		f, rest, ok := field.Next(body)
		if !ok {
			return false
		}
		body = rest
		var text *[]byte
		var small *uint32
		switch f.Num {
		case 1:
			small = &s.Code
		case 2:
			text = &s.Subject
		case 3:
			text = &s.Detail
		case 4:
			small = &s.TookNanos
		}
		if !store(&f, text, small, nil, false) {
			return false
		}
	}
	return true
}
