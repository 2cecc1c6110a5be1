package worker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trine/engine/credential"
)

// The test binary is its own worker: the variable says which kind.
const roleVariable = "TRINE_TEST_WORKER"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "sound":
		os.Exit(Main(os.Stdin, os.Stdout))
	case "dies":
		os.Exit(onFirstRequest(func(*frame, *answers) int { return 3 }))
	case "hangs":
		os.Exit(onFirstRequest(func(*frame, *answers) int { return hang() }))
	case "lies": // answers a job that it was not given
		os.Exit(onFirstRequest(func(f *frame, a *answers) int {
			a.write(frame{id: f.id + 7, kind: statusMatches})
			return hang()
		}))
	case "babbles":
		os.Exit(onFirstRequest(func(*frame, *answers) int {
			_, _ = os.Stdout.Write(bytes.Repeat([]byte{0xff}, 64))
			return hang()
		}))
	case "confused": // answers a verification with what belongs to hashing
		os.Exit(onFirstRequest(func(f *frame, a *answers) int {
			a.write(frame{id: f.id, kind: statusHashed, first: []byte("x")})
			return hang()
		}))
	case "once": // dies on its first request if the file is not there yet, and makes it
		if f, err := os.OpenFile(os.Getenv("MARK"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			f.Close()
			os.Exit(onFirstRequest(func(*frame, *answers) int { return 3 }))
		}
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	os.Exit(99)
}

func hang() int {
	time.Sleep(time.Hour)
	return 0
}

// onFirstRequest is a child that says it is ready and does as it is told at its first request.
func onFirstRequest(do func(*frame, *answers) int) int {
	out := &answers{out: os.Stdout}
	out.write(frame{kind: ready, id: 1})
	var f frame
	if err := f.read(bufio.NewReader(os.Stdin), maxHashing); err != nil {
		return 0
	}
	return do(&f, out)
}

