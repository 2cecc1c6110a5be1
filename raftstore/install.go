package raftstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"trine/raftstore/seal"
)

// A seal on its way to another node is its SEAL and then the files of its rows, one after the other:
//
//	magic, length u32, the SEAL as it is on disk, the files
//
// History is not part of it: it follows in the background, see backfill.go.
const (
	sealMagic = "TRSEAL1\n"
	// maxSealHead bounds the SEAL of another node.
	maxSealHead = 16 << 20
)

// sealStream is a seal that is being sent. Its files are open: they stay readable when a later seal removes them.
type sealStream struct {
	seal  *seal.Seal
	size  int64
	r     io.Reader
	files []*os.File
}

// Read implements io.Reader.
func (s *sealStream) Read(b []byte) (int, error) { return s.r.Read(b) }

// Close implements io.Closer.
func (s *sealStream) Close() error {
	var err error
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// stream opens the last seal for sending; nil if there is none.
func (s *sealer) stream() (*sealStream, error) {
	for {
		last, _ := s.sealed()
		if last == nil {
			return nil, nil
		}
		out, err := openSeal(s.rows, last)
		if err == nil {
			return out, nil
		}
		// A seal that was made meanwhile removes the files of the one before.
		if now, _ := s.sealed(); !errors.Is(err, os.ErrNotExist) || now == last {
			return nil, err
		}
	}
}

func openSeal(rows *seal.Rows, k *seal.Seal) (*sealStream, error) {
	head, err := seal.Encode(k)
	if err != nil {
		return nil, err
	}
	head = append(binary.LittleEndian.AppendUint32([]byte(sealMagic), uint32(len(head))), head...)
	out := &sealStream{seal: k, size: int64(len(head))}
	readers := []io.Reader{strings.NewReader(string(head))}
	for _, run := range k.Runs {
		f, err := rows.File(run)
		if err != nil {
			return nil, errors.Join(err, out.Close())
		}
		out.files = append(out.files, f)
		out.size += int64(run.Bytes)
		readers = append(readers, io.LimitReader(f, int64(run.Bytes)))
	}
	out.r = io.MultiReader(readers...)
	return out, nil
}

// incoming is another node's seal that lies beside this node's, in a directory that no SEAL names yet.
type incoming struct {
	seal *seal.Seal
	rows string // name of the directory
}

// receive takes a seal of this cluster from r, checks every block of it, and makes it durable. It does not count before [sealer.replace].
func (s *sealer) receive(r io.Reader) (*incoming, error) {
	in, err := s.receiveAny(r)
	if err == nil && in.seal.Cluster != s.cfg.Cluster {
		err = fmt.Errorf("receive a seal: cluster: expected %q, found %q: %w", s.cfg.Cluster, in.seal.Cluster, ErrOtherNode)
		return nil, errors.Join(err, os.RemoveAll(filepath.Join(s.cfg.Dir, in.rows)))
	}
	return in, err
}

// receiveAny is receive for a seal of any cluster.
func (s *sealer) receiveAny(r io.Reader) (*incoming, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	var head [len(sealMagic) + 4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, fmt.Errorf("receive a seal: %w", err)
	}
	n := binary.LittleEndian.Uint32(head[len(sealMagic):])
	if string(head[:len(sealMagic)]) != sealMagic || n > maxSealHead {
		return nil, fmt.Errorf("receive a seal: it begins with %q", head[:])
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, fmt.Errorf("receive a seal: %w", err)
	}
	k, err := seal.Decode(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("receive a seal: %w", format(err))
	case k.Level > s.cfg.Level:
		return nil, fmt.Errorf("receive a seal: feature level: expected at most %d, found %d; upgrade this node", s.cfg.Level, k.Level)
	}
	total := int64(0)
	for _, run := range k.Runs {
		total += int64(run.Bytes)
	}
	if free := s.free() - s.cfg.Watermarks[1]; total < 0 || s.cfg.Watermarks[1] > 0 && total > free {
		return nil, fmt.Errorf("receive a seal of %d bytes: %w", total, ErrDiskFull)
	}
	name := nextRows(s.rowsDir)
	dir := filepath.Join(s.cfg.Dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("remove an earlier seal of another node: %w", err)
	}
	if err := receiveRows(dir, k, in); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &incoming{k, name}, nil
}

func receiveRows(dir string, k *seal.Seal, in io.Reader) error {
	rows, err := seal.OpenRows(dir)
	if err != nil {
		return err
	}
	for _, run := range k.Runs {
		if err := rows.Receive(run, in); err != nil {
			return err
		}
	}
	if err := seal.SyncDir(dir); err != nil {
		return err
	}
	return rows.Verify(k.Runs)
}

// nextRows returns the name of the directory for rows after one.
func nextRows(name string) string {
	n, err := strconv.Atoi(strings.TrimPrefix(name, rowsPrefix))
	if err != nil {
		n = 0
	}
	return rowsPrefix + strconv.Itoa(n+1)
}

// errReplaced means that another node's seal took the place of this node's state, which is to be opened anew.
var errReplaced = errors.New("a state of the cluster took the place of this node's; the store is to be opened again")

// replace makes a seal that was received this node's own, by one rename. From then on nothing is sealed: the store is to be opened again. Installed says
// that raft removes the log, of which nothing is needed.
func (s *sealer) replace(in *incoming, installed bool) error {
	s.replacing.Store(true) // a seal under way gives up
	s.writing.Lock()
	defer s.writing.Unlock()
	last, _ := s.sealed()
	k := *in.seal
	k.Node, k.Rows, k.Installed, k.Sealed = s.node, in.rows, installed, s.cfg.Clock().UnixNano()
	k.History, k.Missing = nil, nil
	have := uint64(0)
	if last != nil {
		have, k.Missing, k.History = last.Index, last.Missing, last.History
	}
	if k.Index <= have {
		return fmt.Errorf("take over the seal at entry %d: this node's is at %d", k.Index, have)
	}
	k.Missing = append(slices.Clone(k.Missing), seal.Range{From: have + 1, To: k.Index})
	if err := s.sync(); err != nil {
		return err
	}
	if err := seal.Write(s.cfg.Dir, &k); err != nil {
		return err
	}
	s.replaced = true
	return nil
}

// takeOver is called where raft has received a leader's seal and wants it to be the state.
func (s *Store) takeOver() error {
	s.sealer.mu.Lock()
	in := s.sealer.arrived
	s.sealer.arrived = nil
	s.sealer.mu.Unlock()
	switch {
	case in == nil:
		return errors.New("install a seal: none has been received")
	case in.seal.Index == s.sealer.index():
		// It is this node's already, and the leader had not heard of that before the store was opened again. Raft removes the whole log after an install and
		// applies it from there again: but what has come since is acknowledged, and stays, and what was applied is not applied twice.
		s.fold.again = s.fold.index
		return errors.Join(s.log.KeepOnce(), os.RemoveAll(filepath.Join(s.cfg.Dir, in.rows)))
	}
	if err := s.sealer.replace(in, true); err != nil {
		return fmt.Errorf("install a seal: %w", err)
	}
	s.fold.failed = true
	told := make(chan struct{})
	s.told.Store(&told)
	s.restart(fmt.Sprintf("the leader's state at entry %d is in place", in.seal.Index), told)
	return nil
}

// answered is told when raft has answered a leader that sent its state.
func (s *Store) answered() {
	if told := s.told.Swap(nil); told != nil {
		close(*told)
	}
}

// restart asks to be closed and opened again, when first is closed. Until then no record is taken and none is applied.
func (s *Store) restart(reason string, first <-chan struct{}) {
	s.failed.Store(true)
	s.batcher.nudge()
	s.cfg.Logger.Info("starting again", "reason", reason)
	go func() {
		select {
		case <-first:
		case <-time.After(answerTimeout):
		case <-s.closed:
		}
		select {
		case <-time.After(answerDelay):
		case <-s.closed:
		}
		s.cfg.Restart(reason)
	}()
}

const (
	// answerTimeout is how long a node whose state was replaced waits for raft to tell the leader so: one that is not told sends its state again.
	answerTimeout = 10 * time.Second
	// answerDelay is how long the answer may take to leave.
	answerDelay = 100 * time.Millisecond
)

// transfer sends what another node asked for: a byte that says whether it comes, and then why not, or the thing.
func (s *Store) transfer(conn *timed, v verb, body []byte) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := bufio.NewWriterSize(conn, 256<<10)
	var err error
	switch {
	case v == verbSeal && len(body) == 8:
		err = s.sendSeal(out, binary.LittleEndian.Uint64(body))
	case v == verbHistory && len(body) == 16:
		err = s.sendHistory(ctx, out, binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:]))
	default:
		err = &refusedError{fmt.Sprintf("a transfer by verb %d with %d bytes is not known here", v, len(body))}
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		_, err = out.Write(append([]byte{byte(outcomeNot)}, refused.why...))
	}
	return errors.Join(err, out.Flush())
}

// comes reads the first byte of a transfer.
func comes(in io.Reader) error {
	var code [1]byte
	if _, err := io.ReadFull(in, code[:]); err != nil {
		return fmt.Errorf("wait for a transfer: %w", err)
	}
	if outcomeCode(code[0]) == outcomeDone {
		return nil
	}
	why, err := io.ReadAll(io.LimitReader(in, 4<<10))
	return errors.Join(&refusedError{string(why)}, err)
}

// sendSeal sends a seal at or past an entry; it makes one if need be.
func (s *Store) sendSeal(out io.Writer, least uint64) error {
	if s.diverged.Load() != nil {
		return &refusedError{"this node's views differ from the majority's"}
	}
	if s.sealer.index() < least {
		if err := s.seal(false); err != nil {
			return &refusedError{err.Error()}
		}
	}
	in, err := s.sealer.stream()
	if err != nil {
		return &refusedError{err.Error()}
	}
	if in == nil || in.seal.Index < least {
		return &refusedError{fmt.Sprintf("there is no seal at or past entry %d yet", least)}
	}
	_, err = out.Write([]byte{byte(outcomeDone)})
	if err == nil {
		_, err = io.Copy(out, in)
	}
	return errors.Join(err, in.Close())
}
