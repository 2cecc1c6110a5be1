package damage

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Values is how far the value log of a Badger database was written: up to End, in bytes, of its part of that number. The zero Values is of a newest part that
// has nothing in it, which Badger removes when it comes by.
type Values struct {
	Part uint32
	End  int64
}

// What Badger writes: a head of valueHead bytes, then for each value a header (two bytes, then the lengths of key and value and a time as varints), key, value and a checksum.
const (
	valueHead   = 20
	valueHeader = 2 + 3*binary.MaxVarintLen64
	valueSum    = crc32.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EndOfValues returns how far the value log of the database in dir is written. Nothing may write to it meanwhile.
func EndOfValues(dir string) (Values, error) {
	parts, _ := filepath.Glob(filepath.Join(dir, "*.vlog")) // the pattern is well-formed
	if len(parts) == 0 {
		return Values{}, nil
	}
	name := slices.Max(parts)
	number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".vlog"), 10, 32)
	if err != nil {
		return Values{}, fmt.Errorf("read the number of %s: %w", name, err)
	}
	f, err := os.Open(name)
	if err != nil {
		return Values{}, fmt.Errorf("open value log: %w", err)
	}
	defer f.Close()
	v := Values{Part: uint32(number), End: valueHead}
	for {
		var head [valueHeader]byte
		n, err := f.ReadAt(head[:], v.End)
		if err != nil && err != io.EOF {
			return Values{}, fmt.Errorf("read value log: %w", err)
		}
		size := valueSize(head[:n])
		switch {
		case size == 0 && v.End == valueHead:
			return Values{}, nil
		case size == 0:
			return v, nil
		}
		v.End += size
	}
}

// valueSize returns the length in bytes of the value that begins with a header; 0 for none.
func valueSize(header []byte) int64 {
	if len(header) < 2 {
		return 0
	}
	at, lengths := 2, [3]uint64{} // of the key, of the value, and a time
	for i := range lengths {
		x, n := binary.Uvarint(header[at:])
		if n <= 0 {
			return 0
		}
		lengths[i] = x
		at += n
	}
	if lengths[0] == 0 || lengths[0] > 1<<16 || lengths[1] > 1<<32 {
		return 0
	}
	return int64(at) + int64(lengths[0]) + int64(lengths[1]) + valueSum
}

// CheckValues reads the part of a value log up to where it was written, and returns an *Error where it is shorter or a checksum is wrong. Badger itself
// would cut its newest part off there without a word.
func CheckValues(dir string, v Values, advice string) error {
	if v.End == 0 {
		return nil
	}
	name := filepath.Join(dir, fmt.Sprintf("%06d.vlog", v.Part))
	f, err := os.Open(name)
	if err != nil {
		return &Error{File: name, Offset: -1, Reason: err.Error(), Advice: advice}
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < v.End {
		return &Error{File: name, Offset: info.Size(), Reason: fmt.Sprintf("it was %d bytes long", v.End), Advice: advice}
	}
	head := make([]byte, valueHead)
	if _, err := f.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read value log: %w", err)
	}
	if key := binary.BigEndian.Uint64(head); key != 0 { // the rest of the head is for what is encrypted
		return &Error{File: name, Offset: 0, Reason: fmt.Sprintf("its head names key %d, and nothing is encrypted", key), Advice: advice}
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, valueHead, v.End-valueHead), 256<<10)
	for at := int64(valueHead); at < v.End; {
		header, err := r.Peek(int(min(valueHeader, v.End-at)))
		if err != nil {
			return fmt.Errorf("read value log: %w", err)
		}
		size := valueSize(header)
		if size == 0 || at+size > v.End {
			return &Error{File: name, Offset: at, Reason: "a value's header is wrong", Advice: advice}
		}
		ok, err := sound(r, size)
		if err != nil {
			return fmt.Errorf("read value log: %w", err)
		}
		if !ok {
			return &Error{File: name, Offset: at, Reason: "a value's checksum is wrong", Advice: advice}
		}
		at += size
	}
	return nil
}

// sound reads one value of that size and reports whether its checksum is right.
func sound(r io.Reader, size int64) (bool, error) {
	var sum hash.Hash32 = crc32.New(castagnoli)
	if _, err := io.CopyN(sum, r, size-valueSum); err != nil {
		return false, err
	}
	var want [valueSum]byte
	if _, err := io.ReadFull(r, want[:]); err != nil {
		return false, err
	}
	return binary.BigEndian.Uint32(want[:]) == sum.Sum32(), nil
}
