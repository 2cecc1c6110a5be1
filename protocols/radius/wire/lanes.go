package wire

// laneCount is how many messages the vector instructions digest at once.
const laneCount = 16

// laneWords is one 32-bit word of each lane.
type laneWords = [laneCount]uint32

// kernel is a way to digest several messages at once.
type kernel uint8

const (
	kernelPair   kernel = iota // two, in plain Go
	kernelAVX2                 // sixteen
	kernelAVX512               // sixteen, with the instructions of AVX-512F and VL
)

// message is a digest under way: its blocks, padding included, and the state before and after them.
type message struct {
	state  [4]uint32
	at     uint32 // where its blocks begin in the buffer of all messages
	blocks uint32 // one or more
}

// lanes digests messages side by side.
type lanes struct {
	kernel kernel
	state  [4]laneWords
	at     laneWords // where the blocks of each lane begin
	left   laneWords // how many they are
	owner  [laneCount]uint16
}

// run digests all messages; their blocks lie in data. A lane that is done takes the next message, so that their lengths may
// differ. The last message alone is digested by the function for one.
func (l *lanes) run(data []byte, messages []message) {
	width := laneCount
	if l.kernel == kernelPair {
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
		if l.kernel == kernelPair {
			md5Pair(&l.state, data, &l.at, blocks)
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
		m.state = md5Blocks(m.state, data[l.at[0]:l.at[0]+64*l.left[0]])
	}
}

// load puts a message into a lane.
func (l *lanes) load(lane, n int, data []byte, messages []message) {
	m := &messages[n]
	_ = data[m.at : m.at+64*m.blocks] // the kernels do not look where the buffer ends
	for i, word := range m.state {
		l.state[i][lane] = word
	}
	l.at[lane], l.left[lane], l.owner[lane] = m.at, m.blocks, uint16(n)
}

// unload takes the state of a lane's message out.
func (l *lanes) unload(lane int, messages []message) {
	m := &messages[l.owner[lane]]
	for i := range m.state {
		m.state[i] = l.state[i][lane]
	}
}

// move puts what is in one lane into another.
func (l *lanes) move(from, to int) {
	for i := range l.state {
		l.state[i][to] = l.state[i][from]
	}
	l.at[to], l.left[to], l.owner[to] = l.at[from], l.left[from], l.owner[from]
}
