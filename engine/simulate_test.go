package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/state"
	"trine/engine/trace"
)

// simulate has a login decided by a simulation, and returns the record that it would have left. Nothing may have changed.
func (r *rig) simulate(q *Request, c Circumstances) *event.Decided {
	r.t.Helper()
	digest, counts, done := r.people.Digest(), r.people.Counts(), len(r.log.done)
	verified, missing := r.verifier.Stats(), r.engine.Stats()
	if c.Verifier == nil {
		c.Verifier = r.verifier.Aside()
	}
	s := r.engine.Simulate(c)
	in := newInbox()
	q.Done, q.Deadline = in, time.Time{} // whoever tries out a login waits
	if !s.NewLane().Authenticate(q) {
		r.bench.work()
		if in.decided(q) != 1 {
			r.t.Fatalf("a simulated login was decided %d times", in.decided(q))
		}
	}
	d, err := s.Decided(q)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.people.Digest() != digest || r.people.Counts() != counts || len(r.log.done) != done || r.verifier.Stats() != verified || r.engine.Stats() != missing {
		r.t.Fatal("a simulation left something behind")
	}
	return d
}

// latest flushes, and returns the last decision that was recorded.
func (r *rig) latest() *event.Decided {
	r.t.Helper()
	r.lane.Flush()
	r.engine.Flush()
	for _, a := range slices.Backward(r.log.done) {
		var last *event.Decided
		for rest := a.data; len(rest) > 0; {
			part, data, next, err := event.NextPart(rest)
			if err != nil {
				r.t.Fatal(err)
			}
			if rest = next; part != event.PartEvent {
				continue
			}
			e, err := event.ParseEvent(data)
			if err != nil {
				r.t.Fatal(err)
			}
			if e.Type == event.TypeDecided {
				m, err := e.Message()
				if err != nil {
					r.t.Fatal(err)
				}
				last = m.(*event.Decided)
			}
		}
		if last != nil {
			return last
		}
	}
	r.t.Fatal("no decision was recorded")
	return nil
}

func wordsOf(d *event.Decided) string {
	var b strings.Builder
	for _, s := range d.Steps {
		fmt.Fprintf(&b, "%s\n", trace.StepCode(s.Code).Words(s.Subject, s.Detail))
	}
	return b.String()
}

// comparable returns a record without what differs between two decisions of the same login: its id, and how long things took.
func comparable(d *event.Decided) *event.Decided {
	d = proto.CloneOf(d)
	d.Id, d.TookMicros = 0, 0
	for _, s := range d.Steps {
		s.TookNanos = 0
	}
	return d
}

// TestSimulationAgreesWithWhatWasDecided has 10,000 random logins simulated and then decided: both must say the same, for the same
// reason, by the same steps, and the simulation must leave nothing behind.
func TestSimulationAgreesWithWhatWasDecided(t *testing.T) {
	const worlds, logins = 100, 100
	seen := map[string]int{}
	for seed := range uint64(worlds) {
		w := newWorld(t, seed)
		for range logins {
			q := w.login()
			again := *q
			told := w.simulate(&again, Circumstances{Verifier: w.aside})
			w.decide(q)
			found := w.latest()
			if len(found.Steps) == 0 { // an accept that is not one of the sample
				told.Steps = nil
			}
			if !proto.Equal(comparable(found), comparable(told)) {
				t.Fatalf("seed %d: decided %v\n%s\nsimulated %v\n%s", seed, found, wordsOf(found), told, wordsOf(told))
			}
			seen[found.Reason]++
			if found.Verdict == uint32(event.Accept) {
				w.mayOpen(q)
			}
			w.passTime()
		}
	}
	for _, reason := range []trace.Reason{
		trace.OK, trace.UserUnknown, trace.UserInactive, trace.PasswordWrong, trace.PasswordMissing, trace.PasswordMustChange, trace.SessionLimit,
		trace.RealmUnknown, trace.RadiusMethodDisabled, trace.RadiusCHAPSecretNotKept, trace.RadiusMSCHAPHashNotKept, trace.ConfigBroken,
		trace.OverloadThrottled, trace.PasswordChangeDenied, trace.ProofMissing, trace.UserLocked, trace.UserLockedSource,
	} {
		if seen[string(reason)] == 0 {
			t.Errorf("no login came out as %s: the worlds are too tame; %v", reason, seen)
		}
	}
}

