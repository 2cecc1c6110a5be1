package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"trine/bench/robust/disk"
	"trine/bench/robust/network"
)

const (
	authenticationPort = 1812
	accountingPort     = 1813
	clusterPort        = 1800

	// readyWithin is how long a node may take until it serves, on a machine that others use too.
	readyWithin = 90 * time.Second
	// stopWithin is how long a node may take to stop in order.
	stopWithin = 60 * time.Second
)

// node is one node of the cluster: a place on the network, a disk, and a process where it runs.
type node struct {
	number  int
	name    string // of the place; the member in it has another name after each that was replaced
	host    *network.Host
	disk    *disk.Disk // nil: a folder
	folder  string     // of the data directory and what belongs to it
	binary  string
	options []string // of serve, beyond those that all nodes have
	cluster bool     // the node is told where it listens for others
	clock   []byte   // the mapped file that moves its clock; nil: it cannot be moved
	client  *http.Client
	emptied atomic.Int32 // how often it was replaced by an empty one
	damaged []bit        // what was flipped in it and did not keep it from serving

	mu      sync.Mutex
	wanted  bool          // that the process ends; else it has died
	fragile bool          // it may die: something of it was damaged
	deaths  []string      // of a node that nobody ended
	process *exec.Cmd     // nil: none runs
	ended   chan struct{} // closed when the process ended
	failed  error         // how the process ended
	fit     time.Time     // since when it runs undisturbed; zero: it does not
	spells  []span        // in which it did
}

// span is a time from, until.
type span struct{ from, until time.Time }

func newNode(number int, host *network.Host, folder, binary string, disks bool) (*node, error) {
	n := &node{number: number, name: fmt.Sprintf("n%d", number), host: host, folder: folder, binary: binary}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of a node: %w", err)
	}
	if disks {
		var err error
		if n.disk, err = disk.New(folder); err != nil {
			return nil, err
		}
	}
	if err := n.mapClock(); err != nil {
		return nil, err
	}
	n.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", filepath.Join(n.data(), "trine.sock"))
		},
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second,
	}}
	return n, nil
}

// data returns the node's data directory. A node that was replaced has another.
func (n *node) data() string {
	root := n.folder
	if n.disk != nil {
		root = n.disk.Path()
	}
	return filepath.Join(root, fmt.Sprintf("data%d", n.emptied.Load()))
}

// member returns the name by which the node is in the cluster.
func (n *node) member() string {
	if times := n.emptied.Load(); times > 0 {
		return fmt.Sprintf("%s-%d", n.name, times)
	}
	return n.name
}

func (n *node) clockFile() string { return filepath.Join(n.folder, "clock") }

func (n *node) mapClock() error {
	f, err := os.Create(n.clockFile())
	if err != nil {
		return fmt.Errorf("make the file that moves a clock: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return fmt.Errorf("make the file that moves a clock: %w", err)
	}
	if n.clock, err = unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map the file that moves a clock: %w", err)
	}
	return nil
}

// moveClock sets the node's clock off by that much.
func (n *node) moveClock(by time.Duration) {
	atomic.StoreInt64((*int64)(unsafe.Pointer(&n.clock[0])), int64(by/time.Second))
}

func (n *node) authentication() netip.AddrPort {
	return netip.AddrPortFrom(n.host.Address(), authenticationPort)
}

func (n *node) accounting() netip.AddrPort {
	return netip.AddrPortFrom(n.host.Address(), accountingPort)
}

func (n *node) String() string { return n.name }

// start starts the node and waits until it serves. The error says what it said.
func (n *node) start(ctx context.Context, extra ...string) error {
	if err := n.launch(extra...); err != nil {
		return err
	}
	return n.serving(ctx)
}

// launch starts the process.
func (n *node) launch(extra ...string) error {
	if err := os.Remove(filepath.Join(n.data(), "addresses.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the addresses of an earlier run: %w", err)
	}
	arguments := []string{
		"serve", "--data", n.data(), "--node-name", n.member(),
		"--radius-authentication", n.authentication().String(), "--radius-accounting", n.accounting().String(),
		"--tacacs-listen", "127.0.0.1:49", "--management-listen", "127.0.0.1:1444", "--radius-loops", "1", "--worker-parallel", "1",
		"--seal-bytes", "1048576", "--minimum-free", fmt.Sprint(minimumFree), "--trace-accepts", "0",
	}
	if n.cluster {
		arguments = append(arguments, "--cluster-listen", netip.AddrPortFrom(n.host.Address(), clusterPort).String())
	}
	arguments = append(append(arguments, n.options...), extra...)
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of a node: %w", err)
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %s %s %s\n", time.Now().Format(time.StampMilli), n.binary, strings.Join(arguments, " "))
	command := exec.Command(n.binary, arguments...)
	command.Env = append(os.Environ(), "TRINE_CLOCK_FILE="+n.clockFile(), "GOTRACEBACK=all")
	command.Stdout, command.Stderr = log, log
	// The node goes with the harness, whatever ends it.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.host.Do(command.Start); err != nil {
		return fmt.Errorf("start %s: %w", n.binary, err)
	}
	ended := make(chan struct{})
	n.mu.Lock()
	n.process, n.ended, n.failed, n.wanted = command, ended, nil, false
	n.mu.Unlock()
	go func() {
		err := command.Wait()
		n.mu.Lock()
		n.failed = err
		if !n.wanted && !n.fragile && !n.fit.IsZero() {
			n.deaths = append(n.deaths, fmt.Sprintf("%s died by itself at %s (%v); its log is %s", n.name, time.Now().Format(time.StampMilli), err, n.logFile()))
		}
		if n.process == command {
			n.process = nil
		}
		n.closeSpell()
		n.mu.Unlock()
		close(ended)
	}()
	return nil
}

