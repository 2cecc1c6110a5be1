//go:build trine_break_syncfs

package seal

// syncs leaves SyncFS out.
const syncs = false
