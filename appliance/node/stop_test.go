package node

import (
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"trine/appliance/admin/client"
)

// terminate asks a node to stop as a service manager does, and waits for it.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if <-p.ended; p.failed != nil {
		t.Fatalf("the node did not stop in order: %v\n%s", p.failed, p.log)
	}
}

// TestStoppingUnderLoadLosesNothing stops the node in order while NASes send, which go on until the next one answers them: what
// the old one recorded without an answer must not be there twice.
func TestStoppingUnderLoadLosesNothing(t *testing.T) {
	data := t.TempDir()
	node := startProcess(t, data, nil)
	stop := make(chan struct{})
	acked, devices := load(t, netip.MustParseAddrPort(node.addresses.RadiusAccounting[0]), "testing123", 16, stop)
	for range 3 {
		before := len(acked.snapshot())
		until(t, "records", node, func() bool { return len(acked.snapshot()) > before+100 })
		began := time.Now()
		node.terminate(t)
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("the node took %v to stop", took)
		}
		node = startProcess(t, data, &node.addresses)
	}
	before := len(acked.snapshot())
	until(t, "records", node, func() bool { return len(acked.snapshot()) > before+100 })
	close(stop)
	devices.Wait()
	c, err := client.New(client.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	book := ledger{records: map[record]int{}}
	book.read(t, c)
	book.check(t, acked.snapshot(), 0)
	node.quit(t)
}

func TestServiceManagerIsToldOfEachStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	next := func(want string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			switch string(buf[:n]) {
			case want:
				return
			case "WATCHDOG=1": // as many as it likes
			default:
				t.Fatalf("expected %s, found %q", want, buf[:n])
			}
		}
	}
	node := startProcess(t, t.TempDir(), nil)
	next("READY=1")
	next("WATCHDOG=1")
	node.terminate(t)
	next("STOPPING=1")
}
