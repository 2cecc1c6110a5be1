package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"trine/engine/credential"
	"trine/engine/script"
)

// memoryVariable names the environment variable in which a pool tells its child how many bytes it may map.
const memoryVariable = "TRINE_WORKER_MEMORY"

// maxStack bounds how deep what a script calls may call itself in Go, in bytes.
const maxStack = 64 << 20

// defaultMemory returns how many bytes a child may map beyond what it has at its start: for each job the dearest form twice over,
// since the collector gives back late, and as much again to spare.
func defaultMemory(parallel int) int64 {
	return int64(parallel+1) * 2 * credential.MaxMemoryKiB << 10
}

// Main is the child: it answers requests from stdin on stdout until stdin ends, as many at once as GOMAXPROCS says, and returns
// the process's exit code. It makes the process idle in the scheduler's eyes, limits its address space and forbids
// core dumps, so that no password reaches a disk; it needs no file and no network.
func Main(stdin io.Reader, stdout io.Writer) int {
	parallel := min(runtime.GOMAXPROCS(0), maxParallel)
	memory := defaultMemory(parallel)
	if text, ok := os.LookupEnv(memoryVariable); ok {
		var err error
		if memory, err = strconv.ParseInt(text, 10, 64); err != nil || memory <= 0 {
			fmt.Fprintf(os.Stderr, "confine worker: %s must be a number of bytes\n", memoryVariable)
			return 2
		}
	}
	if err := confine(uint64(memory)); err != nil {
		fmt.Fprintf(os.Stderr, "confine worker: %v\n", err)
		return 1
	}
	if err := serve(stdin, stdout, parallel); err != nil {
		fmt.Fprintf(os.Stderr, "serve jobs: %v\n", err)
		return 1
	}
	return 0
}

// confine takes from the process what it must not have.
func confine(memory uint64) error {
	if err := idle(); err != nil {
		return fmt.Errorf("lower priority: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	have, err := addressSpace()
	if err != nil {
		return fmt.Errorf("read size of address space: %w", err)
	}
	// The runtime reserves address space that it does not use; the limit counts from there.
	limit := have + memory
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return fmt.Errorf("limit address space: %w", err)
	}
	debug.SetMemoryLimit(int64(memory / 2))
	debug.SetMaxStack(maxStack)
	return nil
}

// idle gives every thread the policy SCHED_IDLE. Threads that are made later inherit it from those; one that is made meanwhile is found
// by looking again until a pass changes nothing.
func idle() error {
	done := map[int]bool{}
	for changed := true; changed; {
		changed = false
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || done[tid] {
				continue
			}
			err = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			done[tid], changed = true, true
		}
	}
	return nil
}

// addressSpace returns the size of the process's address space in bytes.
func addressSpace() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, _, _ := strings.Cut(string(b), " ")
	n, err := strconv.ParseUint(pages, 10, 64)
	return n * uint64(os.Getpagesize()), err
}

// serve answers requests until the last one is answered after in's end.
func serve(in io.Reader, out io.Writer, parallel int) error {
	var (
		answers = &answers{out: out}
		bench   = &bench{scripts: script.NewHost()}
		slots   = make(chan struct{}, parallel)
		reader  = bufio.NewReader(in)
		jobs    sync.WaitGroup
	)
	answers.write(frame{kind: ready, id: uint64(parallel)})
	for {
		// The request's memory is the job's: a password stays in it until it is wiped there.
		var request frame
		err := request.read(reader, maxScript)
		if errors.Is(err, io.EOF) && !errors.Is(err, errFrame) {
			jobs.Wait()
			return answers.err
		}
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		slots <- struct{}{}
		jobs.Go(func() {
			answer := bench.work(&request)
			clear(request.body)
			answers.write(answer)
			<-slots
		})
	}
}

// bench is what jobs are done with.
type bench struct {
	mu      sync.Mutex // of scripts: one runs at a time, so that the time of the process is its time
	scripts *script.Host
}

// work does one job.
func (b *bench) work(request *frame) frame {
	answer := frame{id: request.id, kind: statusRefused}
	switch request.kind {
	case kindVerify:
		fits, err := credential.FormMatches(request.first, request.second)
		if err != nil {
			break
		}
		answer.kind = statusDiffers
		if fits {
			answer.kind = statusMatches
		}
	case kindHash:
		cost, ok := parseCost(request.first)
		if !ok {
			break
		}
		form, err := credential.HashArgon2id(request.second, cost)
		if err != nil {
			break
		}
		answer.kind, answer.first = statusHashed, form.Append(nil)
	case kindScript:
		b.mu.Lock()
		defer b.mu.Unlock()
		answer.kind, answer.first = statusRun, b.scripts.Run(request.first, spent)
	}
	return answer
}

// spent returns how much of the processors' time the process has spent.
func spent() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(fmt.Sprintf("worker: read the time that the process has spent: %v", err))
	}
	return time.Duration(t.Nano())
}

// answers writes whole frames, one at a time.
type answers struct {
	mu  sync.Mutex
	out io.Writer
	err error // the first error; nothing is written after it
}

func (a *answers) write(f frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		_, a.err = a.out.Write(f.append(nil))
	}
}
