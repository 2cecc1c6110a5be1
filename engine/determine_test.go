package engine

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/script"
	"trine/engine/trace"
)

// scriptBench runs scripts at once, or when it is told to.
type scriptBench struct {
	mu     sync.Mutex
	host   *script.Host
	jobs   []*script.Job
	hold   bool
	refuse error
	runs   int
}

func (b *scriptBench) Submit(j *script.Job) error {
	b.mu.Lock()
	refuse, hold := b.refuse, b.hold
	if refuse == nil && hold {
		b.jobs = append(b.jobs, j)
	}
	b.mu.Unlock()
	if refuse == nil && !hold {
		b.do(j)
	}
	return refuse
}

func (b *scriptBench) do(j *script.Job) {
	j.Timeout = time.Minute // whether there is time enough is the worker's to test
	request, err := j.Encode()
	if err != nil {
		j.Err = err
	} else {
		b.mu.Lock()
		b.runs++
		began := time.Now()
		answer := b.host.Run(request, func() time.Duration { return time.Since(began) })
		b.mu.Unlock()
		j.Settle(answer)
	}
	j.Done.ScriptDone(j)
}

// work does all jobs that wait.
func (b *scriptBench) work() {
	b.mu.Lock()
	jobs := b.jobs
	b.jobs = nil
	b.mu.Unlock()
	for _, j := range jobs {
		b.do(j)
	}
}

// scripted returns a rig whose attribute room is made by an expression or a script.
func scripted(t *testing.T, spec string) (*rig, *scriptBench) {
	t.Helper()
	b := &scriptBench{host: script.NewHost()}
	r := newRig(t, func(c *Config) { c.Scripts, c.TraceAccepts = b, 1 })
	r.apply("{kind: AttributeDefinition, name: room, spec: {radiusID: Filter-Id, " + spec + "}}")
	return r, b
}

// released tells what an accept releases.
func released(d *Decision) string {
	var b strings.Builder
	for _, a := range d.Released {
		b.WriteString(a.Attribute.Name + "=" + string(bytes.Join(a.Values, []byte("|"))) + ";")
	}
	return b.String()
}

func told(rec decision) string {
	var b strings.Builder
	for _, s := range rec.Steps {
		b.WriteString(trace.StepCode(s.Code).Words(string(s.Subject), string(s.Detail)) + "\n")
	}
	return b.String()
}

func TestAttributeIsMadeByAnExpressionInPlace(t *testing.T) {
	r, b := scripted(t, `expression: 'attributes.values("room").map(v, userName.upper() + "/" + v)'`)
	q := r.alice()
	if !r.lane.Authenticate(q) {
		t.Fatal("it was not decided at once")
	}
	if got := released(&q.Decision); got != "room=ALICE/A1|ALICE/B2;" || b.runs != 0 {
		t.Errorf("%s, %d scripts run", got, b.runs)
	}
}

func TestValueOfOneLoginIsNotTheNexts(t *testing.T) {
	for _, spec := range []string{"expression: userName", "script: return userName"} {
		r, _ := scripted(t, spec)
		q := r.alice()
		for _, login := range []struct{ name, password, want string }{{"alice", "wonderland", "room=Alice;"}, {"bob", "builder", "room=bob;"}} {
			q.Name, q.Proof = []byte(login.name), credential.Proof{Method: credential.PAP, Password: []byte(login.password)}
			r.accept(q)
			if got := released(&q.Decision); got != login.want {
				t.Errorf("%s: %s", login.name, got)
			}
		}
	}
}

func TestAttributeIsMadeByAScriptWhileTheLoginWaits(t *testing.T) {
	r, b := scripted(t, `script: 'return attributes{"room"}.concat([serviceProvider])'`)
	b.hold = true
	q := r.alice()
	if r.lane.Authenticate(q) || r.inbox.decided(q) != 0 {
		t.Fatal("it was decided without the script")
	}
	b.work()
	if r.inbox.decided(q) != 1 || q.Decision.Verdict != event.Accept || released(&q.Decision) != "room=A1|B2|wlan;" {
		t.Fatalf("%+v: %s", q.Decision, released(&q.Decision))
	}
	r.engine.Flush()
	if text := told(r.recorded(q)); !strings.Contains(text, "runs the script of the AttributeDefinition room") || !strings.Contains(text, "has run the script") ||
		strings.Count(text, "The sharing policy rooms applies") > 1 {
		t.Error(text)
	}
}

func TestAccountsAreThoseOfTheUser(t *testing.T) {
	r, _ := scripted(t, `script: 'for (account: serverService.getUserAccounts(id, "ad")) { return account{"attributes"}{"ou"}; } return null;'`)
	r.apply("{kind: InformationSystem, name: ad}\n---\n{kind: Account, name: al@ad, spec: {owner: alice, attributes: {ou: Tea}}}\n---\n{kind: Account, name: b@ad, spec: {owner: bob, attributes: {ou: Wood}}}")
	q := r.request("ally", "wonderland")
	r.accept(q)
	if got := released(&q.Decision); got != "room=Tea;" {
		t.Error(got)
	}
}

