package devices

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Load is packets, and what is expected of their answers.
type Load interface {
	Len() int
	Once() bool
	Packet(i int) []byte
	Check(i int, answer []byte) error
}

// Options say how a load is sent.
type Options struct {
	Duration    time.Duration
	Connections int
	InFlight    int         // sessions under way on each connection
	TLS         *tls.Config // nil: without
}

// Result is what came of a run.
type Result struct {
	Answered  int
	Elapsed   time.Duration
	Latency   *hdrhistogram.Histogram // nanoseconds
	Exhausted bool                    // a load whose packets may be sent once only had no more
}

// Rate returns the answers a second.
func (r *Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// Add adds another run of the same kind.
func (r *Result) Add(o *Result) {
	r.Answered += o.Answered
	r.Elapsed += o.Elapsed
	r.Latency.Merge(o.Latency)
	r.Exhausted = r.Exhausted || o.Exhausted
}

// NewResult returns an empty result.
func NewResult() *Result { return &Result{Latency: hdrhistogram.New(1, int64(time.Minute), 3)} }

// Cursor is where a load has got to; the next run goes on from there.
type Cursor struct{ next atomic.Int64 }

// take returns where the next packets are, at most n of them; 0 if a load that is sent once has no more.
func (c *Cursor) take(load Load, n int) (from, count int) {
	from = int(c.next.Add(int64(n))) - n
	if load.Once() {
		return from, min(n, max(load.Len()-from, 0))
	}
	return from % load.Len(), min(n, load.Len()-from%load.Len())
}

// Run keeps as many sessions under way on each connection as are asked for, until the time is over: a closed loop. Every answer is checked.
func Run(ctx context.Context, to netip.AddrPort, load Load, cursor *Cursor, o Options) (*Result, error) {
	conns := make([]net.Conn, o.Connections)
	for i := range conns {
		conn, err := dial(ctx, to, i, o.TLS)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	began := time.Now()
	until := began.Add(o.Duration)
	parts := make([]*Result, len(conns))
	errs := make([]error, len(conns))
	var wait sync.WaitGroup
	for i, conn := range conns {
		wait.Go(func() {
			parts[i], errs[i] = drive(conn, load, cursor, o.InFlight, until)
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r := NewResult()
	for _, p := range parts {
		r.Add(p)
	}
	r.Elapsed = time.Since(began)
	return r, nil
}

// dial connects from an address of its own for each number.
func dial(ctx context.Context, to netip.AddrPort, i int, config *tls.Config) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil || config == nil {
		return conn, err
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// flight is a packet that waits for its answer.
type flight struct {
	packet int
	sent   time.Time
}

// drive is one connection of Run.
func drive(conn net.Conn, load Load, cursor *Cursor, inFlight int, until time.Time) (*Result, error) {
	r := NewResult()
	under := make(map[uint32]flight, inFlight)
	out, in := make([]byte, 0, 64<<10), make([]byte, 64<<10)
	held := 0
	_ = conn.SetDeadline(until.Add(20 * time.Second))
	for {
		now := time.Now()
		if want := inFlight - len(under); want > 0 && now.Before(until) && !r.Exhausted {
			out = out[:0]
			for want > 0 {
				from, n := cursor.take(load, want)
				if n == 0 {
					r.Exhausted = true
					break
				}
				for i := from; i < from+n; i++ {
					p := load.Packet(i)
					under[binary.BigEndian.Uint32(p[4:])] = flight{i, now}
					out = append(out, p...)
				}
				want -= n
			}
			if _, err := conn.Write(out); err != nil {
				return nil, fmt.Errorf("send: %w", err)
			}
		}
		if len(under) == 0 {
			return r, nil
		}
		n, err := conn.Read(in[held:])
		if err != nil {
			return nil, fmt.Errorf("%d answers are still to come: %w", len(under), err)
		}
		held += n
		now = time.Now()
		data := in[:held]
		for len(data) >= headerLen {
			size := headerLen + int(binary.BigEndian.Uint32(data[8:]))
			if size > len(in) {
				return nil, fmt.Errorf("an answer of %d bytes: %x", size, data[:headerLen])
			}
			if size > len(data) {
				break
			}
			session := binary.BigEndian.Uint32(data[4:])
			f, ok := under[session]
			if !ok {
				return nil, fmt.Errorf("an answer to nothing: %x", data[:headerLen])
			}
			delete(under, session)
			if err := load.Check(f.packet, data[:size]); err != nil {
				return nil, err
			}
			r.Answered++
			_ = r.Latency.RecordValue(int64(now.Sub(f.sent)))
			data = data[size:]
		}
		held = copy(in, data)
	}
}

// RunEach opens a connection for each session, so many at a time, until the time is over. Without a load, it opens them within TLS and closes them.
func RunEach(ctx context.Context, to netip.AddrPort, load Load, cursor *Cursor, o Options) (*Result, error) {
	began := time.Now()
	until := began.Add(o.Duration)
	parts := make([]*Result, o.Connections)
	errs := make([]error, o.Connections)
	var wait sync.WaitGroup
	for i := range o.Connections {
		wait.Go(func() {
			r := NewResult()
			parts[i] = r
			for n := i; errs[i] == nil && time.Now().Before(until); n += o.Connections {
				var took time.Duration
				if took, errs[i] = one(ctx, to, n%4000, load, cursor, o.TLS); errs[i] == nil {
					r.Answered++
					_ = r.Latency.RecordValue(int64(took))
				}
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r := NewResult()
	for _, p := range parts {
		r.Add(p)
	}
	r.Elapsed = time.Since(began)
	return r, nil
}

// one is one connection of RunEach.
func one(ctx context.Context, to netip.AddrPort, number int, load Load, cursor *Cursor, config *tls.Config) (time.Duration, error) {
	began := time.Now()
	conn, err := dial(ctx, to, number, config)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if load == nil {
		return time.Since(began), nil
	}
	_ = conn.SetDeadline(began.Add(20 * time.Second))
	i, _ := cursor.take(load, 1)
	if _, err := conn.Write(load.Packet(i)); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	answer := make([]byte, headerLen, 64)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return 0, fmt.Errorf("no answer: %w", err)
	}
	size := int(binary.BigEndian.Uint32(answer[8:]))
	if size > 1024 {
		return 0, fmt.Errorf("an answer of %d bytes", size)
	}
	answer = append(answer, make([]byte, size)...)
	if _, err := io.ReadFull(conn, answer[headerLen:]); err != nil {
		return 0, fmt.Errorf("no answer: %w", err)
	}
	return time.Since(began), load.Check(i, answer)
}
