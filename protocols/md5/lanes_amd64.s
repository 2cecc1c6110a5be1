// MD5 of sixteen messages at once. What differs between AVX2 and AVX-512 are a step's function and its rotation; the rest is in
// lanes_amd64.h.

#include "textflag.h"

DATA constants<>+0(SB)/8, $0xe8c7b756d76aa478
DATA constants<>+8(SB)/8, $0xc1bdceee242070db
DATA constants<>+16(SB)/8, $0x4787c62af57c0faf
DATA constants<>+24(SB)/8, $0xfd469501a8304613
DATA constants<>+32(SB)/8, $0x8b44f7af698098d8
DATA constants<>+40(SB)/8, $0x895cd7beffff5bb1
DATA constants<>+48(SB)/8, $0xfd9871936b901122
DATA constants<>+56(SB)/8, $0x49b40821a679438e
DATA constants<>+64(SB)/8, $0xc040b340f61e2562
DATA constants<>+72(SB)/8, $0xe9b6c7aa265e5a51
DATA constants<>+80(SB)/8, $0x02441453d62f105d
DATA constants<>+88(SB)/8, $0xe7d3fbc8d8a1e681
DATA constants<>+96(SB)/8, $0xc33707d621e1cde6
DATA constants<>+104(SB)/8, $0x455a14edf4d50d87
DATA constants<>+112(SB)/8, $0xfcefa3f8a9e3e905
DATA constants<>+120(SB)/8, $0x8d2a4c8a676f02d9
DATA constants<>+128(SB)/8, $0x8771f681fffa3942
DATA constants<>+136(SB)/8, $0xfde5380c6d9d6122
DATA constants<>+144(SB)/8, $0x4bdecfa9a4beea44
DATA constants<>+152(SB)/8, $0xbebfbc70f6bb4b60
DATA constants<>+160(SB)/8, $0xeaa127fa289b7ec6
DATA constants<>+168(SB)/8, $0x04881d05d4ef3085
DATA constants<>+176(SB)/8, $0xe6db99e5d9d4d039
DATA constants<>+184(SB)/8, $0xc4ac56651fa27cf8
DATA constants<>+192(SB)/8, $0x432aff97f4292244
DATA constants<>+200(SB)/8, $0xfc93a039ab9423a7
DATA constants<>+208(SB)/8, $0x8f0ccc92655b59c3
DATA constants<>+216(SB)/8, $0x85845dd1ffeff47d
DATA constants<>+224(SB)/8, $0xfe2ce6e06fa87e4f
DATA constants<>+232(SB)/8, $0x4e0811a1a3014314
DATA constants<>+240(SB)/8, $0xbd3af235f7537e82
DATA constants<>+248(SB)/8, $0xeb86d3912ad7d2bb
GLOBL constants<>(SB), RODATA|NOPTR, $256

// REGISTERS loads the arguments, and finds room for words in the frame.
#define REGISTERS \
	MOVQ state+0(FP), DI; \
	MOVQ data+8(FP), SI; \
	MOVQ at+16(FP), DX; \
	MOVQ blocks+24(FP), CX; \
	LEAQ words-1088(SP), AX; \
	ADDQ $63, AX; \
	ANDQ $~63, AX

// In the steps the registers hold
//
//	DI  the state: a of all lanes, then b, c and d
//	SI  where the blocks are, but for each lane's own place
//	DX  each lane's place, 32 bits
//	CX  how many blocks each lane still has
//	AX  1,024 bytes at a multiple of 64: the sixteen words of a block, of all lanes each
//
// Two chains run side by side, lanes 0 to 7 in Y0 to Y3 and lanes 8 to 15 in Y4 to Y7: a step needs the result of the step before,
// so that one chain alone leaves most of the processor idle.

// ROW loads 16 bytes of a lane, and of the one four further.
#define ROW(lane, from, x, y) \
	MOVL        (4*(lane))(DX), R8; \
	MOVL        (4*(lane)+16)(DX), R9; \
	VMOVDQU     from(SI)(R8*1), x; \
	VINSERTI128 $1, from(SI)(R9*1), y, y

