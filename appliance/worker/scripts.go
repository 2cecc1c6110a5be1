package worker

import (
	"errors"
	"strings"
	"time"

	"trine/engine/script"
)

// Scripts is a pool that runs scripts, one at a time, in a child of its own: a script that ends its child must not take passwords with it.
// A script that does not end when its host says so is ended with the child, after twice the processor time that it may spend and a
// little more. A script whose child dies is not run again: it is likely to have been its doing.
type Scripts struct{ *Pool }

// scriptMemory is how many bytes a child for scripts may map beyond what it has at its start, if nothing else is said.
const scriptMemory = 256 << 20

// NewScripts starts a pool for scripts; its child is started with the first of them. It fails only if the process's own binary cannot be
// found. Config.Parallel does not count.
func NewScripts(c Config) (*Scripts, error) {
	c.Parallel = 1
	if c.Memory == 0 {
		c.Memory = scriptMemory
	}
	p, err := newPool(c, maxScript)
	if err != nil {
		return nil, err
	}
	p.look, p.lazy = min(p.look, 10*time.Millisecond), true
	go p.run()
	return &Scripts{p}, nil
}

// Submit implements [script.Runner].
func (s *Scripts) Submit(j *script.Job) error {
	request, err := j.Encode()
	if err != nil {
		j.Err = err
		j.Done.ScriptDone(j)
		return nil
	}
	timeout := j.Timeout
	if timeout <= 0 {
		timeout = script.DefaultTimeout
	}
	switch err := s.submit(&job{task: &run{j, request}, deadline: j.Deadline, budget: 2*timeout + script.DefaultTimeout}); {
	case errors.Is(err, errFull):
		return script.ErrQueueFull
	case err != nil:
		return script.ErrUnavailable
	}
	return nil
}

// run is one run of a script.
type run struct {
	*script.Job
	encoded []byte
}

func (r *run) request() frame { return frame{kind: kindScript, first: r.encoded} }

func (r *run) settle(answer *frame) {
	if answer.kind == statusRun {
		r.Settle(answer.first)
	} else {
		r.Fail(script.ErrUnavailable, script.ErrUnavailable.Error())
	}
	r.Done.ScriptDone(r.Job)
}

func (r *run) fail(err error) {
	switch {
	case errors.Is(err, errLate), errors.Is(err, errSlow): // an idle process that got no time is not the script's doing
		r.Fail(script.ErrDeadline, script.ErrDeadline.Error())
	case errors.Is(err, errClosed):
		r.Fail(script.ErrUnavailable, script.ErrUnavailable.Error())
	case errors.Is(err, errSpent):
		r.Fail(script.ErrTimeout, "the script took too long, and did not end when it was told to")
	case strings.Contains(err.Error(), "out of memory"), strings.Contains(err.Error(), "cannot allocate memory"):
		r.Fail(script.ErrThrown, "the script used too much memory")
	default:
		r.Fail(script.ErrThrown, "the script ended the process that ran it")
	}
	r.Done.ScriptDone(r.Job)
}

var _ script.Runner = (*Scripts)(nil)
