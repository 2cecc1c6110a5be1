package chap

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// tables is DES (FIPS 46-3) folded for speed: each S-box with the permutation
// behind it, and the two selections of the key schedule seven bits at a time.
type tables struct {
	sp  [8][64]uint32
	pc1 [8][128]uint64 // seven key bits to their places among the 56 of C and D
	pc2 [8][128]uint64 // seven bits of C and D to their places in a 48-bit round key
}

// desTables returns the tables, made at the first call and never changed. The
// standard library's cipher lives on the heap and expands a key bit by bit,
// which MS-CHAP would pay for three times a login.
var desTables = sync.OnceValue(newTables)

// encrypt writes to dst the block src under a key of 56 bits, given as seven
// bytes without parity, RFC 2759 section 8.6.
func (t *tables) encrypt(dst, src, key []byte) {
	var k uint64
	for _, b := range key[:7] {
		k = k<<8 | uint64(b)
	}
	cd := spread(&t.pc1, k)
	c, d := uint32(cd>>28), uint32(cd&0xfffffff)

	block := permute(binary.BigEndian.Uint64(src), 64, initialPermutation[:])
	l, r := uint32(block>>32), uint32(block)
	for _, shift := range rotations {
		c = (c<<shift | c>>(28-shift)) & 0xfffffff
		d = (d<<shift | d>>(28-shift)) & 0xfffffff
		round := spread(&t.pc2, uint64(c)<<28|uint64(d))
		l, r = r, l^t.mix(r, round)
	}
	binary.BigEndian.PutUint64(dst, permute(uint64(r)<<32|uint64(l), 64, finalPermutation[:]))
}

// mix is the cipher function f: expansion, round key, S-boxes, permutation. The
// expansion's eight groups are six neighbouring bits each.
func (t *tables) mix(r uint32, key uint64) uint32 {
	return t.sp[0][(bits.RotateLeft32(r, 5)^uint32(key>>42))&63] |
		t.sp[1][(bits.RotateLeft32(r, 9)^uint32(key>>36))&63] |
		t.sp[2][(bits.RotateLeft32(r, 13)^uint32(key>>30))&63] |
		t.sp[3][(bits.RotateLeft32(r, 17)^uint32(key>>24))&63] |
		t.sp[4][(bits.RotateLeft32(r, 21)^uint32(key>>18))&63] |
		t.sp[5][(bits.RotateLeft32(r, 25)^uint32(key>>12))&63] |
		t.sp[6][(bits.RotateLeft32(r, 29)^uint32(key>>6))&63] |
		t.sp[7][(bits.RotateLeft32(r, 1)^uint32(key))&63]
}

// spread sends the 56 bits of in through a selection, seven at a time.
func spread(table *[8][128]uint64, in uint64) (out uint64) {
	for i := range table {
		out |= table[i][in>>(49-7*i)&127]
	}
	return out
}

// permute returns the bits of in, which is width bits wide, that selection
// names; bit 1 is the most significant, as FIPS 46-3 counts.
func permute(in uint64, width int, selection []uint8) (out uint64) {
	for _, bit := range selection {
		out = out<<1 | in>>(width-int(bit))&1
	}
	return out
}

func newTables() *tables {
	t := new(tables)
	for box := range t.sp {
		for in := range t.sp[box] {
			row, column := in>>4&2|in&1, in>>1&15
			four := uint64(substitution[box][16*row+column]) << (28 - 4*box)
			t.sp[box][in] = uint32(permute(four, 32, permutation[:]))
		}
	}
	for chunk := range 8 {
		for in := range uint64(128) {
			// A key byte of FIPS 46-3 ends in a parity bit, ours have none.
			t.pc1[chunk][in] = permute(in<<(57-8*chunk), 64, permutedChoice1[:])
			t.pc2[chunk][in] = permute(in<<(49-7*chunk), 56, permutedChoice2[:])
		}
	}
	return t
}

// The tables of FIPS 46-3, never written to.
var (
	rotations = [16]uint8{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}

	initialPermutation = [64]uint8{
		58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
		62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
		57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
		61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
	}
	finalPermutation = [64]uint8{
		40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31,
		38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
		36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
		34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
	}
	permutation = [32]uint8{
		16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
		2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
	}
	permutedChoice1 = [56]uint8{
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18,
		10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22,
		14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	permutedChoice2 = [48]uint8{
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10,
		23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48,
		44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	substitution = [8][64]uint8{
		{
			14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7,
			0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
			4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0,
			15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
		},
		{
			15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10,
			3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
			0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15,
			13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
		},
		{
			10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8,
			13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
			13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7,
			1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
		},
		{
			7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15,
			13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
			10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4,
			3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
		},
		{
			2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9,
			14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
			4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14,
			11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
		},
		{
			12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11,
			10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
			9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6,
			4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
		},
		{
			4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1,
			13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
			1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2,
			6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
		},
		{
			13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7,
			1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
			7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8,
			2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
		},
	}
)
