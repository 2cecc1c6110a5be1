package event

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
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

// AppendAccounted appends v encoded as the message Accounted. It does not allocate beyond dst.
func AppendAccounted(dst []byte, v *AccountedView) []byte {
	dst = appendText(dst, 1, v.Client)
	dst = appendBytes(dst, 2, v.NAS)
	dst = appendBytes(dst, 3, v.SessionID)
	dst = appendVarint(dst, 4, uint64(v.Status))
	dst = appendBytes(dst, 5, v.UserName)
	dst = appendText(dst, 6, v.User)
	dst = appendFixed64(dst, 7, v.Login)
	dst = appendBytes(dst, 8, v.FramedIP)
	dst = appendBytes(dst, 9, v.FramedIPv6Prefix)
	dst = appendBytes(dst, 10, v.Calling)
	dst = appendBytes(dst, 11, v.Called)
	dst = appendBytes(dst, 12, v.NASPortID)
	dst = appendVarint(dst, 13, uint64(v.NASPort))
	dst = appendVarint(dst, 14, uint64(v.SessionTime))
	dst = appendVarint(dst, 15, v.InputOctets)
	dst = appendVarint(dst, 16, v.OutputOctets)
	dst = appendVarint(dst, 17, v.InputPackets)
	dst = appendVarint(dst, 18, v.OutputPackets)
	dst = appendVarint(dst, 19, uint64(v.TerminateCause))
	dst = appendVarint(dst, 20, uint64(v.EventUnix))
	dst = appendFixed64(dst, 21, v.Key)
	dst = appendBytes(dst, 22, v.Raw)
	dst = appendVarint(dst, 23, uint64(v.StaleAfter))
	dst = appendBytes(dst, 24, v.Source)
	return appendBytes(dst, 25, v.Class)
}

// Decode fills the view from an encoded Accounted without copying. It returns ErrFormat for a field that this release does not
// know, as Apply must not skip anything.
func (v *AccountedView) Decode(body []byte) error {
	*v = AccountedView{}
	for len(body) > 0 {
		f, rest, ok := nextField(body)
		if !ok {
			return fmt.Errorf("read accounting record: %w", ErrFormat)
		}
		body = rest
		var text *[]byte
		var small *uint32
		var large *uint64
		switch f.num {
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
			if f.typ == protowire.VarintType {
				v.EventUnix = int64(f.value)
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
		}
		if !f.store(text, small, large, f.num == 7 || f.num == 21) {
			return fmt.Errorf("read accounting record field %d: %w", f.num, ErrFormat)
		}
	}
	return nil
}

// store puts the field's content where the one pointer that is not nil says, if its wire type fits; fixed says that a large
// number is a fixed64. A 32-bit field keeps the low 32 bits of a longer varint, as protobuf has it.
func (f *wireField) store(text *[]byte, small *uint32, large *uint64, fixed bool) bool {
	switch {
	case text != nil && f.typ == protowire.BytesType:
		*text = f.data
	case small != nil && f.typ == protowire.VarintType:
		*small = uint32(f.value)
	case large != nil && fixed && f.typ == protowire.Fixed64Type:
		*large = f.value
	case large != nil && !fixed && f.typ == protowire.VarintType:
		*large = f.value
	default:
		return false
	}
	return true
}
