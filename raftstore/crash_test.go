package raftstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const childDir = "TRINE_TEST_CHILD_DIR"

// TestChild is not a test: it is what the crash tests run in a process of its own and kill. It proposes numbered records from
// several goroutines and prints the number of each that was acknowledged.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("runs only as a child of the crash tests")
	}
	first, err := strconv.Atoi(os.Getenv(childDir + "_FIRST"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, dir)
	cfg.Fatal = nil
	if cfg.SealRecords, err = strconv.Atoi(os.Getenv(childDir + "_SEAL")); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, cfg)
	var mu sync.Mutex
	next := first
	out := bufio.NewWriter(os.Stdout)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if _, r, err := s.ProposeWait(context.Background(), op{Class(n % 3), opAdd, fmt.Sprint("n", n), "v"}.encode()); err != nil || r.Code != Applied {
					t.Errorf("record %d: %+v %v", n, r, err)
					return
				}
				mu.Lock()
				fmt.Fprintf(out, "ack %d\n", n)
				_ = out.Flush() // the parent may be gone
				mu.Unlock()
			}
		})
	}
	work.Wait()
}

// child is a running TestChild.
type child struct {
	cmd  *exec.Cmd
	acks chan []int
}

// startChild runs a child that seals after so many records.
func startChild(t *testing.T, binary, dir string, first, seal int) *child {
	t.Helper()
	c := &child{cmd: exec.Command(binary, "-test.run=^TestChild$"), acks: make(chan []int, 1)}
	c.cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_FIRST="+strconv.Itoa(first), childDir+"_SEAL="+strconv.Itoa(seal))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		var acked []int
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if n, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
				if i, err := strconv.Atoi(n); err == nil {
					if acked = append(acked, i); len(acked) == 1 {
						close(started)
					}
				}
			} else {
				t.Logf("child: %s", lines.Text())
			}
		}
		c.acks <- acked
	}()
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		_ = c.cmd.Process.Kill() // it never began
		t.Fatal("the child acknowledged nothing")
	}
	return c
}

// kill ends the child at once and returns what it had acknowledged.
func (c *child) kill(t *testing.T) []int {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	acked := <-c.acks
	_ = c.cmd.Wait() // it was killed, which is an error
	return acked
}

// lost returns the acknowledged records that a store does not hold exactly once, as row and as fact.
func lost(t *testing.T, s *Store, acked []int) (missing []int) {
	t.Helper()
	rows := s.cfg.Machine.(*kv).copy()
	facts := map[string]int{}
	for _, item := range readAll(t, s, Query{}) {
		facts[decodeOp(item.Data).key]++
	}
	for _, n := range acked {
		k := fmt.Sprint("n", n)
		if _, ok := rows[k]; !ok || facts[k] != 1 {
			missing = append(missing, n)
		}
	}
	return missing
}

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var acked []int
	for round := range 4 {
		first := round * 1_000_000
		c := startChild(t, os.Args[0], dir, first, 3000)
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		acked = append(acked, c.kill(t)...)
	}
	s := mustOpen(t, testConfig(t, dir))
	defer mustClose(t, s)
	if l := lost(t, s, acked); len(l) > 0 {
		t.Errorf("%d of %d acknowledged records are lost or doubled: %v ...", len(l), len(acked), l[:min(len(l), 10)])
	}
	if r := replayed(t, s); r.Digest() != s.cfg.Machine.Digest() {
		t.Error("the digest of a replay differs from the views'")
	}
	t.Logf("%d records acknowledged over 4 kills, seal at %d of %d", len(acked), s.Status().SealIndex, s.Status().Last)
}

// ext4 makes a file system in a file, mounts it, and returns where.
func ext4(t *testing.T, image string, megabytes int, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount an ext4 image; run make test as root to include it")
	}
	if megabytes > 0 {
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(int64(megabytes)<<20), f.Close()); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
			t.Skipf("cannot make an ext4 image (%v): %s", err, out)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop,"+options, image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount an ext4 image (%v): %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// powerCut runs a child on an ext4 image, kills it, and returns what a copy of the image holds: what had reached the disk.
