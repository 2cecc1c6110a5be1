package wire

import "encoding/binary"

// MaxBatch is how many packets Checks and Replies take together.
const MaxBatch = 64

// checkRoom is how many bytes of messages Checks digests together: 1,024 for
// each packet of a full batch. What is beyond is left to the caller.
const checkRoom = MaxBatch << 10

// Checks digests what proves the origin of many packets, and the keys of their
// passwords, side by side: for a batch of packets that costs a tenth of what
// Secret.Verify and Reveal cost one by one. It says of a packet that it is
// authentic, or that it is for Secret.Verify to say. It is about 80 kilobytes;
// a loop keeps one.
type Checks struct {
	lanes   lanes
	packets [MaxBatch]check
	count   int

	data   [checkRoom]byte
	used   int
	first  [2 * MaxBatch]message // the inner halves of HMACs, and keyed digests of packets
	second [2 * MaxBatch]message // the outer halves, and keys of passwords
	firsts int
	others int
}

// NewChecks returns Checks without packets.
func NewChecks() *Checks { return &Checks{lanes: lanes{kernel: bestKernel()}} }

// check is what is digested for a packet. The numbers of messages are one more
// than their places; 0 is none.
type check struct {
	view                           *View
	inner, outer, digest, password uint8
}

// Reset forgets the packets.
func (c *Checks) Reset() { c.count, c.used, c.firsts, c.others = 0, 0, 0, 0 }

// Add takes a packet to be verified with a secret, as by Secret.Verify. It
// returns the packet's number, or false where Secret.Verify has to be asked:
// it knows already what is wrong, or there is no room. The view must stay until
// the packet's results were taken.
func (c *Checks) Add(s *Secret, v *View, require bool) (int, bool) {
	if c.count == len(c.packets) {
		return 0, false
	}
	key := s.key()
	p := v.packet
	at := int(v.first[MessageAuthenticator])
	switch {
	case v.count == 0 || at == 0:
		if require {
			return 0, false
		}
		at = 0
	case len(v.value(at)) != AuthenticatorLen || v.repeated(MessageAuthenticator):
		return 0, false
	}
	hidden, isHidden := v.First(UserPassword)
	isHidden = isHidden && revealable(len(hidden)) && v.Code() == AccessRequest
	if c.used+paddedLen(len(p))+paddedLen(len(p)+len(key.raw))+paddedLen(len(key.raw)+AuthenticatorLen) > len(c.data) {
		return 0, false
	}
	k := &c.packets[c.count]
	*k = check{view: v}
	signs := v.Code().signsRequest()
	if signs {
		m := c.data[c.used:]
		n := copy(m, p)
		clear(m[4:headerLen])
		n += copy(m[n:], key.raw)
		k.digest = add(c.first[:], &c.firsts, c.message(&md5Start, n, 0))
	}
	if at > 0 {
		m := c.data[c.used:]
		copy(m, p)
		clear(m[at+2 : at+2+AuthenticatorLen])
		if signs { // RFC 5176 section 3.2
			clear(m[4:headerLen])
		}
		inner := c.message(&key.inner, len(p), 64)
		k.inner = add(c.first[:], &c.firsts, inner)
		k.outer = add(c.second[:], &c.others, message{state: key.outer, at: inner.at, blocks: 1}) // where the inner one was
	}
	if isHidden {
		m := c.data[c.used:]
		n := copy(m, key.raw)
		n += copy(m[n:], v.Authenticator()[:])
		k.password = add(c.second[:], &c.others, c.message(&md5Start, n, 0))
	}
	c.count++
	return c.count - 1, true
}

// add appends a message and returns its number.
func add(to []message, count *int, m message) uint8 {
	to[*count] = m
	*count++
	return uint8(*count)
}

// message ends the n bytes that were put where the free data begins. They
// continue a digest of before bytes, which led to state.
func (c *Checks) message(state *[4]uint32, n, before int) message {
	m := message{state: *state, at: uint32(c.used), blocks: pad(c.data[c.used:], n, before)}
	c.used += 64 * int(m.blocks)
	return m
}

// Run digests what was added.
func (c *Checks) Run() {
	c.lanes.run(c.data[:], c.first[:c.firsts])
	for i := range c.packets[:c.count] {
		if k := &c.packets[i]; k.inner > 0 {
			c.first[k.inner-1].outside(c.data[c.second[k.outer-1].at:])
		}
	}
	c.lanes.run(c.data[:], c.second[:c.others])
}

// Authentic reports, after Run, whether packet i is what Secret.Verify calls
// OK. Where it is not, Secret.Verify says why.
func (c *Checks) Authentic(i int) bool {
	k := &c.packets[i]
	v := k.view
	differs := uint32(0)
	if k.digest > 0 {
		differs |= c.first[k.digest-1].differs(v.Authenticator()[:])
	}
	if k.outer > 0 {
		differs |= c.second[k.outer-1].differs(v.value(int(v.first[MessageAuthenticator])))
	}
	return differs == 0
}

// Password returns, after Run, the key of the first sixteen bytes of packet i's
// User-Password, for Secret.RevealPassword; false if it has none.
func (c *Checks) Password(i int) (key [AuthenticatorLen]byte, ok bool) {
	n := c.packets[i].password
	if n == 0 {
		return key, false
	}
	return c.second[n-1].sum(), true
}

// sum returns the digest of a message that was run.
func (m *message) sum() (out md5Sum) {
	m.put(out[:])
	return out
}

// put writes the digest of a message that was run.
func (m *message) put(to []byte) {
	_ = to[AuthenticatorLen-1]
	for i, word := range m.state {
		binary.LittleEndian.PutUint32(to[4*i:], word)
	}
}

// differs returns 0 if the digest of a message that was run is want, without
// telling by its time where they differ.
func (m *message) differs(want []byte) uint32 {
	_ = want[AuthenticatorLen-1]
	return (m.state[0] ^ binary.LittleEndian.Uint32(want)) | (m.state[1] ^ binary.LittleEndian.Uint32(want[4:])) |
		(m.state[2] ^ binary.LittleEndian.Uint32(want[8:])) | (m.state[3] ^ binary.LittleEndian.Uint32(want[12:]))
}

// outside writes the message of an HMAC's outer half, of which m is the inner.
func (m *message) outside(to []byte) {
	m.put(to)
	pad(to, AuthenticatorLen, 64)
}

// pad ends a message of n bytes, which continues a digest of before bytes, and
// returns how many blocks it is.
func pad(m []byte, n, before int) (blocks uint32) {
	end := paddedLen(n)
	m[n] = 0x80
	clear(m[n+1 : end-8])
	binary.LittleEndian.PutUint64(m[end-8:], uint64(before+n)*8)
	return uint32(end / 64)
}

// paddedLen returns how many bytes n take with their padding.
func paddedLen(n int) int { return (n + 8 + 64) &^ 63 }
