//go:build !amd64

package wire

func bestKernel() kernel { return kernelPair }

// vectors is never called: bestKernel chooses no kernel that would.
func vectors(kernel, *[4]laneWords, []byte, *laneWords, uint32) {
	panic("wire: vector instructions of another machine")
}
