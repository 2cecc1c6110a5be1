package damage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// Tables looks at the tables of the Badger database in dir before Badger does, which ends the process over a table that was
// cut off, and makes a new list over one that is lost. A directory with nothing in it is in order. What a table holds, Badger
// itself checks.
func Tables(dir, advice string) error {
	list := filepath.Join(dir, badger.ManifestFilename)
	f, err := os.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		if left, _ := filepath.Glob(filepath.Join(dir, "*.sst")); len(left) > 0 { // the pattern is well-formed
			return &Error{File: list, Offset: -1, Reason: "it is missing beside " + filepath.Base(left[0]), Advice: advice}
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open list of tables: %w", err)
	}
	defer f.Close()
	manifest, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil {
		return &Error{File: list, Offset: -1, Reason: err.Error(), Advice: advice}
	}
	for id := range manifest.Tables {
		name := filepath.Join(dir, fmt.Sprintf("%06d.sst", id))
		offset, reason := table(name)
		if reason != "" && offset < 0 {
			return Opening(name, errors.New(reason), advice)
		}
		if reason != "" {
			return &Error{File: name, Offset: offset, Reason: reason, Advice: advice}
		}
	}
	return nil
}

// table checks the end of a table: an index, its length, its checksum, and the length of that; numbers have their highest byte
// first. An empty reason means that all fits.
func table(name string) (offset int64, reason string) {
	f, err := os.Open(name)
	if err != nil {
		return -1, err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return -1, err.Error()
	}
	end := info.Size()
	before := func(n uint32) ([]byte, bool) {
		if int64(n) > end {
			return nil, false
		}
		b := make([]byte, n)
		if _, err := f.ReadAt(b, end-int64(n)); err != nil {
			return nil, false
		}
		end -= int64(n)
		return b, true
	}
	sized := func() ([]byte, bool) {
		n, ok := before(4)
		if !ok {
			return nil, false
		}
		return before(binary.BigEndian.Uint32(n))
	}
	sum, ok := sized()
	checksum := new(pb.Checksum)
	if !ok || proto.Unmarshal(sum, checksum) != nil || checksum.Algo != pb.Checksum_CRC32C {
		return end, "its end makes no sense: the file was cut off or overwritten"
	}
	index, ok := sized()
	if !ok {
		return end, "its index does not fit: the file was cut off or overwritten"
	}
	if err := y.VerifyChecksum(index, checksum); err != nil {
		return end, "its index: " + err.Error()
	}
	return 0, ""
}
