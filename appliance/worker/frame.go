package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"trine/engine/credential"
)

// A frame is its length as 4 bytes, big endian, and so many bytes: the job's number (8), a kind or status (1), and fields, each
// preceded by its length as 2 bytes.
const (
	maxFrame  = 2048
	frameHead = 8 + 1
	// maxParallel bounds the jobs that a child has at once, so that their requests fit into a pipe and handing one over never waits.
	maxParallel = 64
)

// The kinds of requests.
const (
	kindVerify = 1 // fields: Argon2id form or text of an imported hash, password
	kindHash   = 2 // fields: cost (memory 4, iterations 2, parallelism 1), password
)

// The statuses of answers.
const (
	statusDiffers = 1
	statusMatches = 2
	statusHashed  = 3 // field: Argon2id form
	statusRefused = 4 // the job's form or cost is not sound
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
}

// append appends the frame.
func (f *frame) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(frameHead+2+len(f.first)+2+len(f.second)))
	dst = binary.BigEndian.AppendUint64(dst, f.id)
	dst = append(dst, f.kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.first)))
	dst = append(dst, f.first...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.second)))
	return append(dst, f.second...)
}

// read reads the next frame into buf, which has maxFrame bytes and into which its fields point. It returns io.EOF at the end between frames.
func (f *frame) read(r *bufio.Reader, buf []byte) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < frameHead || n > maxFrame {
		return fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	body := buf[:n]
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("%w: cut off: %w", errFrame, err)
	}
	return f.parse(body)
}

func (f *frame) parse(body []byte) error {
	if len(body) < frameHead {
		return errFrame
	}
	f.id, f.kind = binary.BigEndian.Uint64(body), body[8]
	rest := body[frameHead:]
	for _, field := range [...]*[]byte{&f.first, &f.second} {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return errFrame
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		*field, rest = rest[2:n:n], rest[n:]
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
