package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
)

// refusal is one way in which a login ends without an accept.
type refusal struct {
	name    string
	arrange func(r *rig)
	request func(r *rig) *Request // nil: alice with her password
	verdict event.Verdict         // 0: Reject
	reason  trace.Reason
	step    trace.StepCode // that the record must have
	words   string         // that its trace must have
}

// office is a system with two roles.
const office = "{kind: InformationSystem, name: erp}\n---\n{kind: Role, name: admin@erp, spec: {reply: [\"Class = admin\"]}}\n---\n{kind: Role, name: clerk@erp}\n"

// requiring is the house's service provider with more in its spec.
func requiring(fields string) string {
	return "{kind: ServiceProvider, name: wlan, spec: {type: radius, publicID: wlan, " + fields + ", radius: {sourceIPs: [10.0.0.0/8], secret: one, reply: [\"Idle-Timeout = 60\"]}}}"
}

func refusals() []refusal {
	pap := func(name, password string) func(*rig) *Request {
		return func(r *rig) *Request { return r.request(name, password) }
	}
	by := func(name string, m credential.Method) func(*rig) *Request {
		return func(r *rig) *Request { return prove(r.t, r.request(name, ""), m, "builder") }
	}
	provider := func(radius string) func(*rig) {
		return func(r *rig) {
			r.apply("{kind: IdentityProvider, name: local, spec: {type: local, profiles: {radius: " + radius + "}}}")
		}
	}
	documents := func(text string) func(*rig) { return func(r *rig) { r.apply(text) } }
	unreadable := func(kind, name string) func(*rig) {
		return func(r *rig) {
			r.propose(&event.DocumentPut{Kind: kind, Name: name, Spec: []byte("{")})
		}
	}
	failing := func(err error) func(*rig) {
		return func(r *rig) { r.bench.set(func(b *bench) { b.fail = err }) }
	}
	return []refusal{
		{name: "unknown user", request: pap("nobody", "x"), reason: trace.UserUnknown, step: trace.UserNotFound, words: "Looked up nobody"},
		{name: "unknown user by CHAP", request: by("nobody", credential.CHAP), reason: trace.UserUnknown, step: trace.UserNotFound},
		{name: "unknown user by MS-CHAPv2", request: by("nobody", credential.MSCHAPv2), reason: trace.UserUnknown, step: trace.UserNotFound},
		{name: "no name", request: pap("", "x"), reason: trace.UserMissing, step: trace.NameCame},
		{
			name: "inactive user", arrange: documents("{kind: User, name: Alice, spec: {active: false}}"),
			reason: trace.UserInactive, step: trace.UserIsOff,
		},
		{
			name: "inactive user with a wrong password", arrange: documents("{kind: User, name: Alice, spec: {active: false}}"),
			request: pap("alice", "rabbit"), reason: trace.PasswordWrong, step: trace.PasswordDiffers,
		},
		{name: "wrong password, fast", request: pap("alice", "rabbit"), reason: trace.PasswordWrong, step: trace.PasswordDiffers},
		{name: "wrong password, slow", request: pap("bob", "rabbit"), reason: trace.PasswordWrong, step: trace.WorkerAnswered},
		{name: "no password", arrange: documents("{kind: User, name: eve}"), request: pap("eve", "x"), reason: trace.PasswordMissing, step: trace.PasswordAbsent},
		{
			name: "password that cannot be opened", arrange: func(r *rig) {
				set := r.forms("bob", "builder", credential.Keep{Clear: true})
				set.Clear[len(set.Clear)-1] ^= 1
				r.propose(set)
			},
			request: pap("bob", "builder"), reason: trace.PasswordUnreadable, step: trace.FormUnreadable,
		},
		{name: "CHAP without clear", request: by("bob", credential.CHAP), reason: trace.RadiusCHAPSecretNotKept, step: trace.FormNotKept, words: "the user type default"},
		{name: "MS-CHAPv1 without NT", request: by("bob", credential.MSCHAPv1), reason: trace.RadiusMSCHAPHashNotKept, step: trace.FormNotKept},
		{name: "MS-CHAPv2 without NT", request: by("bob", credential.MSCHAPv2), reason: trace.RadiusMSCHAPHashNotKept, step: trace.FormNotKept},
		{
			name: "form not kept by a named type", arrange: documents("{kind: UserType, name: guests}\n---\n{kind: User, name: bob, spec: {userType: guests}}"),
			request: by("bob", credential.CHAP), reason: trace.RadiusCHAPSecretNotKept, words: "the user type guests",
		},
		{name: "PAP off", arrange: provider("{enabled: true, pap: false}"), reason: trace.RadiusMethodDisabled, step: trace.MethodOff, words: "pap is switched off in local"},
		{name: "CHAP off", arrange: provider("{enabled: true, chap: false}"), request: by("alice", credential.CHAP), reason: trace.RadiusMethodDisabled, step: trace.MethodOff},
		{name: "MS-CHAPv1 off", arrange: provider("{enabled: true}"), request: by("alice", credential.MSCHAPv1), reason: trace.RadiusMethodDisabled, step: trace.MethodOff},
		{name: "MS-CHAPv2 off", arrange: provider("{enabled: true, mschapv2: false}"), request: by("alice", credential.MSCHAPv2), reason: trace.RadiusMethodDisabled, step: trace.MethodOff},
		{
			name: "change of password with MS-CHAPv2 off", arrange: provider("{enabled: true, mschapv2: false}"),
			request: by("alice", credential.MSCHAPCPW), reason: trace.RadiusMethodDisabled, step: trace.MethodOff,
		},
		{name: "change of password", request: by("alice", credential.MSCHAPCPW), reason: trace.PasswordChangeDenied, step: trace.ChangeNotOffered, words: "the user type default does not allow"},
		{name: "change of nobody's password", request: by("nobody", credential.MSCHAPCPW), reason: trace.PasswordChangeDenied, step: trace.ChangeNotOffered},
		{name: "issuer off", arrange: provider("{enabled: false}"), reason: trace.IssuerMissing, step: trace.IssuerNone, words: "switched on"},
		{name: "issuer gone", arrange: func(r *rig) { r.delete("IdentityProvider", "local") }, reason: trace.IssuerMissing, step: trace.IssuerNone},
		{
			name: "broken client", arrange: documents("{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: bad}}}"),
			reason: trace.ConfigBroken, step: trace.ClientIsBad, words: "too weak",
		},
		{name: "unreadable client", arrange: unreadable("ServiceProvider", "wlan"), reason: trace.ConfigBroken, step: trace.ClientIsBad},
		{
			name: "broken group", arrange: documents("{kind: Group, name: staff, spec: {reply: [No-Such = 1]}}"),
			reason: trace.ConfigBroken, step: trace.GroupIsBad, words: "staff",
		},
		{
			name: "broken group above", arrange: documents("{kind: Group, name: company, spec: {reply: [No-Such = 1]}}\n---\n{kind: Group, name: staff, spec: {parent: company}}"),
			reason: trace.ConfigBroken, step: trace.GroupIsBad, words: "company",
		},
		{name: "unreadable user type", arrange: unreadable("UserType", "default"), reason: trace.ConfigBroken, step: trace.TypeIsBad, words: "default"},
		{
			name: "user type that the cache does not have yet", request: func(r *rig) *Request {
				q := r.request("alice", "wonderland")
				r.apply("{kind: UserType, name: guests}\n---\n{kind: User, name: Alice, spec: {userType: guests}}")
				return q
			},
			reason: trace.UserTypeMissing, step: trace.TypeNotFound, words: "guests",
		},
		{
			name: "broken role", arrange: documents("{kind: InformationSystem, name: erp}\n---\n{kind: Role, name: admin@erp, spec: {reply: [No-Such = 1]}}\n---\n{kind: Group, name: staff, spec: {roles: [{role: admin@erp}]}}"),
			reason: trace.ConfigBroken, step: trace.RoleIsBad, words: "admin@erp",
		},
		{
			name: "no required role", arrange: documents(office + "---\n" + requiring("requiredRoles: [admin@erp, clerk@erp]")),
			reason: trace.RoleMissing, step: trace.RolesLacked, words: "wlan requires one of these roles, and the user has none of them now: admin@erp, clerk@erp",
		},
		{
			name: "required role not yet", arrange: documents(office + "---\n{kind: Group, name: staff, spec: {roles: [{role: admin@erp, notBefore: \"2026-03-01T12:00:01Z\"}]}}\n---\n" + requiring("requiredRoles: [admin@erp]")),
			reason: trace.RoleMissing, step: trace.RolesLacked,
		},
		{
			name: "required role no longer", arrange: documents(office + "---\n{kind: User, name: Alice, spec: {roles: [{role: admin@erp, notAfter: \"2026-03-01T12:00:00Z\"}]}}\n---\n" + requiring("requiredRoles: [admin@erp]")),
			reason: trace.RoleMissing, step: trace.RolesLacked,
		},
		{
			name: "no required role and a wrong password", arrange: documents(office + "---\n" + requiring("requiredRoles: [admin@erp]")),
			request: pap("alice", "rabbit"), reason: trace.PasswordWrong, step: trace.PasswordDiffers,
		},
		{
			name: "no account", arrange: documents(office + "---\n{kind: Account, name: bob@erp, spec: {owner: bob}}\n---\n" + requiring("requiredSystem: erp")),
			reason: trace.AccountMissing, step: trace.AccountLacked, words: "an account in erp, and the user has none",
		},
		{
			name: "disabled account", arrange: documents(office + "---\n{kind: Account, name: a@erp, spec: {owner: alice, enabled: false}}\n---\n" + requiring("requiredSystem: erp")),
			reason: trace.AccountDisabled, step: trace.AccountIsOff, words: "disabled",
		},
		{
			name: "must change", arrange: func(r *rig) {
				set := r.forms("Alice", "wonderland", all())
				set.MustChange = true
				r.propose(set)
			},
			reason: trace.PasswordMustChange, step: trace.PasswordToBeChanged,
		},
		{
			name: "no proof", request: func(r *rig) *Request {
				q := r.request("alice", "")
				q.Proof = credential.Proof{}
				return q
			},
			reason: trace.ProofMissing, step: trace.MethodUnknown,
		},
		{
			name: "malformed proof", request: func(r *rig) *Request {
				q := prove(r.t, r.request("alice", ""), credential.CHAP, "wonderland")
				q.Proof.Response = q.Proof.Response[:15]
				return q
			},
			reason: trace.ProofMalformed, step: trace.ProofIsBad,
		},
		{
			name: "malformed proof of nobody", request: func(r *rig) *Request {
				q := prove(r.t, r.request("nobody", ""), credential.CHAP, "wonderland")
				q.Proof.Response = nil
				return q
			},
			reason: trace.ProofMalformed, step: trace.ProofIsBad,
		},
		{
			name: "hasher's queue full", arrange: func(r *rig) { r.bench.set(func(b *bench) { b.refuse = credential.ErrQueueFull }) },
			request: pap("bob", "builder"), verdict: event.Discard, reason: trace.OverloadQueueFull, step: trace.WorkerRefused,
		},
		{
			name: "hasher's queue full for nobody", arrange: func(r *rig) { r.bench.set(func(b *bench) { b.refuse = credential.ErrQueueFull }) },
			request: pap("nobody", "builder"), verdict: event.Discard, reason: trace.OverloadQueueFull, step: trace.WorkerRefused,
		},
		{name: "worker failed", arrange: failing(fmt.Errorf("it died: %w", credential.ErrHasherFailed)), request: pap("bob", "builder"), verdict: event.Discard, reason: trace.WorkerFailed, step: trace.WorkerRefused, words: "it died"},
		{name: "worker too late", arrange: failing(credential.ErrDeadline), request: pap("bob", "builder"), verdict: event.Discard, reason: trace.OverloadDeadline, step: trace.WorkerRefused},
		{
			name: "deadline passed before", request: func(r *rig) *Request {
				q := r.request("bob", "builder")
				r.clock.move(time.Minute)
				return q
			},
			verdict: event.Discard, reason: trace.OverloadDeadline,
		},
		{
			name: "realm that no rule lists", arrange: documents("{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one, realms: [{name: here}]}}}"),
			request: pap("alice@there", "wonderland"), reason: trace.RealmUnknown, step: trace.RealmUnlike, words: "there",
		},
	}
}

