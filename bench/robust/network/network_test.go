package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var (
	here  = netip.MustParseAddr("10.77.0.1")
	there = netip.MustParseAddr("10.77.0.2")
)

func two(t *testing.T) (*Network, *Host, *Host) {
	t.Helper()
	if err := Missing(); err != nil {
		t.Skip(err)
	}
	n := New(1)
	t.Cleanup(n.Close)
	var hosts []*Host
	for _, a := range []netip.Addr{here, there} {
		h, err := n.Host(a)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return n, hosts[0], hosts[1]
}

func listen(t *testing.T, h *Host) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.Address(), 9)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// arrives reports whether one of a few datagrams from one socket arrives at the other.
func arrives(t *testing.T, from, to *net.UDPConn) bool {
	t.Helper()
	buffer := make([]byte, 100)
	for try := range 3 {
		text := t.Name() + string(rune('a'+try))
		if _, err := from.WriteTo([]byte(text), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		_ = to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		size, _, err := to.ReadFrom(buffer)
		if err == nil && string(buffer[:size]) == text {
			return true
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	return false
}

func TestCutIsOfOneDirection(t *testing.T) {
	n, a, b := two(t)
	from, to := listen(t, a), listen(t, b)
	if !arrives(t, from, to) || !arrives(t, to, from) {
		t.Fatal("a network without a fault delivers nothing")
	}
	n.Set(here, there, Link{Cut: true})
	if arrives(t, from, to) {
		t.Error("a packet came through a link that is cut")
	}
	if !arrives(t, to, from) {
		t.Error("the other direction is cut too")
	}
	n.Set(here, there, Link{Loss: 1})
	if arrives(t, from, to) {
		t.Error("a packet came through a link that loses all")
	}
	n.Heal()
	if !arrives(t, from, to) {
		t.Error("what was healed delivers nothing")
	}
}

func TestDelayDelays(t *testing.T) {
	n, a, b := two(t)
	from, to := listen(t, a), listen(t, b)
	const late = 50 * time.Millisecond
	n.Set(here, there, Link{Delay: late, Vary: late})
	began := time.Now()
	if !arrives(t, from, to) {
		t.Fatal("a late packet never came")
	}
	if took := time.Since(began); took < late {
		t.Errorf("a packet that comes %v late was there after %v", late, took)
	}
}

func TestProcessesAreInTheirHost(t *testing.T) {
	_, a, _ := two(t)
	var out []byte
	err := a.Do(func() (err error) {
		out, err = exec.Command("cat", "/proc/net/fib_trie").CombinedOutput()
		return err
	})
	if err != nil || !strings.Contains(string(out), here.String()) || strings.Contains(string(out), there.String()) {
		t.Errorf("a process in the host %s has these addresses (%v):\n%s", here, err, out)
	}
}
