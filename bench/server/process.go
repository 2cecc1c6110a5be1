package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyWithin is how long a server may take until it serves.
const readyWithin = 2 * time.Minute

// Process is a running server.
type Process struct {
	command *exec.Cmd
	log     *tail
	ended   chan error
}

// tail keeps the last bytes that a server said.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// start runs a command on the given cores, a list in the syntax of taskset(1).
func start(cores string, environment []string, name string, arguments ...string) (*Process, error) {
	p := &Process{log: &tail{}, ended: make(chan error, 1)}
	p.command = exec.Command("taskset", append([]string{"-c", cores, name}, arguments...)...)
	p.command.Env = append(os.Environ(), environment...)
	p.command.Stdout, p.command.Stderr = p.log, p.log
	// The server goes with the benchmark, whatever ends it.
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.ended <- p.command.Wait() }()
	return p, nil
}

// until waits for a condition, which fails while it returns an error.
func (p *Process) until(ctx context.Context, what string, within time.Duration, condition func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case ended := <-p.ended:
			p.ended <- ended
			return fmt.Errorf("%s: the server ended (%w); it said:\n%s", what, ended, p.log)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v: %w; the server said:\n%s", what, within, err, p.log)
		}
	}
}

// ID returns the process's number.
func (p *Process) ID() int { return p.command.Process.Pid }

// Stop ends the server in order, and by force if it takes more than 30 s.
func (p *Process) Stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended already; then Wait tells how
	select {
	case err := <-p.ended:
		p.ended <- err
		var status *exec.ExitError
		if errors.As(err, &status) && status.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stop: %w; the server said:\n%s", err, p.log)
		}
		return nil
	case <-time.After(30 * time.Second):
		p.Kill()
		return fmt.Errorf("stop: not within 30 s; the server said:\n%s", p.log)
	}
}

// Kill ends the server with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.command.Process.Kill() // it may have ended already
	err := <-p.ended
	p.ended <- err
}

// Usage is what a process and those that it started have taken.
type Usage struct {
	CPU     time.Duration // of the process
	Workers time.Duration // of the processes that it started and that run
	Memory  int64         // resident now, bytes
	Files   int64         // of which mapped files, which the kernel can take back, bytes
	Peak    int64         // resident at most, bytes
	Written int64         // bytes that were handed to the disks
}

// clockTick is the unit of times in /proc (sysconf(_SC_CLK_TCK), always 100 on Linux).
const clockTick = 10 * time.Millisecond

// Usage reads what the process has taken so far.
func (p *Process) Usage() (u Usage, err error) {
	if u.CPU, err = cpuTime(p.ID()); err != nil {
		return u, err
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.ID(), p.ID())) // not every kernel has it
	for _, child := range strings.Fields(string(children)) {
		if id, err := strconv.Atoi(child); err == nil {
			spent, _ := cpuTime(id) // it may have ended
			u.Workers += spent
		}
	}
	status, err := numbers(fmt.Sprintf("/proc/%d/status", p.ID()))
	if err != nil {
		return u, err
	}
	io, err := numbers(fmt.Sprintf("/proc/%d/io", p.ID()))
	if err != nil {
		return u, err
	}
	u.Files = status["RssFile"] << 10
	u.Memory, u.Peak, u.Written = status["VmRSS"]<<10, status["VmHWM"]<<10, io["write_bytes"]
	return u, nil
}

func cpuTime(id int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	// The fields after the command, which is in parentheses; user and system time are the 12th and 13th of them.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// numbers reads lines of "name: number unit".
func numbers(file string) (map[string]int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what the server takes: %w", err)
	}
	values := make(map[string]int64)
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) > 0 {
			if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				values[name] = n
			}
		}
	}
	return values, nil
}

// write makes a file below dir, with the folders that lead to it.
func write(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
