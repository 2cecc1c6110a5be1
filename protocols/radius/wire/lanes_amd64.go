package wire

import "golang.org/x/sys/cpu"

// bestKernel returns the fastest way that this machine has.
func bestKernel() kernel {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL:
		return kernelAVX512
	case cpu.X86.HasAVX2:
		return kernelAVX2
	}
	return kernelPair
}

// vectors digests with vector instructions; at must name blocks blocks within data for every lane.
func vectors(k kernel, state *[4]laneWords, data []byte, at *laneWords, blocks uint32) {
	if k == kernelAVX512 {
		md5LanesAVX512(state, &data[0], at, int(blocks))
	} else {
		md5LanesAVX2(state, &data[0], at, int(blocks))
	}
}

//go:noescape
func md5LanesAVX2(state *[4]laneWords, data *byte, at *laneWords, blocks int)

//go:noescape
func md5LanesAVX512(state *[4]laneWords, data *byte, at *laneWords, blocks int)
