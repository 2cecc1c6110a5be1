package rows

// arena is memory for the records of a shard, in chunks: it grows without copying what is there. A record lies in one chunk; its place
// is the number of the chunk and the offset in it. The zero value is empty.
type arena struct {
	chunks [][]byte // as far as they are used
	used   int      // bytes
}

const (
	chunkBits  = 14
	chunkBytes = 1 << chunkBits
	firstBytes = 256 // of the first chunk of an arena, which grows
	maxChunks  = 1<<(32-chunkBits) - 1
)

// at returns what begins at a place.
func (a *arena) at(place uint32) []byte {
	return a.chunks[place>>chunkBits][place&(chunkBytes-1):]
}

// add makes room for a record, and returns its place.
func (a *arena) add(size int) (place uint32, room []byte) {
	last := len(a.chunks) - 1
	if last < 0 || cap(a.chunks[last])-len(a.chunks[last]) < size {
		last = a.extend(last, size)
	}
	c := a.chunks[last]
	start := len(c)
	a.chunks[last] = c[:start+size]
	a.used += size
	return uint32(last)<<chunkBits | uint32(start), c[start : start+size]
}

// extend makes the last chunk one that has room for a record: a small arena's only one grows, else there is a new one. A record that
// is larger than a chunk gets one of its size.
func (a *arena) extend(last, size int) int {
	if last == 0 && cap(a.chunks[0]) < chunkBytes && len(a.chunks[0])+size <= chunkBytes {
		bigger := make([]byte, len(a.chunks[0]), min(chunkBytes, max(len(a.chunks[0])+size, 2*cap(a.chunks[0]))))
		copy(bigger, a.chunks[0])
		a.chunks[0] = bigger
		return 0
	}
	if last++; last >= maxChunks {
		violated("less than 4 GiB of rows in a shard", "%d bytes", a.used+size)
	}
	room := chunkBytes
	if last == 0 {
		room = firstBytes
	}
	a.chunks = append(a.chunks, make([]byte, 0, max(room, size)))
	return last
}

// bytes returns how much memory the arena holds.
func (a *arena) bytes() int {
	n := 24 * cap(a.chunks)
	for _, c := range a.chunks {
		n += cap(c)
	}
	return n
}
