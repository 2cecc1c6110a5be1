package radius

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// duplicates remembers the requests under way and the replies given, RFC 5080 section 2.2.2. It belongs to one loop: a
// device's flow always meets the same one. Memory is bounded in entries and in bytes of replies; what was answered longest ago
// goes first, what is under way never goes.
type duplicates struct {
	life       int64 // nanoseconds that an answer is kept
	maxEntries int
	maxBytes   int

	seed   uint64
	index  []probe // open addressing, linear probing, a power of two
	chunks []*[chunkSize]entry
	used   int // slots ever used
	free   []uint32
	count  int
	bytes  int // capacity of all reply buffers

	oldest, newest uint32 // answered entries in the order in which they expire; nowhere if there is none
}

const (
	chunkSize = 1024
	nowhere   = ^uint32(0)
	// keptBuffer is the largest reply buffer that a free entry keeps.
	keptBuffer = 512
)

type probe struct {
	hash uint32
	slot uint32 // plus 1; 0 is empty
}

// dupKey is what tells two requests apart: source address and port, identifier, and the socket that received it.
type dupKey struct {
	hi, lo uint64
	rest   uint64
}

func keyOf(from netip.AddrPort, id uint8, s *loop.Socket) dupKey {
	a := from.Addr().As16()
	return dupKey{
		binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]),
		uint64(from.Port())<<24 | uint64(s.Index)<<40 | uint64(id),
	}
}

// entry is one request: under way until it is answered.
type entry struct {
	key           dupKey
	authenticator [wire.AuthenticatorLen]byte
	hash          uint32
	generation    uint32 // counts the uses of the slot
	state         entryState
	before, after uint32 // of those answered
	expires       int64  // once answered
	reply         []byte
	socket        *loop.Socket
	from          netip.AddrPort
}

type entryState uint8

const (
	entryFree entryState = iota
	entryPending
	entryUnsigned // the reply is made and waits for its signature
	entryDelayed  // the reply is made and waits for its time
	entryAnswered
)

// ref names an entry in one of its uses.
type ref uint64

func newDuplicates(life int64, maxEntries, maxBytes int, seed uint64) *duplicates {
	return &duplicates{
		life: life, maxEntries: maxEntries, maxBytes: maxBytes, seed: seed,
		index: make([]probe, 1024), oldest: nowhere, newest: nowhere,
	}
}

func (d *duplicates) hash(k dupKey) uint32 {
	hi, lo := bits.Mul64(k.hi^d.seed^0x9e3779b97f4a7c15, k.lo^0xd1b54a32d192ed03)
	hi, lo = bits.Mul64(hi^lo^k.rest, d.seed|1)
	return uint32((hi ^ lo) >> 16)
}

func (d *duplicates) at(slot uint32) *entry { return &d.chunks[slot/chunkSize][slot%chunkSize] }

// find returns the entry of a key, or nil.
func (d *duplicates) find(k dupKey) *entry {
	h := d.hash(k)
	mask := uint32(len(d.index) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		p := d.index[i]
		if p.slot == 0 {
			return nil
		}
		if p.hash == h {
			if e := d.at(p.slot - 1); e.key == k {
				return e
			}
		}
	}
}

// get returns the entry that r names if it is still in that use, or nil.
func (d *duplicates) get(r ref) *entry {
	slot := uint32(r)
	if int(slot) >= d.used {
		return nil
	}
	if e := d.at(slot); e.state != entryFree && e.generation == uint32(r>>32) {
		return e
	}
	return nil
}

