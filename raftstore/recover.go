package raftstore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"trine/raftstore/history"
	"trine/raftstore/seal"
	"trine/raftstore/transport"
)

// Errors of recovering and restoring.
var (
	// ErrPeerAnswers means that another member is alive, so that a quorum may be too: a recovery would make two clusters of one.
	ErrPeerAnswers = errors.New("raftstore: another member answers")
	// ErrNoData means that a directory holds no node's data.
	ErrNoData = errors.New("raftstore: the data directory is not of a node")
	// ErrNotEmpty means that a directory has been used already.
	ErrNotEmpty = errors.New("raftstore: the data directory is in use already")
	// ErrBackup means that a backup is damaged or incomplete.
	ErrBackup = errors.New("raftstore: the backup does not hold")
)

// Recover makes the node in cfg.Dir the only voter of its cluster, after a quorum has been lost for good. All that is in its log counts as committed. It refuses while
// another member answers over cfg.Mesh, which may be nil for a lone voter. The other members' directories must not be used any more: such a node joins again as a new one. Errors: those of
// Open, ErrNoData, ErrPeerAnswers.
func Recover(ctx context.Context, cfg Config) (err error) {
	if err := cfg.complete(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, identityName)); err != nil {
		return fmt.Errorf("%s: %w", cfg.Dir, ErrNoData)
	}
	s := &Store{cfg: cfg, closed: make(chan struct{}), leading: newLeading()}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	last, err := s.openFiles()
	if err != nil {
		return err
	}
	members, err := s.membersOnDisk(last)
	if err != nil {
		return err
	}
	if err := s.nobodyAnswers(ctx, members); err != nil {
		return err
	}
	end, term, err := s.applyAll()
	if err != nil {
		return err
	}
	here := ""
	for _, m := range members.Servers {
		if m.ID == transport.ID(s.node) {
			_, here, _ = transport.ParseAddress(m.Address)
		}
	}
	own := raft.EncodeConfiguration(alone(s.node, here))
	if last == nil || end > last.Index {
		p, err := s.sealer.freeze(s.fold)
		if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		defer p.Release()
		sink := &sealSink{s: s.sealer, seal: s.sealer.begin(end, term, own, end)}
		if err := p.Persist(sink); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		return nil
	}
	k := *last
	k.Members, k.MembersI = own, k.Index
	return s.sealer.put(&k)
}

// membersOnDisk returns the newest configuration that the node knows.
func (s *Store) membersOnDisk(last *seal.Seal) (raft.Configuration, error) {
	var c raft.Configuration
	from := uint64(1)
	if last != nil {
		c, from = raft.DecodeConfiguration(last.Members), last.Index+1
	}
	err := s.eachEntry(from, func(l *raft.Log) error {
		if l.Type == raft.LogConfiguration {
			c = raft.DecodeConfiguration(l.Data)
		}
		return nil
	})
	return c, err
}

// eachEntry calls do for each entry of the log from one on.
func (s *Store) eachEntry(from uint64, do func(*raft.Log) error) error {
	_, end, err := s.log.Bounds()
	if err != nil {
		return err
	}
	for index := from; index <= end; index++ {
		var l raft.Log
		if err := s.log.GetLog(index, &l); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", index, err)
		}
		if err := do(&l); err != nil {
			return err
		}
	}
	return nil
}

// nobodyAnswers asks each other member for a sign of life.
func (s *Store) nobodyAnswers(ctx context.Context, c raft.Configuration) error {
	where := map[uint64]string{}
	for _, m := range c.Servers {
		node, at, ok := transport.ParseAddress(m.Address)
		if ok && node != s.node && at != "" {
			where[node] = at
		}
	}
	if len(where) == 0 {
		return nil
	}
	if s.cfg.Mesh == nil {
		return fmt.Errorf("recover: %w: without a way to them nobody can say whether the %d other members are alive", ErrNotAlone, len(where))
	}
	p := newPeers(s.cfg.Mesh, func(node uint64) (string, bool) { at, ok := where[node]; return at, ok })
	defer p.close()
	for node, at := range where {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		_, err := p.call(ctx, node, verbStatus, nil)
		cancel()
		if !errors.Is(err, errNotSent) && !errors.Is(err, errLost) && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("recover: %w: node %016x at %s; stop it, or remove what is lost while there is a leader", ErrPeerAnswers, node, at)
		}
	}
	return nil
}

// applyAll applies the log that no seal holds yet, and returns its last entry.
func (s *Store) applyAll() (end, term uint64, err error) {
	last, _ := s.sealer.sealed()
	from := uint64(1)
	if last != nil {
		end, term, from = last.Index, last.Term, last.Index+1
	}
	var failed error
	s.fold.fatal = func(err error) { failed = err }
	err = s.eachEntry(from, func(l *raft.Log) error {
		if l.Type == raft.LogCommand || l.Type == raft.LogConfiguration {
			s.fold.Apply(l)
		}
		end, term = l.Index, l.Term
		return failed
	})
	s.fold.index = end // also where the last entries are no records
	return end, term, err
}

