//go:build !trine_break_syncfs

package seal

// syncs says that SyncFS does what it says. The build tag trine_break_syncfs leaves it out, for the test that such a node is found out (bench/robust).
const syncs = true