func powerCut(t *testing.T, binary string, run time.Duration, seal int) (acked []int, data string) {
	t.Helper()
	tmp := t.TempDir()
	image := filepath.Join(tmp, "disk")
	dir := ext4(t, image, 192, "commit=300")
	c := startChild(t, binary, filepath.Join(dir, "data"), 0, seal)
	time.Sleep(run)
	acked = c.kill(t)
	cut := filepath.Join(tmp, "cut")
	if out, err := exec.Command("cp", "--sparse=always", image, cut).CombinedOutput(); err != nil {
		t.Fatalf("copy the image: %v: %s", err, out)
	}
	return acked, filepath.Join(ext4(t, cut, 0, "commit=300"), "data")
}

func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	acked, data := powerCut(t, os.Args[0], 1500*time.Millisecond, 3000)
	s := mustOpen(t, testConfig(t, data))
	defer mustClose(t, s)
	if l := lost(t, s, acked); len(l) > 0 {
		t.Errorf("%d of %d acknowledged records are lost or doubled: %v ...", len(l), len(acked), l[:min(len(l), 10)])
	}
	if r := replayed(t, s); r.Digest() != s.cfg.Machine.Digest() {
		t.Error("the digest of a replay differs from the views'")
	}
	t.Logf("%d records acknowledged before the cut, seal at %d of %d", len(acked), s.Status().SealIndex, s.Status().Last)
}

// TestPowerCutNoticesAMissingFsync proves that the test above can fail: the same without the log's fsync loses records.
func TestPowerCutNoticesAMissingFsync(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount an ext4 image; run make test as root to include it")
	}
	binary := filepath.Join(t.TempDir(), "nosync.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "nosync", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build without fsync: %v: %s", err, out)
	}
	// Without seals: one syncs the whole file system, the log too.
	acked, data := powerCut(t, binary, 700*time.Millisecond, 1<<30)
	if _, err := os.Stat(data); err != nil {
		t.Logf("all %d records are lost, with their directory", len(acked))
		return
	}
	cfg := testConfig(t, data)
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Logf("the store does not open any more: %v", err)
		return
	}
	defer mustClose(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Barrier(ctx); err != nil {
		t.Logf("the store does not work any more: %v", err)
		return
	}
	l := lost(t, s, acked)
	if len(l) == 0 {
		t.Errorf("none of %d acknowledged records is lost without an fsync: the power cut cuts nothing", len(acked))
	}
	t.Logf("%d of %d acknowledged records are lost", len(l), len(acked))
}

// copyTree copies a data directory as it is now, like a crash that keeps the page cache.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", from, err, out)
	}
	return to
}

func TestCrashAtEachStepOfASealLosesNothing(t *testing.T) {
	for _, step := range []string{"history", "rows", "syncfs", "seal", "commit"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			cfg := testConfig(t, dir)
			var crashed string
			armed := false
			cfg.failpoint = func(at string) error {
				if !armed || at != step {
					return nil
				}
				crashed = copyTree(t, dir)
				return errors.New("crash")
			}
			s := mustOpen(t, cfg)
			fill := func(s *Store, from int) {
				for i := range 60 {
					mustPropose(t, s, op{Class(i % 3), opSet, fmt.Sprint("k", (from+i)%25), fmt.Sprint("v", from+i)})
				}
			}
			fill(s, 0)
			mustSeal(t, s)
			fill(s, 60)
			// Born before the crash, gone after it: no later seal will write this row again.
			mustPropose(t, s, op{0, opSet, "short", "life"})
			armed = true
			if err := s.Seal(t.Context()); err == nil {
				t.Fatal("the seal did not fail")
			}
			armed = false
			want := readAll(t, s, Query{})
			goOn := func(s *Store, want []Item) {
				t.Helper()
				if got := readAll(t, s, Query{}); !sameFacts(got, want) {
					t.Errorf("facts: expected %v, found %v", names(want), names(got))
				}
				mustPropose(t, s, op{0, opDel, "short", ""})
				fill(s, 120)
				mustSeal(t, s)
				want = readAll(t, s, Query{})
				rows, digest := s.cfg.Machine.(*kv).copy(), s.cfg.Machine.Digest()
				dir := s.cfg.Dir
				mustClose(t, s)
				s = mustOpen(t, testConfig(t, dir))
				defer mustClose(t, s)
				if s.cfg.Machine.Digest() != digest {
					t.Errorf("rows: expected %v, found %v", rows, s.cfg.Machine.(*kv).copy())
				}
				if got := readAll(t, s, Query{}); !sameFacts(got, want) {
					t.Errorf("facts after the restart: expected %v, found %v", names(want), names(got))
				}
				if r := replayed(t, s); r.Digest() != digest {
					t.Error("the digest of a replay differs from the views'")
				}
			}
			goOn(mustOpen(t, testConfig(t, crashed)), want)
			if step == "commit" {
				mustClose(t, s)
				return // the process that fails there has a SEAL on disk that it does not know
			}
			goOn(s, want)
		})
	}
}

