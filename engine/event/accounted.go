package event

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"trine/engine/event/field"
)

// AccountedView is an Accounted without memory of its own: its slices belong to whoever filled it in, or to the bytes that it
// was decoded from. The fields are those of Accounted in event.proto.
type AccountedView struct {
	Client           []byte
	NAS              []byte
	SessionID        []byte // Acct-Session-Id
	UserName         []byte
	User             []byte
	FramedIP         []byte
	FramedIPv6Prefix []byte
	Calling          []byte
	Called           []byte
	NASPortID        []byte
	Raw              []byte
	Source           []byte
	Class            []byte
	Protocol         []byte
	Command          []byte
	Login            uint64
	InputOctets      uint64
	OutputOctets     uint64
	InputPackets     uint64
	OutputPackets    uint64
	EventUnix        int64 // seconds
	Key              uint64
	Status           uint32
	NASPort          uint32
	SessionTime      uint32 // seconds
	TerminateCause   uint32
	StaleAfter       uint32 // seconds
}

// Values of Acct-Status-Type (RFC 2866 section 5.1).
const (
	StatusStart   uint32 = 1
	StatusStop    uint32 = 2
	StatusInterim uint32 = 3
	StatusOn      uint32 = 7
	StatusOff     uint32 = 8
)

// OfSession reports whether the record is about a session: it has the session's id and is not about a single command that somebody gave within it.
func (v *AccountedView) OfSession() bool {
	switch v.Status {
	case StatusStart, StatusStop, StatusInterim:
		return len(v.SessionID) > 0 && len(v.Command) == 0
	}
	return false
}

// OfDevice reports whether the record says that a device came up, or goes down.
func (v *AccountedView) OfDevice() bool { return v.Status == StatusOn || v.Status == StatusOff }

// AppendAccounted appends v encoded as the message Accounted. It does not allocate beyond dst.
func AppendAccounted(dst []byte, v *AccountedView) []byte {
	dst = appendText(dst, 1, v.Client)
	dst = field.AppendBytes(dst, 2, v.NAS)
	dst = field.AppendBytes(dst, 3, v.SessionID)
	dst = field.AppendNumber(dst, 4, uint64(v.Status))
	dst = field.AppendBytes(dst, 5, v.UserName)
	dst = appendText(dst, 6, v.User)
	dst = field.AppendFixed(dst, 7, v.Login)
	dst = field.AppendBytes(dst, 8, v.FramedIP)
	dst = field.AppendBytes(dst, 9, v.FramedIPv6Prefix)
	dst = field.AppendBytes(dst, 10, v.Calling)
	dst = field.AppendBytes(dst, 11, v.Called)
	dst = field.AppendBytes(dst, 12, v.NASPortID)
	dst = field.AppendNumber(dst, 13, uint64(v.NASPort))
	dst = field.AppendNumber(dst, 14, uint64(v.SessionTime))
	dst = field.AppendNumber(dst, 15, v.InputOctets)
	dst = field.AppendNumber(dst, 16, v.OutputOctets)
	dst = field.AppendNumber(dst, 17, v.InputPackets)
	dst = field.AppendNumber(dst, 18, v.OutputPackets)
	dst = field.AppendNumber(dst, 19, uint64(v.TerminateCause))
	dst = field.AppendNumber(dst, 20, uint64(v.EventUnix))
	dst = field.AppendFixed(dst, 21, v.Key)
	dst = field.AppendBytes(dst, 22, v.Raw)
	dst = field.AppendNumber(dst, 23, uint64(v.StaleAfter))
	dst = field.AppendBytes(dst, 24, v.Source)
	dst = field.AppendBytes(dst, 25, v.Class)
	dst = appendText(dst, 26, v.Protocol)
	return field.AppendBytes(dst, 27, v.Command)
}

// Decode fills the view from an encoded Accounted without copying. It returns ErrFormat for a field that this release does not
// know, as Apply must not skip anything.
func (v *AccountedView) Decode(body []byte) error {
	*v = AccountedView{}
	for len(body) > 0 {
		f, rest, ok := field.Next(body)
		if !ok {
			return fmt.Errorf("read accounting record: %w", ErrFormat)
		}
		body = rest
		var text *[]byte
		var small *uint32
		var large *uint64
		switch f.Num {
		case 1:
			text = &v.Client
		case 2:
			text = &v.NAS
		case 3:
			text = &v.SessionID
		case 4:
			small = &v.Status
		case 5:
			text = &v.UserName
		case 6:
			text = &v.User
		case 7:
			large = &v.Login
		case 8:
			text = &v.FramedIP
		case 9:
			text = &v.FramedIPv6Prefix
		case 10:
			text = &v.Calling
		case 11:
			text = &v.Called
		case 12:
			text = &v.NASPortID
		case 13:
			small = &v.NASPort
		case 14:
			small = &v.SessionTime
		case 15:
			large = &v.InputOctets
		case 16:
			large = &v.OutputOctets
		case 17:
			large = &v.InputPackets
		case 18:
			large = &v.OutputPackets
		case 19:
			small = &v.TerminateCause
		case 20:
			if f.Type == protowire.VarintType {
				v.EventUnix = int64(f.Value)
				continue
			}
		case 21:
			large = &v.Key
		case 22:
			text = &v.Raw
		case 23:
			small = &v.StaleAfter
		case 24:
			text = &v.Source
		case 25:
			text = &v.Class
		case 26:
			text = &v.Protocol
		case 27:
			text = &v.Command
		}
		if !store(&f, text, small, large, f.Num == 7 || f.Num == 21) {
			return fmt.Errorf("read accounting record field %d: %w", f.Num, ErrFormat)
		}
	}
	return nil
}

// store puts the field's content where the one pointer that is not nil says, if its wire type fits; fixed says that a large
// number is a fixed64. A 32-bit field keeps the low 32 bits of a longer varint, as protobuf has it.
func store(f *field.Field, text *[]byte, small *uint32, large *uint64, fixed bool) bool {
	switch {
	case text != nil && f.Type == protowire.BytesType:
		*text = f.Data
	case small != nil && f.Type == protowire.VarintType:
		*small = uint32(f.Value)
	case large != nil && fixed && f.Type == protowire.Fixed64Type:
		*large = f.Value
	case large != nil && !fixed && f.Type == protowire.VarintType:
		*large = f.Value
	default:
		return false
	}
	return true
}
