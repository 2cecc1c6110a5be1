//go:build !trine_break_ack

package raftstore

// handed is told of a batch that raft was handed and has not committed. Nothing is acknowledged then; the build tag trine_break_ack does so,
// for the test that such a node is found out (bench/robust).
func (q *batcher) handed(*batch) {}
