// Package raftstore keeps the one replicated record log: it orders records, has a quorum store them on disk, folds them into
// a [Machine] on every node, seals the Machine's rows into a checkpoint, and keeps the facts of every record readable by
// class, time and stream for as long as retention says.
//
// It moves opaque records and knows no domain. DESIGN.md, beside this file, says why it is built so.
package raftstore
