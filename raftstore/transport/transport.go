// Package transport carries raft's messages between nodes. A member's address in raft's configuration says which node is where; what
// the where stands for is looked up when it is dialled. A lone voter sends nothing, and gets a transport within the process.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// rpcTimeout bounds one call of raft's, and for each 256 KiB of a seal.
	rpcTimeout = 2 * time.Second
	// pooled is how many idle streams are kept open to each member.
	pooled = 3
	// persistence is how long entries are offered to a node that does not answer, before raft is told, and again how long after.
	persistence = 30 * time.Second
	again       = 50 * time.Millisecond
)

// ID returns raft's id of a node: its number in 16 hexadecimal digits.
func ID(node uint64) raft.ServerID { return raft.ServerID(fmt.Sprintf("%016x", node)) }

// Node returns the number that an id is of; false if it is none.
func Node(id raft.ServerID) (uint64, bool) {
	n, err := strconv.ParseUint(string(id), 16, 64)
	return n, err == nil && len(id) == 16
}

// Address returns the address of a node in raft's configuration: its id, and after an @ where it is, unless it is alone.
func Address(node uint64, where string) raft.ServerAddress {
	if where == "" {
		return raft.ServerAddress(ID(node))
	}
	return raft.ServerAddress(string(ID(node)) + "@" + where)
}

// ParseAddress takes an address of raft's configuration apart; where is empty for a lone voter.
func ParseAddress(a raft.ServerAddress) (node uint64, where string, ok bool) {
	id, where, _ := strings.Cut(string(a), "@")
	node, ok = Node(raft.ServerID(id))
	return node, where, ok
}

// Alone returns the transport of a lone voter, which reaches nobody.
func Alone(node uint64) raft.Transport {
	_, t := raft.NewInmemTransportWithTimeout(Address(node, ""), time.Second)
	return t
}

// Transport carries raft's messages over a mesh. What a node says in another's name is refused: the header of each message is held against
// the node at the other end of its stream.
type Transport struct {
	*raft.NetworkTransport // of the streams that this node opens
	mesh                   Mesh
	logger                 hclog.Logger
	calls                  chan raft.RPC
	closed                 chan struct{}
	abandon                sync.Once
	abandoned              chan struct{}
	hooks                  Hooks

	mu        sync.Mutex
	receivers map[uint64]*receiver
	heartbeat func(raft.RPC)
	ended     bool
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// Hooks are what a node wants to know of states that are sent. Both are called from several goroutines.
type Hooks struct {
	// Sending is asked before the state at an entry is sent to a member; with an error it is not sent.
	Sending func(node, index uint64) error
	// Answered is told when raft has answered the leader that sent a state, well or not.
	Answered func()
}

// New returns raft's transport over a mesh, for the node with a number.
func New(node uint64, mesh Mesh, logger hclog.Logger, hooks Hooks) *Transport {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	t := &Transport{mesh: mesh, logger: logger, calls: make(chan raft.RPC), closed: make(chan struct{}), abandoned: make(chan struct{}), hooks: hooks, receivers: map[uint64]*receiver{}}
	t.NetworkTransport = network(&layer{mesh: mesh, at: Address(node, mesh.Address()), streams: make(chan net.Conn), closed: make(chan struct{})}, logger)
	mesh.Handle(ServiceRaft, t.serve)
	return t
}

func network(l *layer, logger hclog.Logger) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: l, MaxPool: pooled, Timeout: rpcTimeout, Logger: logger,
	})
}

// receiver takes the messages of one other node.
type receiver struct {
	*raft.NetworkTransport
	layer *layer
}

// serve takes a stream that another node opened.
func (t *Transport) serve(from uint64, stream net.Conn) {
	r := t.receiver(from)
	if r == nil {
		_ = stream.Close() // nothing was said yet
		return
	}
	select {
	case r.layer.streams <- stream:
	case <-r.layer.closed:
		_ = stream.Close() // the same
	}
}

func (t *Transport) receiver(from uint64) *receiver {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil
	}
	r := t.receivers[from]
	if r == nil {
		l := &layer{mesh: t.mesh, at: t.LocalAddr(), streams: make(chan net.Conn), closed: make(chan struct{})}
		r = &receiver{network(l, t.logger), l}
		t.receivers[from] = r
		r.SetHeartbeatHandler(t.checked(from))
		go t.relay(from, r)
	}
	return r
}

// relay hands the messages of one node to raft.
func (t *Transport) relay(from uint64, r *receiver) {
	for {
		select {
		case call := <-r.Consumer():
			if err := inName(from, call); err != nil {
				refuse(call, err)
				continue
			}
			if _, ok := call.Command.(*raft.InstallSnapshotRequest); ok {
				call = t.watched(call)
			}
			select {
			case t.calls <- call:
			case <-t.closed:
				refuse(call, raft.ErrTransportShutdown)
			}
		case <-t.closed:
			return
		}
	}
}

// watched returns a call whose answer is passed on, and told of.
func (t *Transport) watched(call raft.RPC) raft.RPC {
	answer, leader := make(chan raft.RPCResponse, 1), call.RespChan
	call.RespChan = answer
	go func() {
		select {
		case a := <-answer:
			leader <- a // it has room for one
			t.hooks.Answered()
		case <-t.closed:
		}
	}()
	return call
}

