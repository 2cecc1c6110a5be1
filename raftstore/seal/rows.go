package seal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/s2"

	"trine/raftstore/aside"
	"trine/raftstore/damage"
)

// Run is one file of the state database. What a SEAL counts is its runs, one after the other: the first holds all rows as they
// stood at its index, each of the others those that changed since the one before.
type Run struct {
	Index uint64 `json:"index"`
	Rows  uint64 `json:"rows"`
	Bytes uint64 `json:"bytes"` // of the file
}

// Rows is the state database: a directory of runs. A run is written once, by a seal, and read at a start; it never changes.
type Rows struct{ dir string }

// OpenRows makes the state database in dir unless it exists.
func OpenRows(dir string) (*Rows, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state database: %w", err)
	}
	return &Rows{dir}, nil
}

// A run's file is a header, which says which run it is, and then blocks. A block is a header and rows, compressed; a row is the
// length of its key, that of its value plus one, or zero where the row is gone, and then key and value.
const (
	runSuffix   = ".rows"
	runMagic    = "trinerow"
	runHeader   = len(runMagic) + 8 + 4 // index, CRC32C of what is before
	blockHeader = 4 + 4 + 4             // length as stored and unpacked, CRC32C of both and of what is stored
	blockBytes  = 32 << 10              // at which a block is closed: to pack it takes less than a slice of a seal's time
	maxBlock    = 64 << 20              // no block unpacks to more: a row is far smaller
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func runName(index uint64) string { return fmt.Sprintf("%016x%s", index, runSuffix) }

// Sweep removes everything that is not one of the runs that a SEAL counts.
func (r *Rows) Sweep(runs []Run) error {
	counted := map[string]bool{}
	for _, run := range runs {
		counted[runName(run.Index)] = true
	}
	names, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("list state database: %w", err)
	}
	for _, n := range names {
		if !counted[n.Name()] {
			if err := os.RemoveAll(filepath.Join(r.dir, n.Name())); err != nil {
				return fmt.Errorf("remove rows that no seal counts: %w", err)
			}
		}
	}
	return nil
}

// Due reports whether the next run should hold all rows: there is none yet, or a start has to read half as much again as the first
// holds. In a hurry it is put off until a start reads three times as much.
func Due(runs []Run, hurry bool) bool {
	if len(runs) == 0 || len(runs) >= maxRuns {
		return true
	}
	later := uint64(0)
	for _, run := range runs[1:] {
		later += run.Bytes
	}
	if hurry {
		later /= 4
	}
	return later > runs[0].Bytes/2
}

// maxRuns bounds how many files a start opens.
const maxRuns = 256

// RowWriter writes a run. It does not count before a SEAL names it.
type RowWriter struct {
	file   *os.File
	index  uint64
	block  []byte // under construction
	packed []byte // room for one
	err    error  // of a write
	size   uint64 // of the file
	begun  uint64 // bytes that the kernel was told to write
	Bytes  uint64 // of keys and values written so far
	Rows   uint64
}

// writeback is how many bytes of a run gather before the kernel is told to write them: all at the end would hold up the log.
const writeback = 1 << 20

// Create begins the run of an index, of which there must be none: what did not come to its SEAL has been swept.
func (r *Rows) Create(index uint64) (*RowWriter, error) {
	f, err := os.OpenFile(filepath.Join(r.dir, runName(index)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make file of rows: %w", err)
	}
	w := &RowWriter{file: f, index: index, block: make([]byte, 0, blockBytes+blockBytes/4)}
	w.write(appendRunHeader(nil, index))
	return w, nil
}

func appendRunHeader(dst []byte, index uint64) []byte {
	dst = binary.LittleEndian.AppendUint64(append(dst, runMagic...), index)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// Put writes a row, or that it is gone if value is nil. It copies both.
func (w *RowWriter) Put(prefix byte, key, value []byte) error {
	w.Rows++
	w.Bytes += uint64(1 + len(key) + len(value))
	b := binary.AppendUvarint(w.block, uint64(1+len(key)))
	if value == nil {
		b = append(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(len(value))+1)
	}
	b = append(append(b, prefix), key...)
	w.block = append(b, value...)
	if len(w.block) >= blockBytes {
		w.flush()
	}
	return w.err
}

func (w *RowWriter) flush() {
	if len(w.block) == 0 {
		return
	}
	if need := blockHeader + s2.MaxEncodedLen(len(w.block)); cap(w.packed) < need {
		w.packed = make([]byte, need)
	}
	room := w.packed[:cap(w.packed)]
	stored := s2.Encode(room[blockHeader:], w.block)
	b := room[:blockHeader+len(stored)]
	binary.LittleEndian.PutUint32(b, uint32(len(stored)))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(w.block)))
	binary.LittleEndian.PutUint32(b[8:], blockSum(b[:8], stored))
	w.write(b)
	w.block = w.block[:0]
}

func blockSum(lengths, stored []byte) uint32 {
	return crc32.Update(crc32.Checksum(lengths, castagnoli), castagnoli, stored)
}

func (w *RowWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	if _, err := w.file.Write(b); err != nil {
		w.err = fmt.Errorf("write rows: %w", err)
	}
	w.size += uint64(len(b))
	if w.size-w.begun >= writeback {
		aside.Writeback(w.file)
		w.begun = w.size
	}
}

