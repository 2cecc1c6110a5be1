package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestStopWaitsForExchangesUnderWay(t *testing.T) {
	e, w := start(t, Config{})
	idle, busy, held := dial(t, e), dial(t, e), dial(t, e)
	for _, c := range []*net.TCPConn{idle, busy, held} {
		send(t, c, frame('e', "x"))
		expect(t, c, frame('e', "x"))
	}
	send(t, busy, frame('l', "late"))
	send(t, held, frame('h', "held"))
	eventually(t, "both are heard", func() bool { return e.Totals().Frames == 5 })
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stopped <- e.Stop(ctx)
	}()
	expect(t, held, frame('h', "held"))
	late := dial(t, e)
	if n, err := late.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("a new connection was served")
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped with an answer left: %v", err)
	default:
	}
	w.letGo <- struct{}{}
	expect(t, busy, frame('l', "late"))
	for _, c := range []*net.TCPConn{idle, busy, held} {
		expectEnd(t, c)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	total := e.Totals()
	if total.Ended[ClosedByStop] != 3 || total.Ended[RefusedStopping] != 1 || total.Open != 0 {
		t.Fatalf("totals %+v", total)
	}
	select {
	case <-e.Done():
	default:
		t.Fatal("not done")
	}
	if e.Err() != nil {
		t.Fatal(e.Err())
	}
}

func TestStopHasADeadline(t *testing.T) {
	e, _ := start(t, Config{})
	c := dial(t, e)
	send(t, c, frame('h', "for ever"))
	eventually(t, "it is heard", func() bool { return e.Totals().Frames == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error is %v", err)
	}
	expectEnd(t, c)
}

func TestStopUnderLoadAnswersWhatItTook(t *testing.T) {
	e, _ := start(t, Config{})
	var clients sync.WaitGroup
	var answers atomic.Uint64
	for range 20 {
		c := dial(t, e)
		clients.Go(func() {
			f := frame('e', "under load")
			buf := make([]byte, len(f))
			for {
				if _, err := c.Write(f); err != nil {
					return
				}
				// Either the whole answer or the end: no answer is cut.
				if n, err := io.ReadFull(c, buf); err != nil {
					if n > 0 {
						t.Errorf("an answer was cut after %d bytes: %v", n, err)
					}
					return
				}
				answers.Add(1)
			}
		})
	}
	eventually(t, "load", func() bool { return e.Totals().Frames > 1000 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	total := e.Totals()
	if answers.Load() != total.Frames {
		t.Fatalf("%d answers came to %d frames", answers.Load(), total.Frames)
	}
	if total.Open != 0 || total.Ended[ClosedByStop]+total.Ended[ClosedByPeer] != 20 {
		t.Fatalf("totals %+v", total)
	}
}