func TestConditionOfAuthorizationPolicyWaitsForAScript(t *testing.T) {
	b := &scriptBench{host: script.NewHost()}
	r := newRig(t, func(c *Config) { c.Scripts = b })
	r.apply(`
kind: AttributeDefinition
name: side
spec: {script: 'return userName == "bob" ? "left" : "right"'}
---
kind: ServiceProvider
name: wlan
spec:
  type: radius
  publicID: wlan
  radius: {sourceIPs: [10.0.0.0/8], secret: one}
  authorizationPolicy:
  - {name: left-out, condition: {attributeValue: {attribute: side, value: left}}, reject: true}
`)
	r.accept(r.alice())
	r.deny(r.request("bob", "builder"), event.Reject, trace.AuthorizationDenied)
	if b.runs != 2 {
		t.Errorf("%d scripts run", b.runs)
	}
}

// TestNothingIsReleasedByAConditionThatIsNotKnown: what a script would deny is not let out while it has not run, nor where it fails.
func TestNothingIsReleasedByAConditionThatIsNotKnown(t *testing.T) {
	b := &scriptBench{host: script.NewHost(), hold: true}
	r := newRig(t, func(c *Config) { c.Scripts = b })
	policy := func(condition string) {
		r.apply("{kind: AttributePolicy, name: rooms, spec: {condition: " + condition + ", attributes: [{attribute: room}]}}")
	}
	policy(`{not: {script: 'return userName == "Alice"'}}`)
	q := r.alice()
	if r.lane.Authenticate(q) || r.inbox.decided(q) != 0 {
		t.Fatal("it was decided without the script")
	}
	b.work()
	if r.inbox.decided(q) != 1 || q.Decision.Verdict != event.Accept || released(&q.Decision) != "" {
		t.Errorf("%s, %s", q.Decision.Verdict, released(&q.Decision))
	}
	b.hold = false
	for condition, reason := range map[string]trace.Reason{
		`{not: {script: throw 1}}`:                                        trace.ScriptFailed,
		`{not: {script: return userName}}`:                                trace.ScriptWrongType,
		`{or: [{expression: 'groups[9] == ""'}, {principalName: Alice}]}`: trace.ExpressionFailed,
	} {
		policy(condition)
		if text := told(r.deny(r.alice(), event.Reject, reason)); !strings.Contains(text, "AttributePolicy rooms") {
			t.Error(text)
		}
	}
	policy(`{or: [{principalName: Alice}, {script: throw 1}]}`) // which nothing depends on
	if d := r.accept(r.alice()); released(d) == "" {
		t.Error("nothing is released")
	}
}

func TestWhatCannotBeComputedRefuses(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		arrange    func(*scriptBench)
		verdict    event.Verdict
		reason     trace.Reason
		text       string
	}{
		{"expression", `expression: "groups[3]"`, nil, event.Reject, trace.ExpressionFailed, "The value that the AttributeDefinition room makes could not be had: line 1, column"},
		{"script that throws", `script: "\nthrow 'no'"`, nil, event.Reject, trace.ScriptFailed, "line 2, column 1: no"},
		{"script of the wrong type", `script: "17"`, nil, event.Reject, trace.ScriptWrongType, "the result is a number"},
		{"worker busy", `script: "'x'"`, func(b *scriptBench) { b.refuse = script.ErrQueueFull }, event.Discard, trace.OverloadQueueFull, "too many scripts"},
		{"worker gone", `script: "'x'"`, func(b *scriptBench) { b.refuse = script.ErrUnavailable }, event.Discard, trace.WorkerFailed, "not there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, b := scripted(t, c.spec)
			if c.arrange != nil {
				c.arrange(b)
			}
			q := r.alice()
			rec := r.deny(q, c.verdict, c.reason)
			if text := told(rec); !strings.Contains(text, c.text) || !strings.Contains(text, "AttributeDefinition room") {
				t.Error(text)
			}
			if len(q.Decision.Released) > 0 {
				t.Error(released(&q.Decision))
			}
		})
	}
}

func TestLoginPastItsDeadlineIsDroppedAfterItsScript(t *testing.T) {
	r, b := scripted(t, `script: "'x'"`)
	b.hold = true
	q := r.alice()
	q.Deadline = r.clock.Now().Add(time.Second)
	if r.lane.Authenticate(q) {
		t.Fatal("it was decided without the script")
	}
	r.clock.move(2 * time.Second)
	b.work()
	if r.inbox.decided(q) != 1 || q.Decision.Verdict != event.Discard || q.Decision.Reason != trace.OverloadDeadline {
		t.Errorf("%+v", q.Decision)
	}
}