// Finish writes what is left and returns the run. It is durable once the file system is synced.
func (w *RowWriter) Finish() (Run, error) {
	w.flush()
	err := errors.Join(w.err, w.file.Close())
	return Run{Index: w.index, Rows: w.Rows, Bytes: w.size}, err
}

// Reader reads the rows of runs in their order. What a later run says of a row counts.
type Reader struct {
	blocks chan block
	spare  chan []byte // blocks that were read, to be filled again
	stop   chan struct{}
	now    block
	rest   []byte // of now
}

// block is the unpacked rows of one block, or why there are no more.
type block struct {
	file string
	at   int64 // of its header in the file
	run  int
	rows []byte
	err  error
}

// ahead is how many blocks are read ahead.
const ahead = 4

// Read begins to read runs. The Reader must be closed.
func (r *Rows) Read(runs []Run) *Reader {
	d := &Reader{blocks: make(chan block, ahead), spare: make(chan []byte, ahead+2), stop: make(chan struct{})}
	go func() {
		defer close(d.blocks)
		for i, run := range runs {
			if err := d.file(i, filepath.Join(r.dir, runName(run.Index)), run); err != nil {
				d.send(block{err: err})
				return
			}
		}
	}()
	return d
}

// Next returns the next row and the number of its run, counted from 0; a nil value means that the row is gone. At the end, ok is
// false. Key and value are valid until the next call. An error is a *damage.Error where a file is damaged.
func (d *Reader) Next() (run int, key, value []byte, ok bool, err error) {
	for len(d.rest) == 0 {
		if d.now.rows != nil {
			d.spare <- d.now.rows[:0]
		}
		if d.now, ok = <-d.blocks; !ok || d.now.err != nil {
			return 0, nil, nil, false, d.now.err
		}
		d.rest = d.now.rows
	}
	keyLen, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return 0, nil, nil, false, d.damaged()
	}
	valueLen, m := binary.Uvarint(d.rest[n:])
	b := d.rest[n:]
	if m <= 0 || keyLen == 0 || keyLen > uint64(len(b)-m) {
		return 0, nil, nil, false, d.damaged()
	}
	b = b[m:]
	key, b = b[:keyLen:keyLen], b[keyLen:]
	if valueLen > 0 {
		if valueLen--; valueLen > uint64(len(b)) {
			return 0, nil, nil, false, d.damaged()
		}
		value, b = b[:valueLen:valueLen], b[valueLen:]
	}
	d.rest = b
	return d.now.run, key, value, true, nil
}

func (d *Reader) damaged() error {
	return &damage.Error{File: d.now.file, Offset: d.now.at, Reason: "a row of the block does not decode", Advice: advice}
}

// Close ends the reading and waits until no file is open any more.
func (d *Reader) Close() {
	close(d.stop)
	for range d.blocks { // what was read ahead
	}
}

// send hands a block over; it reports false when nobody wants it.
func (d *Reader) send(b block) bool {
	select {
	case d.blocks <- b:
		return true
	case <-d.stop:
		return false
	}
}

// file reads one run.
func (d *Reader) file(i int, name string, run Run) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return damage.Opening(name, err, advice)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at rows: %w", err)
	}
	at := int64(0)
	damaged := func(format string, a ...any) error {
		return &damage.Error{File: name, Offset: at, Reason: fmt.Sprintf(format, a...), Advice: advice}
	}
	if info.Size() != int64(run.Bytes) {
		at = min(info.Size(), int64(run.Bytes))
		return damaged("the SEAL says that it has %d bytes, it has %d", run.Bytes, info.Size())
	}
	in := bufio.NewReaderSize(f, 256<<10)
	var head [runHeader]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return damaged("read its header: %v", err)
	}
	if string(head[:]) != string(appendRunHeader(nil, run.Index)) {
		return damaged("its header is not that of the rows at index %d", run.Index)
	}
	var lengths [blockHeader]byte
	var packed []byte
	for at = int64(runHeader); at < info.Size(); {
		if _, err := io.ReadFull(in, lengths[:]); err != nil {
			return damaged("read header of a block: %v", err)
		}
		stored, unpacked := binary.LittleEndian.Uint32(lengths[:]), binary.LittleEndian.Uint32(lengths[4:])
		if int64(stored) > info.Size()-at-blockHeader || unpacked > maxBlock {
			return damaged("a block of %d bytes, packed into %d, does not fit", unpacked, stored)
		}
		if cap(packed) < int(stored) {
			packed = make([]byte, stored+stored/4)
		}
		packed = packed[:stored]
		if _, err := io.ReadFull(in, packed); err != nil {
			return damaged("read a block: %v", err)
		}
		if blockSum(lengths[:8], packed) != binary.LittleEndian.Uint32(lengths[8:]) {
			return damaged("a block fails its checksum")
		}
		if n, err := s2.DecodedLen(packed); err != nil || n != int(unpacked) {
			return damaged("a block of %d bytes says that it has %d: %v", unpacked, n, err)
		}
		rows, err := s2.Decode(d.room(int(unpacked)), packed)
		if err != nil {
			return damaged("unpack a block: %v", err)
		}
		if !d.send(block{file: name, at: at, run: i, rows: rows}) {
			return nil
		}
		at += blockHeader + int64(stored)
	}
	return nil
}

// room returns memory for n bytes, of a block that was read if there is one.
func (d *Reader) room(n int) []byte {
	var b []byte
	select {
	case b = <-d.spare:
	default:
	}
	if cap(b) < n {
		b = make([]byte, max(n, blockBytes+blockBytes/4))
	}
	return b[:n]
}
