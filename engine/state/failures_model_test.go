package state_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trine/engine/event"
	"trine/engine/state"
)

// plainTally is what a tally must equal, written with lists of times.
type plainTally struct {
	times []int64 // failures of the window that is under way
	locks []state.Lock
	calm  int64
}

func (y *plainTally) age(now, window int64) {
	if len(y.times) > 0 && now > y.times[0]+window {
		y.times = nil
	}
	if now > y.calm {
		y.locks = nil
	}
}

func (y *plainTally) lock() (l state.Lock) {
	if len(y.locks) > 0 {
		l = y.locks[len(y.locks)-1]
	}
	return l
}

func (y *plainTally) fail(now int64, limit int, m *event.LoginFailed) {
	y.times = append(y.times, now)
	if len(y.times) < limit {
		return
	}
	length := int64(m.Duration)
	for i := 0; m.Progressive && i < len(y.locks); i++ {
		length = min(length*2, max(24*3600, int64(m.Duration)))
	}
	y.times = nil
	y.locks = append(y.locks, state.Lock{Since: now, Until: now + length})
	y.calm = now + length + max(length, int64(m.Window))
}

type plainSource struct {
	plainTally
	given []int64 // the failures that it gave to the lock everywhere, by time
}

type plainName struct {
	all     plainTally
	sources map[uint64]*plainSource
}

// failureMachine drives a State and the plain model with the same failures. The policy stays the same for each name.
type failureMachine struct {
	*log
	names map[string]*plainName
}

// policyOf returns a failure under a name, by a policy of its own.
func policyOf(name string) *event.LoginFailed {
	m := &event.LoginFailed{Name: []byte(name), Factor: 1, Attempts: 2, Total: 5, Window: 60, Duration: 40}
	switch name {
	case "b":
		m.Progressive, m.Window, m.Duration = true, 30, 50
	case "c":
		m.Attempts, m.Total, m.Window, m.Duration = 1, 1, 20, 100
	case "d":
		m.Attempts, m.Total, m.Window, m.Duration, m.Progressive = 3, 4, 1000, 10, true
	}
	return m
}

func (p *plainName) age(now int64, m *event.LoginFailed) {
	p.all.age(now, int64(m.Window))
	for id, s := range p.sources {
		s.age(now, int64(m.Window))
		if len(s.times) == 0 && len(s.locks) == 0 {
			delete(p.sources, id)
		}
	}
}

var drawFailing = rapid.SampledFrom([]string{"a", "b", "c", "d"})

func (f *failureMachine) fail(t *rapid.T) {
	name, source := drawFailing.Draw(t, "name"), rapid.Uint64Range(1, 3).Draw(t, "source")
	m := policyOf(name)
	m.Source = source
	now := f.at.Time.Unix()
	f.must(m)
	p := f.names[name]
	if p == nil {
		p = &plainName{sources: map[uint64]*plainSource{}}
		f.names[name] = p
	}
	p.age(now, m)
	s := p.sources[source]
	if s == nil {
		s = &plainSource{}
	}
	if now <= s.lock().Until {
		return
	}
	p.sources[source] = s
	begun := now // of the window everywhere
	if len(p.all.times) > 0 {
		begun = p.all.times[0]
	} else {
		for _, o := range p.sources {
			o.given = nil
		}
	}
	s.given = slices.DeleteFunc(s.given, func(at int64) bool { return at < begun })
	if now > p.all.lock().Until && len(s.given) < int(m.Attempts) {
		s.given = append(s.given, now)
		p.all.fail(now, int(m.Total), m)
	}
	s.fail(now, int(m.Attempts), m)
}

func (f *failureMachine) clear(t *rapid.T) {
	name, source := drawFailing.Draw(t, "name"), rapid.Uint64Range(1, 3).Draw(t, "source")
	now := f.at.Time.Unix()
	f.must(&event.FailuresCleared{Name: []byte(name), Source: source})
	p := f.names[name]
	if p == nil {
		return
	}
	p.age(now, policyOf(name))
	if s := p.sources[source]; s != nil {
		for range min(len(s.given), len(p.all.times)) {
			p.all.times = p.all.times[:len(p.all.times)-1]
		}
		delete(p.sources, source)
	}
}

func (f *failureMachine) unlock(t *rapid.T) {
	name := drawFailing.Draw(t, "name")
	f.must(&event.FailuresCleared{Name: []byte(name), By: "admin"})
	delete(f.names, name)
	if len(f.LoginFailures(name)) != 0 {
		t.Fatal("failures are left")
	}
}

