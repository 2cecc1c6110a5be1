//go:build !amd64

package md5

func best() Kernel { return pairs }

// vectors is never called: best chooses no kernel that would.
func vectors(Kernel, *[4]laneWords, []byte, *laneWords, uint32) {
	panic("md5: vector instructions of another machine")
}
