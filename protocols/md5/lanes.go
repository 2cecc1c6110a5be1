package md5

import "encoding/binary"

// laneCount is how many messages the vector instructions digest at once.
const laneCount = 16

// laneWords is one 32-bit word of each lane.
type laneWords = [laneCount]uint32

// Kernel is a way to digest several messages at once.
type Kernel uint8

const (
	pairs  Kernel = iota // two, in plain Go
	avx2                 // sixteen
	avx512               // sixteen, with the instructions of AVX-512F and VL
)

// Kernels returns the ways that this machine has, the fastest last.
func Kernels() (all []Kernel) {
	for k := range best() + 1 {
		all = append(all, k)
	}
	return all
}

// String names what the kernel is made of.
func (k Kernel) String() string { return [...]string{"plain Go", "AVX2", "AVX-512"}[k] }

// Message is a digest under way: its blocks, padding included, and the state before and after them.
type Message struct {
	State  State
	At     uint32 // where its blocks begin in the buffer of all messages, in bytes
	Blocks uint32 // how many they are, one or more
}

// Lanes digests messages side by side. It is for one goroutine.
type Lanes struct {
	kernel Kernel
	state  [4]laneWords
	at     laneWords // where the blocks of each lane begin
	left   laneWords // how many they are
	owner  [laneCount]uint16
}

// NewLanes returns Lanes that work in the fastest way that this machine has.
func NewLanes() Lanes { return best().Lanes() }

// Lanes returns Lanes that work in this way, which must be one of Kernels.
func (k Kernel) Lanes() Lanes { return Lanes{kernel: k} }

// Run digests all messages; their blocks lie in data. A lane that is done takes the next message, so that their lengths may
// differ. The last message alone is digested by the function for one.
func (l *Lanes) Run(data []byte, messages []Message) {
	width := laneCount
	if l.kernel == pairs {
		width = 2
	}
	busy, next := 0, 0
	for next < len(messages) && busy < width {
		l.load(busy, next, data, messages)
		busy++
		next++
	}
	for busy > 1 {
		blocks := l.left[0]
		for _, n := range l.left[1:busy] {
			blocks = min(blocks, n)
		}
		if l.kernel == pairs {
			pair(&l.state, data, &l.at, blocks)
		} else {
			for i := busy; i < laneCount; i++ {
				l.at[i] = l.at[0] // an idle lane must read something
			}
			vectors(l.kernel, &l.state, data, &l.at, blocks)
		}
		for i := 0; i < busy; {
			l.at[i] += 64 * blocks
			l.left[i] -= blocks
			if l.left[i] > 0 {
				i++
				continue
			}
			l.unload(i, messages)
			if next < len(messages) {
				l.load(i, next, data, messages)
				i++
				next++
				continue
			}
			busy--
			l.move(busy, i) // which is then looked at in its turn
		}
	}
	if busy == 1 {
		m := &messages[l.owner[0]]
		l.unload(0, messages)
		m.State = Blocks(m.State, data[l.at[0]:l.at[0]+64*l.left[0]])
	}
}

// load puts a message into a lane.
func (l *Lanes) load(lane, n int, data []byte, messages []Message) {
	m := &messages[n]
	_ = data[m.At : m.At+64*m.Blocks] // the kernels do not look where the buffer ends
	for i, word := range m.State {
		l.state[i][lane] = word
	}
	l.at[lane], l.left[lane], l.owner[lane] = m.At, m.Blocks, uint16(n)
}

// unload takes the state of a lane's message out.
func (l *Lanes) unload(lane int, messages []Message) {
	m := &messages[l.owner[lane]]
	for i := range m.State {
		m.State[i] = l.state[i][lane]
	}
}

// move puts what is in one lane into another.
func (l *Lanes) move(from, to int) {
	for i := range l.state {
		l.state[i][to] = l.state[i][from]
	}
	l.at[to], l.left[to], l.owner[to] = l.at[from], l.left[from], l.owner[from]
}

// Sum returns the digest of a message that was run.
func (m *Message) Sum() (out [Size]byte) {
	m.Put(out[:])
	return out
}

// Put writes the digest of a message that was run over the first sixteen bytes of to.
func (m *Message) Put(to []byte) {
	_ = to[Size-1]
	for i, word := range m.State {
		binary.LittleEndian.PutUint32(to[4*i:], word)
	}
}

// Mask encrypts or decrypts sixteen bytes with the digest of a message that was run.
func (m *Message) Mask(text []byte) {
	_ = text[Size-1]
	for i, word := range m.State {
		binary.LittleEndian.PutUint32(text[4*i:], binary.LittleEndian.Uint32(text[4*i:])^word)
	}
}

// Differs returns 0 if the digest of a message that was run is the first sixteen bytes of want, without telling by its time
// where they differ.
func (m *Message) Differs(want []byte) uint32 {
	_ = want[Size-1]
	return (m.State[0] ^ binary.LittleEndian.Uint32(want)) | (m.State[1] ^ binary.LittleEndian.Uint32(want[4:])) |
		(m.State[2] ^ binary.LittleEndian.Uint32(want[8:])) | (m.State[3] ^ binary.LittleEndian.Uint32(want[12:]))
}

// Pad ends a message of n bytes, which continues a digest of before bytes, a multiple of 64, and returns how many blocks it is.
// m has room for PaddedLen(n) bytes.
func Pad(m []byte, n, before int) (blocks uint32) {
	end := PaddedLen(n)
	m[n] = 0x80
	clear(m[n+1 : end-8])
	binary.LittleEndian.PutUint64(m[end-8:], uint64(before+n)*8)
	return uint32(end / 64)
}

// PaddedLen returns how many bytes n take with their padding.
func PaddedLen(n int) int { return (n + 8 + 64) &^ 63 }
