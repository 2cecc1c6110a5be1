package https

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Conn is one connection to the server.
type Conn struct {
	conn   net.Conn
	reader *bufio.Reader
	answer Answer
	// Seen is told of each exchange, where it is set: what was sent and what came.
	Seen func(request []byte, a *Answer)
}

// Answer is what came back. It holds until the next exchange of its connection.
type Answer struct {
	Status   int
	Location []byte
	Body     []byte
}

// maxBody bounds an answer.
const maxBody = 4 << 20

// Dial connects from an address of its own for each number.
func Dial(ctx context.Context, to netip.AddrPort, i int, config *tls.Config) (*Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}}
	plain, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	secure := tls.Client(plain, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), plain.Close())
	}
	return &Conn{conn: secure, reader: bufio.NewReaderSize(secure, 16<<10)}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Exchange sends a whole request and reads the answer to it.
func (c *Conn) Exchange(request []byte) (*Answer, error) {
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	if c.Seen != nil {
		c.Seen(request, &c.answer)
	}
	return &c.answer, nil
}

// read reads one answer (RFC 9112): its length is given, or it comes in chunks.
func (c *Conn) read() error {
	a := &c.answer
	a.Status, a.Location, a.Body = 0, a.Location[:0], a.Body[:0]
	line, err := c.line()
	if err != nil {
		return err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("%q is no status line", line)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return fmt.Errorf("%q is no status line", line)
	}
	length, chunked := 0, false
	for {
		if line, err = c.line(); err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > maxBody {
				return fmt.Errorf("%q is no length", value)
			}
		case is(name, "transfer-encoding"):
			chunked = is(value, "chunked")
		case is(name, "location"):
			a.Location = append(a.Location, value...)
		case is(name, "connection") && is(value, "close"):
			return errors.New("the server closes the connection")
		}
	}
	if !chunked {
		return c.take(length)
	}
	for {
		if line, err = c.line(); err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil || len(a.Body)+int(size) > maxBody {
			return fmt.Errorf("%q is no size of a chunk", line)
		}
		if err := c.take(int(size)); err != nil {
			return err
		}
		if _, err := c.line(); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// take adds bytes to the body.
func (c *Conn) take(n int) error {
	from := len(c.answer.Body)
	for cap(c.answer.Body) < from+n {
		c.answer.Body = append(c.answer.Body[:cap(c.answer.Body)], 0)
	}
	c.answer.Body = c.answer.Body[:from+n]
	_, err := io.ReadFull(c.reader, c.answer.Body[from:])
	return err
}

func (c *Conn) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// is compares a name without regard to case.
func is(have []byte, want string) bool {
	return len(have) == len(want) && bytes.EqualFold(have, []byte(want))
}
