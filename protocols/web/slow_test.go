package web

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// slowKinds are ways of being slow. Each opens a connection, does what it does until the server has to wait for it, and returns what it sends of a byte at a time.
var slowKinds = []struct {
	name  string
	share int // of 20
	open  func(c net.Conn) (rest string, err error)
}{
	{"says nothing", 8, func(net.Conn) (string, error) { return "\x16\x03\x01\x02\x00", nil }},
	{"a handshake that does not go on", 8, func(c net.Conn) (string, error) {
		_, err := c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01"))
		return strings.Repeat("\x00", 64), err
	}},
	{"a slow header", 2, func(c net.Conn) (string, error) {
		_, err := io.WriteString(c, "GET /fast HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		return strings.Repeat("x", 64), err
	}},
	{"a slow body", 1, func(c net.Conn) (string, error) {
		_, err := io.WriteString(c, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nflow=")
		return strings.Repeat("x", 64), err
	}},
	{"slow reading", 1, func(c net.Conn) (string, error) { // many requests for what it reads nothing of
		p, err := newPages()
		if err == nil {
			_, err = io.WriteString(c, strings.Repeat("GET /login/static/"+p.names["page.css"]+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 40))
		}
		return "", err
	}},
}

const slowClientEnv = "TRINE_SLOW_CLIENTS" // address and number of connections

// TestSlowClientProcess is no test: it is the clients of TestSlowClientsDoNotKeepOthersFromBeingServed, in a process of their own as each end of a connection takes a file.
func TestSlowClientProcess(t *testing.T) {
	address, number, ok := strings.Cut(os.Getenv(slowClientEnv), " ")
	if !ok {
		t.Skip("runs as the clients of another test")
	}
	count, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	type slow struct {
		c    net.Conn
		rest string
	}
	var mu sync.Mutex
	var all []slow
	var failed atomic.Int64
	var wg sync.WaitGroup
	next := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				n := i % 20
				kind := 0
				for n >= slowKinds[kind].share {
					n -= slowKinds[kind].share
					kind++
				}
				from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%50))}
				c, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", address)
				if err == nil && kind == 4 {
					err = c.(*net.TCPConn).SetReadBuffer(4 << 10)
				}
				if err == nil && kind >= 2 {
					s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, CurvePreferences: []tls.CurveID{tls.X25519}}) //nolint:gosec // a test
					err = s.Handshake()
					c = s
				}
				var rest string
				if err == nil {
					rest, err = slowKinds[kind].open(c)
				}
				if err != nil {
					if failed.Add(1) == 1 {
						fmt.Println("error", err)
					}
					continue
				}
				mu.Lock()
				all = append(all, slow{c, rest})
				mu.Unlock()
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
	fmt.Println("open", len(all))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		sent := 0
		for i := range all {
			if s := &all[i]; s.rest != "" {
				if _, err := io.WriteString(s.c, s.rest[:1]); err == nil {
					s.rest = s.rest[1:]
					sent++
				}
			}
		}
		fmt.Println("sent", sent)
	}
}

// slowClients starts the process of slow clients, and returns how many connections it has, and what has each send a byte and returns how many could.
func slowClients(t *testing.T, address string, count int) (opened int, more func() int) {
	t.Helper()
	p := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSlowClientProcess$", "-test.v") //nolint:gosec // the test itself
	p.Env = append(os.Environ(), slowClientEnv+"="+address+" "+strconv.Itoa(count))
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = p.Wait()
	})
	lines := bufio.NewScanner(out)
	answer := func(word string) (n int) {
		t.Helper()
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), word+" "); ok {
				n, err := strconv.Atoi(text)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if strings.HasPrefix(lines.Text(), "error ") {
				t.Log(lines.Text())
			}
		}
		t.Fatal("the slow clients have ended")
		return 0
	}
	return answer("open"), func() int {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		return answer("sent")
	}
}

// roomFor raises the limit of open files to what is allowed, and returns how many slow clients there can be.
func roomFor(t *testing.T, want int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if room := int(min(limit.Max, 1<<30)) - 1000; room < want {
		t.Logf("only %d slow clients instead of %d, as the hard limit of open files is %d", room, want, limit.Max)
		return room
	}
	return want
}

// memory returns the bytes that the process has in use.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to this: " + what)
		}
	}
}

// perClient is how much memory one slow client may take.
const perClient = 80 << 10

func TestSlowClientsDoNotKeepOthersFromBeingServed(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 10,000 connections")
	}
	count := roomFor(t, 10_000)
	r := newRig(t, house, func(c *Config) { // no deadline comes into it
		c.Limits = Limits{Connections: count + 100, HeaderTime: time.Hour, RequestTime: time.Hour, Idle: time.Hour}
	})
	before := memory()
	opened, more := slowClients(t, r.front.Addrs()[0].String(), count)
	if opened != count {
		t.Fatalf("%d of %d slow clients are connected", opened, count)
	}
	eventually(t, "all are counted", func() bool { return r.front.Stats().Connections == count })
	for range 2 {
		more()
		r.browser().get("/go?sp=shop&id=1").fill("name", "alice", "secret", "wonderland").says("done request 1 alice")
	}
	if used := int64(memory()) - int64(before); used > int64(count)*perClient {
		t.Errorf("%d slow clients take %d bytes, %d each", count, used, used/int64(count))
	} else {
		t.Logf("%d bytes for each slow client", used/int64(count))
	}
	// Beyond the bound those make room who have got nothing done for longest, and newcomers are served.
	for range 130 {
		r.browser().get("/fast").with(200)
	}
	s := r.front.Stats()
	if s.Connections > count+100 || s.Displaced == 0 || s.Rejected != 0 {
		t.Errorf("%+v", s)
	}
	if r.browser().get("/go?sp=shop&id=2").fill("name", "alice", "secret", "wonderland").says("done request 2 alice"); r.front.Stats().Displaced > 200 {
		t.Errorf("%d connections were closed for 130 others", r.front.Stats().Displaced)
	}
}

func TestSlowClientsAreClosedByTheirDeadlines(t *testing.T) {
	r := newRig(t, house, func(c *Config) {
		c.Limits = Limits{HeaderTime: 500 * time.Millisecond, RequestTime: 700 * time.Millisecond, Idle: time.Second}
	})
	r.front.doors[0].server.WriteTimeout = time.Second
	opened, _ := slowClients(t, r.front.Addrs()[0].String(), 200)
	if opened < 100 { // some may be closed already
		t.Fatalf("%d of 200 slow clients were connected", opened)
	}
	r.browser().get("/fast").with(200).get("/bye").with(200)
	eventually(t, "no connection is left", func() bool { return r.front.Stats().Connections == 0 })
	if s := r.front.Stats(); s.Accepted < 200 {
		t.Errorf("%+v", s)
	}
}

func TestOneAddressHasABoundedNumberOfConnections(t *testing.T) {
	r := newRig(t, house, func(c *Config) { c.Limits.PerSource = 5 })
	address := r.front.Addrs()[0].String()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, 1)}}
	var list []net.Conn
	for range 12 {
		c, err := from.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		list = append(list, c)
	}
	eventually(t, "those above the bound are refused", func() bool { s := r.front.Stats(); return s.Rejected == 7 && s.Connections == 5 })
	r.browser().get("/fast").with(200) // from elsewhere
	for _, c := range list {
		_ = c.Close()
	}
	eventually(t, "they are forgotten", func() bool {
		g := r.front.doors[0].listener.(*gate)
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.from) <= 1
	})
	c, err := from.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "there is room again", func() bool { return r.front.Stats().Rejected == 7 && r.front.Stats().Connections >= 1 })
}