func (f *failureMachine) wait(t *rapid.T) {
	f.at.Time = f.at.Time.Add(time.Duration(rapid.SampledFrom([]int{1, 5, 20, 40, 41, 45, 61, 200}).Draw(t, "seconds")) * time.Second)
}

func (f *failureMachine) sweep(*rapid.T) { f.must(&event.TombstonesSwept{BeforeUnix: 1}) }

func (f *failureMachine) check(t *rapid.T) {
	now := f.at.Time
	for name, p := range f.names {
		p.age(now.Unix(), policyOf(name))
		for _, l := range f.LoginFailures(name) {
			// What is over stays in the row until it is written again.
			if got, want := l.Count, len(p.all.times); got != want && want > 0 {
				t.Fatalf("%s has %d failures, want %d", name, got, want)
			}
			for _, x := range l.Sources {
				if s := p.sources[x.Source]; s != nil && len(s.times) > 0 && x.Count != len(s.times) {
					t.Fatalf("%s has %d failures from %d, want %d", name, x.Count, x.Source, len(s.times))
				}
			}
		}
		for source := uint64(1); source <= 3; source++ {
			l := f.LoginLocks([]byte(name), 0, source)
			if got, want := l.Everywhere.Holds(now), now.Unix() <= p.all.lock().Until; got != want {
				t.Fatalf("%s locked everywhere %v, want %v: %+v", name, got, want, l)
			}
			s := p.sources[source]
			if got, want := l.Here.Holds(now), s != nil && now.Unix() <= s.lock().Until; got != want {
				t.Fatalf("%s locked from %d %v, want %v: %+v", name, source, got, want, l)
			}
			if s != nil && !l.Remembered {
				t.Fatalf("%s has failures from %d that are not remembered", name, source)
			}
		}
	}
	if len(f.facts)%8 != 0 {
		return
	}
	replay := state.New()
	for _, fact := range f.facts {
		replay.ApplyFact(fact.at, fact.data)
	}
	if replay.Digest() != f.Digest() {
		t.Fatal("folding the facts gives other rows")
	}
	if loaded := reloaded(t, f.State); loaded.Digest() != f.Digest() || loaded.Counts().Failures != f.Counts().Failures {
		t.Fatal("loading gives other rows")
	}
}

