// Package wal keeps raft's log and raft's own few values (term, vote) in github.com/hashicorp/raft-wal, and adds what that
// library leaves to its user: a checksum on every entry, a scan before opening that tells a torn last write from damage, a
// process that ends when an fsync fails, and waiting for space instead of failing when the disk is full.
package wal
