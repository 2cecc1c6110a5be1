// Package waker wakes an event loop of gnet from other goroutines. gnet's own way, EventLoop.Execute, makes two objects each time; this one writes a
// byte into a socket that the loop reads, and makes none.
package waker

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Waker is one loop's. Its life: New, then Close.
type Waker struct {
	ours  net.Conn
	run   func()
	ready atomic.Bool // the loop has its end
}

// New returns a waker that has a loop call run. Gnet tells it by OnOpen and OnTraffic for a connection whose context is the waker, which call Open and Run.
func New(loop gnet.EventLoop, run func()) (*Waker, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a pair of sockets to wake a loop: %w", err)
	}
	var ends [2]net.Conn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "waker")
		ends[i], err = net.FileConn(file) // a copy
		_ = file.Close()
		if err != nil {
			if i == 0 {
				_ = unix.Close(pair[1])
			} else {
				_ = ends[0].Close()
			}
			return nil, fmt.Errorf("take a socket to wake a loop: %w", err)
		}
	}
	w := &Waker{ours: ends[0], run: run}
	if _, err := loop.Enroll(gnet.NewContext(context.Background(), w), ends[1]); err != nil {
		return nil, fmt.Errorf("give a loop its end of a pair of sockets: %w", err)
	}
	return w, nil
}

// Open notes that the loop has its end.
func (w *Waker) Open() { w.ready.Store(true) }

// Wake makes the loop run soon. It returns false if that cannot be done yet, or any more.
func (w *Waker) Wake() bool {
	if w == nil || !w.ready.Load() {
		return false
	}
	_, err := w.ours.Write(ring[:])
	return err == nil
}

var ring = [1]byte{1}

// Run takes what was written off the loop's end, and runs.
func (w *Waker) Run(c gnet.Conn) {
	_, _ = c.Next(-1) // its only error is that there are fewer bytes
	w.run()
}

// Close ends the waker. The loop's end is gnet's to close.
func (w *Waker) Close() {
	if w != nil {
		w.ready.Store(false)
		_ = w.ours.Close()
	}
}