func TestEachRefusalHasItsReasonAndIsExplained(t *testing.T) {
	for _, c := range refusals() {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			if c.arrange != nil {
				c.arrange(r)
			}
			q := r.request("alice", "wonderland")
			if c.request != nil {
				q = c.request(r)
			}
			if c.verdict == 0 {
				c.verdict = event.Reject
			}
			rec := r.deny(q, c.verdict, c.reason)
			if rec.Verdict != c.verdict || string(rec.Reason) != string(c.reason) {
				t.Errorf("recorded %s %s", rec.Verdict, rec.Reason)
			}
			if c.step != 0 && rec.step(c.step) == nil {
				t.Errorf("step %d is not in the trace: %s", c.step, rec.words())
			}
			if words := rec.words(); !strings.Contains(words, c.words) || !strings.HasPrefix(words, "The source 10.0.0.1 belongs to the service provider wlan.") {
				t.Errorf("the trace does not say %q: %s", c.words, words)
			}
			if q.Decision.MustChangePassword { // nobody may change his password here
				t.Error("a change of password is asked for")
			}
			if !q.Proof.HasKeys {
				return
			}
			if c.reason != trace.UserInactive && c.reason != trace.PasswordMustChange {
				t.Error("a refused login has keys")
			}
		})
	}
}