// world is a rig with a random configuration and random people.
type world struct {
	*rig
	*rand.Rand
	aside  *credential.Verifier
	opened int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 0))}
	w.rig = newRig(t, func(c *Config) { c.TraceAccepts = w.IntN(3) })
	if w.one(3) { // few failures are let pass
		limits := credential.Limits{UserBurst: 2, UserPerMinute: 1, UserUnderWay: 4, SourceBurst: 8, SourcePerMinute: 1, SourceUnderWay: 4}
		v, err := credential.New(credential.Config{Keyring: w.ring, Hasher: w.bench, Clock: w.clock.Now, Params: cheap(), Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		w.verifier, w.engine.config.Verifier = v, v
	}
	w.aside = w.verifier.Aside()
	var b strings.Builder
	doc := func(format string, args ...any) { fmt.Fprintf(&b, "---\n"+format+"\n", args...) }
	doc("{kind: IdentityProvider, name: local, spec: {type: local, publicID: home, profiles: {radius: {enabled: true, pap: %v, chap: %v, mschapv1: %v, mschapv2: %v}}}}",
		!w.one(16), !w.one(4), !w.one(4), !w.one(4))
	for i := range 3 {
		realms := w.pick("[]", "[]", `[{name: "*"}]`, "[{name: example.org}]", "[{name: example.org, strip: false}]")
		doc("{kind: ServiceProvider, name: sp%d, spec: {type: radius, publicID: sp%d, audit: %s, radius: {sourceIPs: [10.%d.0.0/16], secret: %s, realms: %s, reply: [Idle-Timeout = %d]}}}",
			i, i, w.pick("after", "before-answer"), i, w.pick("one", "one", "one", "one", "one", "one", "one", "one", "one", "bad"), realms, i)
	}
	for i := range 4 {
		parent := ""
		if i > 0 && w.one(2) {
			parent = fmt.Sprintf(", parent: g%d", w.IntN(i))
		}
		limit := ""
		if w.one(3) {
			limit = fmt.Sprintf(", sessions: {limit: %d}", 1+w.IntN(3))
		}
		reply := w.pick("Session-Timeout = 1", "Filter-Id = x", "Port-Limit = 3")
		if w.one(16) {
			reply = "No-Such = 1"
		}
		doc("{kind: Group, name: g%d, spec: {reply: [%s]%s%s}}", i, reply, parent, limit)
	}
	doc("{kind: UserType, name: guests, spec: {sessions: {limit: %d}}}", 1+w.IntN(3))
	if w.one(2) {
		doc("{kind: UserType, name: default, spec: {password: {lockout: {attempts: 2, total: 4, window: 10m, duration: 5m, progressive: %v}}}}", w.one(2))
	}
	for i := range 4 {
		doc("{kind: AttributePolicy, name: p%d, spec: {condition: %s, attributes: [{attribute: room}]}}", i,
			w.pick("any", "{principalName: u1}", "{authenticationMethod: P}", "{not: {attributeRequester: sp0}}", "{attributeValue: {attribute: room, value: A1}}"))
	}
	for i := range 12 {
		groups := w.pick("", ", primaryGroup: g0", ", primaryGroup: g1, groups: [g2]", ", groups: [g3, g0]")
		doc("{kind: User, name: u%d, spec: {active: %v, aliases: [a%d], attributes: {room: [%s]}%s%s}}",
			i, !w.one(8), i, w.pick("A1", "B2", "C3"), groups, w.pick("", "", ", userType: guests"))
	}
	w.rig.apply(strings.TrimPrefix(b.String(), "---\n"))
	for i := range 12 {
		if w.one(10) {
			continue
		}
		keep := credential.Keep{Argon2id: w.one(2), Keyed: w.one(3), NT: w.one(2), Clear: w.one(2)}
		if keep == (credential.Keep{}) {
			keep.Argon2id = true
		}
		set := w.forms(fmt.Sprint("u", i), fmt.Sprint("secret", i%3), keep)
		set.MustChange = w.one(10)
		w.propose(set)
	}
	return w
}

// one is true once in n times.
func (w *world) one(n int) bool { return w.IntN(n) == 0 }

func (w *world) pick(of ...string) string { return of[w.IntN(len(of))] }

func (w *world) login() *Request {
	i := w.IntN(14) // two of them are nobody
	q := w.request(fmt.Sprintf("%s%d%s", w.pick("u", "u", "U", "a"), i, w.pick("", "", "", "@example.org", "@example.net")), "")
	q.Source = netip.MustParseAddrPort(fmt.Sprintf("10.%d.0.%d:1000", w.IntN(3), 1+w.IntN(2)))
	q.Client = q.Cache.ClientFor(document.TypeRadius, q.Source.Addr())
	methods := []credential.Method{credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2}
	if w.one(4) {
		methods = []credential.Method{credential.MSCHAPCPW, credential.NoProof}
	}
	method := credential.PAP
	if w.one(2) {
		method = methods[w.IntN(len(methods))]
	}
	prove(w.t, q, method, fmt.Sprint("secret", (i+w.IntN(4)/3)%3)) // three of four are right
	return q
}

// mayOpen lets the session of an accepted login begin, now and then.
func (w *world) mayOpen(q *Request) {
	if w.one(2) {
		return
	}
	w.opened++
	a := w.record(event.StatusStart, fmt.Sprint("s", w.opened))
	a.Client, a.Record.UserName, a.Record.Login = q.Client, q.Decision.User, q.Decision.ID
	w.lane.Account(a)
	if w.one(3) {
		a.Record.Status = event.StatusStop
		w.lane.Account(a)
	}
}

func (w *world) passTime() {
	if w.one(20) {
		w.clock.move(time.Duration(w.IntN(1800)) * time.Second)
	}
}

func TestSimulationDecidesByTheClockThatItIsGiven(t *testing.T) {
	r := limited(t, "1")
	r.accept(r.alice()) // holds the only place for two minutes
	for at, want := range map[time.Duration]trace.Reason{0: trace.SessionLimit, reservationTerm: trace.SessionLimit, reservationTerm + time.Second: trace.OK} {
		if d := r.simulate(r.alice(), Circumstances{Clock: func() time.Time { return start.Add(at) }}); d.Reason != string(want) {
			t.Errorf("after %v: %s", at, d.Reason)
		}
	}
}

func TestSimulationDecidesByADraft(t *testing.T) {
	r := newRig(t, nil)
	docs, err := document.Parse("draft.yaml", strings.NewReader(
		"{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one, reply: [Idle-Timeout = 5]}}}\n---\n{kind: IdentityProvider, name: local, spec: {type: local, profiles: {radius: {enabled: true, pap: false}}}}"))
	if err != nil {
		t.Fatal(err)
	}
	cache := r.compiler.Draft(docs, nil).Cache
	q := r.alice()
	q.Cache, q.Client = cache, cache.ClientFor(document.TypeRadius, q.Source.Addr())
	if d := r.simulate(q, Circumstances{Policies: cache}); d.Reason != string(trace.RadiusMethodDisabled) {
		t.Errorf("%s", d.Reason)
	}
	r.accept(r.alice()) // the draft is not in force
}

func TestSimulationLaysUsersOverThePresentOnes(t *testing.T) {
	r := newRig(t, nil)
	people := r.people.Draft([]state.Drafted{
		r.drafted("{kind: User, name: alice, spec: {aliases: [al], active: false}}", nil),
		r.drafted("{kind: User, name: Bob}", r.forms("Bob", "changed", all())),
		r.drafted("{kind: User, name: carol}", r.forms("carol", "new", all())),
	})
	for _, c := range []struct {
		name, password string
		want           trace.Reason
	}{
		{"alice", "wonderland", trace.UserInactive}, // with the password that she has
		{"al", "wonderland", trace.UserInactive},
		{"al", "rabbit", trace.PasswordWrong},
		{"ally", "wonderland", trace.UserUnknown}, // an alias that the draft takes from her
		{"bob", "builder", trace.PasswordWrong},
		{"bob", "changed", trace.OK},
		{"carol", "new", trace.OK},
		{"dave", "new", trace.UserUnknown},
	} {
		r.accept(r.request("bob", "builder")) // remembered as verified, which must not count for the drafted password
		d := r.simulate(r.request(c.name, c.password), Circumstances{People: people})
		if d.Reason != string(c.want) {
			t.Errorf("%s with %s: %s\n%s", c.name, c.password, d.Reason, wordsOf(d))
		}
	}
}

// drafted returns a user of a draft as a document says, with his password if there is one.
func (r *rig) drafted(text string, set *event.PasswordSet) state.Drafted {
	r.t.Helper()
	docs, err := document.Parse("draft.yaml", strings.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	spec, err := docs[0].Stored()
	if err != nil {
		r.t.Fatal(err)
	}
	encoded := func(m proto.Message) []byte {
		var b event.Builder
		if err := b.Add(event.TypeOf(m), event.ClassConfig, nil, m); err != nil {
			r.t.Fatal(err)
		}
		_, data, _, err := event.NextPart(b.Bytes())
		if err != nil {
			r.t.Fatal(err)
		}
		return data
	}
	d := state.Drafted{Document: encoded(&event.DocumentPut{Kind: docs[0].Kind, Name: docs[0].Name, Spec: spec, Refs: docs[0].Refs(), Claims: docs[0].Claims()})}
	if set != nil {
		d.Password = encoded(set)
	}
	return d
}

func TestAssumedPasswordIsNotLookedAt(t *testing.T) {
	r := newRig(t, nil)
	r.apply("{kind: User, name: eve}\n---\n{kind: User, name: off, spec: {active: false}}")
	r.password("off", "switch", all())
	for _, c := range []struct {
		name   string
		method credential.Method
		right  bool
		want   trace.Reason
	}{
		{"alice", credential.PAP, true, trace.OK},
		{"alice", credential.PAP, false, trace.PasswordWrong},
		{"alice", credential.CHAP, true, trace.OK},
		{"alice", credential.CHAP, false, trace.PasswordWrong},
		{"alice", credential.MSCHAPv1, true, trace.OK},
		{"alice", credential.MSCHAPv1, false, trace.PasswordWrong},
		{"alice", credential.MSCHAPv2, true, trace.OK},
		{"alice", credential.MSCHAPv2, false, trace.PasswordWrong},
		{"bob", credential.PAP, true, trace.OK}, // argon2id, which costs nothing here
		{"bob", credential.PAP, false, trace.PasswordWrong},
		{"bob", credential.CHAP, true, trace.RadiusCHAPSecretNotKept},
		{"bob", credential.MSCHAPv2, true, trace.RadiusMSCHAPHashNotKept},
		{"off", credential.PAP, true, trace.UserInactive},
		{"eve", credential.PAP, true, trace.PasswordMissing},
		{"nobody", credential.PAP, true, trace.UserUnknown},
		{"nobody", credential.MSCHAPv2, true, trace.UserUnknown},
	} {
		t.Run(fmt.Sprintf("%s by %s, right: %v", c.name, c.method, c.right), func(t *testing.T) {
			r.bench.set(func(b *bench) { b.refuse = credential.ErrQueueFull }) // it must not be asked
			d := r.simulate(prove(t, r.request(c.name, ""), c.method, "neither right nor wrong"), Circumstances{Verifier: r.verifier.Assuming(c.right)})
			if d.Reason != string(c.want) {
				t.Errorf("%s\n%s", d.Reason, wordsOf(d))
			}
			assumed := c.want == trace.OK || c.want == trace.PasswordWrong || c.want == trace.UserInactive
			if strings.Contains(wordsOf(d), "is assumed to be") != assumed {
				t.Errorf("the trace does not say what was assumed:\n%s", wordsOf(d))
			}
		})
	}
}

func TestSimulationWithoutALeaderSaysSo(t *testing.T) {
	r := limited(t, "2")
	r.log.set(func(l *memoryLog) { l.leaderless = true })
	if d := r.simulate(r.alice(), Circumstances{}); d.Verdict != uint32(event.Discard) || d.Reason != string(trace.LogNoLeader) {
		t.Errorf("%v", d)
	}
}