func configOf(role string, change func(*Config)) Config {
	c := Config{
		Command: []string{os.Args[0]},
		Env:     []string{roleVariable + "=" + role},
		Backoff: time.Millisecond,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func newPasswords(t *testing.T, role string, change func(*Config)) *Passwords {
	t.Helper()
	p, err := NewPasswords(configOf(role, change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

type finished chan *credential.Job

func (f finished) Hashed(j *credential.Job) { f <- j }

func (f finished) wait(t *testing.T) *credential.Job {
	t.Helper()
	select {
	case j := <-f:
		return j
	case <-time.After(60 * time.Second):
		t.Fatal("the job was never done")
		return nil
	}
}

func cheap() credential.Params {
	return credential.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
}

func form(t *testing.T, password string) []byte {
	t.Helper()
	a, err := credential.HashArgon2id([]byte(password), cheap())
	if err != nil {
		t.Fatal(err)
	}
	return a.Append(nil)
}

func do(t *testing.T, p *Passwords, j *credential.Job) *credential.Job {
	t.Helper()
	done := make(finished, 1)
	j.Done = done
	if err := p.Submit(j); err != nil {
		t.Fatal(err)
	}
	return done.wait(t)
}

func TestWorkerVerifiesAndHashes(t *testing.T) {
	p := newPasswords(t, "sound", func(c *Config) { c.Parallel, c.Memory = 2, 512<<20 })
	f := form(t, "wonderland")
	right := do(t, p, &credential.Job{Password: []byte("wonderland"), Form: f})
	if right.Err != nil || !right.Match {
		t.Errorf("right password: match %v, error %v", right.Match, right.Err)
	}
	if !bytes.Equal(right.Password, make([]byte, len("wonderland"))) {
		t.Error("the password was not wiped")
	}
	if wrong := do(t, p, &credential.Job{Password: []byte("builder"), Form: f}); wrong.Err != nil || wrong.Match {
		t.Errorf("wrong password: match %v, error %v", wrong.Match, wrong.Err)
	}
	made := do(t, p, &credential.Job{Password: []byte("new"), Params: cheap()})
	if made.Err != nil {
		t.Fatal(made.Err)
	}
	a, err := credential.ParseArgon2id(made.Hash)
	if err != nil || !a.Matches([]byte("new")) || a.Params != cheap() {
		t.Errorf("the new form does not fit its password: %v", err)
	}
	if bad := do(t, p, &credential.Job{Password: []byte("x"), Form: []byte("nonsense")}); !errors.Is(bad.Err, credential.ErrUnreadable) || bad.Match {
		t.Errorf("unsound form: match %v, error %v", bad.Match, bad.Err)
	}
	if bad := do(t, p, &credential.Job{Password: []byte("x"), Params: credential.Params{}}); !errors.Is(bad.Err, credential.ErrArgon2id) || bad.Hash != nil {
		t.Errorf("unsound cost: error %v", bad.Err)
	}
	s := p.Stats()
	if s.Submitted != 5 || s.Done != 5 || s.Failed != 0 || s.Starts != 1 || s.Deaths != 0 || s.UnderWay != 0 || s.Parallel != 2 {
		t.Errorf("stats: %+v", s)
	}
}

func TestWorkerVerifiesHashesOfOtherSystems(t *testing.T) {
	p := newPasswords(t, "sound", func(c *Config) { c.Parallel = 2 })
	for _, hash := range []string{
		"$2y$04$xkueqi6EtAlBVwauA0gt1.mN/eMHBGzZwLM4jy3DpiSWm8BUCHYj6",
		"{SSHA}i6z6qHoVh7UwmjuX48UaTgOQM+fnf7Ru",
		"$y$j9T$Y1AnH/NNI.CGeyiYW9BT5/$gRgSrMoeBw6GA8VTiZ3syk8EktDZa419E5DC0b4gBG/",
	} {
		if right := do(t, p, &credential.Job{Password: []byte("wonder länd 1"), Form: []byte(hash)}); right.Err != nil || !right.Match {
			t.Errorf("%s: match %v, error %v", hash, right.Match, right.Err)
		}
		if wrong := do(t, p, &credential.Job{Password: []byte("wonderland"), Form: []byte(hash)}); wrong.Err != nil || wrong.Match {
			t.Errorf("%s: match %v, error %v", hash, wrong.Match, wrong.Err)
		}
	}
	if s := p.Stats(); s.Deaths != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestManyJobsAreEachDoneOnce(t *testing.T) {
	p := newPasswords(t, "sound", nil)
	f := form(t, "right")
	const n = 300
	done := make(finished, n)
	for i := range n {
		password := "right"
		if i%3 == 0 {
			password = fmt.Sprintf("wrong%d", i)
		}
		if err := p.Submit(&credential.Job{Password: []byte(password), Form: f, Done: done}); err != nil {
			t.Fatal(err)
		}
	}
	matches := 0
	for range n {
		j := done.wait(t)
		if j.Err != nil {
			t.Fatal(j.Err)
		}
		if j.Match {
			matches++
		}
	}
	if matches != 200 {
		t.Errorf("%d of 300 matched, expected 200", matches)
	}
}

func TestChildThatFailsNeverLetsOneThrough(t *testing.T) {
	for _, role := range []string{"dies", "hangs", "lies", "babbles", "confused"} {
		t.Run(role, func(t *testing.T) {
			p := newPasswords(t, role, func(c *Config) { c.JobTimeout = 200 * time.Millisecond })
			j := do(t, p, &credential.Job{Password: []byte("right"), Form: form(t, "right")})
			if !errors.Is(j.Err, credential.ErrHasherFailed) || j.Match {
				t.Errorf("match %v, error %v", j.Match, j.Err)
			}
			if !bytes.Equal(j.Password, make([]byte, 5)) {
				t.Error("the password was not wiped")
			}
			s := p.Stats()
			if role != "confused" && (s.Retried != 1 || s.Failed != 1 || s.Starts < 2) {
				t.Errorf("stats: %+v", s)
			}
			if role == "hangs" && s.Killed < 1 {
				t.Errorf("no child was killed for its slowness: %+v", s)
			}
		})
	}
}

func TestJobSurvivesTheDeathOfOneChild(t *testing.T) {
	mark := t.TempDir() + "/mark"
	p := newPasswords(t, "once", func(c *Config) { c.Env = append(c.Env, "MARK="+mark) })
	j := do(t, p, &credential.Job{Password: []byte("right"), Form: form(t, "right")})
	if j.Err != nil || !j.Match {
		t.Errorf("match %v, error %v", j.Match, j.Err)
	}
	if s := p.Stats(); s.Retried != 1 || s.Starts != 2 || s.Failed != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestFullQueueRefusesTheNewest(t *testing.T) {
	p := newPasswords(t, "hangs", func(c *Config) { c.Queue, c.JobTimeout = 2, time.Hour })
	done := make(finished, 8)
	f := form(t, "x")
	submit := func() error {
		return p.Submit(&credential.Job{Password: []byte("x"), Form: f, Done: done})
	}
	if err := submit(); err != nil {
		t.Fatal(err)
	}
	for p.Stats().UnderWay == 0 { // the child has taken the first
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		if err := submit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := submit(); !errors.Is(err, credential.ErrQueueFull) {
		t.Errorf("fourth job: %v, expected %v", err, credential.ErrQueueFull)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if j := done.wait(t); !errors.Is(j.Err, credential.ErrHasherFailed) || j.Match {
			t.Errorf("after Close: match %v, error %v", j.Match, j.Err)
		}
	}
	if err := submit(); !errors.Is(err, credential.ErrHasherFailed) {
		t.Errorf("job for a closed pool: %v", err)
	}
}

func TestJobPastItsDeadlineIsDropped(t *testing.T) {
	p := newPasswords(t, "hangs", func(c *Config) { c.JobTimeout = time.Hour })
	f := form(t, "x")
	blocking := make(finished, 1)
	if err := p.Submit(&credential.Job{Password: []byte("x"), Form: f, Done: blocking}); err != nil {
		t.Fatal(err)
	}
	j := do(t, p, &credential.Job{Password: []byte("x"), Form: f, Deadline: time.Now().Add(10 * time.Millisecond)})
	if !errors.Is(j.Err, credential.ErrDeadline) || j.Match {
		t.Errorf("match %v, error %v", j.Match, j.Err)
	}
	if s := p.Stats(); s.Late != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestWhatIsTooLongIsNotQueued(t *testing.T) {
	p := newPasswords(t, "sound", nil)
	if err := p.Submit(&credential.Job{Password: make([]byte, credential.MaxPassword+1), Params: cheap()}); !errors.Is(err, credential.ErrPasswordLength) {
		t.Errorf("password: %v", err)
	}
	if err := p.Submit(&credential.Job{Form: make([]byte, credential.MaxForm+1)}); !errors.Is(err, credential.ErrUnreadable) {
		t.Errorf("form: %v", err)
	}
}

func TestProgramThatDoesNotStartFailsItsJobsWithTheirDeadline(t *testing.T) {
	p := newPasswords(t, "sound", func(c *Config) { c.Command = []string{"/nonexistent/trine"} })
	j := do(t, p, &credential.Job{Password: []byte("x"), Params: cheap(), Deadline: time.Now().Add(20 * time.Millisecond)})
	if !errors.Is(j.Err, credential.ErrDeadline) {
		t.Errorf("error %v", j.Err)
	}
}

func TestChildIsConfined(t *testing.T) {
	p := newPasswords(t, "sound", func(c *Config) { c.Parallel, c.Memory = 1, 256<<20 })
	if j := do(t, p, &credential.Job{Password: []byte("x"), Params: cheap()}); j.Err != nil {
		t.Fatal(j.Err)
	}
	pid := child(t)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
		if policy := fields[41-3]; policy != "5" { // field 41 of proc_pid_stat(5); the first three are cut off or state
			t.Errorf("thread %s has the policy %s, expected 5 (SCHED_IDLE)", task.Name(), policy)
		}
	}
	var as, core unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_AS, nil, &as); err != nil {
		t.Fatal(err)
	}
	if as.Max == unix.RLIM_INFINITY {
		t.Error("the address space is not limited")
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &core); err != nil {
		t.Fatal(err)
	}
	if core.Max != 0 {
		t.Error("core dumps are possible")
	}
	// A form that wants more memory than there is ends the child, not the node.
	j := do(t, p, &credential.Job{Password: []byte("x"), Params: credential.Params{MemoryKiB: credential.MaxMemoryKiB, Iterations: 1, Parallelism: 1}})
	if !errors.Is(j.Err, credential.ErrHasherFailed) {
		t.Errorf("job beyond the limit: %v", j.Err)
	}
	if j := do(t, p, &credential.Job{Password: []byte("x"), Params: cheap()}); j.Err != nil {
		t.Errorf("the next job: %v", j.Err)
	}
}

func TestKilledChildIsReplaced(t *testing.T) {
	p := newPasswords(t, "sound", nil)
	f := form(t, "right")
	for range 3 {
		if j := do(t, p, &credential.Job{Password: []byte("right"), Form: f}); j.Err != nil || !j.Match {
			t.Fatalf("match %v, error %v", j.Match, j.Err)
		}
		if err := syscall.Kill(child(t), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if j := do(t, p, &credential.Job{Password: []byte("right"), Form: f}); j.Err != nil || !j.Match {
		t.Fatalf("match %v, error %v", j.Match, j.Err)
	}
}

// child returns the pid of this process's only child.
func child(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			t.Skipf("this kernel does not tell a process's children: %v", err)
		}
		var pid int
		if _, err := fmt.Sscan(string(b), &pid); err == nil {
			return pid
		}
	}
	t.Fatal("there is no child")
	return 0
}

func TestAnswersOfManyJobsDoNotMix(t *testing.T) {
	in, requests := io.Pipe()
	answersIn, out := io.Pipe()
	var failed atomic.Value
	go func() {
		if err := serve(in, out, 4); err != nil {
			failed.Store(err)
		}
		out.Close()
	}()
	f := form(t, "right")
	go func() {
		for id := range uint64(64) {
			password := []byte("right")
			if id%2 == 1 {
				password = []byte("wrong")
			}
			r := frame{id: id, kind: kindVerify, first: f, second: password}
			if _, err := requests.Write(r.append(nil)); err != nil {
				failed.Store(err)
			}
		}
		requests.Close()
	}()
	reader, seen := bufio.NewReader(answersIn), map[uint64]bool{}
	for {
		var a frame
		err := a.read(reader, maxHashing)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if a.kind == ready {
			continue
		}
		if want := byte(statusMatches) - byte(a.id%2); a.kind != want || seen[a.id] {
			t.Errorf("job %d: status %d, expected %d; seen before: %v", a.id, a.kind, want, seen[a.id])
		}
		seen[a.id] = true
	}
	if err := failed.Load(); err != nil || len(seen) != 64 {
		t.Errorf("%d answers, error %v", len(seen), err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add((&frame{id: 1, kind: kindVerify, first: []byte("form"), second: []byte("password")}).append(nil))
	f.Add([]byte{0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 9})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var a frame
		if err := a.read(bufio.NewReader(bytes.NewReader(data)), maxHashing); err != nil {
			return
		}
		if got := a.append(nil); !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("read %x, wrote %x", data, got)
		}
	})
}
