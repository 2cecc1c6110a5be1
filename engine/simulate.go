package engine

import (
	"fmt"
	"log/slog"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/message"
	"trine/engine/policy"
	"trine/engine/state"
)

// Circumstances are what a simulation takes to be otherwise. Zero fields are as they are.
type Circumstances struct {
	Clock    func() time.Time     // the time at which logins come
	Policies *policy.Cache        // the configuration that decides
	People   People               // who there is
	Verifier *credential.Verifier // how passwords are verified: Verifier.Aside or Assuming of the engine's
}

// Simulation is an engine that decides by the code of the one that it was made of, and records and sends nothing: what it would record is only held
// against the views, so that a login meets the limits and one-shots that it would meet. Every accept is traced.
type Simulation struct{ *Engine }

// Simulate returns an engine for a few logins of one caller.
func (e *Engine) Simulate(c Circumstances) Simulation {
	config := e.config
	config.Logger = slog.New(slog.DiscardHandler)
	config.TraceAccepts, config.Waiting = 1, 16
	if c.Clock != nil {
		config.Clock = c.Clock
	}
	if c.Policies != nil {
		config.Policies = policy.Holding(c.Policies)
	}
	if c.People != nil {
		config.People = c.People
	}
	if c.Verifier != nil {
		config.Verifier = c.Verifier
	}
	if config.Messenger != nil {
		config.Messenger = unsent{config.Messenger}
	}
	log := &rehearsal{real: e.config.Log, people: config.People, clock: config.Clock}
	config.Log = log
	s := Simulation{newEngine(config)}
	s.guesses, s.recent, s.aside = e.guesses, e.recent, true
	if c.Clock == nil { // also where the clock was set back: what was over stays over, and a record has the time of the one before it at least
		s.latest.Store(e.latest.Load())
		log.clock = func() time.Time {
			now := s.clock()
			if last := config.People.Time(); last.After(now) {
				return last
			}
			return now
		}
	}
	return s
}

// Decided returns the record that a login which is decided would have left, as explanations are made of it.
func (s Simulation) Decided(r *Request) (*event.Decided, error) {
	var d event.DecidedView
	s.describe(r, &d)
	var b event.Builder
	b.AddDecided(&d)
	_, data, _, err := event.NextPart(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read the record of a simulated login: %w", err)
	}
	e, err := event.ParseEvent(data)
	if err != nil {
		return nil, fmt.Errorf("read the record of a simulated login: %w", err)
	}
	m, err := e.Message()
	if err != nil {
		return nil, fmt.Errorf("read the record of a simulated login: %w", err)
	}
	return m.(*event.Decided), nil
}

// Authorized returns the record that an authorization which is decided would have left.
func (s Simulation) Authorized(a *Authorization) (*event.Decided, error) {
	return s.Decided(&a.request)
}

// unsent is a messenger that sends nothing: it takes what the one that sends would take.
type unsent struct{ real message.Messenger }

// Check implements message.Messenger.
func (u unsent) Check(m *message.Message) error { return u.real.Check(m) }

// Submit implements message.Messenger.
func (u unsent) Submit(m *message.Message) error {
	if err := u.real.Check(m); err != nil {
		return err
	}
	m.Done.Delivered(m)
	return nil
}

// rehearsal is a log that records nothing.
type rehearsal struct {
	real   Log // whether there is a leader
	people People
	clock  func() time.Time
}

// Proposer implements Log.
func (l *rehearsal) Proposer(c Completion) Proposer { return rehearsed{l, c} }

// HasLeader implements Log.
func (l *rehearsal) HasLeader() bool { return l.real.HasLeader() }

// rehearsed is a way to propose that tells the outcome at once: what the views say that it would be.
type rehearsed struct {
	log *rehearsal
	to  Completion
}

// Propose implements Proposer.
func (p rehearsed) Propose(proposal []byte, token uint64) error {
	if !p.log.HasLeader() {
		return ErrUnavailable
	}
	r := p.log.people.Check(state.Stamp{Time: p.log.clock()}, proposal)
	p.to.Committed(token, Outcome{Code: r.Code, Detail: r.Detail})
	return nil
}
