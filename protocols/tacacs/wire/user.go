package wire

// User returns the user that a client's packet is about, without looking at the
// rest of it: nothing for a CONTINUE, and for a body that is too short. Parse is
// what tells whether the packet is sound.
func User(h *Header, body []byte) []byte {
	var from, size int
	switch {
	case len(body) < 1+requestFixed:
		return nil
	case h.Type == Authentication && h.Seq == 1:
		from, size = startFixed, int(body[4])
	case h.Type == Authorization:
		from, size = requestFixed+int(body[7]), int(body[4])
	case h.Type == Accounting:
		from, size = 1+requestFixed+int(body[8]), int(body[5])
	}
	if from+size > len(body) {
		return nil
	}
	return body[from : from+size : from+size]
}
