package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/appliance/admin/client"
	"trine/engine/event"
	"trine/engine/state"
	"trine/raftstore"
)

// kills is how often the node is killed; a short run kills it a few times only.
const (
	kills      = 50
	shortKills = 5
)

// process is a node in a process of its own, so that it can be killed.
type process struct {
	command   *exec.Cmd
	addresses Addresses
	log       *strings.Builder // read it after the end
	ended     chan struct{}
	failed    error // how the process ended, once ended is closed
}

// startProcess starts this test binary as a node over a data directory and waits until it says where it listens. A node that
// is started again gets the ports that it had, as a NAS expects.
func startProcess(t *testing.T, data string, had *Addresses) *process {
	t.Helper()
	return startBinary(t, os.Args[0], data, had)
}

// startBinary is startProcess for another binary: this one with a different build tag.
func startBinary(t *testing.T, binary, data string, had *Addresses) *process {
	t.Helper()
	p, err := tryBinary(t, binary, data, had)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tryBinary is startBinary for a node that may refuse to start; the error says why.
func tryBinary(t *testing.T, binary, data string, had *Addresses) (*process, error) {
	t.Helper()
	authentication, accounting, tacacs := "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if had != nil {
		authentication, accounting, tacacs = had.RadiusAuthentication[0], had.RadiusAccounting[0], had.Tacacs[0]
	}
	return tryWith(t, binary, data, "--data", data, "--node-name", "test", "--quickstart", "--tacacs-listen", tacacs, "--web-listen", "127.0.0.1:0", "--radius-authentication", authentication,
		"--radius-accounting", accounting, "--management-listen", "127.0.0.1:0", "--radius-loops", "1", "--seal-bytes", "2000000", "--log-level", "warn")
}

// startWith starts this test binary as a node with a command line of the test's own.
func startWith(t *testing.T, data string, arguments ...string) *process {
	t.Helper()
	p, err := tryWith(t, os.Args[0], data, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryWith(t *testing.T, binary, data string, arguments ...string) (*process, error) {
	t.Helper()
	p := &process{log: new(strings.Builder), ended: make(chan struct{})}
	if err := os.Remove(filepath.Join(data, addressesName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	p.command = exec.Command(binary, arguments...)
	p.command.Env = append(os.Environ(), asNode+"=serve")
	p.command.Stderr = p.log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.failed = p.command.Wait()
	}()
	t.Cleanup(p.kill)
	deadline := time.Now().Add(2 * time.Minute) // on a busy machine
	for {
		if text, err := os.ReadFile(filepath.Join(data, addressesName)); err == nil {
			if err := json.Unmarshal(text, &p.addresses); err != nil {
				t.Fatal(err)
			}
			return p, nil
		}
		select {
		case <-p.ended:
		default:
			if time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			p.kill()
		}
		return nil, fmt.Errorf("the node did not start:\n%s", p.log)
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// quit asks the node to stop and waits for it.
func (p *process) quit(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if <-p.ended; p.failed != nil {
		t.Fatalf("the node did not stop in order: %v\n%s", p.failed, p.log)
	}
}

// ledger counts how often each accounting record, and which version of the test's document, stands in the log.
type ledger struct {
	records  map[record]int
	document uint64
	from     string
}

// read goes on reading the log where it stopped.
func (l *ledger) read(t *testing.T, c *client.Client) {
	t.Helper()
	for {
		page, err := c.Events(t.Context(), client.EventQuery{Classes: []string{"accounting", "identity"}, From: l.from, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.Position == l.from {
				continue
			}
			switch e.Type {
			case event.TypeAccounted.String():
				var body struct {
					Session string `json:"acctSessionId"`
					Status  string `json:"status"`
					Seconds uint32 `json:"seconds"`
				}
				if err := json.Unmarshal(e.Body, &body); err != nil {
					t.Fatalf("%v in %s", err, e.Body)
				}
				l.records[record{body.Session, body.Status, body.Seconds}]++
			case event.TypeDocumentPut.String():
				var body struct{ Kind, Name string }
				if err := json.Unmarshal(e.Body, &body); err != nil {
					t.Fatal(err)
				}
				if body.Kind == "Group" && body.Name == "written" {
					l.document++
				}
			}
			l.from = e.Position
		}
		if page.Next == "" {
			return
		}
	}
}

// check compares the log with what was acknowledged.
func (l *ledger) check(t *testing.T, acked []record, documents uint64) {
	t.Helper()
	lost, twice := 0, 0
	for _, r := range acked {
		if l.records[r] == 0 {
			lost++
			t.Errorf("acknowledged and lost: %+v", r)
		}
		if lost > 10 {
			break
		}
	}
	for r, n := range l.records {
		if n > 1 {
			twice++
			t.Errorf("recorded %d times: %+v", n, r)
		}
		if twice > 10 {
			break
		}
	}
	if l.document < documents {
		t.Errorf("%d applies succeeded, %d are in the log", documents, l.document)
	}
}

// writer applies a document again and again, and counts the applies that succeeded.
type writer struct {
	mu   sync.Mutex
	done uint64
}

func (w *writer) count() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done
}

func (w *writer) run(ctx context.Context, data string) {
	for n := 0; ctx.Err() == nil; n++ {
		c, err := client.New(client.Options{Data: data})
		if err == nil {
			text := fmt.Sprintf("kind: Group\nname: written\nspec:\n  description: %q\n", fmt.Sprint(n))
			_, err = c.Apply(ctx, []client.File{{Name: "written.yaml", Data: []byte(text)}}, client.ApplyOptions{})
			c.Close()
		}
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		w.mu.Lock()
		w.done++
		w.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	rounds := kills
	if testing.Short() {
		rounds = shortKills
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	data := t.TempDir()
	node := startProcess(t, data, nil)
	to := netip.MustParseAddrPort(node.addresses.RadiusAccounting[0])

	stop := make(chan struct{})
	acked, devices := load(t, to, "testing123", 16, stop)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var w writer
	var writing sync.WaitGroup
	writing.Go(func() { w.run(ctx, data) })

	book := ledger{records: map[record]int{}}
	for range rounds {
		time.Sleep(time.Duration(50+random.IntN(350)) * time.Millisecond)
		node.kill()
		known, documents := acked.snapshot(), w.count() // all of it was acknowledged by nodes that are dead now
		node = startProcess(t, data, &node.addresses)
		c, err := client.New(client.Options{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		book.read(t, c)
		c.Close()
		book.check(t, known, documents)
		if t.Failed() {
			break
		}
	}
	close(stop)
	cancel()
	devices.Wait()
	writing.Wait()
	known := acked.snapshot()
	t.Logf("%d kills, %d accounting records and %d applies acknowledged", rounds, len(known), w.count())
	if len(known) < rounds {
		t.Errorf("only %d records were acknowledged over %d rounds: the load does not load", len(known), rounds)
	}
	node.quit(t)
	if !replayed(t, data) {
		t.Error("the log was never sealed: the test does not test seals and history")
	}
}

// replayed opens a stopped node's log and compares the views with a replay of the whole history. It reports whether the log was ever sealed.
func replayed(t *testing.T, data string) (sealed bool) {
	t.Helper()
	views := state.New()
	store, err := raftstore.Open(t.Context(), raftstore.Config{Dir: filepath.Join(data, logDirectory), Machine: machine{views}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := store.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	again := state.New()
	if err := store.Replay(ctx, machine{again}); err != nil {
		t.Fatal(err)
	}
	if views.Digest() != again.Digest() {
		t.Errorf("the views' digest is %x, the replay's %x", views.Digest(), again.Digest())
	}
	return store.Status().SealIndex > 0
}
