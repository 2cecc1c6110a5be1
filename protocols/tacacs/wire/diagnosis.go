package wire

import "fmt"

// Check reads a body only to see whether it can be read, with the Parse function
// of the kind of message that its header announces.
func Check(h *Header, body []byte, q Quirks) Fault {
	switch h.Kind() {
	case KindAuthenStart:
		var v AuthenStart
		return ParseAuthenStart(h, body, q, &v)
	case KindAuthenContinue:
		var v AuthenContinue
		return ParseAuthenContinue(body, q, &v)
	case KindAuthenReply:
		var v AuthenReply
		return ParseAuthenReply(body, q, &v)
	case KindAuthorRequest:
		var v AuthorRequest
		return ParseAuthorRequest(body, q, &v)
	case KindAuthorResponse:
		var v AuthorResponse
		return ParseAuthorResponse(body, q, &v)
	case KindAcctRequest:
		var v AcctRequest
		return ParseAcctRequest(body, q, &v)
	}
	var v AcctReply
	return ParseAcctReply(body, q, &v)
}

// Open takes the obfuscation off a packet with the first of secrets under which
// its body can be read, and returns that secret's place. Under a client's two
// secrets of a change from one to the other, a body that two of them can read
// does not occur: lengths and ranges that hold by chance are one in millions.
//
// Where no secret fits, Open returns -1 and the diagnosis of the likeliest one,
// under which the packet is left: one that fits a malformed packet, or else the
// last. There must be a secret.
func Open(h *Header, packet []byte, q Quirks, secrets []*Secret) (int, Diagnosis) {
	var d Diagnosis
	for i, s := range secrets {
		if i > 0 {
			secrets[i-1].Obfuscate(packet)
		}
		s.Obfuscate(packet)
		f := Check(h, packet[HeaderLen:], q)
		if f == OK {
			return i, Diagnosis{}
		}
		if d = Diagnose(h, packet[HeaderLen:], f); !d.WrongSecret {
			break
		}
	}
	return -1, d
}

// Diagnosis is what is probably the matter with a body that cannot be read.
type Diagnosis struct {
	Fault Fault
	Kind  Kind
	// WrongSecret tells that what was read is noise, as it is under another
	// secret than the sender's. It is not set for a body that was made under this
	// secret and made wrong.
	WrongSecret bool
	Length      int // of the body, in bytes
	Fields      int // how many of its fields can tell sense from noise
	Strange     int // and how many of these make no sense
}

// Diagnose tells why a body, read under a secret, has a fault. Noise seldom has
// the right lengths (RFC 8907 section 4.5) and nearly never the right values: a
// START that was read under a wrong secret has no more than one of its four
// fields out of range once in ten thousand times. A malformed packet is wrong in
// one place. So a wrong secret is what makes at least half of the fields
// senseless, unless the length alone speaks against it: a body too short or too
// long to be of its kind is so under every secret, and one whose lengths of two
// bytes add up was read under the right one.
func Diagnose(h *Header, body []byte, f Fault) Diagnosis {
	d := Diagnosis{Fault: f, Kind: h.Kind(), Length: len(body)}
	switch {
	case f == LengthMismatch:
		if len(body) > d.Kind.longest() {
			return d
		}
	case f >= ActionUnknown && f <= AcctFlagsInvalid:
		if d.Kind == KindAuthenContinue || d.Kind == KindAuthenReply || d.Kind == KindAcctReply {
			return d
		}
	default:
		return d
	}
	d.Fields, d.Strange = d.Kind.strange(body)
	d.WrongSecret = 2*d.Strange >= d.Fields
	return d
}

// String returns the diagnosis in words for a log.
func (d Diagnosis) String() string {
	switch {
	case d.Fault == OK:
		return d.Fault.Error()
	case d.WrongSecret:
		return fmt.Sprintf("secret differs: read with it, %d of %d fields of the %s of %d bytes make no sense (%s)",
			d.Strange, d.Fields, d.Kind, d.Length, d.Fault.Error())
	}
	return fmt.Sprintf("malformed %s of %d bytes: %s; the secret is not the cause", d.Kind, d.Length, d.Fault.Error())
}

// longest returns the length in bytes of the longest body of a kind.
func (k Kind) longest() int {
	switch k {
	case KindAuthenStart:
		return startFixed + 4*maxField
	case KindAuthenContinue:
		return continueFixed + 2*maxText
	case KindAuthenReply:
		return replyFixed + 2*maxText
	case KindAuthorRequest:
		return requestFixed + 3*maxField + maxArguments*(1+maxField)
	case KindAcctRequest:
		return 1 + requestFixed + 3*maxField + maxArguments*(1+maxField)
	case KindAcctReply:
		return acctReplyFixed + 2*maxText
	}
	return MaxBody
}

// strange counts, among the bytes of a body whose values are few, those that have
// none of them.
func (k Kind) strange(body []byte) (fields, strange int) {
	judge := func(known bool) {
		fields++
		if !known {
			strange++
		}
	}
	switch k {
	case KindAuthenStart:
		judge(Action(body[0]).known())
		judge(body[1] <= MaxPrivLvl)
		judge(AuthenType(body[2]).known())
		judge(Service(body[3]).known())
	case KindAuthenContinue:
		judge(body[4] <= continueAbort)
	case KindAuthenReply:
		judge(AuthenStatus(body[0]).known())
		judge(body[1] <= replyNoEcho)
	case KindAuthorResponse:
		judge(AuthorStatus(body[0]).known())
	case KindAcctReply:
		judge(AcctStatus(body[4]).known())
	case KindAcctRequest:
		judge(AcctFlags(body[0]).known())
		body = body[1:]
		fallthrough
	case KindAuthorRequest:
		judge(Method(body[0]).known())
		judge(body[1] <= MaxPrivLvl)
		judge(AuthenType(body[2]).known())
		judge(Service(body[3]).known())
	}
	return fields, strange
}