// checked returns how heartbeats of a node are handled, which do not wait for raft's turn.
func (t *Transport) checked(from uint64) func(raft.RPC) {
	return func(call raft.RPC) {
		if err := inName(from, call); err != nil {
			refuse(call, err)
			return
		}
		t.mu.Lock()
		handle := t.heartbeat
		t.mu.Unlock()
		if handle == nil {
			refuse(call, errors.New("raft is not ready yet"))
			return
		}
		handle(call)
	}
}

func refuse(call raft.RPC, err error) {
	if call.Reader != nil {
		_, _ = io.Copy(io.Discard, call.Reader) // the answer comes after it
	}
	call.Respond(nil, err)
}

// inName returns an error unless a message names the node that sent it.
func inName(from uint64, call raft.RPC) error {
	m, ok := call.Command.(raft.WithRPCHeader)
	if !ok {
		return fmt.Errorf("a message of node %016x without a header", from)
	}
	if h := m.GetRPCHeader(); raft.ServerID(h.ID) != ID(from) {
		return fmt.Errorf("node %016x speaks in the name of %.32q", from, h.ID)
	}
	return nil
}

// AppendEntries implements raft.Transport. Where a node cannot be reached it tries again for a while: raft, once told, waits longer and longer before it tries
// itself, up to ten seconds, and a node that is back would be without the log for so long.
func (t *Transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	for end := time.Now().Add(persistence); ; {
		err := t.NetworkTransport.AppendEntries(id, target, args, resp)
		if err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-t.abandoned:
			return err
		case <-time.After(again):
		}
	}
}

// InstallSnapshot implements raft.Transport.
func (t *Transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	node, _, ok := ParseAddress(target)
	if !ok {
		return fmt.Errorf("send a state: %.80q is no member's address", target)
	}
	if err := t.hooks.Sending(node, args.LastLogIndex); err != nil {
		return err
	}
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// AppendEntriesPipeline implements raft.Transport. Raft waits for ever for room in a pipeline whose answers it reads no more, as after one of a newer term: so a
// pipeline that takes nothing for long, or is abandoned, ends.
func (t *Transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, ended: make(chan struct{})}
	go func() {
		select {
		case <-t.abandoned:
			_ = p.Close() // whoever sends is told
		case <-p.ended:
		}
	}()
	return p, nil
}

// pipeline is a raft.AppendPipeline that ends when it stands still.
type pipeline struct {
	raft.AppendPipeline
	once  sync.Once
	ended chan struct{}
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	still := time.AfterFunc(2*rpcTimeout, func() { _ = p.Close() }) // whoever sends is told
	defer still.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.ended) })
	return p.AppendPipeline.Close()
}

// Abandon ends the trying of what is under way. It comes before raft's shutdown, which waits for it.
func (t *Transport) Abandon() { t.abandon.Do(func() { close(t.abandoned) }) }

// Consumer implements raft.Transport.
func (t *Transport) Consumer() <-chan raft.RPC { return t.calls }

// SetHeartbeatHandler implements raft.Transport.
func (t *Transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heartbeat = handle
}

// Close ends all streams; the mesh stays.
func (t *Transport) Close() error {
	t.mesh.Handle(ServiceRaft, nil)
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return nil
	}
	t.ended = true
	receivers := t.receivers
	t.mu.Unlock()
	close(t.closed)
	t.CloseStreams()
	err := t.NetworkTransport.Close()
	for _, r := range receivers {
		r.CloseStreams()
		err = errors.Join(err, r.Close())
	}
	return err
}

// layer is where a raft.NetworkTransport finds its streams.
type layer struct {
	mesh    Mesh
	at      raft.ServerAddress
	streams chan net.Conn
	once    sync.Once
	closed  chan struct{}

	mu    sync.Mutex
	open  map[*taken]struct{}
	ended bool
}

var _ raft.StreamLayer = (*layer)(nil)

// Dial implements raft.StreamLayer.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	node, where, ok := ParseAddress(address)
	if !ok || where == "" {
		return nil, fmt.Errorf("dial member: %.80q does not say where it is", address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.mesh.Dial(ctx, node, where, ServiceRaft)
}

// Accept implements net.Listener.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.streams:
		t := &taken{Conn: c, of: l}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ended {
			_ = c.Close() // nobody read it
			return nil, net.ErrClosed
		}
		if l.open == nil {
			l.open = map[*taken]struct{}{}
		}
		l.open[t] = struct{}{}
		return t, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Streams that were accepted end: raft reads them until then.
func (l *layer) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.mu.Lock()
	open := l.open
	l.open, l.ended = nil, true
	l.mu.Unlock()
	for t := range open {
		_ = t.Conn.Close() // whoever reads it is told
	}
	return nil
}

// Addr implements net.Listener.
func (l *layer) Addr() net.Addr { return address(l.at) }

// taken is a stream that was accepted and is forgotten when it is closed.
type taken struct {
	net.Conn
	of *layer
}

// Close implements net.Conn.
func (t *taken) Close() error {
	t.of.mu.Lock()
	delete(t.of.open, t)
	t.of.mu.Unlock()
	return t.Conn.Close()
}

// address is a member's address as a net.Addr.
type address string

// Network implements net.Addr.
func (address) Network() string { return "trine" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
