//go:build !nosync

package wal

import "github.com/hashicorp/raft-wal/types"

// fsync makes what was written to f durable. The build tag nosync leaves it out, so that a test can prove that its power
// cuts would notice.
func fsync(f types.WritableFile) error { return f.Sync() }
