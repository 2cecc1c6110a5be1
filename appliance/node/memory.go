package node

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A node's memory is rows, in which the collector finds no pointers: it passes over a million of them in milliseconds. So it need not
// wait for as much garbage as there are rows, which is what it does by default and what doubles the memory of a large node.
const (
	garbage      = 128 << 20 // bytes that may gather between two collections, where there are more rows than that
	leastPercent = 5         // of what lives, however much that is
	watchEvery   = time.Second
)

// boundGarbage adjusts the collector to what lives, until ctx ends. Whoever sets GOGC or GOMEMLIMIT has decided otherwise.
func boundGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	percent := 100
	defer func() { debug.SetGCPercent(100) }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(live)
		// To set it stops the world for a moment, so small changes are left.
		if p := garbagePercent(live[0].Value.Uint64()); p*8 < percent*7 || p*7 > percent*8 {
			percent = p
			debug.SetGCPercent(p)
		}
	}
}

// garbagePercent returns the collector's percentage for so many bytes that live.
func garbagePercent(live uint64) int {
	return int(min(100, max(leastPercent, garbage*100/max(live, 1))))
}
