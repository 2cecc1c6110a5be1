package wire

// Sequence is the place that a session has reached: the number of its latest
// packet, 0 before the first. Numbers begin with 1, grow by one and never wrap,
// so that the client's are odd and the server's even; RFC 8907 section 4.1. A
// Sequence that returned a fault has not moved, and its session is over.
type Sequence uint8

// FromClient takes the number of a packet that the server received.
// SequenceUnexpected is any but the next; SequenceEnd is 255, which no answer
// can follow.
func (s *Sequence) FromClient(seq uint8) Fault {
	if *s%2 != 0 || seq != uint8(*s)+1 {
		return SequenceUnexpected
	}
	if seq == 255 {
		return SequenceEnd
	}
	*s = Sequence(seq)
	return OK
}

// ToClient returns the number of the server's answer to what it received.
// SequenceUnexpected means that it was answered already.
func (s *Sequence) ToClient() (uint8, Fault) {
	if *s%2 == 0 {
		return 0, SequenceUnexpected
	}
	*s++
	return uint8(*s), OK
}

// ToServer returns the number of the client's next packet. SequenceEnd means
// that the session must be begun anew.
func (s *Sequence) ToServer() (uint8, Fault) {
	switch {
	case *s%2 != 0:
		return 0, SequenceUnexpected
	case *s == 254:
		return 0, SequenceEnd
	}
	*s++
	return uint8(*s), OK
}

// FromServer takes the number of an answer that the client received.
func (s *Sequence) FromServer(seq uint8) Fault {
	if *s%2 == 0 || seq != uint8(*s)+1 {
		return SequenceUnexpected
	}
	*s = Sequence(seq)
	return OK
}

// Final reports whether the server's next answer must end the session, since
// the client has no number left to go on with.
func (s Sequence) Final() bool { return s >= 253 }
