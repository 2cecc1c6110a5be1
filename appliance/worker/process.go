package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errSlow means that a child took longer over a job than it may.
var errSlow = errors.New("it took too long over a job and was killed")

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
	in, err := cmd.StdinPipe()
	if err != nil {
		return false, fmt.Errorf("make pipe: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("make pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
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
		readErr = receive(out, answers, gone)
	}()
	answered, err = p.drive(in, answers)
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
	return answered, err
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
func receive(out io.Reader, answers chan<- frame, gone <-chan struct{}) error {
	reader := bufio.NewReader(out)
	for {
		var answer frame
		if err := answer.read(reader, make([]byte, maxFrame)); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		select {
		case answers <- answer:
		case <-gone:
			return nil
		}
	}
}

// drive hands jobs to a child and settles them until it ends, errs or is too slow, or until the pool stops. What is then
// under way is abandoned.
func (p *Pool) drive(in io.Writer, answers <-chan frame) (answered bool, err error) {
	var (
		underWay = map[uint64]*job{}
		next     uint64
		parallel int
		began    = time.Now()
		buf      []byte
	)
	defer func() {
		jobs := make([]*job, 0, len(underWay))
		for _, j := range underWay {
			jobs = append(jobs, j)
		}
		cause := err
		if cause == nil {
			cause = errors.New("it ended")
		}
		p.abandon(jobs, cause)
	}()
	tick := time.NewTicker(min(p.config.JobTimeout/4, 250*time.Millisecond))
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
			underWay[next] = j
			request := j.request(next)
			buf = request.append(buf[:0])
			// The pipe holds more than the child's jobs at once, so that this does not block for long.
			_, err := in.Write(buf)
			clear(buf)
			if err != nil {
				return answered, fmt.Errorf("hand over job: %w", err)
			}
		}
		select {
		case <-p.stop:
			return answered, errClosed
		case <-p.wake:
		case now := <-tick.C:
			if parallel == 0 && now.Sub(began) > max(startTimeout, p.config.JobTimeout) {
				return answered, fmt.Errorf("wait for worker to be ready: %w", errSlow)
			}
			for _, j := range underWay {
				if now.Sub(j.started) > p.config.JobTimeout {
					return answered, errSlow
				}
			}
			p.expire(now)
		case answer, ok := <-answers:
			if !ok {
				return answered, nil
			}
			if parallel == 0 {
				if answer.kind != ready || answer.id < 1 || answer.id > maxParallel {
					return answered, fmt.Errorf("%w: it did not say that it is ready", errFrame)
				}
				parallel = int(answer.id)
				p.mu.Lock()
				p.stats.Parallel = parallel
				p.mu.Unlock()
				continue
			}
			j := underWay[answer.id]
			if j == nil {
				return answered, fmt.Errorf("%w: it answered a job that it does not have", errFrame)
			}
			delete(underWay, answer.id)
			answered = true
			p.settle(j, &answer)
		}
	}
}

// request returns the job as the child reads it.
func (j *job) request(id uint64) frame {
	if len(j.Form) > 0 {
		return frame{id: id, kind: kindVerify, first: j.Form, second: j.Password}
	}
	return frame{id: id, kind: kindHash, first: appendCost(nil, j.Params), second: j.Password}
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
