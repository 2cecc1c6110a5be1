package raftstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"trine/raftstore/transport"
)

// Config says what a store is and how it behaves. Dir and Machine are required.
type Config struct {
	Dir      string // data directory; made if it does not exist
	Cluster  string // name of the cluster; a directory of another one is refused
	NodeName string // the node's name; a directory of another one is refused unless empty
	Node     uint64 // the node's number; 0: the directory's, made at random when it is new
	Machine  Machine

	Clock     func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: slog.Default
	Mesh      transport.Mesh   // the way to the other nodes; nil: a lone voter
	Bootstrap bool             // make an empty directory a cluster of one voter
	// Restart is called, on a goroutine of its own, when another node's state has taken the place of this one's: the store is to be closed and opened again.
	// Nil: as Fatal.
	Restart func(reason string)
	Level   uint16      // the highest feature level that this node reads; 0: the release's
	Fatal   func(error) // ends the process after a broken invariant or a failed fsync; nil: print and exit with status 1

	SealBytes    int64 // seal after this many bytes of log; 0: 64 MiB
	SealRecords  int   // seal after this many records; 0: 1,000,000
	QueueRecords int   // records that may wait or be under way; 0: 65,536

	Retention  map[Class]Retention // absent: for ever
	EpochBytes int64               // begin a new history epoch of a class at this size, compressed; 0: 256 MiB, less where retention needs it
	EpochAge   time.Duration       // begin a new epoch of a class with an age limit after this time; 0: a sixteenth of that limit, at most a day

	// Watermarks are bytes of free space: below the first the store warns, below the second it does not seal, below the third it
	// refuses records. Zero: 2 GiB, 512 MiB and 128 MiB, less on a small file system.
	Watermarks [3]int64

	// failpoint is asked before each step of a seal; an error aborts it there. For tests.
	failpoint func(step string) error
	// keep is how often retention and free space are looked at; 0: 10 seconds and half a second. For tests.
	keep time.Duration
	// segment is the size of a file of the log; 0: 16 MiB. For tests.
	segment int
}

// Retention limits the history of a class. Whole epochs go, oldest first; the current one always stays.
type Retention struct {
	Age   time.Duration // 0: no limit
	Bytes int64         // compressed, 0: no limit
}

const (
	defaultSealBytes    = 64 << 20
	defaultSealRecords  = 1_000_000
	defaultQueueRecords = 65536
	defaultEpochBytes   = 256 << 20
)

func (c *Config) complete() error {
	if c.Dir == "" || c.Machine == nil {
		return errors.New("open store: a directory and a machine are required")
	}
	for class := range c.Retention {
		if class > MaxClass {
			return fmt.Errorf("open store: retention of class %d, the highest is %d", class, MaxClass)
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) {
			fmt.Fprintf(os.Stderr, "trine stops: %v\n", err)
			os.Exit(1)
		}
	}
	if c.Restart == nil {
		c.Restart = func(reason string) { c.Fatal(errors.New("the store is to be opened again: " + reason)) }
	}
	if c.Level == 0 {
		level, err := strconv.ParseUint(releaseLevel, 10, 16)
		if err != nil || level == 0 {
			return fmt.Errorf("open store: feature level of the release: expected a number from 1, found %q", releaseLevel)
		}
		c.Level = uint16(level)
	}
	if c.SealBytes == 0 {
		c.SealBytes = defaultSealBytes
	}
	if c.SealRecords == 0 {
		c.SealRecords = defaultSealRecords
	}
	if c.QueueRecords == 0 {
		c.QueueRecords = defaultQueueRecords
	}
	if c.failpoint == nil {
		c.failpoint = func(string) error { return nil }
	}
	return nil
}

// epochBytes is the size at which a class begins a new epoch: small enough that its byte limit can be kept.
func (c *Config) epochBytes(class Class) int64 {
	n := c.EpochBytes
	if n == 0 {
		n = defaultEpochBytes
		if limit := c.Retention[class].Bytes; limit > 0 {
			n = min(n, max(limit/8, 1<<20))
		}
	}
	return n
}

// epochAge is the age at which a class begins a new epoch; 0: never for its age.
func (c *Config) epochAge(class Class) time.Duration {
	limit := c.Retention[class].Age
	switch {
	case limit == 0:
		return 0
	case c.EpochAge > 0:
		return c.EpochAge
	}
	return min(max(limit/16, time.Minute), 24*time.Hour)
}
