package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The causes for which a child is killed: it took longer over a job than it may, or spent more of the processor's time on it.
var (
	errSlow  = errors.New("it took too long over a job and was killed")
	errSpent = errors.New("it spent too much time on a job and was killed")
)

// startTimeout is how long a child may take until it says that it is ready.
const startTimeout = 30 * time.Second

// live runs one child to its end: it starts it, hands it jobs and takes its answers. It reports whether the child has answered
// anything, and why it ended. Its goroutine keeps its thread, because the kernel kills the child with the thread that started it.
func (p *Pool) live() (answered bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(p.config.Command[0], p.config.Command[1:]...)
	cmd.Env = p.config.environment()
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	said := &tail{}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second
	theirs, in, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("make pipe: %w", err)
	}
	defer in.Close()
	cmd.Stdin = theirs
	out, err := cmd.StdoutPipe()
	if err != nil {
		theirs.Close()
		return false, fmt.Errorf("make pipe: %w", err)
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return false, fmt.Errorf("start worker: %w", err)
	}
	p.mu.Lock()
	p.stats.Starts++
	p.mu.Unlock()

	answers := make(chan frame)
	gone := make(chan struct{})
	var readErr error
	go func() {
		defer close(answers)
		readErr = receive(out, p.limit, answers, gone)
	}()
	answered, left, err := p.drive(cmd.Process.Pid, in, answers)
	close(gone)
	// Whatever the cause, this child gets no second chance: an answer that came now could belong to a job that was handed on.
	_ = cmd.Process.Kill()
	in.Close()
	for range answers {
	}
	waitErr := cmd.Wait()
	p.mu.Lock()
	p.stats.Parallel = 0
	p.mu.Unlock()
	if err == nil {
		err = errors.Join(readErr, waitErr)
	}
	if words := said.String(); words != "" {
		err = fmt.Errorf("%w; it said: %s", err, words)
	}
	p.abandon(left, err)
	return answered, err
}

// spentBy returns how much of the processors' time a process has spent; false if it is gone.
func spentBy(pid int) (time.Duration, bool) {
	const ofProcess = 2 // CPUCLOCK_SCHED of a whole process, see clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|ofProcess), &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}

// environment returns the child's whole environment. It is never nil, which would mean the parent's.
func (c *Config) environment() []string {
	env := append([]string{}, c.Env...)
	if c.Parallel > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", min(c.Parallel, maxParallel)))
	}
	if c.Memory > 0 {
		env = append(env, fmt.Sprintf("%s=%d", memoryVariable, c.Memory))
	}
	return env
}

// receive reads answers until the child ends or nobody wants them.
func receive(out io.Reader, limit int, answers chan<- frame, gone <-chan struct{}) error {
	reader := bufio.NewReader(out)
	for {
		var answer frame
		if err := answer.read(reader, limit); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		select {
		case answers <- answer:
		case <-gone:
			return nil
		}
	}
}

// drive hands jobs to a child and settles them until it ends, errs or is too slow, or until the pool stops. It returns what is then
// under way.
func (p *Pool) drive(pid int, in *os.File, answers <-chan frame) (answered bool, left []*job, err error) {
	var (
		underWay = map[uint64]*job{}
		next     uint64
		parallel int
		began    = time.Now()
		buf      []byte
	)
	defer func() {
		for _, j := range underWay {
			left = append(left, j)
		}
	}()
	tick := time.NewTicker(p.look)
	defer tick.Stop()
	for {
		for len(underWay) < parallel {
			j := p.take(time.Now())
			if j == nil {
				break
			}
			next++
			j.tries++
			j.started = time.Now()
			j.spent, _ = spentBy(pid)
			underWay[next] = j
			request := j.request()
			request.id = next
			buf = request.append(buf[:0])
			// Requests that do not fit into the pipe wait for the child, which may be stopped.
			if err := in.SetWriteDeadline(j.started.Add(p.config.JobTimeout)); err != nil {
				return answered, nil, fmt.Errorf("hand over job: %w", err)
			}
			_, err := in.Write(buf)
			clear(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return answered, nil, errSlow
			}
			if err != nil {
				return answered, nil, fmt.Errorf("hand over job: %w", err)
			}
		}
		// What nobody waits for needs no clock.
		if len(underWay) > 0 || parallel == 0 {
			tick.Reset(p.look)
		} else {
			tick.Stop()
		}
		select {
		case <-p.stop:
			return answered, nil, errClosed
		case <-p.wake:
		case now := <-tick.C:
			if parallel == 0 && now.Sub(began) > max(startTimeout, p.config.JobTimeout) {
				return answered, nil, fmt.Errorf("wait for worker to be ready: %w", errSlow)
			}
			for _, j := range underWay {
				if now.Sub(j.started) > p.config.JobTimeout {
					return answered, nil, errSlow
				}
				if spent, ok := spentBy(pid); ok && j.budget > 0 && spent-j.spent > j.budget {
					return answered, nil, errSpent
				}
			}
			p.expire(now)
		case answer, ok := <-answers:
			if !ok {
				return answered, nil, nil
			}
			if parallel == 0 {
				if answer.kind != ready || answer.id < 1 || answer.id > maxParallel {
					return answered, nil, fmt.Errorf("%w: it did not say that it is ready", errFrame)
				}
				parallel = int(answer.id)
				p.mu.Lock()
				p.stats.Parallel = parallel
				p.mu.Unlock()
				continue
			}
			j := underWay[answer.id]
			if j == nil {
				return answered, nil, fmt.Errorf("%w: it answered a job that it does not have", errFrame)
			}
			delete(underWay, answer.id)
			answered = true
			p.settle(j, &answer)
		}
	}
}

// tail keeps the first words that a child says on its standard error.
type tail struct {
	mu    sync.Mutex
	words []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.words = append(t.words, b[:min(len(b), 512-len(t.words))]...)
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.words))
}