// A backup is, little endian:
//
//	magic, size of the seal u64, the seal as nodes send it, facts as nodes send them from entry 1 to the seal's, SHA-256 of all before
const backupMagic = "TRBKUP1\n"

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Cluster string
	Node    uint64 // whose backup it is
	Index   uint64 // the entry up to which it goes
	Time    time.Time
	Facts   int // of history
}

// Backup makes a seal and writes it, and the whole history up to it, to w, while the store goes on. It is neither encrypted nor compressed as a whole. A node that
// misses part of its history refuses, with the entry from which it is complete.
func (s *Store) Backup(ctx context.Context, w io.Writer) (BackupInfo, error) {
	if from := s.historyComplete(); from > 1 {
		return BackupInfo{}, fmt.Errorf("back up: history is complete from entry %d on only; it is still coming from the other nodes", from)
	}
	if err := s.seal(false); err != nil {
		return BackupInfo{}, fmt.Errorf("back up: %w", err)
	}
	in, err := s.sealer.stream()
	if err != nil {
		return BackupInfo{}, fmt.Errorf("back up: %w", err)
	}
	if in == nil {
		return BackupInfo{}, errors.New("back up: there is nothing yet")
	}
	defer func() { _ = in.Close() }() // it was read
	h := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, h), 256<<10)
	_, err = out.Write(binary.LittleEndian.AppendUint64([]byte(backupMagic), uint64(in.size)))
	if err == nil {
		_, err = io.Copy(out, in)
	}
	facts := 0
	if err == nil {
		facts, err = s.writeFacts(ctx, out, 1, in.seal.Index)
	}
	if err = errors.Join(err, out.Flush()); err == nil {
		_, err = w.Write(h.Sum(nil))
	}
	if err != nil {
		return BackupInfo{}, fmt.Errorf("back up: %w", err)
	}
	return BackupInfo{s.cfg.Cluster, s.node, in.seal.Index, in.seal.Time(), facts}, nil
}

// backupReader reads a backup and its checksum.
type backupReader struct {
	r io.Reader
	h hash.Hash
}

// Read implements io.Reader.
func (b *backupReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.h.Write(p[:n])
	return n, err
}

// finish compares the checksum, and makes sure that nothing follows.
func (b *backupReader) finish() error {
	want := b.h.Sum(nil)
	found := make([]byte, len(want))
	if _, err := io.ReadFull(b.r, found); err != nil {
		return fmt.Errorf("%w: it ends before its checksum: %w", ErrBackup, err)
	}
	if string(found) != string(want) {
		return fmt.Errorf("%w: checksum: expected %x, found %x", ErrBackup, want, found)
	}
	if n, err := b.r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", ErrBackup)
	}
	return nil
}

// beginBackup reads how long the seal of a backup is.
func beginBackup(r io.Reader) (*backupReader, int64, error) {
	b := &backupReader{bufio.NewReaderSize(r, 256<<10), sha256.New()}
	var head [len(backupMagic) + 8]byte
	if _, err := io.ReadFull(b, head[:]); err != nil || string(head[:len(backupMagic)]) != backupMagic {
		return nil, 0, fmt.Errorf("%w: it begins with %q (%v)", ErrBackup, head[:], err)
	}
	size := binary.LittleEndian.Uint64(head[len(backupMagic):])
	if size > 1<<50 {
		return nil, 0, fmt.Errorf("%w: a seal of %d bytes", ErrBackup, size)
	}
	return b, int64(size), nil
}