// What a seal wrote that failed, and could not be undone either, must not get into the next one.
func TestSealThatCannotBeUndoneIsUndoneLater(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t, dir)
	var fail map[string]int
	cfg.failpoint = func(at string) error {
		if fail[at]--; fail[at] >= 0 {
			return errors.New("disk error")
		}
		return nil
	}
	fail = map[string]int{}
	s := mustOpen(t, cfg)
	for i := range 300 {
		mustPropose(t, s, op{Class(i % 3), opSet, fmt.Sprint("k", i), "v"})
	}
	mustPropose(t, s, op{0, opSet, "short", "life"})
	fail = map[string]int{"seal": 1, "undo": 2}
	for range 2 {
		if err := s.Seal(t.Context()); err == nil {
			t.Fatal("the seal did not fail")
		}
	}
	mustPropose(t, s, op{0, opDel, "short", ""})
	mustPropose(t, s, op{0, opSet, "k1", "v2"})
	mustSeal(t, s)
	want, digest := readAll(t, s, Query{}), s.cfg.Machine.Digest()
	mustClose(t, s)
	s = mustOpen(t, testConfig(t, dir))
	defer mustClose(t, s)
	if s.cfg.Machine.Digest() != digest {
		t.Error("the rows differ after the restart")
	}
	if got := readAll(t, s, Query{}); !sameFacts(got, want) {
		t.Errorf("facts after the restart: expected %v, found %v", names(want), names(got))
	}
}

func sameFacts(a, b []Item) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameItem(a[i], b[i]) {
			return false
		}
	}
	return true
}

// TestStoreBehavesLikeItsModel proposes, seals, restarts and crashes at random, and compares with a map.
func TestStoreBehavesLikeItsModel(t *testing.T) {
	root := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		if runs > 8 { // each run starts a store a few times
			return
		}
		dir := filepath.Join(root, strconv.Itoa(runs))
		s := mustOpen(t, testConfig(t, dir))
		model := map[string]string{}
		var facts []string
		reopen := func() {
			s = mustOpen(t, testConfig(t, dir))
			if r := replayed(t, s); r.Digest() != s.cfg.Machine.Digest() {
				rt.Fatal("the digest of a replay differs from the views'")
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"propose", "propose", "propose", "seal", "restart", "crash"}).Draw(rt, "step") {
			case "propose":
				for range rapid.IntRange(1, 20).Draw(rt, "records") {
					o := op{
						Class(rapid.IntRange(0, 15).Draw(rt, "class")), byte(rapid.IntRange(opSet, opDel).Draw(rt, "op")),
						rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key"), rapid.StringN(0, 5, -1).Draw(rt, "value"),
					}
					_, r := mustPropose(t, s, o)
					_, exists := model[o.key]
					if void := o.what == opAdd && exists; void != (r.Code != Applied) {
						rt.Fatalf("%+v: result %+v, expected void %v", o, r, void)
					}
					if r.Code != Applied {
						continue
					}
					facts = append(facts, string(o.encode()))
					if strings.HasPrefix(o.value, "2") {
						facts = append(facts, "")
					}
					if o.what == opDel {
						delete(model, o.key)
					} else {
						model[o.key] = o.value
					}
				}
			case "seal":
				mustSeal(t, s)
			case "restart":
				mustClose(t, s)
				reopen()
			case "crash":
				crashed := copyTree(t, dir)
				mustClose(t, s)
				dir = crashed
				reopen()
			}
			rows := s.cfg.Machine.(*kv).copy()
			if fmt.Sprint(rows) != fmt.Sprint(model) {
				rt.Fatalf("rows: expected %v, found %v", model, rows)
			}
			var got []string
			for _, item := range readAll(t, s, Query{}) {
				got = append(got, string(item.Data))
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", facts) {
				rt.Fatalf("facts: expected %q, found %q", facts, got)
			}
		}
		mustClose(t, s)
	})
}
