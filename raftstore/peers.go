package raftstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"trine/raftstore/transport"
)

// What nodes ask each other, over streams of transport.ServiceLog. A stream carries calls, many at a time, until one of them asks for a
// transfer: then it carries the bytes of that and nothing else. Little endian:
//
//	call:   id u64, verb u8, length u32, body
//	answer: id u64, outcome u8, length u32, body
type verb byte

const (
	verbPropose verb = 1 + iota // a batch as in the log, its time not stamped -> index u64
	verbBarrier                 // -> index u64: what was committed before
	verbMember                  // JSON memberChange -> nothing
	verbStatus                  // -> JSON MemberStatus
	verbDigest                  // index u64 -> digest at that entry
	verbSeal                    // least index u64 -> a transfer: the seal, see install.go
	verbHistory                 // from, to u64 -> a transfer: facts, see backfill.go
)

// outcome says what became of a call.
type outcomeCode byte

const (
	outcomeDone      outcomeCode = iota
	outcomeNot                   // it was not done and will not be; the body says why
	outcomeUncertain             // it may have been done; the body says why
)

const (
	callHeader = 8 + 1 + 4
	// maxCall bounds what a call or an answer may carry.
	maxCall = 1 << 20
	// callTimeout is how long a call waits for its answer, and an answer for being taken.
	callTimeout = 3 * time.Second
	// dialTimeout is how long it takes at most to reach a node.
	dialTimeout = time.Second
)

var (
	// errNotSent means that a call did not reach the other node.
	errNotSent = errors.New("the node cannot be reached")
	// errLost means that a call was sent and not answered.
	errLost = errors.New("the node did not answer")
)

// refusedError is why a node did not do what it was asked.
type refusedError struct{ why string }

func (e *refusedError) Error() string { return e.why }

// peers are the ways to the other nodes, one for each.
type peers struct {
	mesh  transport.Mesh
	where func(node uint64) (string, bool) // of a member

	mu     sync.Mutex
	open   map[uint64]*peer
	closed bool
}

func newPeers(mesh transport.Mesh, where func(uint64) (string, bool)) *peers {
	return &peers{mesh: mesh, where: where, open: map[uint64]*peer{}}
}

// call asks a node for something and waits for the answer. Errors: errNotSent, errLost, a *refusedError, ctx's.
func (p *peers) call(ctx context.Context, node uint64, v verb, body []byte) ([]byte, error) {
	c := p.start(node, v, body)
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start sends a call, whose body must not change until it is done.
func (p *peers) start(node uint64, v verb, body []byte) *call {
	c := &call{verb: v, body: body, done: make(chan struct{})}
	if w := p.way(node); w == nil || !w.enqueue(c) {
		c.finish(nil, fmt.Errorf("ask node %016x: %w", node, errNotSent))
	}
	return c
}

// way returns the way to a node, which is opened when it is used; nil once all are closed.
func (p *peers) way(node uint64) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	w := p.open[node]
	if w == nil {
		w = &peer{node: node, queue: make(chan *call, maxInFlight), gone: make(chan struct{})}
		p.open[node] = w
		go func() {
			w.run(p)
			p.mu.Lock()
			if p.open[node] == w {
				delete(p.open, node)
			}
			p.mu.Unlock()
		}()
	}
	return w
}

// dial opens a stream to a member.
func (p *peers) dial(ctx context.Context, node uint64) (net.Conn, error) {
	where, ok := p.where(node)
	if !ok {
		return nil, fmt.Errorf("node %016x is no member, or is alone", node)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.mesh.Dial(ctx, node, where, transport.ServiceLog)
}

// drop ends the way to a node: what was asked there is lost.
func (p *peers) drop(node uint64) {
	p.mu.Lock()
	w := p.open[node]
	delete(p.open, node)
	p.mu.Unlock()
	if w != nil {
		w.end()
	}
}

// keep drops the ways to all nodes but one.
func (p *peers) keep(node uint64) {
	p.mu.Lock()
	var others []uint64
	for n := range p.open {
		if n != node {
			others = append(others, n)
		}
	}
	p.mu.Unlock()
	for _, n := range others {
		p.drop(n)
	}
}

func (p *peers) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.keep(0)
}

