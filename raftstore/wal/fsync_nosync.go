//go:build nosync

package wal

import "github.com/hashicorp/raft-wal/types"

func fsync(types.WritableFile) error { return nil }