// WORDS turns 16 bytes of each of the eight lanes from one on into four words of them.
#define WORDS(lane, from) \
	ROW(lane, from, X0, Y0); \
	ROW(lane+1, from, X1, Y1); \
	ROW(lane+2, from, X2, Y2); \
	ROW(lane+3, from, X3, Y3); \
	VPUNPCKLDQ  Y1, Y0, Y4; \
	VPUNPCKHDQ  Y1, Y0, Y5; \
	VPUNPCKLDQ  Y3, Y2, Y6; \
	VPUNPCKHDQ  Y3, Y2, Y7; \
	VPUNPCKLQDQ Y6, Y4, Y0; \
	VPUNPCKHQDQ Y6, Y4, Y1; \
	VPUNPCKLQDQ Y7, Y5, Y2; \
	VPUNPCKHQDQ Y7, Y5, Y3; \
	VMOVDQU     Y0, (16*from+4*lane)(AX); \
	VMOVDQU     Y1, (16*from+4*lane+64)(AX); \
	VMOVDQU     Y2, (16*from+4*lane+128)(AX); \
	VMOVDQU     Y3, (16*from+4*lane+192)(AX)

// STEP is a = b + ((a + function(b, c, d) + word + constant) <<< bits) in both chains.
#define STEP(function, a, b, c, d, a2, b2, c2, d2, number, word, bits) \
	VPBROADCASTD constants<>+(4*number)(SB), Y8; \
	VPADDD       (64*word)(AX), Y8, Y9; \
	VPADDD       (64*word+32)(AX), Y8, Y10; \
	VPADDD       Y9, a, a; \
	VPADDD       Y10, a2, a2; \
	function(a, b, c, d, Y9, Y11); \
	function(a2, b2, c2, d2, Y10, Y12); \
	VPADDD       Y11, a, a; \
	VPADDD       Y12, a2, a2; \
	ROTATE(bits, a, Y9); \
	ROTATE(bits, a2, Y10); \
	VPADDD       b, a, a; \
	VPADDD       b2, a2, a2

// ADD adds the state from before the block, and keeps the sum.
#define ADD(at, y) \
	VPADDD  at(DI), y, y; \
	VMOVDQU y, at(DI)

// func lanesAVX2(state *[4]laneWords, data *byte, at *laneWords, blocks int)
TEXT ·lanesAVX2(SB), 0, $1088-32
	REGISTERS

// f = ((c ^ d) & b) ^ d
#define FUNCTION1(a, b, c, d, t, f) \
	VPXOR c, d, f; \
	VPAND b, f, f; \
	VPXOR d, f, f

// f = (b & d) + (c &^ d), of which the part without b is added at once
#define FUNCTION2(a, b, c, d, t, f) \
	VPANDN c, d, t; \
	VPADDD t, a, a; \
	VPAND  b, d, f

// f = b ^ c ^ d
#define FUNCTION3(a, b, c, d, t, f) \
	VPXOR c, d, f; \
	VPXOR b, f, f

// f = c ^ (b | ^d)
#define FUNCTION4(a, b, c, d, t, f) \
	VPXOR Y15, d, f; \
	VPOR  b, f, f; \
	VPXOR c, f, f

#define ROTATE(bits, a, t) \
	VPSLLD $bits, a, t; \
	VPSRLD $(32-bits), a, a; \
	VPOR   t, a, a

#include "lanes_amd64.h"

#undef FUNCTION1
#undef FUNCTION2
#undef FUNCTION3
#undef FUNCTION4
#undef ROTATE

// func lanesAVX512(state *[4]laneWords, data *byte, at *laneWords, blocks int)
//
// Registers stay 256 bits wide: at 512 the steps were no faster (one chain of sixteen lanes waits for itself), and older
// processors slow down.
TEXT ·lanesAVX512(SB), 0, $1088-32
	REGISTERS

// The tables are of f, which holds d at first, with b and c.
#define TERNARY(table, b, c, d, f) \
	VMOVDQA    d, f; \
	VPTERNLOGD $table, c, b, f

#define FUNCTION1(a, b, c, d, t, f) TERNARY(0xb8, b, c, d, f)
#define FUNCTION2(a, b, c, d, t, f) TERNARY(0xca, b, c, d, f)
#define FUNCTION3(a, b, c, d, t, f) TERNARY(0x96, b, c, d, f)
#define FUNCTION4(a, b, c, d, t, f) TERNARY(0x65, b, c, d, f)
#define ROTATE(bits, a, t) VPROLD $bits, a, a

#include "lanes_amd64.h"
