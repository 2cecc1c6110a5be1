//go:build !trine_clock

package node

import "time"

// systemClock returns the clock that the node goes by.
func systemClock() (func() time.Time, error) { return time.Now, nil }
