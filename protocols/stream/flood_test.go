package stream

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// half opens connections from 127.0.0.1 without Go's objects for them, says what is given on each, and leaves them so.
func half(t *testing.T, e *Engine, n int, say []byte) {
	t.Helper()
	fds := make([]int, 0, n)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	to := &unix.SockaddrInet4{Port: int(e.Addr(0).Port()), Addr: [4]byte{127, 0, 0, 1}}
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if len(say) > 0 {
			if _, err := unix.Write(fd, say); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// heap returns the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHalfOpenConnectionsCostLittleAndHonestClientsAreServed(t *testing.T) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, (int(min(files.Cur, 1<<20))-1000)/2) // both ends are this process's
	if n < 5000 {
		t.Skipf("%d files may be open, and 5,000 connections need 11,000 (ulimit -n)", files.Cur)
	}
	const perConnection = 800 // bytes, gnet's objects and the tables of both included; see DESIGN.md
	for name, say := range map[string][]byte{
		"nothing said":  nil,
		"half a header": {'e'},
		// 2,000 bytes are announced, but only what came is kept.
		"half a frame": {'e', 0, 0x07, 0xd4, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := startFor(t, Config{Timeouts: Timeouts{FirstByte: time.Minute, Frame: time.Minute}}, network(n))
			honest := dialFrom(t, e, "127.0.1.1")
			send(t, honest, frame('e', "x"))
			expect(t, honest, frame('e', "x"))
			before := heap()
			half(t, e, n, say)
			eventually(t, "all are open", func() bool {
				return e.Totals().Open == n+1 && e.Totals().BytesIn == uint64(n*len(say)+5)
			})
			each := int(heap()-before) / n
			t.Logf("%d bytes a connection", each)
			if each > perConnection {
				t.Errorf("a half-open connection holds %d bytes, more than %d", each, perConnection)
			}
			for range 100 {
				send(t, honest, frame('e', "served"))
				expect(t, honest, frame('e', "served"))
			}
			another := dialFrom(t, e, "127.0.1.2")
			send(t, another, frame('e', "served"))
			expect(t, another, frame('e', "served"))
			newest := dial(t, e) // one more of the flood's
			if k, err := newest.Read(make([]byte, 1)); k > 0 || err == nil {
				t.Fatal("the flood gets more connections than one client may have")
			}
			ends(t, e, RefusedClient, 1)
		})
	}
}

func TestIncompleteFramesShareABound(t *testing.T) {
	e, _ := start(t, Config{Loops: 1, Limits: Limits{Partial: 64 << 10}})
	honest := dial(t, e)
	send(t, honest, frame('e', "x"))
	expect(t, honest, frame('e', "x"))
	part := frame('e', string(make([]byte, 4000)))[:4000]
	half(t, e, 40, part)
	eventually(t, "all but 16 or fewer are closed", func() bool {
		total := e.Totals()
		return total.BytesIn >= 40*4000 && total.Ended[PartialFull] >= 24
	})
	if kept := e.Totals().Open - 1; kept < 10 {
		t.Fatalf("only %d incomplete frames of 4,000 bytes are kept in 64 KiB", kept)
	}
	send(t, honest, frame('e', "y"))
	expect(t, honest, frame('e', "y"))
}

func TestWhoSaysNothingMakesRoom(t *testing.T) {
	e, _ := start(t, Config{Loops: 1, Limits: Limits{Connections: 3}, Timeouts: Timeouts{FirstByte: time.Minute}})
	honest := dial(t, e)
	send(t, honest, frame('e', "x"))
	expect(t, honest, frame('e', "x"))
	half(t, e, 2, nil) // the room that is left
	eventually(t, "all are open", func() bool { return e.Totals().Open == 3 })
	for n := range 5 {
		c := dial(t, e)
		send(t, c, frame('e', "x"))
		if n >= 2 { // now all have spoken
			if k, err := c.Read(make([]byte, 1)); k > 0 || err == nil {
				t.Fatal("who has spoken makes room")
			}
			ends(t, e, RefusedFull, uint64(n-1))
			continue
		}
		expect(t, c, frame('e', "x"))
		ends(t, e, Evicted, uint64(n+1))
	}
	send(t, honest, frame('e', "y"))
	expect(t, honest, frame('e', "y"))
}

func TestFullFileTableMakesRoomAndDoesNotEndTheLoops(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	const n = 400
	clients := make([]int, n)
	for i := range clients {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = fd
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	tight := before
	tight.Cur = uint64(clients[n-1]) + 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	e, _ := start(t, Config{Loops: 1}) // accepts in the order in which they connect
	to := &unix.SockaddrInet4{Port: int(e.Addr(0).Port()), Addr: [4]byte{127, 0, 0, 1}}
	first := raw(clients[0])
	for i, fd := range clients {
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			send(t, first, frame('e', "x"))
			expect(t, first, frame('e', "x"))
		}
	}
	eventually(t, "all are accepted, in the place of others", func() bool { return e.Totals().Accepted == n })
	if total := e.Totals(); total.Open < 10 || total.Open > 200 || total.Ended[Evicted]+uint64(total.Open) != n || total.Ended[RefusedDescriptors] > 0 {
		t.Fatalf("totals %+v", total)
	}
	send(t, first, frame('e', "y"))
	expect(t, first, frame('e', "y"))
	select {
	case <-e.Done():
		t.Fatal(e.Err())
	default:
	}
}

func TestFailureToAcceptIsTold(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	e, _ := start(t, Config{files: 1 << 20})
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	none := before
	none.Cur = 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(e.Addr(0).Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is told")
	}
	if e.Err() == nil {
		t.Fatal("no reason is told")
	}
	t.Log(e.Err())
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	if err := e.Stop(t.Context()); err != nil { // it still ends in order
		t.Fatal(err)
	}
}