// transfer asks a node for a transfer and returns where to read it from.
func (p *peers) transfer(ctx context.Context, node uint64, v verb, body []byte) (io.ReadCloser, error) {
	conn, err := p.dial(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("ask node %016x: %w: %w", node, errNotSent, err)
	}
	if _, err = conn.Write(appendCall(nil, 1, byte(v), body)); err != nil {
		_ = conn.Close() // err says it
		return nil, fmt.Errorf("ask node %016x: %w", node, err)
	}
	return &timed{conn}, nil
}

// timed is a stream whose reader does not wait for ever.
type timed struct{ net.Conn }

// transferTimeout is how long a transfer may stand still.
const transferTimeout = 30 * time.Second

func (t *timed) Read(b []byte) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(transferTimeout)); err != nil {
		return 0, err
	}
	return t.Conn.Read(b)
}

func (t *timed) Write(b []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(transferTimeout)); err != nil {
		return 0, err
	}
	return t.Conn.Write(b)
}

// call is one question and its answer.
type call struct {
	verb   verb
	body   []byte
	sent   time.Time
	done   chan struct{}
	answer []byte
	err    error
}

func (c *call) finish(answer []byte, err error) {
	c.answer, c.err = answer, err
	close(c.done)
}

// peer is a way to one node. It ends with its stream; the next call makes another.
type peer struct {
	node  uint64
	queue chan *call
	gone  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	ended   bool
	pending map[uint64]*call
}

// enqueue takes a call unless the way has ended or is full.
func (w *peer) enqueue(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	select {
	case w.queue <- c:
		return true
	default:
		return false
	}
}

func (w *peer) end() { w.once.Do(func() { close(w.gone) }) }

// run opens the stream, sends calls, and takes answers, until something fails.
func (w *peer) run(p *peers) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-w.gone:
		case <-ctx.Done():
		}
		cancel()
	}()
	defer cancel()
	conn, err := p.dial(ctx, w.node)
	if err != nil {
		w.fail(fmt.Errorf("ask node %016x: %w: %w", w.node, errNotSent, err))
		return
	}
	w.mu.Lock()
	w.pending = map[uint64]*call{}
	w.mu.Unlock()
	go func() {
		w.listen(conn)
		w.end()
	}()
	err = w.talk(conn)
	_ = conn.Close() // err says it
	w.fail(fmt.Errorf("ask node %016x: %w: %w", w.node, errNotSent, err))
}

// talk sends what is asked.
func (w *peer) talk(conn net.Conn) error {
	out := bufio.NewWriterSize(conn, 64<<10)
	tick := time.NewTicker(callTimeout / 4)
	defer tick.Stop()
	var head []byte
	idle := 0
	for id := uint64(1); ; id++ {
		var c *call
		for c == nil {
			select {
			case c = <-w.queue:
			default:
				if err := out.Flush(); err != nil {
					return err
				}
				select {
				case c = <-w.queue:
				case <-w.gone:
					return io.ErrClosedPipe
				case now := <-tick.C:
					oldest, any := w.oldest()
					if any && now.Sub(oldest) > callTimeout {
						return errLost
					}
					if idle++; any {
						idle = 0
					} else if idle > 120 { // a minute and a half
						return io.EOF
					}
				}
			}
		}
		c.sent = time.Now()
		w.mu.Lock()
		w.pending[id] = c
		w.mu.Unlock()
		if err := conn.SetWriteDeadline(c.sent.Add(callTimeout)); err != nil {
			return err
		}
		head = appendCallHeader(head[:0], id, byte(c.verb), len(c.body))
		if _, err := out.Write(head); err != nil {
			return err
		}
		if _, err := out.Write(c.body); err != nil {
			return err
		}
	}
}

func (w *peer) oldest() (t time.Time, any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.pending {
		if !any || c.sent.Before(t) {
			t, any = c.sent, true
		}
	}
	return t, any
}

