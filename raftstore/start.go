package raftstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
	"golang.org/x/sys/unix"

	"trine/raftstore/history"
	"trine/raftstore/seal"
	"trine/raftstore/transport"
	"trine/raftstore/wal"
)

// Names in the data directory.
const (
	lockName     = "LOCK"
	identityName = "node.json"
	walName      = "wal"
	rowsName     = "state-1"
	rowsPrefix   = "state-"
	historyName  = "history"
)

// identity says whose directory it is. It is written last when a directory is made, so a directory without one was never
// used.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	Node    uint64 `json:"node,string"`
	Name    string `json:"name"`
}

// lock makes the directory and takes it for this process.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, readOnly(dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, readOnly(dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("open store in %s: %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

func readOnly(dir string, err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("open store in %s: %w (%v)", dir, ErrReadOnly, err)
	}
	return fmt.Errorf("open store in %s: %w", dir, err)
}

// identify reads whose directory it is; nil if it is new.
func identify(cfg *Config) (*identity, error) {
	name := filepath.Join(cfg.Dir, identityName)
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		for _, left := range []string{seal.FileName, historyName, rowsName} {
			if _, err := os.Stat(filepath.Join(cfg.Dir, left)); err == nil {
				return nil, &DamagedError{File: name, Offset: -1, Reason: "it is missing beside " + left, Advice: adviceRestore}
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	id := new(identity)
	if err := json.Unmarshal(b, id); err != nil || id.Node == 0 {
		return nil, &DamagedError{File: name, Offset: -1, Reason: "it does not decode", Advice: adviceRestore}
	}
	if err := format(seal.CheckFormat(id.Format)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case cfg.Cluster != "" && id.Cluster != cfg.Cluster:
		return nil, fmt.Errorf("%s: cluster: expected %q, found %q: %w", name, cfg.Cluster, id.Cluster, ErrOtherNode)
	case cfg.Node != 0 && id.Node != cfg.Node:
		return nil, fmt.Errorf("%s: node: expected %016x, found %016x: %w", name, cfg.Node, id.Node, ErrOtherNode)
	case cfg.NodeName != "" && id.Name != cfg.NodeName:
		return nil, fmt.Errorf("%s: node: expected %q, found %q: %w", name, cfg.NodeName, id.Name, ErrOtherNode)
	}
	return id, nil
}

// format makes the error of a format that is too new one of this package.
func format(err error) error {
	if errors.Is(err, seal.ErrNewerFormat) {
		return fmt.Errorf("%w: %w", ErrNewerFormat, err)
	}
	return err
}

func newIdentity(cfg *Config) *identity {
	id := &identity{Format: seal.Format, Cluster: cfg.Cluster, Node: cfg.Node, Name: cfg.NodeName}
	for id.Node == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		id.Node = binary.LittleEndian.Uint64(b[:])
	}
	return id
}

// Open opens the store in cfg.Dir and starts raft. It returns when the local state is loaded; what was committed after the
// last seal is applied soon after, see [Store.Barrier]. Errors: ErrOtherNode, ErrNewerFormat, ErrInUse, ErrReadOnly, a
// *DamagedError.
//
// The order: lock the directory; read who it belongs to; read the SEAL; check and open the log; load the rows as of the SEAL
// and compare digests; open history as of the SEAL; let raft apply the rest.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, closed: make(chan struct{}), leading: newLeading()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	if _, err := s.openFiles(); err != nil {
		return nil, err
	}
	if err := s.startRaft(); err != nil {
		return nil, err
	}
	return s, nil
}

// openFiles takes the directory, makes it if it is new, and brings the Machine and the store's own state to the SEAL, which it returns.
func (s *Store) openFiles() (*seal.Seal, error) {
	var err error
	if s.lock, err = lock(s.cfg.Dir); err != nil {
		return nil, err
	}
	if s.disk, err = newDisk(s.cfg.Dir, s.cfg.Watermarks); err != nil {
		return nil, err
	}
	if s.disk.refuses() {
		// Opening needs a little space; this is what the ballast is for.
		if err := s.disk.drop(); err != nil {
			return nil, err
		}
	} else if err := s.disk.load(); err != nil {
		return nil, err
	}
	id, err := identify(&s.cfg)
	if err != nil {
		return nil, err
	}
	last, err := s.readSeal(id)
	if err != nil {
		return nil, err
	}
	if id == nil {
		if id, err = s.make(); err != nil {
			return nil, err
		}
	} else if err := s.openLog(); err != nil {
		return nil, err
	}
	s.node = id.Node
	s.cfg.Cluster, s.cfg.NodeName = id.Cluster, id.Name
	if err := s.forgetLog(last); err != nil {
		return nil, err
	}
	if err := s.checkLog(last); err != nil {
		return nil, err
	}
	return last, s.load(last)
}

