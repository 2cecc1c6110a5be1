package wire

import "trine/protocols/md5"

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
	lanes   md5.Lanes
	packets [MaxBatch]check
	count   int

	data   [checkRoom]byte
	used   int
	first  [2 * MaxBatch]md5.Message // the inner halves of HMACs, and keyed digests of packets
	second [2 * MaxBatch]md5.Message // the outer halves, and keys of passwords
	firsts int
	others int
}

// NewChecks returns Checks without packets.
func NewChecks() *Checks { return &Checks{lanes: md5.NewLanes()} }

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
	if c.used+md5.PaddedLen(len(p))+md5.PaddedLen(len(p)+len(key.raw))+md5.PaddedLen(len(key.raw)+AuthenticatorLen) > len(c.data) {
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
		k.digest = add(c.first[:], &c.firsts, c.message(md5.Start(), n, 0))
	}
	if at > 0 {
		m := c.data[c.used:]
		copy(m, p)
		clear(m[at+2 : at+2+AuthenticatorLen])
		if signs { // RFC 5176 section 3.2
			clear(m[4:headerLen])
		}
		inner := c.message(key.inner, len(p), 64)
		k.inner = add(c.first[:], &c.firsts, inner)
		k.outer = add(c.second[:], &c.others, md5.Message{State: key.outer, At: inner.At, Blocks: 1}) // where the inner one was
	}
	if isHidden {
		m := c.data[c.used:]
		n := copy(m, key.raw)
		n += copy(m[n:], v.Authenticator()[:])
		k.password = add(c.second[:], &c.others, c.message(md5.Start(), n, 0))
	}
	c.count++
	return c.count - 1, true
}

// add appends a message and returns its number.
func add(to []md5.Message, count *int, m md5.Message) uint8 {
	to[*count] = m
	*count++
	return uint8(*count)
}

// message ends the n bytes that were put where the free data begins. They
// continue a digest of before bytes, which led to state.
func (c *Checks) message(state md5.State, n, before int) md5.Message {
	m := md5.Message{State: state, At: uint32(c.used), Blocks: md5.Pad(c.data[c.used:], n, before)}
	c.used += 64 * int(m.Blocks)
	return m
}

// Run digests what was added.
func (c *Checks) Run() {
	c.lanes.Run(c.data[:], c.first[:c.firsts])
	for i := range c.packets[:c.count] {
		if k := &c.packets[i]; k.inner > 0 {
			outside(&c.first[k.inner-1], c.data[c.second[k.outer-1].At:])
		}
	}
	c.lanes.Run(c.data[:], c.second[:c.others])
}

// Authentic reports, after Run, whether packet i is what Secret.Verify calls
// OK. Where it is not, Secret.Verify says why.
func (c *Checks) Authentic(i int) bool {
	k := &c.packets[i]
	v := k.view
	differs := uint32(0)
	if k.digest > 0 {
		differs |= c.first[k.digest-1].Differs(v.Authenticator()[:])
	}
	if k.outer > 0 {
		differs |= c.second[k.outer-1].Differs(v.value(int(v.first[MessageAuthenticator])))
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
	return c.second[n-1].Sum(), true
}

// outside writes the message of an HMAC's outer half, of which m is the inner.
func outside(m *md5.Message, to []byte) {
	m.Put(to)
	md5.Pad(to, AuthenticatorLen, 64)
}