// VerifyBackup reads a backup whole, loads its rows into m, an empty machine, and compares digests and checksums; scratch is a directory that it may fill, and empties again.
// Errors: ErrBackup, ErrNewerFormat, a *DamagedError.
func VerifyBackup(r io.Reader, m Machine, scratch string) (_ BackupInfo, err error) {
	dir, err := os.MkdirTemp(scratch, "verify-")
	if err != nil {
		return BackupInfo{}, fmt.Errorf("verify a backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, size, err := beginBackup(r)
	if err != nil {
		return BackupInfo{}, err
	}
	cfg := Config{Dir: dir, Machine: m}
	if err := cfg.complete(); err != nil {
		return BackupInfo{}, err
	}
	cfg.Watermarks = [3]int64{}
	in, err := (&sealer{cfg: &cfg, rowsDir: rowsPrefix + "0", free: func() int64 { return 0 }}).receiveAny(io.LimitReader(b, size))
	if err != nil {
		return BackupInfo{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	rows, err := seal.OpenRows(filepath.Join(dir, in.rows))
	if err != nil {
		return BackupInfo{}, err
	}
	f := folded{windows: map[uint64]*window{}, epochs: registry{}}
	if err := restore(filepath.Join(dir, in.rows), rows, in.seal, m, &f); err != nil {
		return BackupInfo{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	facts, err := readFacts(seal.Range{From: 1, To: in.seal.Index}, b, m, func(*history.Fact) error { return nil })
	if err != nil {
		return BackupInfo{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return BackupInfo{in.seal.Cluster, in.seal.Node, in.seal.Index, in.seal.Time(), facts}, b.finish()
}

// Restore makes the empty directory cfg.Dir that of a new node, the only voter of a cluster, with what a backup holds. Cfg.Node must not have been a node's of that cluster; with 0
// the number is made at random. Cfg.Cluster names the new cluster; empty: as the old one. Errors: ErrNotEmpty, ErrBackup, ErrNewerFormat.
func Restore(ctx context.Context, cfg Config, r io.Reader) (_ BackupInfo, err error) {
	if err := cfg.complete(); err != nil {
		return BackupInfo{}, err
	}
	s := &Store{cfg: cfg, closed: make(chan struct{}), leading: newLeading()}
	if s.lock, err = lock(cfg.Dir); err != nil {
		return BackupInfo{}, err
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	names, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return BackupInfo{}, readOnly(cfg.Dir, err)
	}
	for _, n := range names {
		if n.Name() != lockName {
			return BackupInfo{}, fmt.Errorf("restore into %s: %w: there is %s", cfg.Dir, ErrNotEmpty, n.Name())
		}
	}
	defer func() {
		if err == nil {
			return
		}
		for _, n := range []string{seal.FileName, walName, rowsName, historyName} {
			err = errors.Join(err, os.RemoveAll(filepath.Join(cfg.Dir, n)))
		}
	}()
	return s.restore(ctx, r)
}

func (s *Store) restore(ctx context.Context, r io.Reader) (info BackupInfo, err error) {
	if s.disk, err = newDisk(s.cfg.Dir, s.cfg.Watermarks); err != nil {
		return info, err
	}
	dir, err := os.Open(s.cfg.Dir)
	if err != nil {
		return info, fmt.Errorf("open data directory: %w", err)
	}
	s.sealer = &sealer{dir: dir, cfg: &s.cfg, rowsDir: rowsPrefix + "0", free: s.disk.free.Load}
	b, size, err := beginBackup(r)
	if err != nil {
		return info, err
	}
	in, err := s.sealer.receiveAny(io.LimitReader(b, size))
	if err != nil {
		return info, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	k := *in.seal
	info = BackupInfo{Cluster: k.Cluster, Node: k.Node, Index: k.Index, Time: k.Time()}
	if s.rows, err = seal.OpenRows(filepath.Join(s.cfg.Dir, in.rows)); err != nil {
		return info, err
	}
	f := folded{windows: map[uint64]*window{}, epochs: registry{}}
	if err := restore(filepath.Join(s.cfg.Dir, in.rows), s.rows, &k, s.cfg.Machine, &f); err != nil {
		return info, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	counts, facts, err := s.restoreHistory(ctx, b, k.Index, f.epochs)
	if err != nil {
		return info, err
	}
	info.Facts = facts
	if err := b.finish(); err != nil {
		return info, err
	}
	if s.cfg.Cluster == "" {
		s.cfg.Cluster = k.Cluster
	}
	id := newIdentity(&s.cfg)
	if err := s.restoreLog(k.Term); err != nil {
		return info, err
	}
	k.Cluster, k.Node, k.Rows, k.Installed, k.History, k.Missing = id.Cluster, id.Node, in.rows, true, countsOf(counts, f.epochs), nil
	k.Members, k.MembersI = raft.EncodeConfiguration(alone(id.Node, s.address())), k.Index
	if err := seal.SyncFS(dir); err != nil {
		return info, err
	}
	if err := seal.Write(s.cfg.Dir, &k); err != nil {
		return info, err
	}
	return info, id.write(s.cfg.Dir)
}

// restoreHistory writes the facts of a backup.
func (s *Store) restoreHistory(ctx context.Context, in io.Reader, index uint64, epochs registry) (_ []history.Count, facts int, err error) {
	all := seal.Range{From: 1, To: index}
	h, err := history.Open(filepath.Join(s.cfg.Dir, historyName), index, historyRanges([]seal.Range{all}), nil, badgerLogger{s.cfg.Logger})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	w, err := h.Writer(false, ctx.Err)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	facts, err = readFacts(all, in, s.cfg.Machine, func(f *history.Fact) error {
		if epoch, ok := epochs.at(Class(f.Class), f.Index); ok {
			return w.Add(epoch, f)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	counts, err := w.Finish()
	return counts, facts, err
}

// restoreLog makes an empty log whose term goes on after that of the backup.
func (s *Store) restoreLog(term uint64) error {
	if err := os.Mkdir(filepath.Join(s.cfg.Dir, walName), 0o700); err != nil {
		return readOnly(s.cfg.Dir, err)
	}
	if err := s.openLog(); err != nil {
		return err
	}
	if err := s.log.SetUint64([]byte("CurrentTerm"), term); err != nil { // raft's key
		return fmt.Errorf("set the term of the log: %w", err)
	}
	return nil
}