// insert makes a pending entry for a key that has none. It returns false if the table is full of requests under way.
func (d *duplicates) insert(k dupKey, authenticator *[wire.AuthenticatorLen]byte, s *loop.Socket, from netip.AddrPort) (ref, bool) {
	if d.count >= d.maxEntries && !d.evictOldest() {
		return 0, false
	}
	if 2*(d.count+1) > len(d.index) {
		d.grow()
	}
	var slot uint32
	if n := len(d.free); n > 0 {
		slot = d.free[n-1]
		d.free = d.free[:n-1]
	} else {
		slot = uint32(d.used)
		d.used++
		if int(slot/chunkSize) == len(d.chunks) {
			d.chunks = append(d.chunks, new([chunkSize]entry))
		}
	}
	e := d.at(slot)
	e.key, e.authenticator, e.hash, e.state, e.socket, e.from = k, *authenticator, d.hash(k), entryPending, s, from
	e.generation++
	d.place(probe{e.hash, slot + 1})
	d.count++
	return ref(e.generation)<<32 | ref(slot), true
}

// keep stores a copy of the reply in the entry.
func (d *duplicates) keep(e *entry, reply []byte) {
	before := cap(e.reply)
	e.reply = append(e.reply[:0], reply...)
	d.bytes += cap(e.reply) - before
}

// answered begins the life of an entry's answer. It may forget older answers to stay within its bounds.
func (d *duplicates) answered(r ref, now int64) {
	e := d.get(r)
	if e == nil {
		return
	}
	e.state, e.expires = entryAnswered, now+d.life
	e.before, e.after = d.newest, nowhere
	if d.newest != nowhere {
		d.at(d.newest).after = uint32(r)
	} else {
		d.oldest = uint32(r)
	}
	d.newest = uint32(r)
	for d.bytes > d.maxBytes && d.oldest != uint32(r) && d.evictOldest() {
	}
}

// expire forgets the answers whose life is over.
func (d *duplicates) expire(now int64) {
	for d.oldest != nowhere && d.at(d.oldest).expires <= now {
		d.evictOldest()
	}
}

func (d *duplicates) evictOldest() bool {
	if d.oldest == nowhere {
		return false
	}
	d.remove(d.at(d.oldest), d.oldest)
	return true
}

// forget removes an entry.
func (d *duplicates) forget(r ref) {
	if e := d.get(r); e != nil {
		d.remove(e, uint32(r))
	}
}

// supersede removes the entry of a key, whatever its state.
func (d *duplicates) supersede(e *entry) {
	h, mask := e.hash, uint32(len(d.index)-1)
	for i := h & mask; d.index[i].slot != 0; i = (i + 1) & mask {
		if slot := d.index[i].slot - 1; d.at(slot) == e {
			d.remove(e, slot)
			return
		}
	}
}

func (d *duplicates) remove(e *entry, slot uint32) {
	if e.state == entryAnswered {
		if e.before != nowhere {
			d.at(e.before).after = e.after
		} else {
			d.oldest = e.after
		}
		if e.after != nowhere {
			d.at(e.after).before = e.before
		} else {
			d.newest = e.before
		}
	}
	d.unplace(e.hash, slot+1)
	e.state, e.socket = entryFree, nil
	if cap(e.reply) > keptBuffer {
		d.bytes -= cap(e.reply)
		e.reply = nil
	}
	d.free = append(d.free, slot)
	d.count--
}

func (d *duplicates) place(p probe) {
	mask := uint32(len(d.index) - 1)
	i := p.hash & mask
	for d.index[i].slot != 0 {
		i = (i + 1) & mask
	}
	d.index[i] = p
}

// unplace empties the place of a slot and moves back what had to go past it.
func (d *duplicates) unplace(hash, slot uint32) {
	mask := uint32(len(d.index) - 1)
	i := hash & mask
	for d.index[i].slot != slot {
		i = (i + 1) & mask
	}
	for j := i; ; {
		j = (j + 1) & mask
		p := d.index[j]
		if p.slot == 0 {
			break
		}
		if home := p.hash & mask; (j-home)&mask >= (j-i)&mask {
			d.index[i] = p
			i = j
		}
	}
	d.index[i] = probe{}
}

func (d *duplicates) grow() {
	old := d.index
	d.index = make([]probe, 2*len(old))
	for _, p := range old {
		if p.slot != 0 {
			d.place(p)
		}
	}
}