// TestNobodyAndAKnownPersonDoTheSameWork shows that no reply and no work of the hasher tells whether a name exists.
func TestNobodyAndAKnownPersonDoTheSameWork(t *testing.T) {
	r := newRig(t, nil)
	r.apply("{kind: User, name: off, spec: {active: false}}")
	r.password("off", "switch", credential.Keep{Argon2id: true})
	r.bench.set(func(b *bench) { b.hold = true })
	for _, name := range []string{"bob", "nobody", "off"} {
		q := r.request(name, "wrong")
		if r.lane.Authenticate(q) {
			t.Errorf("%s is decided without the hasher: %s", name, q.Decision.Reason)
		}
		if n := len(r.bench.jobs); n != 1 {
			t.Errorf("%s: %d jobs", name, n)
		}
		r.bench.work()
		if q.Decision.Verdict != event.Reject || q.Decision.MustChangePassword || q.Decision.Retry {
			t.Errorf("%s: %+v", name, q.Decision)
		}
	}
}

func TestPassedDeadlineIsADiscardAndNotAnAccept(t *testing.T) {
	r := newRig(t, nil)
	r.bench.set(func(b *bench) { b.hold = true })
	q := r.request("bob", "builder")
	if r.lane.Authenticate(q) {
		t.Fatal("decided at once")
	}
	r.clock.move(6 * time.Second)
	r.bench.work()
	if q.Decision.Verdict != event.Discard || q.Decision.Reason != trace.OverloadDeadline {
		t.Fatalf("%+v", q.Decision)
	}
	if rec := r.recorded(q); rec.step(trace.DeadlinePassed) == nil {
		t.Errorf("%s", rec.words())
	}
}

