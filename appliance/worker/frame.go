package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"trine/engine/credential"
	"trine/engine/script"
)

// A frame is its length as 4 bytes, big endian, and so many bytes: the job's number (8), a kind or status (1), and fields, each
// preceded by its length as 4 bytes.
const (
	frameHead = 8 + 1
	fieldHead = 4
	// maxHashing and maxScript are how large frames are that are about passwords, and about scripts.
	maxHashing = 2048
	maxScript  = frameHead + 2*fieldHead + max(script.MaxRequest, script.MaxAnswer)
	// maxParallel bounds the jobs that a child has at once, so that their requests fit into a pipe and handing one over never waits.
	maxParallel = 64
)

// The kinds of requests.
const (
	kindVerify = 1 // fields: Argon2id form or text of an imported hash, password
	kindHash   = 2 // fields: cost (memory 4, iterations 2, parallelism 1), password
	kindScript = 3 // field: what script.Host.Run takes
)

// The statuses of answers.
const (
	statusDiffers = 1
	statusMatches = 2
	statusHashed  = 3 // field: Argon2id form
	statusRefused = 4 // the job's form or cost is not sound
	statusRun     = 5 // field: what script.Host.Run returns
)

// ready is what a child writes before its first answer: the number of jobs that it works on at once.
const ready = 9

// errFrame means that the other side does not speak as it should.
var errFrame = errors.New("malformed frame")

// frame is one request or answer.
type frame struct {
	id     uint64
	kind   byte
	first  []byte
	second []byte
	body   []byte // of a frame that was read: what the fields point into
}

// append appends the frame.
func (f *frame) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(frameHead+2*fieldHead+len(f.first)+len(f.second)))
	dst = binary.BigEndian.AppendUint64(dst, f.id)
	dst = append(dst, f.kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.first)))
	dst = append(dst, f.first...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.second)))
	return append(dst, f.second...)
}

// read reads the next frame, of at most so many bytes, into memory of its own. It returns io.EOF at the end between frames.
func (f *frame) read(r *bufio.Reader, limit int) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < frameHead || int64(n) > int64(limit) {
		return fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	f.body = make([]byte, n)
	if _, err := io.ReadFull(r, f.body); err != nil {
		return fmt.Errorf("%w: cut off: %w", errFrame, err)
	}
	return f.parse(f.body)
}

func (f *frame) parse(body []byte) error {
	if len(body) < frameHead {
		return errFrame
	}
	f.id, f.kind = binary.BigEndian.Uint64(body), body[8]
	rest := body[frameHead:]
	for _, field := range [...]*[]byte{&f.first, &f.second} {
		if len(rest) < fieldHead || int64(len(rest)-fieldHead) < int64(binary.BigEndian.Uint32(rest)) {
			return errFrame
		}
		n := fieldHead + int(binary.BigEndian.Uint32(rest))
		*field, rest = rest[fieldHead:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return errFrame
	}
	return nil
}

func appendCost(dst []byte, p credential.Params) []byte {
	dst = binary.BigEndian.AppendUint32(dst, p.MemoryKiB)
	dst = binary.BigEndian.AppendUint16(dst, p.Iterations)
	return append(dst, p.Parallelism)
}

func parseCost(b []byte) (p credential.Params, ok bool) {
	if len(b) != 7 {
		return p, false
	}
	return credential.Params{MemoryKiB: binary.BigEndian.Uint32(b), Iterations: binary.BigEndian.Uint16(b[4:]), Parallelism: b[6]}, true
}