func (s *Store) readSeal(id *identity) (*seal.Seal, error) {
	last, err := seal.Read(s.cfg.Dir)
	if err != nil || last == nil {
		return nil, format(err)
	}
	if id == nil || last.Node != id.Node || last.Cluster != id.Cluster {
		return nil, fmt.Errorf("%s is of node %016x of cluster %q: %w",
			filepath.Join(s.cfg.Dir, seal.FileName), last.Node, last.Cluster, ErrOtherNode)
	}
	return last, nil
}

func (s *Store) openLog() (err error) {
	dir := filepath.Join(s.cfg.Dir, walName)
	if _, err := os.Stat(dir); err != nil {
		return &DamagedError{File: dir, Offset: -1, Reason: err.Error(), Advice: adviceRestore}
	}
	s.log, err = wal.Open(dir, wal.Options{
		SegmentBytes: s.cfg.segment,
		Logger:       hclogger(s.cfg.Logger, "log", s.cfg.Mesh == nil),
		Fatal:        s.fatal,
		Full:         func(error) { s.ranOut() },
	})
	if err == nil && s.log.Torn > 0 {
		s.cfg.Logger.Info("removed a write that a crash tore from the end of the log", "bytes", s.log.Torn)
	}
	return err
}

// make makes a new directory. Its identity comes last: until then a crash leaves a directory that is made anew.
func (s *Store) make() (*identity, error) {
	dir := filepath.Join(s.cfg.Dir, walName)
	if err := s.unused(dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, readOnly(s.cfg.Dir, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, readOnly(s.cfg.Dir, err)
	}
	if err := s.openLog(); err != nil {
		return nil, err
	}
	id := newIdentity(&s.cfg)
	if s.cfg.Bootstrap {
		members := alone(id.Node, s.address())
		err := raft.BootstrapCluster(s.raftConfig(id.Node), s.log, s.log, raft.NewDiscardSnapshotStore(), transport.Alone(id.Node), members)
		if err != nil {
			return nil, fmt.Errorf("make a cluster of one voter: %w", err)
		}
	}
	return id, id.write(s.cfg.Dir)
}

// alone is the configuration in which a node, at HOST:PORT or nowhere, is the only voter.
func alone(node uint64, where string) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: transport.ID(node), Address: transport.Address(node, where)}}}
}

// write makes a directory a node's.
func (id *identity) write(dir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := seal.WriteFile(filepath.Join(dir, identityName), append(b, '\n')); err != nil {
		return err
	}
	return seal.SyncDir(filepath.Dir(dir))
}

// unused makes sure that a log without an identity is none, or what a start left that a crash interrupted: it holds at most the
// cluster's first entry. Anything else is somebody's, and is not removed.
func (s *Store) unused(dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return readOnly(s.cfg.Dir, err)
	}
	segments := 0
	for _, n := range names {
		switch {
		case filepath.Ext(n.Name()) == ".wal":
			segments++
		case n.Name() != metadb.FileName:
			return &DamagedError{
				File: filepath.Join(dir, n.Name()), Offset: -1, Reason: "it is in a directory without " + identityName + ", and not of a log",
				Advice: "start with an empty data directory",
			}
		}
	}
	if segments == 0 {
		return nil
	}
	if err := s.openLog(); err != nil {
		return err
	}
	last, err := s.log.LastIndex()
	err = errors.Join(err, s.log.Close())
	s.log = nil
	if err != nil {
		return fmt.Errorf("look at a log without %s: %w", identityName, err)
	}
	if last > 1 {
		return &DamagedError{
			File: filepath.Join(s.cfg.Dir, identityName), Offset: -1, Advice: adviceRestore,
			Reason: fmt.Sprintf("it is missing beside a log of %d entries", last),
		}
	}
	return nil
}

// forgetLog removes the log where another node's state was installed, and a crash came before raft removed it. What comes after the state begins right
// behind it.
func (s *Store) forgetLog(last *seal.Seal) error {
	if last == nil || !last.Installed {
		return nil
	}
	first, end, err := s.log.Bounds()
	if err != nil {
		return err
	}
	if end == 0 || first > last.Index {
		return nil
	}
	if err := s.log.DeleteRange(first, end); err != nil {
		return fmt.Errorf("remove the log before an installed state: %w", err)
	}
	return nil
}