func (n *node) logFile() string { return filepath.Join(n.folder, "node.log") }

// refused is a node that ended instead of serving.
type refused struct {
	node string
	how  error
	said string
}

// Error implements error.
func (r *refused) Error() string {
	return fmt.Sprintf("%s ended instead of serving (%v); it said:\n%s", r.node, r.how, r.said)
}

// serving waits until a process that was started serves.
func (n *node) serving(ctx context.Context) error {
	file := filepath.Join(n.data(), "addresses.json")
	deadline := time.Now().Add(readyWithin)
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	for {
		if _, err := os.Stat(file); err == nil {
			n.undisturbed()
			return nil
		}
		select {
		case <-ended:
			return &refused{n.name, n.how(), n.said()}
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve within %v; it said:\n%s", n.name, readyWithin, n.said())
		}
	}
}

func (n *node) how() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// said returns the end of what the node said since it was started last.
func (n *node) said() string {
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	if begin := bytes.LastIndex(text, []byte("\n--- ")); begin >= 0 {
		text = text[begin+1:]
	}
	const most = 3000
	if over := len(text) - most; over > 0 {
		text = text[over:]
	}
	return string(bytes.TrimSpace(text))
}

// undisturbed notes that the node runs from now on.
func (n *node) undisturbed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fit.IsZero() && n.process != nil {
		n.fit = time.Now()
	}
}

// disturbed notes that it does not.
func (n *node) disturbed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closeSpell()
}

func (n *node) closeSpell() {
	if !n.fit.IsZero() {
		n.spells = append(n.spells, span{n.fit, time.Now()})
		n.fit = time.Time{}
	}
}

// ran reports whether the node ran undisturbed all the time.
func (n *node) ran(from, until time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.fit.IsZero() && !n.fit.After(from) {
		return true
	}
	for _, s := range n.spells {
		if !s.from.After(from) && !s.until.Before(until) {
			return true
		}
	}
	return false
}

// brittle says that the node may die: something of it was damaged.
func (n *node) brittle(is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fragile = is
}

// survives reports whether the node still runs after a while.
func (n *node) survives(ctx context.Context, d time.Duration) bool {
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	case <-time.After(d):
	}
	return true
}

// want says that the process is to end.
func (n *node) want() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = true
	n.closeSpell()
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil
}

func (n *node) signal(s os.Signal) (ended chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		_ = n.process.Process.Signal(s) // it may just have ended
	}
	return n.ended
}

// kill ends the process at once and waits until it is gone.
func (n *node) kill() {
	n.want()
	if ended := n.signal(syscall.SIGKILL); ended != nil {
		<-ended
	}
}

// stop ends the process in order.
func (n *node) stop() error {
	n.want()
	ended := n.signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(stopWithin):
		n.signal(syscall.SIGQUIT) // its goroutines are then in its log
		time.Sleep(time.Second)
		n.kill()
		return fmt.Errorf("%s did not stop within %v; where it was is in %s", n.name, stopWithin, n.logFile())
	}
	var status *exec.ExitError
	if err := n.how(); errors.As(err, &status) {
		if s, ok := status.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGTERM {
			return fmt.Errorf("%s did not stop in order (%w); it said:\n%s", n.name, err, n.said())
		}
	}
	return nil
}

// answer is what the API answered.
type answer struct {
	status int
	body   []byte
	header http.Header
}

// ok reports whether the API did what was asked.
func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// refusal returns the reason of a refusal.
func (a *answer) refusal() string {
	var p struct{ Reason string }
	_ = json.Unmarshal(a.body, &p) // what is no problem has no reason
	return p.Reason
}

// call asks the node's API over the socket in its data directory.
func (n *node) call(ctx context.Context, method, path, contentType string, body []byte, header ...string) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://trine"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := n.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return nil, err
	}
	return &answer{response.StatusCode, text.Bytes(), response.Header}, nil
}

// get reads an object of the API.
func (n *node) get(ctx context.Context, path string, out any) error {
	a, err := n.call(ctx, http.MethodGet, path, "", nil)
	if err == nil && !a.ok() {
		err = fmt.Errorf("status %d: %s", a.status, a.body)
	}
	if err == nil {
		err = json.Unmarshal(a.body, out)
	}
	if err != nil {
		return fmt.Errorf("ask %s for %s: %w", n.name, path, err)
	}
	return nil
}

// status is what the harness reads of a node's status.
type status struct {
	Ready bool
	Log   struct {
		Role      string
		Leader    string
		Term      uint64
		Applied   uint64
		Committed uint64
		SealIndex uint64
	}
	Sessions int
}

func (n *node) status(ctx context.Context) (s status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s, n.get(ctx, "/api/v1/status", &s)
}

// trine runs a command of the CLI on the node and returns what it printed.
func (n *node) trine(ctx context.Context, input string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, n.binary, append(arguments, "--data", n.data())...)
	command.Stdin = strings.NewReader(input)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("trine %s on %s: %w: %s%s", strings.Join(arguments, " "), n.name, err, out.String(), said.String())
	}
	return out.String(), nil
}

// close ends the node and what it had of the machine.
func (n *node) close(keep bool) error {
	n.kill()
	n.client.CloseIdleConnections()
	n.host.Close()
	if n.disk != nil {
		if keep {
			// What is kept is to be read without mounting anything.
			if out, err := exec.Command("cp", "-a", "--sparse=always", n.disk.Path(), filepath.Join(n.folder, "kept")).CombinedOutput(); err != nil {
				return fmt.Errorf("keep the data of %s: %w: %s", n.name, err, out)
			}
		}
		return n.disk.Close(false)
	}
	return nil
}