// listen takes answers.
func (w *peer) listen(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 16<<10)
	for {
		id, code, body, err := readCall(in)
		if err != nil {
			return
		}
		w.mu.Lock()
		c := w.pending[id]
		delete(w.pending, id)
		w.mu.Unlock()
		if c == nil {
			return
		}
		switch outcomeCode(code) {
		case outcomeDone:
			c.finish(body, nil)
		case outcomeNot:
			c.finish(nil, &refusedError{string(body)})
		default:
			c.finish(nil, fmt.Errorf("%w: %s", errLost, body))
		}
	}
}

// fail ends the way: calls that were sent are lost, the others were not sent.
func (w *peer) fail(err error) {
	w.end()
	w.mu.Lock()
	w.ended = true
	pending := w.pending
	w.pending = nil
	w.mu.Unlock()
	for _, c := range pending {
		c.finish(nil, fmt.Errorf("ask node %016x: %w", w.node, errLost))
	}
	for {
		select {
		case c := <-w.queue:
			c.finish(nil, err)
		default:
			return
		}
	}
}

func appendCallHeader(b []byte, id uint64, code byte, length int) []byte {
	b = binary.LittleEndian.AppendUint64(b, id)
	return binary.LittleEndian.AppendUint32(append(b, code), uint32(length))
}

func appendCall(b []byte, id uint64, code byte, body []byte) []byte {
	return append(appendCallHeader(b, id, code, len(body)), body...)
}

// readCall reads a call or an answer.
func readCall(in io.Reader) (id uint64, code byte, body []byte, err error) {
	var head [callHeader]byte
	if _, err = io.ReadFull(in, head[:]); err != nil {
		return 0, 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[9:])
	if n > maxCall {
		return 0, 0, nil, fmt.Errorf("a call of %d bytes, expected at most %d", n, maxCall)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(in, body)
	return binary.LittleEndian.Uint64(head[:]), head[8], body, err
}

// answering serves the calls of one stream.
type answering struct {
	conn net.Conn
	mu   sync.Mutex
	out  []byte
	room chan struct{} // one for each call that may be under way
}

// answersAtOnce bounds the calls of one stream that are under way.
const answersAtOnce = 2 * maxInFlight

// serve answers what another node asks over a stream, until it ends or asks for a transfer.
func (s *Store) serve(from uint64, conn net.Conn) {
	defer func() { _ = conn.Close() }() // the other side is told by its end
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.closed:
			_ = conn.Close() // so that nobody waits for more
		case <-stop:
		}
	}()
	a := &answering{conn: conn, room: make(chan struct{}, answersAtOnce)}
	in := bufio.NewReaderSize(conn, 64<<10)
	for {
		id, code, body, err := readCall(in)
		if err != nil {
			return
		}
		v := verb(code)
		if _, ok := s.member(from); !ok && v != verbStatus {
			s.cfg.Logger.Warn("a node that is no member asks for something", "node", fmt.Sprintf("%016x", from), "verb", v)
			a.reply(id, nil, &refusedError{fmt.Sprintf("node %016x is no member, as far as is known here", from)})
			continue
		}
		switch v {
		case verbSeal, verbHistory:
			if err := s.transfer(&timed{conn}, v, body); err != nil {
				s.cfg.Logger.Info("a transfer to another node ended early", "node", fmt.Sprintf("%016x", from), "error", err)
			}
			return
		default:
			a.room <- struct{}{}
			s.handle(from, v, body, func(answer []byte, err error) {
				a.reply(id, answer, err)
				<-a.room
			})
		}
	}
}

func (a *answering) reply(id uint64, answer []byte, err error) {
	code := outcomeDone
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		code, answer = outcomeNot, []byte(refused.why)
	case err != nil:
		code, answer = outcomeUncertain, []byte(err.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.out = appendCall(a.out[:0], id, byte(code), answer)
	if e := a.conn.SetWriteDeadline(time.Now().Add(callTimeout)); e != nil {
		return
	}
	if _, e := a.conn.Write(a.out); e != nil {
		_ = a.conn.Close() // whoever reads it ends
	}
}
