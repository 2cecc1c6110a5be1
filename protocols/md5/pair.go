package md5

import (
	"encoding/binary"
	"math/bits"
)

// pair digests blocks blocks of the messages in the first two lanes. A step of MD5 needs the result of the step before; with
// the steps of two messages side by side a processor has something to do meanwhile.
func pair(state *[4]laneWords, data []byte, at *laneWords, blocks uint32) {
	for i := range blocks {
		pairBlock(state, (*[64]byte)(data[at[0]+64*i:]), (*[64]byte)(data[at[1]+64*i:]))
	}
}

// pairBlock is Blocks for one block of each of two messages.
func pairBlock(state *[4]laneWords, p0, p1 *[64]byte) {
	a0, b0, c0, d0 := state[0][0], state[1][0], state[2][0], state[3][0]
	a1, b1, c1, d1 := state[0][1], state[1][1], state[2][1], state[3][1]

	// Round 1.
	a0 = b0 + bits.RotateLeft32(a0+((c0^d0)&b0^d0)+binary.LittleEndian.Uint32(p0[0:])+0xd76aa478, 7)
	a1 = b1 + bits.RotateLeft32(a1+((c1^d1)&b1^d1)+binary.LittleEndian.Uint32(p1[0:])+0xd76aa478, 7)
	d0 = a0 + bits.RotateLeft32(d0+((b0^c0)&a0^c0)+binary.LittleEndian.Uint32(p0[4:])+0xe8c7b756, 12)
	d1 = a1 + bits.RotateLeft32(d1+((b1^c1)&a1^c1)+binary.LittleEndian.Uint32(p1[4:])+0xe8c7b756, 12)
	c0 = d0 + bits.RotateLeft32(c0+((a0^b0)&d0^b0)+binary.LittleEndian.Uint32(p0[8:])+0x242070db, 17)
	c1 = d1 + bits.RotateLeft32(c1+((a1^b1)&d1^b1)+binary.LittleEndian.Uint32(p1[8:])+0x242070db, 17)
	b0 = c0 + bits.RotateLeft32(b0+((d0^a0)&c0^a0)+binary.LittleEndian.Uint32(p0[12:])+0xc1bdceee, 22)
	b1 = c1 + bits.RotateLeft32(b1+((d1^a1)&c1^a1)+binary.LittleEndian.Uint32(p1[12:])+0xc1bdceee, 22)
	a0 = b0 + bits.RotateLeft32(a0+((c0^d0)&b0^d0)+binary.LittleEndian.Uint32(p0[16:])+0xf57c0faf, 7)
	a1 = b1 + bits.RotateLeft32(a1+((c1^d1)&b1^d1)+binary.LittleEndian.Uint32(p1[16:])+0xf57c0faf, 7)
	d0 = a0 + bits.RotateLeft32(d0+((b0^c0)&a0^c0)+binary.LittleEndian.Uint32(p0[20:])+0x4787c62a, 12)
	d1 = a1 + bits.RotateLeft32(d1+((b1^c1)&a1^c1)+binary.LittleEndian.Uint32(p1[20:])+0x4787c62a, 12)
	c0 = d0 + bits.RotateLeft32(c0+((a0^b0)&d0^b0)+binary.LittleEndian.Uint32(p0[24:])+0xa8304613, 17)
	c1 = d1 + bits.RotateLeft32(c1+((a1^b1)&d1^b1)+binary.LittleEndian.Uint32(p1[24:])+0xa8304613, 17)
	b0 = c0 + bits.RotateLeft32(b0+((d0^a0)&c0^a0)+binary.LittleEndian.Uint32(p0[28:])+0xfd469501, 22)
	b1 = c1 + bits.RotateLeft32(b1+((d1^a1)&c1^a1)+binary.LittleEndian.Uint32(p1[28:])+0xfd469501, 22)
	a0 = b0 + bits.RotateLeft32(a0+((c0^d0)&b0^d0)+binary.LittleEndian.Uint32(p0[32:])+0x698098d8, 7)
	a1 = b1 + bits.RotateLeft32(a1+((c1^d1)&b1^d1)+binary.LittleEndian.Uint32(p1[32:])+0x698098d8, 7)
	d0 = a0 + bits.RotateLeft32(d0+((b0^c0)&a0^c0)+binary.LittleEndian.Uint32(p0[36:])+0x8b44f7af, 12)
	d1 = a1 + bits.RotateLeft32(d1+((b1^c1)&a1^c1)+binary.LittleEndian.Uint32(p1[36:])+0x8b44f7af, 12)
	c0 = d0 + bits.RotateLeft32(c0+((a0^b0)&d0^b0)+binary.LittleEndian.Uint32(p0[40:])+0xffff5bb1, 17)
	c1 = d1 + bits.RotateLeft32(c1+((a1^b1)&d1^b1)+binary.LittleEndian.Uint32(p1[40:])+0xffff5bb1, 17)
	b0 = c0 + bits.RotateLeft32(b0+((d0^a0)&c0^a0)+binary.LittleEndian.Uint32(p0[44:])+0x895cd7be, 22)
	b1 = c1 + bits.RotateLeft32(b1+((d1^a1)&c1^a1)+binary.LittleEndian.Uint32(p1[44:])+0x895cd7be, 22)
	a0 = b0 + bits.RotateLeft32(a0+((c0^d0)&b0^d0)+binary.LittleEndian.Uint32(p0[48:])+0x6b901122, 7)
	a1 = b1 + bits.RotateLeft32(a1+((c1^d1)&b1^d1)+binary.LittleEndian.Uint32(p1[48:])+0x6b901122, 7)
	d0 = a0 + bits.RotateLeft32(d0+((b0^c0)&a0^c0)+binary.LittleEndian.Uint32(p0[52:])+0xfd987193, 12)
	d1 = a1 + bits.RotateLeft32(d1+((b1^c1)&a1^c1)+binary.LittleEndian.Uint32(p1[52:])+0xfd987193, 12)
	c0 = d0 + bits.RotateLeft32(c0+((a0^b0)&d0^b0)+binary.LittleEndian.Uint32(p0[56:])+0xa679438e, 17)
	c1 = d1 + bits.RotateLeft32(c1+((a1^b1)&d1^b1)+binary.LittleEndian.Uint32(p1[56:])+0xa679438e, 17)
	b0 = c0 + bits.RotateLeft32(b0+((d0^a0)&c0^a0)+binary.LittleEndian.Uint32(p0[60:])+0x49b40821, 22)
	b1 = c1 + bits.RotateLeft32(b1+((d1^a1)&c1^a1)+binary.LittleEndian.Uint32(p1[60:])+0x49b40821, 22)

	// Round 2.
	a0 = b0 + bits.RotateLeft32(a0+((b0&d0)+(c0&^d0))+binary.LittleEndian.Uint32(p0[4:])+0xf61e2562, 5)
	a1 = b1 + bits.RotateLeft32(a1+((b1&d1)+(c1&^d1))+binary.LittleEndian.Uint32(p1[4:])+0xf61e2562, 5)
	d0 = a0 + bits.RotateLeft32(d0+((a0&c0)+(b0&^c0))+binary.LittleEndian.Uint32(p0[24:])+0xc040b340, 9)
	d1 = a1 + bits.RotateLeft32(d1+((a1&c1)+(b1&^c1))+binary.LittleEndian.Uint32(p1[24:])+0xc040b340, 9)
	c0 = d0 + bits.RotateLeft32(c0+((d0&b0)+(a0&^b0))+binary.LittleEndian.Uint32(p0[44:])+0x265e5a51, 14)
	c1 = d1 + bits.RotateLeft32(c1+((d1&b1)+(a1&^b1))+binary.LittleEndian.Uint32(p1[44:])+0x265e5a51, 14)
	b0 = c0 + bits.RotateLeft32(b0+((c0&a0)+(d0&^a0))+binary.LittleEndian.Uint32(p0[0:])+0xe9b6c7aa, 20)
	b1 = c1 + bits.RotateLeft32(b1+((c1&a1)+(d1&^a1))+binary.LittleEndian.Uint32(p1[0:])+0xe9b6c7aa, 20)
	a0 = b0 + bits.RotateLeft32(a0+((b0&d0)+(c0&^d0))+binary.LittleEndian.Uint32(p0[20:])+0xd62f105d, 5)
	a1 = b1 + bits.RotateLeft32(a1+((b1&d1)+(c1&^d1))+binary.LittleEndian.Uint32(p1[20:])+0xd62f105d, 5)
	d0 = a0 + bits.RotateLeft32(d0+((a0&c0)+(b0&^c0))+binary.LittleEndian.Uint32(p0[40:])+0x02441453, 9)
	d1 = a1 + bits.RotateLeft32(d1+((a1&c1)+(b1&^c1))+binary.LittleEndian.Uint32(p1[40:])+0x02441453, 9)
	c0 = d0 + bits.RotateLeft32(c0+((d0&b0)+(a0&^b0))+binary.LittleEndian.Uint32(p0[60:])+0xd8a1e681, 14)
	c1 = d1 + bits.RotateLeft32(c1+((d1&b1)+(a1&^b1))+binary.LittleEndian.Uint32(p1[60:])+0xd8a1e681, 14)
	b0 = c0 + bits.RotateLeft32(b0+((c0&a0)+(d0&^a0))+binary.LittleEndian.Uint32(p0[16:])+0xe7d3fbc8, 20)
	b1 = c1 + bits.RotateLeft32(b1+((c1&a1)+(d1&^a1))+binary.LittleEndian.Uint32(p1[16:])+0xe7d3fbc8, 20)
	a0 = b0 + bits.RotateLeft32(a0+((b0&d0)+(c0&^d0))+binary.LittleEndian.Uint32(p0[36:])+0x21e1cde6, 5)
	a1 = b1 + bits.RotateLeft32(a1+((b1&d1)+(c1&^d1))+binary.LittleEndian.Uint32(p1[36:])+0x21e1cde6, 5)
	d0 = a0 + bits.RotateLeft32(d0+((a0&c0)+(b0&^c0))+binary.LittleEndian.Uint32(p0[56:])+0xc33707d6, 9)
	d1 = a1 + bits.RotateLeft32(d1+((a1&c1)+(b1&^c1))+binary.LittleEndian.Uint32(p1[56:])+0xc33707d6, 9)
	c0 = d0 + bits.RotateLeft32(c0+((d0&b0)+(a0&^b0))+binary.LittleEndian.Uint32(p0[12:])+0xf4d50d87, 14)
	c1 = d1 + bits.RotateLeft32(c1+((d1&b1)+(a1&^b1))+binary.LittleEndian.Uint32(p1[12:])+0xf4d50d87, 14)
	b0 = c0 + bits.RotateLeft32(b0+((c0&a0)+(d0&^a0))+binary.LittleEndian.Uint32(p0[32:])+0x455a14ed, 20)
	b1 = c1 + bits.RotateLeft32(b1+((c1&a1)+(d1&^a1))+binary.LittleEndian.Uint32(p1[32:])+0x455a14ed, 20)
	a0 = b0 + bits.RotateLeft32(a0+((b0&d0)+(c0&^d0))+binary.LittleEndian.Uint32(p0[52:])+0xa9e3e905, 5)
	a1 = b1 + bits.RotateLeft32(a1+((b1&d1)+(c1&^d1))+binary.LittleEndian.Uint32(p1[52:])+0xa9e3e905, 5)
	d0 = a0 + bits.RotateLeft32(d0+((a0&c0)+(b0&^c0))+binary.LittleEndian.Uint32(p0[8:])+0xfcefa3f8, 9)
	d1 = a1 + bits.RotateLeft32(d1+((a1&c1)+(b1&^c1))+binary.LittleEndian.Uint32(p1[8:])+0xfcefa3f8, 9)
	c0 = d0 + bits.RotateLeft32(c0+((d0&b0)+(a0&^b0))+binary.LittleEndian.Uint32(p0[28:])+0x676f02d9, 14)
	c1 = d1 + bits.RotateLeft32(c1+((d1&b1)+(a1&^b1))+binary.LittleEndian.Uint32(p1[28:])+0x676f02d9, 14)
	b0 = c0 + bits.RotateLeft32(b0+((c0&a0)+(d0&^a0))+binary.LittleEndian.Uint32(p0[48:])+0x8d2a4c8a, 20)
	b1 = c1 + bits.RotateLeft32(b1+((c1&a1)+(d1&^a1))+binary.LittleEndian.Uint32(p1[48:])+0x8d2a4c8a, 20)

	// Round 3.
	a0 = b0 + bits.RotateLeft32(a0+(b0^c0^d0)+binary.LittleEndian.Uint32(p0[20:])+0xfffa3942, 4)
	a1 = b1 + bits.RotateLeft32(a1+(b1^c1^d1)+binary.LittleEndian.Uint32(p1[20:])+0xfffa3942, 4)
	d0 = a0 + bits.RotateLeft32(d0+(a0^b0^c0)+binary.LittleEndian.Uint32(p0[32:])+0x8771f681, 11)
	d1 = a1 + bits.RotateLeft32(d1+(a1^b1^c1)+binary.LittleEndian.Uint32(p1[32:])+0x8771f681, 11)
	c0 = d0 + bits.RotateLeft32(c0+(d0^a0^b0)+binary.LittleEndian.Uint32(p0[44:])+0x6d9d6122, 16)
	c1 = d1 + bits.RotateLeft32(c1+(d1^a1^b1)+binary.LittleEndian.Uint32(p1[44:])+0x6d9d6122, 16)
	b0 = c0 + bits.RotateLeft32(b0+(c0^d0^a0)+binary.LittleEndian.Uint32(p0[56:])+0xfde5380c, 23)
	b1 = c1 + bits.RotateLeft32(b1+(c1^d1^a1)+binary.LittleEndian.Uint32(p1[56:])+0xfde5380c, 23)
	a0 = b0 + bits.RotateLeft32(a0+(b0^c0^d0)+binary.LittleEndian.Uint32(p0[4:])+0xa4beea44, 4)
	a1 = b1 + bits.RotateLeft32(a1+(b1^c1^d1)+binary.LittleEndian.Uint32(p1[4:])+0xa4beea44, 4)
	d0 = a0 + bits.RotateLeft32(d0+(a0^b0^c0)+binary.LittleEndian.Uint32(p0[16:])+0x4bdecfa9, 11)
	d1 = a1 + bits.RotateLeft32(d1+(a1^b1^c1)+binary.LittleEndian.Uint32(p1[16:])+0x4bdecfa9, 11)
	c0 = d0 + bits.RotateLeft32(c0+(d0^a0^b0)+binary.LittleEndian.Uint32(p0[28:])+0xf6bb4b60, 16)
	c1 = d1 + bits.RotateLeft32(c1+(d1^a1^b1)+binary.LittleEndian.Uint32(p1[28:])+0xf6bb4b60, 16)
	b0 = c0 + bits.RotateLeft32(b0+(c0^d0^a0)+binary.LittleEndian.Uint32(p0[40:])+0xbebfbc70, 23)
	b1 = c1 + bits.RotateLeft32(b1+(c1^d1^a1)+binary.LittleEndian.Uint32(p1[40:])+0xbebfbc70, 23)
	a0 = b0 + bits.RotateLeft32(a0+(b0^c0^d0)+binary.LittleEndian.Uint32(p0[52:])+0x289b7ec6, 4)
	a1 = b1 + bits.RotateLeft32(a1+(b1^c1^d1)+binary.LittleEndian.Uint32(p1[52:])+0x289b7ec6, 4)
	d0 = a0 + bits.RotateLeft32(d0+(a0^b0^c0)+binary.LittleEndian.Uint32(p0[0:])+0xeaa127fa, 11)
	d1 = a1 + bits.RotateLeft32(d1+(a1^b1^c1)+binary.LittleEndian.Uint32(p1[0:])+0xeaa127fa, 11)
	c0 = d0 + bits.RotateLeft32(c0+(d0^a0^b0)+binary.LittleEndian.Uint32(p0[12:])+0xd4ef3085, 16)
	c1 = d1 + bits.RotateLeft32(c1+(d1^a1^b1)+binary.LittleEndian.Uint32(p1[12:])+0xd4ef3085, 16)
	b0 = c0 + bits.RotateLeft32(b0+(c0^d0^a0)+binary.LittleEndian.Uint32(p0[24:])+0x04881d05, 23)
	b1 = c1 + bits.RotateLeft32(b1+(c1^d1^a1)+binary.LittleEndian.Uint32(p1[24:])+0x04881d05, 23)
	a0 = b0 + bits.RotateLeft32(a0+(b0^c0^d0)+binary.LittleEndian.Uint32(p0[36:])+0xd9d4d039, 4)
	a1 = b1 + bits.RotateLeft32(a1+(b1^c1^d1)+binary.LittleEndian.Uint32(p1[36:])+0xd9d4d039, 4)
	d0 = a0 + bits.RotateLeft32(d0+(a0^b0^c0)+binary.LittleEndian.Uint32(p0[48:])+0xe6db99e5, 11)
	d1 = a1 + bits.RotateLeft32(d1+(a1^b1^c1)+binary.LittleEndian.Uint32(p1[48:])+0xe6db99e5, 11)
	c0 = d0 + bits.RotateLeft32(c0+(d0^a0^b0)+binary.LittleEndian.Uint32(p0[60:])+0x1fa27cf8, 16)
	c1 = d1 + bits.RotateLeft32(c1+(d1^a1^b1)+binary.LittleEndian.Uint32(p1[60:])+0x1fa27cf8, 16)
	b0 = c0 + bits.RotateLeft32(b0+(c0^d0^a0)+binary.LittleEndian.Uint32(p0[8:])+0xc4ac5665, 23)
	b1 = c1 + bits.RotateLeft32(b1+(c1^d1^a1)+binary.LittleEndian.Uint32(p1[8:])+0xc4ac5665, 23)

	// Round 4.
	a0 = b0 + bits.RotateLeft32(a0+(c0^(b0|^d0))+binary.LittleEndian.Uint32(p0[0:])+0xf4292244, 6)
	a1 = b1 + bits.RotateLeft32(a1+(c1^(b1|^d1))+binary.LittleEndian.Uint32(p1[0:])+0xf4292244, 6)
	d0 = a0 + bits.RotateLeft32(d0+(b0^(a0|^c0))+binary.LittleEndian.Uint32(p0[28:])+0x432aff97, 10)
	d1 = a1 + bits.RotateLeft32(d1+(b1^(a1|^c1))+binary.LittleEndian.Uint32(p1[28:])+0x432aff97, 10)
	c0 = d0 + bits.RotateLeft32(c0+(a0^(d0|^b0))+binary.LittleEndian.Uint32(p0[56:])+0xab9423a7, 15)
	c1 = d1 + bits.RotateLeft32(c1+(a1^(d1|^b1))+binary.LittleEndian.Uint32(p1[56:])+0xab9423a7, 15)
	b0 = c0 + bits.RotateLeft32(b0+(d0^(c0|^a0))+binary.LittleEndian.Uint32(p0[20:])+0xfc93a039, 21)
	b1 = c1 + bits.RotateLeft32(b1+(d1^(c1|^a1))+binary.LittleEndian.Uint32(p1[20:])+0xfc93a039, 21)
	a0 = b0 + bits.RotateLeft32(a0+(c0^(b0|^d0))+binary.LittleEndian.Uint32(p0[48:])+0x655b59c3, 6)
	a1 = b1 + bits.RotateLeft32(a1+(c1^(b1|^d1))+binary.LittleEndian.Uint32(p1[48:])+0x655b59c3, 6)
	d0 = a0 + bits.RotateLeft32(d0+(b0^(a0|^c0))+binary.LittleEndian.Uint32(p0[12:])+0x8f0ccc92, 10)
	d1 = a1 + bits.RotateLeft32(d1+(b1^(a1|^c1))+binary.LittleEndian.Uint32(p1[12:])+0x8f0ccc92, 10)
	c0 = d0 + bits.RotateLeft32(c0+(a0^(d0|^b0))+binary.LittleEndian.Uint32(p0[40:])+0xffeff47d, 15)
	c1 = d1 + bits.RotateLeft32(c1+(a1^(d1|^b1))+binary.LittleEndian.Uint32(p1[40:])+0xffeff47d, 15)
	b0 = c0 + bits.RotateLeft32(b0+(d0^(c0|^a0))+binary.LittleEndian.Uint32(p0[4:])+0x85845dd1, 21)
	b1 = c1 + bits.RotateLeft32(b1+(d1^(c1|^a1))+binary.LittleEndian.Uint32(p1[4:])+0x85845dd1, 21)
	a0 = b0 + bits.RotateLeft32(a0+(c0^(b0|^d0))+binary.LittleEndian.Uint32(p0[32:])+0x6fa87e4f, 6)
	a1 = b1 + bits.RotateLeft32(a1+(c1^(b1|^d1))+binary.LittleEndian.Uint32(p1[32:])+0x6fa87e4f, 6)
	d0 = a0 + bits.RotateLeft32(d0+(b0^(a0|^c0))+binary.LittleEndian.Uint32(p0[60:])+0xfe2ce6e0, 10)
	d1 = a1 + bits.RotateLeft32(d1+(b1^(a1|^c1))+binary.LittleEndian.Uint32(p1[60:])+0xfe2ce6e0, 10)
	c0 = d0 + bits.RotateLeft32(c0+(a0^(d0|^b0))+binary.LittleEndian.Uint32(p0[24:])+0xa3014314, 15)
	c1 = d1 + bits.RotateLeft32(c1+(a1^(d1|^b1))+binary.LittleEndian.Uint32(p1[24:])+0xa3014314, 15)
	b0 = c0 + bits.RotateLeft32(b0+(d0^(c0|^a0))+binary.LittleEndian.Uint32(p0[52:])+0x4e0811a1, 21)
	b1 = c1 + bits.RotateLeft32(b1+(d1^(c1|^a1))+binary.LittleEndian.Uint32(p1[52:])+0x4e0811a1, 21)
	a0 = b0 + bits.RotateLeft32(a0+(c0^(b0|^d0))+binary.LittleEndian.Uint32(p0[16:])+0xf7537e82, 6)
	a1 = b1 + bits.RotateLeft32(a1+(c1^(b1|^d1))+binary.LittleEndian.Uint32(p1[16:])+0xf7537e82, 6)
	d0 = a0 + bits.RotateLeft32(d0+(b0^(a0|^c0))+binary.LittleEndian.Uint32(p0[44:])+0xbd3af235, 10)
	d1 = a1 + bits.RotateLeft32(d1+(b1^(a1|^c1))+binary.LittleEndian.Uint32(p1[44:])+0xbd3af235, 10)
	c0 = d0 + bits.RotateLeft32(c0+(a0^(d0|^b0))+binary.LittleEndian.Uint32(p0[8:])+0x2ad7d2bb, 15)
	c1 = d1 + bits.RotateLeft32(c1+(a1^(d1|^b1))+binary.LittleEndian.Uint32(p1[8:])+0x2ad7d2bb, 15)
	b0 = c0 + bits.RotateLeft32(b0+(d0^(c0|^a0))+binary.LittleEndian.Uint32(p0[36:])+0xeb86d391, 21)
	b1 = c1 + bits.RotateLeft32(b1+(d1^(c1|^a1))+binary.LittleEndian.Uint32(p1[36:])+0xeb86d391, 21)

	state[0][0] += a0
	state[1][0] += b0
	state[2][0] += c0
	state[3][0] += d0
	state[0][1] += a1
	state[1][1] += b1
	state[2][1] += c1
	state[3][1] += d1
}
