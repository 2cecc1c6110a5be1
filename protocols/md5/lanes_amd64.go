package md5

import "golang.org/x/sys/cpu"

// best returns the fastest way that this machine has.
func best() Kernel {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL:
		return avx512
	case cpu.X86.HasAVX2:
		return avx2
	}
	return pairs
}

// vectors digests with vector instructions; at must name blocks blocks within data for every lane.
func vectors(k Kernel, state *[4]laneWords, data []byte, at *laneWords, blocks uint32) {
	if k == avx512 {
		lanesAVX512(state, &data[0], at, int(blocks))
	} else {
		lanesAVX2(state, &data[0], at, int(blocks))
	}
}

//go:noescape
func lanesAVX2(state *[4]laneWords, data *byte, at *laneWords, blocks int)

//go:noescape
func lanesAVX512(state *[4]laneWords, data *byte, at *laneWords, blocks int)
