package wire

import "encoding/binary"

const acctReplyFixed = 5

// AcctRequest records what somebody did, RFC 8907 section 7.1. Behind its flags
// it has what an AuthorRequest has.
type AcctRequest struct {
	Flags AcctFlags
	AuthorRequest
}

// ParseAcctRequest reads body into r. Its arguments are under the rules of
// authorization except for those on which ones there must be: a record is not
// lost because its device left one out.
func ParseAcctRequest(body []byte, q Quirks, r *AcctRequest) Fault {
	if len(body) < 1+requestFixed {
		return BodyShort
	}
	r.Flags = AcctFlags(body[0]) & knownAcctFlags
	if f := parseRequest(body[1:], q, &r.AuthorRequest); f != OK {
		return f
	}
	if !r.Flags.known() {
		return AcctFlagsInvalid
	}
	return OK
}

// AcctReply says whether a record was taken, RFC 8907 section 7.2.
type AcctReply struct {
	Status    AcctStatus
	ServerMsg []byte
	Data      []byte // for an administrator's log
}

// ParseAcctReply reads body into r.
func ParseAcctReply(body []byte, q Quirks, r *AcctReply) Fault {
	if len(body) < acctReplyFixed {
		return BodyShort
	}
	message, data := int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint16(body[2:]))
	c := cutter{body[acctReplyFixed:]}
	if !c.holds(q, message+data) {
		return LengthMismatch
	}
	*r = AcctReply{Status: AcctStatus(body[4]), ServerMsg: c.cut(message), Data: c.cut(data)}
	if !r.Status.known() {
		return StatusUnknown
	}
	return OK
}