func TestTooManyFailuresAreThrottled(t *testing.T) {
	r := newRig(t, nil)
	r.verifier, _ = credential.New(credential.Config{Keyring: r.ring, Hasher: r.bench, Clock: r.clock.Now, Params: cheap()})
	r.engine.config.Verifier = r.verifier
	for _, name := range []string{"bob", "nobody"} {
		for i := range 30 {
			d := r.decide(r.request(name, fmt.Sprint("guess", i)))
			if i == 29 && d.Reason != trace.OverloadThrottled {
				t.Errorf("%s after %d failures: %s", name, i, d.Reason)
			}
		}
	}
}

func TestRealmIsStrippedByRuleOnly(t *testing.T) {
	for _, c := range []struct{ name, realms, login, user, looked string }{
		{"no rule", "[]", "alice@example.org", "", ""},
		{"rule for it", "[{name: example.org}]", "alice@EXAMPLE.org", "Alice", "alice"},
		{"rule for another", "[{name: example.net}]", "alice@example.org", "", ""},
		{"rule for every realm", `[{name: "*"}]`, "alice@example.org", "Alice", "alice"},
		{"rule that keeps it", "[{name: example.org, strip: false}]", "alice@example.org", "", ""},
		{"its own rule before that for every realm", `[{name: "*"}, {name: example.org, strip: false}]`, "alice@example.org", "", ""},
		{"domain in front", "[{name: CORP}]", `corp\ally`, "Alice", "ally"},
		{"domain in front, no rule", "[{name: other}]", `corp\alice`, "", ""},
		{"nothing but a realm", "[{name: example.org}]", "@example.org", "", ""},
		{"empty realm", `[{name: "*"}]`, "alice@", "", ""},
		{"two realms: the last one goes", `[{name: "*"}]`, "alice@a@b", "", ""},
		{"a name that has the realm comes first", `[{name: "*"}]`, "carol@example.org", "carol@example.org", "carol@example.org"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.apply("{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one, realms: " + c.realms + "}}}")
			r.apply(`{kind: User, name: "carol@example.org"}` + "\n---\n{kind: User, name: carol}")
			r.password("carol@example.org", "wonderland", all())
			q := r.request(c.login, "wonderland")
			d := r.decide(q)
			if string(d.User) != c.user || (d.Verdict == event.Accept) != (c.user != "") {
				t.Fatalf("%s %s, user %q", d.Verdict, d.Reason, d.User)
			}
			if c.user != "" && string(q.work.found.looked) != c.looked {
				t.Errorf("looked up %q", q.work.found.looked)
			}
			// Accounting knows the same people by the same names.
			a := r.start("s1")
			a.Record.UserName = []byte(c.login)
			r.lane.Account(a)
			if string(a.Record.User) != c.user {
				t.Errorf("accounting of %q", a.Record.User)
			}
		})
	}
}

