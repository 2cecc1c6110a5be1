package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"trine/raftstore/aside"
	"trine/raftstore/damage"
)

// Format is the version of the data directory that this release writes, and the only one that it reads: those before it were never
// released.
const Format = 2

// FileName is the name of the SEAL in the data directory.
const FileName = "SEAL"

const advice = "restore this node from a backup, or remove its data directory and let it join the cluster as a new node"

var (
	// ErrNewerFormat means that a file was written by a newer release.
	ErrNewerFormat = errors.New("seal: file has a newer format")
	// ErrOlderFormat means that a file was written before the first release.
	ErrOlderFormat = errors.New("seal: file has a format of before the first release; start with an empty data directory")
)

// Seal says what the state database and the history hold for sure.
type Seal struct {
	Format   int    `json:"format"`
	Cluster  string `json:"cluster"`
	Node     uint64 `json:"node"`
	Index    uint64 `json:"index"` // every entry up to it is in the rows and in history
	Term     uint64 `json:"term"`
	Level    uint16 `json:"level"` // the cluster's feature level
	Rows     string `json:"rows"`  // directory of the state database
	Runs     []Run  `json:"runs"`  // its files, in the order in which they were written
	Machine  Hex    `json:"machine_digest"`
	Store    Hex    `json:"store_digest"`
	Chain    Hex    `json:"chain"` // hash chain over all entries up to Index
	Last     int64  `json:"last"`  // time of the last entry, Unix nanoseconds
	Sealed   int64  `json:"sealed"`
	Members  []byte `json:"members"` // raft's configuration as raft encodes it
	MembersI uint64 `json:"members_index"`
	// History counts what each epoch holds, so that a loss inside it is noticed.
	History []Epoch `json:"history"`
	// Missing is the entries up to Index whose facts history does not have yet, oldest first.
	Missing []Range `json:"missing,omitempty"`
	// Installed says that this is another node's state, and that nothing of the log up to Index belongs to it.
	Installed bool `json:"installed,omitempty"`
}

// Range is entries of the log, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Epoch counts one history epoch.
type Epoch struct {
	Class uint8  `json:"class"`
	Epoch uint32 `json:"epoch"`
	Blobs uint64 `json:"blobs"`
	Facts uint64 `json:"facts"`
	Bytes uint64 `json:"bytes"` // compressed
	// Part and End are how far its value log was written; 0: it has none, or an older release counted.
	Part uint32 `json:"part,omitempty"`
	End  int64  `json:"end,omitempty"`
}

// Hex is a hash in hexadecimal.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) error {
	v, err := hex.DecodeString(string(b))
	*h = v
	return err
}

// Time returns when the seal was made.
func (s *Seal) Time() time.Time { return time.Unix(0, s.Sealed).UTC() }

// CheckFormat returns ErrNewerFormat or ErrOlderFormat for a format that this release does not read.
func CheckFormat(format int) error {
	switch {
	case format > Format:
		return fmt.Errorf("format %d, this release reads format %d: %w", format, Format, ErrNewerFormat)
	case format < Format:
		return fmt.Errorf("format %d, this release reads format %d: %w", format, Format, ErrOlderFormat)
	}
	return nil
}

// Read reads the SEAL of a data directory. It returns nil and no error if there is none, a *damage.Error if it does not
// hold, ErrNewerFormat and ErrOlderFormat.
func Read(dir string) (*Seal, error) {
	name := filepath.Join(dir, FileName)
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read seal: %w", err)
	}
	s, err := Decode(b)
	if errors.Is(err, ErrNewerFormat) || errors.Is(err, ErrOlderFormat) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return nil, &damage.Error{File: name, Offset: -1, Reason: err.Error(), Advice: advice}
	}
	return s, nil
}

// Write puts s in place: written beside, fsynced, renamed, and the directory fsynced. When it returns nil the SEAL counts,
// whatever happens next. An error leaves the one before, unless the last fsync failed; then the caller must end the process.
func Write(dir string, s *Seal) error {
	b, err := Encode(s)
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, FileName), b)
}

// WriteFile replaces a file as a whole and durably.
func WriteFile(name string, b []byte) error {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, name)
	}
	if err == nil {
		err = SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// SyncFS makes everything on the file system of dir durable, also the files that Badger forgot to sync. The descriptor is
// opened first, so errors of writes since then are reported.
func SyncFS(dir *os.File) error {
	if !syncs {
		return nil
	}
	if errno := aside.Call(unix.SYS_SYNCFS, dir.Fd(), 0, 0, 0); errno != 0 {
		return fmt.Errorf("sync file system of %s: %w", dir.Name(), errno)
	}
	return nil
}

// Encode writes a SEAL as one line of JSON and one line with its checksum.
func Encode(s *Seal) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode seal: %w", err)
	}
	b = append(b, '\n')
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), nil
}

// Decode reads what Encode wrote. Errors: ErrNewerFormat, ErrOlderFormat, and what does not hold.
func Decode(b []byte) (*Seal, error) {
	body, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	want := fmt.Sprintf("crc32c %08x\n", crc32.Checksum(b[:len(body)+1], crc32.MakeTable(crc32.Castagnoli)))
	if string(rest) != want {
		return nil, fmt.Errorf("checksum: expected %q, found %.40q", want, rest)
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, fmt.Errorf("decode seal: %w", err)
	}
	if err := CheckFormat(head.Format); err != nil {
		return nil, err
	}
	s := new(Seal)
	if err := json.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("decode seal: %w", err)
	}
	return s, nil
}
