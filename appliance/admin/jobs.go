package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"trine/appliance/admin/api"
)

// Bounds of jobs.
const (
	jobsRunning = 4
	jobsKept    = 64
	jobFindings = 1000
)

// jobs runs and remembers long work. Jobs live in memory: what they did is in the log, and one that a restart cut short did
// nothing, because its proposal had not been committed.
type jobs struct {
	now func() time.Time

	mu      sync.Mutex
	byID    map[string]*job
	order   []*job // oldest first
	running int
	closed  bool
	done    sync.WaitGroup
}

// job is one of them. Its fields change under mu.
type job struct {
	cancel context.CancelFunc

	mu   sync.Mutex
	view api.Job
}

func newJobs(now func() time.Time) *jobs { return &jobs{now: now, byID: make(map[string]*job)} }

// start runs work in its own goroutine. Work reports through the job and returns why it failed.
func (s *jobs) start(kind, by string, work func(ctx context.Context, j *job) error) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, api.NewProblem(http.StatusServiceUnavailable, api.ReasonJobsFull, "the node is stopping")
	}
	if s.running >= jobsRunning {
		return nil, api.NewProblem(http.StatusServiceUnavailable, api.ReasonJobsFull, "%d jobs are under way, which is as many as there may be; try again when one has ended", jobsRunning)
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{cancel: cancel, view: api.Job{ID: newReference(), Kind: kind, By: by, State: api.JobRunning, Started: s.now().UTC()}}
	s.running++
	s.byID[j.view.ID] = j
	s.order = append(s.order, j)
	s.forget()
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		defer cancel()
		err := work(ctx, j)
		j.end(ctx, err, s.now().UTC())
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	return j, nil
}

// forget drops the oldest jobs that have ended. The caller holds mu.
func (s *jobs) forget() {
	for i := 0; i < len(s.order) && len(s.order) > jobsKept; {
		v := s.order[i].snapshot()
		if v.State == api.JobRunning {
			i++
			continue
		}
		delete(s.byID, v.ID)
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// get returns a job by its id.
func (s *jobs) get(id string) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.byID[id]
	if !ok {
		return nil, api.NewProblem(http.StatusNotFound, api.ReasonNotFound, "there is no job %q; a node remembers the last %d until it restarts", id, jobsKept)
	}
	return j, nil
}

// list returns all jobs, newest first.
func (s *jobs) list() []api.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := make([]api.Job, 0, len(s.order))
	for _, j := range slices.Backward(s.order) {
		views = append(views, j.snapshot())
	}
	return views
}

// close cancels all jobs and waits for them until ctx is done.
func (s *jobs) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, j := range s.order {
		j.cancel()
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.done.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return errors.New("jobs are still ending")
	}
}

// snapshot returns the job as it is now.
func (j *job) snapshot() api.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := j.view
	v.Findings = slices.Clip(v.Findings)
	if v.Import != nil {
		counts := *v.Import
		v.Import = &counts
	}
	return v
}

// update changes what the job shows.
func (j *job) update(f func(*api.Job)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.view)
}

// found adds a finding, up to the bound.
func (j *job) found(f api.Finding) {
	j.update(func(v *api.Job) {
		if len(v.Findings) < jobFindings {
			v.Findings = append(v.Findings, f)
		}
	})
}

func (j *job) end(ctx context.Context, err error, at time.Time) {
	j.update(func(v *api.Job) {
		v.Ended = &at
		switch {
		case err == nil:
			v.State = api.JobSucceeded
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			v.State = api.JobCancelled
		default:
			v.State = api.JobFailed
			v.Error = problemOf(err)
		}
	})
}