// reloaded returns a State with the rows of another one.
func reloaded(t failer, s *state.State) *state.State {
	t.Helper()
	frozen := s.Freeze()
	defer frozen.Release(true)
	var kept [][2][]byte
	if err := frozen.Rows(true, func(k, v []byte) error {
		kept = append(kept, [2][]byte{slices.Clone(k), slices.Clone(v)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	out := state.New()
	if err := out.Load(func() (k, v []byte, ok bool, err error) {
		if len(kept) == 0 {
			return nil, nil, false, nil
		}
		row := kept[0]
		kept = kept[1:]
		return row[0], row[1], true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFailuresEqualAPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &failureMachine{log: newLog(t), names: map[string]*plainName{}}
		f.must(user("a"))
		t.Repeat(map[string]func(*rapid.T){
			"fail": f.fail, "fail again": f.fail, "fail more": f.fail, "clear": f.clear, "unlock": f.unlock, "wait": f.wait, "sweep": f.sweep, "": f.check,
		})
	})
}

// failed proposes so many failures under a name, from one source.
func (l *log) failed(name string, source uint64, times int) {
	l.t.Helper()
	for range times {
		l.must(&event.LoginFailed{Name: []byte(name), Source: source, Factor: 1, Attempts: 3, Total: 10, Window: 900, Duration: 600})
	}
}

func (l *log) locked(name string, source uint64) string {
	locks := l.LoginLocks([]byte(name), 0, source)
	switch now := l.at.Time; {
	case locks.Here.Holds(now):
		return "here"
	case locks.Everywhere.Holds(now):
		return "everywhere"
	}
	return ""
}

func TestLocksOutliveASealAndARestart(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	l.failed("alice", 1, 3)
	l.State = reloaded(t, l.State)
	if got := l.locked("alice", 1); got != "here" {
		t.Fatalf("after a restart the lock is %q", got)
	}
	l.at.Time = l.at.Time.Add(10*time.Minute + time.Second)
	if got := l.locked("alice", 1); got != "" {
		t.Fatalf("after its term the lock is %q", got)
	}
}

func TestLockByAClockThatWasAheadDoesNotHold(t *testing.T) {
	now := start
	for _, c := range []struct {
		name string
		lock state.Lock
		want bool
	}{
		{"none", state.Lock{}, false},
		{"just made", state.Lock{Since: now.Unix(), Until: now.Unix() + 600}, true},
		{"its last second", state.Lock{Since: now.Unix() - 600, Until: now.Unix()}, true},
		{"past its term", state.Lock{Since: now.Unix() - 601, Until: now.Unix() - 1}, false},
		{"by a node whose clock is a little ahead", state.Lock{Since: now.Unix() + 59, Until: now.Unix() + 659}, true},
		{"by a clock that was days ahead", state.Lock{Since: now.Unix() + 3*86400, Until: now.Unix() + 3*86400 + 600}, false},
	} {
		if got := c.lock.Holds(now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestManySourcesAreForgottenLeastFirst(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	m := func(source uint64) *event.LoginFailed {
		return &event.LoginFailed{Name: []byte("alice"), Source: source, Factor: 1, Attempts: 2, Total: 1000, Window: 900, Duration: 600}
	}
	l.must(m(1), m(1))
	for source := uint64(2); source <= 100; source++ {
		l.must(m(source))
	}
	list := l.LoginFailures("ALICE")
	if len(list) != 1 || len(list[0].Sources) != 8 || list[0].Count != 101 {
		t.Fatalf("found %+v", list)
	}
	if got := l.locked("alice", 1); got != "here" {
		t.Errorf("the source that is locked is %q", got)
	}
	if l.LoginLocks([]byte("alice"), 0, 93).Remembered || !l.LoginLocks([]byte("alice"), 0, 94).Remembered {
		t.Error("not the newest sources are remembered")
	}
}

func TestPINCountsByItself(t *testing.T) {
	l := newLog(t)
	pin := &event.LoginFailed{Name: []byte("alice"), Source: 1, Factor: 7, Apart: true, Attempts: 1, Total: 1, Window: 60, Duration: 60}
	l.must(pin)
	if got := l.locked("alice", 1); got != "" {
		t.Errorf("logins are locked %s by a PIN", got)
	}
	if locks := l.LoginLocks([]byte("alice"), 7, 2); !locks.Everywhere.Holds(l.at.Time) {
		t.Error("the PIN is not locked")
	}
	l.failed("alice", 1, 3)
	if list := l.LoginFailures("alice"); len(list) != 2 || list[1].Apart != 7 {
		t.Errorf("found %+v", list)
	}
	l.must(&event.FailuresCleared{Name: []byte("alice"), By: "admin"})
	if n := l.Counts().Failures; n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestGoodLoginLeavesNothingOfItsOwnFailures(t *testing.T) {
	l := newLog(t)
	l.failed("alice", 1, 2)
	l.must(&event.FailuresCleared{Name: []byte("alice"), Source: 1})
	if n := l.Counts().Failures; n != 0 {
		t.Errorf("%d rows are left", n)
	}
	l.failed("alice", 1, 2)
	l.failed("alice", 2, 2)
	l.must(&event.FailuresCleared{Name: []byte("alice"), Source: 1})
	if list := l.LoginFailures("alice"); len(list) != 1 || list[0].Count != 2 || len(list[0].Sources) != 1 || list[0].Sources[0].Source != 2 {
		t.Errorf("found %+v", list)
	}
}

func TestSweepForgetsFailuresThatNoLongerCount(t *testing.T) {
	l := newLog(t)
	l.failed("alice", 1, 3)
	l.failed("bob", 1, 1)
	l.at.Time = l.at.Time.Add(16 * time.Minute)
	l.must(&event.TombstonesSwept{BeforeUnix: 1})
	if n := l.Counts().Failures; n != 1 || len(l.LoginFailures("alice")) != 1 {
		t.Fatalf("%d rows are left", n)
	}
	l.at.Time = l.at.Time.Add(16 * time.Minute)
	l.must(&event.TombstonesSwept{BeforeUnix: 1})
	if n := l.Counts().Failures; n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestCredentialExpectationHoldsForOneVersion(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	set := &event.PasswordSet{User: "alice", Nt: []byte("nt")}
	l.must(set, expect{event.Expectation_CREDENTIAL, "Alice", 0})
	l.void(event.CodeConflict, "changed meanwhile", set, expect{event.Expectation_CREDENTIAL, "alice", 0})
	l.must(set, expect{event.Expectation_CREDENTIAL, "alice", 1})
	l.must(&event.PasswordRemoved{User: "alice"})
	l.void(event.CodeConflict, "changed meanwhile", set, expect{event.Expectation_CREDENTIAL, "alice", 2})
	l.void(event.CodeConflict, "changed meanwhile", expect{event.Expectation_CREDENTIAL, "nobody", 1})
	l.must(expect{event.Expectation_CREDENTIAL, "nobody", 0}, group("g"))
}