func TestStrippedRealmIsInTheTrace(t *testing.T) {
	r := newRig(t, nil)
	r.apply(`{kind: ServiceProvider, name: wlan, spec: {type: radius, radius: {sourceIPs: [10.0.0.0/8], secret: one, realms: [{name: "*"}]}}}`)
	rec := r.deny(r.request("alice@example.org", "wrong"), event.Reject, trace.PasswordWrong)
	if s := rec.step(trace.NameStripped); s == nil || string(s.Subject) != "alice" || string(s.Detail) != "example.org" {
		t.Errorf("%s", rec.words())
	}
}

func TestWhatTheProtocolRefusesIsRecorded(t *testing.T) {
	for _, c := range []struct {
		reason trace.Reason
		remark string
		step   trace.StepCode
		words  string
	}{
		{trace.ProofMalformed, "two proofs", trace.ProofIsBad, "two proofs"},
		{trace.ProofMalformed, "", trace.ProofIsBad, "proof.malformed"},
		{trace.RadiusEAPUnsupported, "EAP", trace.MethodUnknown, "EAP"},
		{trace.RadiusServiceUnsupported, "Call-Check", trace.ServiceAsked, "Call-Check"},
	} {
		r := newRig(t, nil)
		q := r.request("ally", "")
		q.Remark = c.remark
		if !r.lane.Refuse(q, c.reason) || q.Decision.Verdict != event.Reject || q.Decision.Reason != c.reason || q.Remark != "" {
			t.Fatalf("%+v", q.Decision)
		}
		rec := r.recorded(q)
		if s := rec.step(c.step); s == nil || !strings.Contains(rec.words(), c.words) || string(rec.User) != "Alice" || !rec.in(event.StreamUser, "alice") {
			t.Errorf("user %s: %s", rec.User, rec.words())
		}
	}
}

func TestOverruledAcceptIsRecordedTwiceUnderOneId(t *testing.T) {
	for _, audit := range []string{"after", "before-answer"} {
		r := newRig(t, nil)
		r.apply("{kind: ServiceProvider, name: wlan, spec: {type: radius, audit: " + audit + ", radius: {sourceIPs: [10.0.0.0/8], secret: one}}}")
		q := r.request("alice", "wonderland")
		r.accept(q)
		q.Remark = "5000 bytes"
		r.lane.Overrule(q, trace.RadiusReplyTooLarge)
		if d := q.Decision; d.Verdict != event.Reject || d.Reason != trace.RadiusReplyTooLarge || len(d.Released) > 0 {
			t.Fatalf("%+v", d)
		}
		rec := r.recorded(q)
		both := r.log.decisions(t)
		if len(both) != 2 || both[0].ID != both[1].ID || both[0].Verdict != event.Accept || rec.Verdict != event.Reject {
			t.Errorf("%d decisions", len(both))
		}
		if s := rec.step(trace.ReplyIsBad); s == nil || string(s.Detail) != "5000 bytes" || rec.step(trace.AttributeAllowed) == nil { // a reject has its whole trace
			t.Errorf("%s", rec.words())
		}
	}
}

func TestOverruledAcceptThatTookItsTimeIsRecordedBeforeItsReject(t *testing.T) {
	r := newRig(t, nil)
	q := r.request("bob", "builder") // the hasher is asked
	r.accept(q)
	r.lane.Overrule(q, trace.RadiusReplyTooLarge)
	if rec := r.recorded(q); rec.Verdict != event.Reject {
		t.Errorf("the last word is %s", rec.Verdict)
	}
}

var errLost = errors.New("the log lost it")
