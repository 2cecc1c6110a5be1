package raftstore

import (
	"errors"
	"fmt"
	"time"

	"trine/raftstore/damage"
)

// Position is where a fact stands in the log: the raft index of its entry and its ordinal among all facts of that entry,
// counted from 0 and including the facts of void records (so that it never depends on what was void).
type Position struct {
	Index  uint64
	Offset uint32
}

// Less reports whether p comes before q in the log.
func (p Position) Less(q Position) bool {
	return p.Index < q.Index || p.Index == q.Index && p.Offset < q.Offset
}

// String prints the position as "index.offset", the form that [ParsePosition] reads.
func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Index, p.Offset) }

// Class sorts facts for retention; each class has history epochs of its own. Raftstore gives no class a meaning.
type Class uint8

// MaxClass is the highest class that may be used.
const MaxClass Class = 15

// Fact is one thing that a record states, as history keeps it.
type Fact struct {
	Class   Class
	Streams []uint64 // hashes of the stream keys under which the fact is found; valid until the callback returns
	Data    []byte   // opaque; valid until the callback returns
}

// Entry is one committed batch of records: the unit of Apply.
type Entry struct {
	Index   uint64    // raft index
	Term    uint64    // raft term
	Time    time.Time // the leader's time when it appended the batch, UTC; never before the time of an earlier entry
	Level   uint16    // feature level that the batch needs
	Node    uint64    // the proposing node's number
	Records [][]byte  // the records in order; valid until Apply returns
}

// Code says what became of a record. Zero means that it took effect; any other value, chosen by the Machine, means that it
// is void: it changed nothing, and history keeps none of its facts.
type Code uint32

// Applied is the Code of a record that took effect.
const Applied Code = 0

// Result is what the Machine answers to the proposer of a record. It is not replicated: every node computes its own.
type Result struct {
	Code   Code
	Value  uint64 // meaning is the Machine's
	Detail string // meaning is the Machine's; empty on hot paths
}

// Digest is a multiset hash of all rows: equal digests mean equal views.
type Digest [16]byte

// Machine folds the log. Apply, ApplyFact, Freeze, Load and Digest are called by one goroutine at a time.
type Machine interface {
	// Apply folds one committed entry and sets results[i] for Records[i]; len(results) == len(Records). It is total and
	// deterministic: time comes from the entry. A record that it cannot read ends the process; it is never skipped.
	Apply(e *Entry, results []Result)
	// Facts calls yield for each fact of a record, in order. It depends on the record alone, and is called by any goroutine at any time.
	Facts(record []byte, yield func(Fact))
	// Count returns how many facts Facts yields for a record.
	Count(record []byte) int
	// Streams appends to dst the stream keys that Facts gave with a fact. It depends on the fact's class and data alone, as
	// history keeps no more of it, and is called by any goroutine at any time.
	Streams(dst []uint64, class Class, data []byte) []uint64
	// ApplyFact folds a fact read back from history, for replays; facts come in the order of their positions, and only those
	// that took effect.
	ApplyFact(at Position, t time.Time, f Fact)
	// Freeze marks the rows as of the last applied entry. How long it takes does not grow with the number of rows that exist.
	// At most one Frozen is open at a time.
	Freeze() Frozen
	// Load replaces all rows. Next returns false at the end; key and value are valid until the next call. A row that comes again
	// takes the place of the one before, and with a nil value it is gone.
	Load(next func() (key, value []byte, ok bool, err error)) error
	// Digest returns the digest of the rows as of the last applied entry.
	Digest() Digest
}

// Frozen is the Machine's rows as they stood at one entry, readable while later entries are applied.
type Frozen interface {
	// Rows calls emit for each row that changed since the last Freeze that was released as sealed, or for every row if full;
	// a nil value means that the row is gone. Emit's arguments are valid until it returns.
	Rows(full bool, emit func(key, value []byte) error) error
	// Digest returns the digest at the frozen entry.
	Digest() Digest
	// Release ends the use. Unless sealed, the rows count as changed again at the next Freeze.
	Release(sealed bool)
}

// Waiter learns what became of a proposed record. Committed is called on the goroutine that applies the log, after the
// Machine's Apply of the whole entry, and must not block. With err set, the record is not in the log as far as this node
// knows; see [Store.Propose] for the errors.
type Waiter interface {
	Committed(token uint64, at Position, r Result, err error)
}

// Errors of this package. Those that concern a file or directory wrap a [DamagedError] or say the path themselves.
var (
	// ErrNoLeader means that no leader took the record in time; it will not be applied later.
	ErrNoLeader = errors.New("raftstore: no leader takes records now")
	// ErrUncertain means that the outcome is not known: the record may or may not be in the log.
	ErrUncertain = errors.New("raftstore: outcome of the record is not known")
	// ErrBusy means that the bounded queue of records is full; the record was not queued.
	ErrBusy = errors.New("raftstore: queue of records is full")
	// ErrTooLarge means that a record exceeds MaxRecord.
	ErrTooLarge = errors.New("raftstore: record is too large")
	// ErrDiskFull means that free space is below the last watermark: the store refuses records until space is freed.
	ErrDiskFull = errors.New("raftstore: too little free disk space, records are refused until there is more")
	// ErrDiverged means that this node's views differ from the other nodes', and that it takes no records.
	ErrDiverged = errors.New("raftstore: the views of the nodes differ, no record is taken here")
	// ErrClosed means that the store is closing or closed.
	ErrClosed = errors.New("raftstore: store is closed")
	// ErrOtherNode means that the data directory belongs to another node or cluster.
	ErrOtherNode = errors.New("raftstore: data directory belongs to another node")
	// ErrNotAlone means that a node that is given no way to the others is a member of a cluster with others.
	ErrNotAlone = errors.New("raftstore: the node is a member of a cluster, and is told no address for it (cluster-listen)")
	// ErrNewerFormat means that the data directory was written by a newer release.
	ErrNewerFormat = errors.New("raftstore: data directory has a newer format")
	// ErrInUse means that another process has the data directory open.
	ErrInUse = errors.New("raftstore: data directory is in use by another process")
	// ErrReadOnly means that the data directory cannot be written.
	ErrReadOnly = errors.New("raftstore: data directory is not writable")
)

// MaxRecord is the size limit of one record in bytes. Larger proposals are staged by their maker in several records.
const MaxRecord = 256 << 10

// DamagedError says which file is damaged, where, and what to do.
type DamagedError = damage.Error

// Query selects facts of history and of the part of the log that is not sealed yet. Zero fields select everything.
type Query struct {
	Classes []Class   // any of these
	From    Position  // first position, inclusive
	Since   time.Time // entries at or after
	Until   time.Time // entries before
	Stream  uint64    // facts with this stream key
	Reverse bool      // newest first
}
