package chap

import (
	"encoding/binary"
	"math/bits"
)

// md4 returns RFC 1320's digest. Every message here is short and at hand as a
// whole, so that, unlike a hash.Hash, it needs nothing from the heap.
func md4(message []byte) (sum [16]byte) {
	state := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	total := uint64(len(message))
	for ; len(message) >= 64; message = message[64:] {
		md4Block(&state, (*[64]byte)(message))
	}
	var tail [128]byte
	size := 64
	if n := copy(tail[:], message); n >= 56 {
		size = 128
	}
	tail[len(message)] = 0x80
	binary.LittleEndian.PutUint64(tail[size-8:], total*8)
	md4Block(&state, (*[64]byte)(tail[:64]))
	if size == 128 {
		md4Block(&state, (*[64]byte)(tail[64:]))
	}
	for i, word := range state {
		binary.LittleEndian.PutUint32(sum[4*i:], word)
	}
	return sum
}

func md4Block(state *[4]uint32, block *[64]byte) {
	var x [16]uint32
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	a, b, c, d := state[0], state[1], state[2], state[3]
	for i := 0; i < 16; i += 4 {
		a = bits.RotateLeft32(a+(b&c|^b&d)+x[i], 3)
		d = bits.RotateLeft32(d+(a&b|^a&c)+x[i+1], 7)
		c = bits.RotateLeft32(c+(d&a|^d&b)+x[i+2], 11)
		b = bits.RotateLeft32(b+(c&d|^c&a)+x[i+3], 19)
	}
	const root2 = 0x5a827999
	for i := range 4 {
		a = bits.RotateLeft32(a+(b&c|b&d|c&d)+x[i]+root2, 3)
		d = bits.RotateLeft32(d+(a&b|a&c|b&c)+x[i+4]+root2, 5)
		c = bits.RotateLeft32(c+(d&a|d&b|a&b)+x[i+8]+root2, 9)
		b = bits.RotateLeft32(b+(c&d|c&a|d&a)+x[i+12]+root2, 13)
	}
	const root3 = 0x6ed9eba1
	for _, i := range [4]int{0, 2, 1, 3} {
		a = bits.RotateLeft32(a+(b^c^d)+x[i]+root3, 3)
		d = bits.RotateLeft32(d+(a^b^c)+x[i+8]+root3, 9)
		c = bits.RotateLeft32(c+(d^a^b)+x[i+4]+root3, 11)
		b = bits.RotateLeft32(b+(c^d^a)+x[i+12]+root3, 15)
	}
	state[0] += a
	state[1] += b
	state[2] += c
	state[3] += d
}
