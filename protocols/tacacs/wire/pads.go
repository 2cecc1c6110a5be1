package wire

import (
	"crypto/subtle"

	"trine/protocols/md5"
)

// MaxBatch is how many packets Pads takes together.
const MaxBatch = 64

const (
	// slot is how many bytes the message of a pad's block takes at most.
	slot = 128
	// maxSlotted is the longest secret in bytes for which that is enough.
	maxSlotted = slot - 9 - padInput - md5.Size
	padInput   = 4 + 1 + 1 // session, version and number, without the secret
)

// Pads obfuscates many packets side by side, or takes their obfuscation off. A
// block of a pad depends on the block before, so that one packet keeps a
// processor waiting; the blocks of many packets do not depend on each other. It
// is about 13 kilobytes; a loop keeps one.
type Pads struct {
	lanes    md5.Lanes
	pads     [MaxBatch]pad
	count    int
	data     [MaxBatch * slot]byte
	messages [MaxBatch]md5.Message
}

// pad is one that is being made.
type pad struct {
	body  []byte // what is still to be done
	input int    // bytes in front of the previous block
}

// NewPads returns Pads without packets.
func NewPads() *Pads { return newPads(md5.NewLanes()) }

func newPads(lanes md5.Lanes) *Pads { return &Pads{lanes: lanes} }

// Full reports whether Run is due.
func (p *Pads) Full() bool { return p.count == len(p.pads) }

// Add takes a packet for which Run does what Secret.Obfuscate would do; until
// then it must stay where it is. It must not be Full. A packet under a secret of
// more than 97 bytes is done at once.
func (p *Pads) Add(s *Secret, packet []byte) {
	key := s.key()
	if len(key) > maxSlotted {
		s.Obfuscate(packet)
		return
	}
	m := p.data[p.count*slot:]
	n := copy(m, packet[4:8])
	n += copy(m[n:], key)
	m[n], m[n+1] = packet[0], packet[2]
	p.pads[p.count] = pad{body: packet[HeaderLen:], input: n + 2}
	p.count++
}

// Run obfuscates what was added, and forgets it: the first sixteen bytes of all
// bodies, then the next.
func (p *Pads) Run() {
	pads := p.pads[:p.count]
	for round := 0; ; round++ {
		n := 0
		for i := range pads {
			it := &pads[i]
			if len(it.body) == 0 {
				continue
			}
			at := i * slot
			length := it.input
			if round > 0 {
				length += md5.Size
			}
			var blocks uint32
			if round <= 1 { // from then on the padding lies as it should
				blocks = md5.Pad(p.data[at:at+slot], length, 0)
			} else {
				blocks = uint32(md5.PaddedLen(length) / 64)
			}
			p.messages[n] = md5.Message{State: md5.Start(), At: uint32(at), Blocks: blocks}
			n++
		}
		if n == 0 {
			break
		}
		p.lanes.Run(p.data[:], p.messages[:n])
		n = 0
		for i := range pads {
			it := &pads[i]
			if len(it.body) == 0 {
				continue
			}
			block := p.data[i*slot+it.input:][:md5.Size]
			p.messages[n].Put(block)
			n++
			it.body = it.body[subtle.XORBytes(it.body, it.body, block):]
		}
	}
	clear(pads) // holds on to nobody's packet
	p.count = 0
}