func TestScriptRunsBeforeAPlaceIsReserved(t *testing.T) {
	r, b := scripted(t, `script: "throw 'no'"`)
	r.apply("{kind: UserType, name: default, spec: {sessions: {limit: 1}}}")
	r.deny(r.alice(), event.Reject, trace.ScriptFailed)
	if n := r.people.CountSessions("Alice", r.clock.Now()); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	r.apply(`{kind: AttributeDefinition, name: room, spec: {radiusID: Filter-Id, script: "'x'"}}`)
	q := r.alice()
	r.accept(q)
	if n := r.people.CountSessions("Alice", r.clock.Now()); n != 1 || released(&q.Decision) != "room=x;" || b.runs != 2 {
		t.Errorf("%d places are taken, %s", n, released(&q.Decision))
	}
}

func TestServiceIsToldAnotherUserName(t *testing.T) {
	for _, c := range []struct{ name, spec, uid, reason string }{
		{"expression", `uidExpression: 'userName.lower() + "@" + mailDomain'`, "alice@example.org", ""},
		{"script", `uidScript: 'return attributes{"room"}[0] + "-" + id'`, "A1-", ""},
		{"none", `audit: after`, "", ""},
		{"an expression that yields nothing", `uidExpression: shortName`, "", "expression.failed"},
		{"a script that yields nothing", `uidScript: return null`, "", "script.wrong-type"},
		{"a script that throws", `uidScript: throw 1`, "", "script.failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &scriptBench{host: script.NewHost()}
			r := newRig(t, func(c *Config) { c.Scripts, c.TraceAccepts = b, 1 })
			r.apply("{kind: ServiceProvider, name: wlan, spec: {type: radius, publicID: wlan, radius: {sourceIPs: [10.0.0.0/8], secret: one}, " + c.spec + "}}")
			q := r.alice()
			if c.reason != "" {
				if text := told(r.deny(q, event.Reject, trace.Reason(c.reason))); !strings.Contains(text, "ServiceProvider wlan") || len(q.Decision.UID) > 0 {
					t.Error(text)
				}
				return
			}
			d := r.accept(q)
			if !strings.HasPrefix(string(d.UID), c.uid) || (len(d.UID) > 0) != (c.uid != "") || string(d.User) != "Alice" || released(d) != "room=A1|B2;" {
				t.Errorf("%q of %q, %s", d.UID, d.User, released(d))
			}
			if text := told(r.recorded(q)); c.uid != "" && !strings.Contains(text, "wlan is told the user name "+string(d.UID)) {
				t.Error(text)
			}
			// A request is used again.
			q.Proof.Password = []byte("rabbit")
			r.deny(q, event.Reject, trace.PasswordWrong)
			if len(q.Decision.UID) > 0 {
				t.Errorf("a reject tells %q", q.Decision.UID)
			}
		})
	}
}

// TestSessionsBelongToWhoLoggedIn: a device that is told bob for Alice accounts for bob, and must not take his place.
func TestSessionsBelongToWhoLoggedIn(t *testing.T) {
	r := newRig(t, nil)
	r.apply(`{kind: ServiceProvider, name: wlan, spec: {type: radius, publicID: wlan, radius: {sourceIPs: [10.0.0.0/8], secret: one}, uidExpression: '"bob"'}}`)
	for _, c := range []struct{ brought, owner string }{{"Alice", "Alice"}, {"", ""}, {"nobody", ""}} {
		a := r.record(event.StatusStart, "s"+c.brought)
		a.Record.UserName, a.LoginUser = []byte("bob"), []byte(c.brought)
		r.lane.Account(a)
		if a.Err != nil || string(a.Record.User) != c.owner {
			t.Errorf("brought back %q: of %q, %v", c.brought, a.Record.User, a.Err)
		}
	}
	if n := r.people.CountSessions("bob", r.clock.Now()); n != 0 {
		t.Errorf("bob has %d sessions", n)
	}
	if n := r.people.CountSessions("alice", r.clock.Now()); n != 1 {
		t.Errorf("Alice has %d sessions", n)
	}
}

func TestManyLoginsShareOneWorkerForScripts(t *testing.T) {
	b := &scriptBench{host: script.NewHost()}
	r := newRig(t, func(c *Config) { c.Scripts = b })
	r.apply(`{kind: AttributeDefinition, name: room, spec: {radiusID: Filter-Id, script: "return userName"}}`)
	b.hold = true
	var waiting []*Request
	for i := range 50 {
		q := r.alice()
		if i%2 == 1 {
			q = prove(t, r.request("bob", "builder"), credential.PAP, "builder")
		}
		if !r.lane.Authenticate(q) {
			waiting = append(waiting, q)
		}
	}
	b.work()
	if len(waiting) != 50 {
		t.Fatalf("%d logins wait", len(waiting))
	}
	for _, q := range waiting {
		if r.inbox.decided(q) != 1 || released(&q.Decision) != "room="+string(q.user.Name)+";" {
			t.Errorf("%s: %s", q.user.Name, released(&q.Decision))
		}
	}
}
