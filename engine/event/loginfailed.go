package event

import "trine/engine/event/field"

// LoginFailedView is a LoginFailed without memory of its own: Name belongs to whoever filled it in. The fields are those of
// LoginFailed in event.proto.
type LoginFailedView struct {
	Name               []byte
	Source             uint64
	Login              uint64
	Factor             uint32
	Attempts, Total    uint32
	Window, Duration   uint32 // seconds
	Apart, Progressive bool
}

// AppendLoginFailed appends v encoded as the message LoginFailed. It does not allocate beyond dst.
func AppendLoginFailed(dst []byte, v *LoginFailedView) []byte {
	dst = field.AppendBytes(dst, 1, v.Name)
	dst = field.AppendFixed(dst, 2, v.Source)
	dst = field.AppendNumber(dst, 3, uint64(v.Factor))
	dst = field.AppendFlag(dst, 4, v.Apart)
	dst = field.AppendNumber(dst, 5, uint64(v.Attempts))
	dst = field.AppendNumber(dst, 6, uint64(v.Total))
	dst = field.AppendNumber(dst, 7, uint64(v.Window))
	dst = field.AppendNumber(dst, 8, uint64(v.Duration))
	dst = field.AppendFlag(dst, 9, v.Progressive)
	return field.AppendFixed(dst, 10, v.Login)
}

// appendFailureStreams appends the streams of an encoded LoginFailed: the decision and the person.
func appendFailureStreams(dst []uint64, body []byte) []uint64 {
	var name []byte
	var login uint64
	for len(body) > 0 {
		f, rest, ok := field.Next(body)
		if !ok {
			break
		}
		body = rest
		switch f.Num {
		case 1:
			name = f.Data
		case 10:
			login = f.Value
		}
	}
	var text [13]byte
	dst = append(dst, StreamKey(StreamDecision, AppendID(text[:0], login)))
	return appendCommonStreams(dst, name, nil, nil, nil)
}