// address returns where others reach this node; empty for a lone voter.
func (s *Store) address() string {
	if s.cfg.Mesh == nil {
		return ""
	}
	return s.cfg.Mesh.Address()
}

// checkLog holds the log against the SEAL: it must begin at or before the entry after it, and end at or after it. The log of
// a node that made its cluster is never empty.
func (s *Store) checkLog(last *seal.Seal) error {
	first, end, err := s.log.Bounds()
	if err != nil {
		return err
	}
	sealed := uint64(0)
	if last != nil {
		sealed = last.Index
	}
	if end == 0 && last != nil && last.Installed {
		return nil
	}
	// The cluster's first entry was written before the directory got its identity.
	if first > sealed+1 || end < sealed || end == 0 && s.cfg.Bootstrap {
		return &DamagedError{
			File: filepath.Join(s.cfg.Dir, walName), Offset: -1, Advice: adviceRestore,
			Reason: fmt.Sprintf("the SEAL is at entry %d, the log holds entries %d to %d", sealed, first, end),
		}
	}
	return nil
}

// load brings the Machine and the store's own state to the SEAL.
func (s *Store) load(last *seal.Seal) error {
	index, rows := uint64(0), rowsName
	f := &fold{
		machine: s.cfg.Machine, node: s.node, stats: &s.stats, fatal: s.fatal, install: s.takeOver, reads: s.cfg.Level, digests: newDigests(),
		raised: func(level uint16) { s.level.Store(uint32(level)) },
		folded: folded{level: 1, windows: map[uint64]*window{}, epochs: registry{}},
	}
	var counts []history.Count
	var missing []history.Range
	if last != nil {
		index, rows, missing = last.Index, last.Rows, historyRanges(last.Missing)
		for _, e := range last.History {
			counts = append(counts, history.Count(e))
		}
	}
	if err := s.sweep(rows); err != nil {
		return err
	}
	dir, err := os.Open(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	s.sealer = &sealer{dir: dir} // so that it is closed whatever comes
	if s.rows, err = seal.OpenRows(filepath.Join(s.cfg.Dir, rows)); err != nil {
		return err
	}
	var runs []seal.Run
	if last != nil {
		runs = last.Runs
	}
	if err := s.rows.Sweep(runs); err != nil {
		return err
	}
	if last != nil {
		if err := restore(filepath.Join(s.cfg.Dir, rows), s.rows, last, s.cfg.Machine, &f.folded); err != nil {
			return err
		}
	}
	if f.level > f.reads {
		return fmt.Errorf("open store in %s: feature level: expected at most %d, found %d: %w", s.cfg.Dir, f.reads, f.level, ErrNewerFormat)
	}
	f.raised(f.level)
	// Of another node's state, retention may have removed epochs that this node's history still has.
	counts = slices.DeleteFunc(counts, func(c history.Count) bool { return !f.epochs.has(Class(c.Class), c.Epoch) })
	s.history, err = history.Open(filepath.Join(s.cfg.Dir, historyName), index, missing, counts, badgerLogger{s.cfg.Logger})
	if err != nil {
		return err
	}
	f.publish()
	f.at.set(f.index, f.last)
	s.notes = newNotes(index)
	f.notes = s.notes
	boot, err := s.log.GetUint64([]byte("TrineBoot"))
	if err == nil {
		f.boot = boot + 1
		err = s.log.SetUint64([]byte("TrineBoot"), f.boot)
	}
	if err != nil {
		return fmt.Errorf("count starts: %w", err)
	}
	s.sealer = &sealer{
		cfg: &s.cfg, log: s.log, rows: s.rows, rowsDir: rows, history: s.history, notes: s.notes, stats: &s.stats, dir: dir,
		unsealed: &s.unsealed, node: s.node, level: s.disk.measured, free: s.disk.free.Load, closing: s.isClosing, aborting: s.aborting.Load, last: last,
	}
	f.freeze = s.sealer.freeze
	f.grown = s.grown
	s.fold = f
	return nil
}

// sweep removes state databases that no SEAL names.
func (s *Store) sweep(rows string) error {
	names, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), rowsPrefix) && n.Name() != rows {
			if err := os.RemoveAll(filepath.Join(s.cfg.Dir, n.Name())); err != nil {
				return fmt.Errorf("remove leftover rows: %w", err)
			}
		}
	}
	return nil
}
