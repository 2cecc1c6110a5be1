package engine

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/script"
	"trine/engine/trace"
)

// network is a TACACS+ service provider over the people of the house: Alice is root and may run what a list of 20 lines permits, bob is a user.
const network = `
kind: IdentityProvider
name: local
spec: {type: local, publicID: home, profiles: {radius: {enabled: true, mschapv1: true}, tacacs: {enabled: true, mschapv1: true}}}
---
kind: ServiceProvider
name: core
spec: {type: tacacs, tacacs: {sourceIPs: [10.1.0.0/16], secret: one}}
---
kind: Role
name: 15@core
spec:
  commands:
    - {permit: "a01 *"}
    - {permit: "a02 *"}
    - {permit: "a03 *"}
    - {permit: "a04 *"}
    - {permit: "a05 *"}
    - {permit: "a06 *"}
    - {permit: "a07 *"}
    - {permit: "a08 *"}
    - {permit: "a09 *"}
    - {permit: "a10 *"}
    - {permit: "a11 .*", form: regex}
    - {permit: "a12 .*", form: regex}
    - {permit: "(a13|a14) .*", form: regex}
    - {permit: "a15 .*", form: regex}
    - {deny: "reload*"}
    - {permit: "interface ?thernet*"}
    - {permit: "a18 *"}
    - {permit: "a19 *"}
    - {permit: "show *"}
    - {deny: "*"}
  services:
    shell: [idletime=10, 'shell:roles*"network-admin"']
---
kind: User
name: Alice
spec: {firstName: Alice, mail: alice, mailDomain: example.org, aliases: [ally], primaryGroup: staff, roles: [{role: 15@core}], attributes: {room: [A1, B2]}}
---
kind: User
name: bob
spec: {firstName: Bob, roles: [{role: 1@core}]}
`

// newNetwork returns a rig of the house with the network.
func newNetwork(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := newRig(t, change)
	r.apply(network)
	return r
}

// over makes a login one over TACACS+.
func (r *rig) over(q *Request) *Request {
	q.Protocol, q.Source, q.Enable = "tacacs", netip.MustParseAddrPort("10.1.0.1:3000"), -1
	q.Client = q.Cache.ClientFor(document.TypeTacacs, q.Source.Addr())
	q.NASPort, q.NAS, q.Port = 0, nil, []byte("tty1")
	return q
}

// authorization returns an authorization of somebody, with arguments.
func (r *rig) authorization(name string, args ...string) *Authorization {
	cache, now := r.compiler.Holder().Load(), r.clock.Now()
	a := &Authorization{
		Protocol: "tacacs", Cache: cache, Source: netip.MustParseAddrPort("10.1.0.1:3000"), Name: []byte(name), Level: 1, Port: []byte("tty1"),
		RemoteAddress: []byte("192.0.2.7"), Arrived: now, Deadline: now.Add(5 * time.Second), Done: r.inbox,
	}
	a.Client = cache.ClientFor(document.TypeTacacs, a.Source.Addr())
	for _, arg := range args {
		a.Args = append(a.Args, []byte(arg))
	}
	return a
}

// Authorized implements AuthorizationDelivery.
func (i *inbox) Authorized(a *Authorization) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.authorizations[a]++
}

// authorized has an authorization decided, whatever it waits for, and checks that it is delivered once.
func (r *rig) authorized(a *Authorization) *Decision {
	r.t.Helper()
	count := func() int {
		r.inbox.mu.Lock()
		defer r.inbox.mu.Unlock()
		return r.inbox.authorizations[a]
	}
	before := count()
	decided := r.lane.Authorize(a)
	if !decided {
		r.log.release()
	}
	want := 1
	if decided {
		want = 0
	}
	if n := count() - before; n != want {
		r.t.Fatalf("an authorization that was decided at once: %v was delivered %d times later", decided, n)
	}
	if a.Decision.Verdict == 0 || a.Decision.Reason == "" {
		r.t.Fatalf("no decision: %+v", a.Decision)
	}
	return &a.Decision
}

func textOf(args [][]byte) string { return string(bytes.Join(args, []byte(" "))) }

// RFC 8907 section 6.1: a mandatory argument that the receiver cannot handle makes the authorization fail; an optional one may be disregarded.
func TestRFC8907MandatoryArgumentThatNothingHandlesIsRefused(t *testing.T) {
	r := newNetwork(t, nil)
	for _, c := range []struct {
		name, args, want string
		reason           trace.Reason
		replace          bool
	}{
		{"nothing else", "service=shell cmd=", `idletime=10 shell:roles*"network-admin" priv-lvl=15`, trace.OK, false},
		{"mandatory, unknown", "service=shell cmd= acl=7", "", trace.TacacsArgumentRefused, false},
		{"mandatory, without a value", "service=shell cmd= acl=", "", trace.TacacsArgumentRefused, false},
		{"mandatory, as it is given", "service=shell cmd= idletime=10", `shell:roles*"network-admin" priv-lvl=15`, trace.OK, false},
		{"mandatory, otherwise than it is given", "service=shell cmd= idletime=0", "", trace.TacacsArgumentRefused, false},
		{"mandatory level that he has", "service=shell cmd= priv-lvl=15", `idletime=10 shell:roles*"network-admin"`, trace.OK, false},
		{"mandatory level that he gets another of", "service=shell cmd= priv-lvl=7", "", trace.TacacsArgumentRefused, false},
		{"optional, without a value", "service=shell cmd* acl*", `idletime=10 shell:roles*"network-admin" priv-lvl=15`, trace.OK, false},
		{"optional, asking for what nothing gives", "service=shell cmd= acl*7", `service=shell cmd= idletime=10 shell:roles*"network-admin" priv-lvl=15`, trace.OK, true},
		{"optional, otherwise than it is given", "service=shell cmd= shell:roles*", `service=shell cmd= idletime=10 shell:roles*"network-admin" priv-lvl=15`, trace.OK, true},
		{"optional, as it is given", `service=shell cmd= shell:roles*"network-admin"`, "idletime=10 priv-lvl=15", trace.OK, false},
		{"command, mandatory and unknown", "service=shell cmd=show cmd-arg=version acl=7", "", trace.TacacsArgumentRefused, false},
		{"command, level that he has", "service=shell cmd=show cmd-arg=version priv-lvl=7", "", trace.OK, false},
		{"command, level above his", "service=shell cmd=show cmd-arg=version priv-lvl=16", "", trace.TacacsArgumentRefused, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := r.authorized(r.authorization("alice", strings.Fields(c.args)...))
			if d.Reason != c.reason || d.Replace != c.replace || textOf(d.Args) != c.want {
				t.Errorf("%s, replace %v, %s", d.Reason, d.Replace, textOf(d.Args))
			}
		})
	}
}

// RFC 8907 section 8.2: service is always there, cmd where it is shell; an empty cmd is the shell itself.
func TestRFC8907ServiceAndCommandAreSaid(t *testing.T) {
	r := newNetwork(t, nil)
	for args, reason := range map[string]trace.Reason{
		"":                                       trace.TacacsServiceMissing,
		"cmd=show cmd-arg=version":               trace.TacacsServiceMissing,
		"service= cmd=":                          trace.TacacsServiceMissing,
		"service=shell":                          trace.TacacsServiceMissing,
		"service=shell cmd-arg=version":          trace.TacacsServiceMissing,
		"service=shell cmd=":                     trace.OK,
		"cmd= service=shell":                     trace.OK,
		"service=shell service=ppp cmd=":         trace.TacacsArgumentMalformed,
		"service=shell cmd= cmd=reload":          trace.TacacsArgumentMalformed,
		"service=shell cmd=show cmd-arg version": trace.TacacsArgumentMalformed,
		"service=shell cmd=show =x":              trace.TacacsArgumentMalformed,
		"service=ppp protocol=ip":                trace.TacacsServiceDenied,
	} {
		if d := r.authorized(r.authorization("alice", strings.Fields(args)...)); d.Reason != reason {
			t.Errorf("%q: %s, want %s", args, d.Reason, reason)
		}
	}
}

// RFC 8907 section 6.1: what follows the first separator is the value, separators included.
func TestRFC8907CommandArgumentsMayHaveSeparatorsInThem(t *testing.T) {
	r := newNetwork(t, nil)
	a := r.authorization("alice", "service=shell", "cmd=show", "cmd-arg=run", "cmd-arg=|", "cmd-arg=include a=b*c", "cmd-arg=<cr>")
	if d := r.authorized(a); d.Reason != trace.OK || string(a.Command) != "show run | include a=b*c" || string(a.Service) != "shell" {
		t.Errorf("%s, %q, %q", d.Reason, a.Command, a.Service)
	}
}

func TestNobodyGetsRoundAPatternByBlanks(t *testing.T) {
	r := newNetwork(t, nil)
	for _, args := range [][]string{
		{"cmd=reload"}, {"cmd=reload", "cmd-arg=<cr>"}, {"cmd= reload  now"}, {"cmd=reload\t", "cmd-arg=in"}, {"cmd=\nreload"}, {"cmd=reload\nshow x"},
	} {
		a := r.authorization("alice", append([]string{"service=shell"}, args...)...)
		if d := r.authorized(a); d.Reason != trace.TacacsCommandDenied {
			t.Errorf("%q is read as %q: %s", args, a.Command, d.Reason)
		}
	}
	a := r.authorization("alice", "service=shell", "cmd=show  the", "cmd-arg=<cr>", "cmd-arg= last ", "cmd-arg=", "cmd-arg=<cr>")
	if r.authorized(a); string(a.Command) != "show the <cr> last" {
		t.Errorf("%q", a.Command)
	}
}

func TestAuthorizationAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	for _, c := range []struct {
		name, user, args string
		reason           trace.Reason
		traced           bool
	}{
		{name: "command of the last line but one", user: "alice", args: "service=shell cmd=show cmd-arg=version cmd-arg=<cr>", reason: trace.OK},
		{name: "the same, traced", user: "alice", args: "service=shell cmd=show cmd-arg=version cmd-arg=<cr>", reason: trace.OK, traced: true},
		{name: "command by a regular expression", user: "alice", args: "service=shell cmd=a14 cmd-arg=x", reason: trace.OK},
		{name: "command that is denied", user: "alice", args: "service=shell cmd=reload", reason: trace.TacacsCommandDenied},
		{name: "shell", user: "alice", args: "service=shell cmd= shell:roles*", reason: trace.OK},
		{name: "shell without a role that has a service", user: "bob", args: "service=shell cmd=", reason: trace.OK},
		{name: "argument that is refused", user: "bob", args: "service=shell cmd= acl=7", reason: trace.TacacsArgumentRefused},
		{name: "nobody", user: "nobody", args: "service=shell cmd=", reason: trace.UserUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newNetwork(t, func(cfg *Config) {
				if c.traced {
					cfg.TraceAccepts = 1
				}
			})
			r.quiet()
			a := r.authorization(c.user, strings.Fields(c.args)...)
			a.Done = silent{}
			n := testing.AllocsPerRun(2000, func() {
				if !r.lane.Authorize(a) || a.Decision.Reason != c.reason {
					t.Fatalf("%+v", a.Decision)
				}
			})
			if n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// Authorized implements AuthorizationDelivery.
func (silent) Authorized(*Authorization) {}

func TestTacacsLoginsAndEnableAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	for _, c := range []struct {
		name    string
		request func(r *rig) *Request
	}{
		{"PAP", func(r *rig) *Request { return r.request("alice", "wonderland") }},
		{"ASCII", func(r *rig) *Request { return prove(t, r.request("alice", ""), credential.ASCII, "wonderland") }},
		{"CHAP", func(r *rig) *Request { return prove(t, r.request("alice", ""), credential.CHAP, "wonderland") }},
		{"MS-CHAPv2", func(r *rig) *Request { return prove(t, r.request("alice", ""), credential.MSCHAPv2, "wonderland") }},
	} {
		for _, level := range []int8{-1, 15} {
			t.Run(fmt.Sprintf("%s %d", c.name, level), func(t *testing.T) {
				r := newNetwork(t, nil)
				r.quiet()
				q := r.over(c.request(r))
				q.Done, q.Enable = silent{}, level
				n := testing.AllocsPerRun(2000, func() {
					if !r.lane.Authenticate(q) || q.Decision.Reason != trace.OK || q.Decision.Privilege != 15 || len(q.Decision.Replies) != 0 {
						t.Fatalf("%+v", q.Decision)
					}
				})
				if n != 0 {
					t.Errorf("%v allocations", n)
				}
			})
		}
	}
}

func TestAuthorizationIsRecordedWithWhatWasAskedFor(t *testing.T) {
	for _, audit := range []string{"after", "before-answer"} {
		t.Run(audit, func(t *testing.T) {
			r := newNetwork(t, nil)
			r.apply("{kind: ServiceProvider, name: core, spec: {type: tacacs, audit: " + audit + ", tacacs: {sourceIPs: [10.1.0.0/16], secret: one}}}")
			a := r.authorization("ally", "service=shell", "cmd=reload", "cmd-arg="+strings.Repeat("x", 250))
			for range 5 {
				a.Args = append(a.Args, a.Args[2])
			}
			r.authorized(a)
			r.lane.Flush()
			found := r.log.decisions(t)
			d := found[len(found)-1]
			if d.ID != a.Decision.ID || d.Kind != event.DecidedAuthorization || string(d.Service) != "shell" || len(d.Command) != maxRecorded ||
				!bytes.HasPrefix(d.Command, []byte("reload xxx")) || d.Level != 2 || d.Privilege != 16 || string(d.Port) != "tty1" ||
				string(d.Calling) != "192.0.2.7" || string(d.User) != "Alice" || string(d.UserName) != "ally" || d.Verdict != event.Reject || string(d.Protocol) != "tacacs" {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestEnableIsRecordedAsOne(t *testing.T) {
	r := newNetwork(t, nil)
	q := r.over(r.request("bob", "builder"))
	q.Enable = 15
	if d := r.deny(q, event.Reject, trace.TacacsEnableLevel); d.Kind != event.DecidedEnable || d.Level != 16 || d.Privilege != 2 {
		t.Errorf("%+v", d)
	}
}

func TestEnableTakesNoPlaceUnderALimit(t *testing.T) {
	r := newNetwork(t, nil)
	r.apply("{kind: Group, name: staff, spec: {sessions: {limit: 1}}}")
	r.accept(r.over(r.request("alice", "wonderland")))
	q := r.over(r.request("alice", "wonderland"))
	q.Enable = 7
	r.accept(q)
	r.deny(r.over(r.request("alice", "wonderland")), event.Reject, trace.SessionLimit)
}

func TestScriptHasTheLastWordOnArguments(t *testing.T) {
	const shell = "service=shell cmd= shell:roles*"
	for _, c := range []struct{ name, rules, user, args, want string }{
		{"as it was", "return authorized", "bob", "service=shell cmd=", "accept ok: priv-lvl=1"},
		{"refuses", "return user !== 'bob'", "bob", "service=shell cmd=", "reject tacacs.rules.denied: "},
		{"permits a command", "return authorized || user === 'Alice'", "alice", "service=shell cmd=reload", "accept ok: "},
		{"lets an argument pass", "true", "bob", "service=shell cmd= acl=7", "accept ok: priv-lvl=1"},
		{"lets a service pass", "true", "bob", "service=ppp protocol=ip", "accept ok: "},
		{"raises", "mandatoryArguments['priv-lvl'] = '15'; return true", "bob", "service=shell cmd=", "accept ok instead: service=shell cmd= priv-lvl=15"},
		{"as the handbook writes it", "if (user.equals(\"bob\")) { mandatoryArguments.put(\"priv-lvl\", \"7\"); optionalArguments.put(\"acl\", \"9\"); } return true;", "bob", "service=shell cmd=", "accept ok instead: service=shell cmd= priv-lvl=7 acl*9"},
		{"takes away", "optionalArguments.remove('shell:roles'); return true", "alice", shell, "accept ok instead: service=shell cmd= idletime=10 priv-lvl=15"},
		{"gives several", "optionalArguments['shell:roles'] = ['a', 'b']; return true", "alice", shell, "accept ok instead: service=shell cmd= idletime=10 shell:roles*a shell:roles*b priv-lvl=15"},
		{"makes mandatory", "mandatoryArguments['shell:roles'] = optionalArguments.remove('shell:roles'); return true", "alice", shell, `accept ok instead: service=shell cmd= idletime=10 priv-lvl=15 shell:roles="network-admin"`},
		{"replaces the map", "optionalArguments = {}; return true", "alice", shell, "accept ok instead: service=shell cmd= idletime=10 priv-lvl=15"},
		{"sees the request", "return port + remote_address + priv_level === 'tty1192.0.2.71' && mandatoryArguments.service === 'shell'", "bob", "service=shell cmd=", "accept ok: priv-lvl=1"},
		{"makes what cannot be sent", "mandatoryArguments['a\\n'] = 'b'; return true", "bob", "service=shell cmd=", "reject script.wrong-type: "},
		{"makes too many", "for (let i = 0; i < 254; i++) mandatoryArguments['a' + i] = 'b'; return true", "bob", "service=shell cmd=", "reject tacacs.reply.too-large: "},
		{"makes numbers", "mandatoryArguments['priv-lvl'] = 15; return true", "bob", "service=shell cmd=", "reject script.wrong-type: "},
		{"says neither", "null", "bob", "service=shell cmd=", "reject script.wrong-type: "},
		{"throws", "throw 'x'", "bob", "service=shell cmd=", "reject script.failed: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newNetwork(t, func(cfg *Config) { cfg.Scripts = &scriptBench{host: script.NewHost()} })
			r.apply(fmt.Sprintf("{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [10.1.0.0/16], secret: one, authorizationRules: %q}}}", c.rules))
			d := r.authorized(r.authorization(c.user, strings.Fields(c.args)...))
			got := fmt.Sprintf("%s %s", d.Verdict, d.Reason)
			if d.Replace {
				got += " instead"
			}
			if got += ": " + textOf(d.Args); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAuthorizationWhoseScriptCannotBeRunIsLeftToAnotherNode(t *testing.T) {
	late := &scriptBench{host: script.NewHost(), hold: true}
	for name, c := range map[string]struct {
		scripts script.Runner
		reason  trace.Reason
		wait    time.Duration
	}{
		"no worker":    {nil, trace.WorkerFailed, 0},
		"full":         {&scriptBench{refuse: script.ErrQueueFull}, trace.OverloadQueueFull, 0},
		"after it all": {late, trace.OverloadDeadline, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := newNetwork(t, func(cfg *Config) { cfg.Scripts = c.scripts })
			r.apply("{kind: ServiceProvider, name: core, spec: {type: tacacs, tacacs: {sourceIPs: [10.1.0.0/16], secret: one, authorizationRules: \"true\"}}}")
			a := r.authorization("bob", "service=shell", "cmd=")
			decided := r.lane.Authorize(a)
			if c.wait > 0 {
				if decided {
					t.Fatal("decided without its script")
				}
				r.clock.move(c.wait)
				late.do(late.jobs[0])
			}
			if a.Decision.Verdict != event.Discard || a.Decision.Reason != c.reason {
				t.Errorf("%s %s", a.Decision.Verdict, a.Decision.Reason)
			}
		})
	}
}

// TestAuthorizationsAreReused has one object decide what several ask, so that nothing of the one before may be left in it.
func TestAuthorizationsAreReused(t *testing.T) {
	r := newNetwork(t, nil)
	a := r.authorization("alice", "service=shell", "cmd=", "shell:roles*")
	if d := r.authorized(a); !d.Replace || d.Privilege != 15 {
		t.Fatalf("%+v", d)
	}
	a.Name, a.Args = []byte("bob"), [][]byte{[]byte("service=shell"), []byte("cmd=")}
	if d := r.authorized(a); d.Replace || textOf(d.Args) != "priv-lvl=1" || d.Privilege != 1 || string(d.User) != "bob" {
		t.Errorf("%+v", d)
	}
	a.Name = []byte("nobody")
	if d := r.authorized(a); len(d.Args) != 0 || d.Privilege != -1 || len(d.User) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestAuthorizationsOfLanesGoSideBySide(t *testing.T) {
	r := newNetwork(t, nil)
	var done sync.WaitGroup
	for range 4 {
		l := r.engine.NewLane()
		done.Go(func() {
			for i := range 200 {
				a := r.authorization("alice", "service=shell", "cmd=show", fmt.Sprintf("cmd-arg=%d", i))
				if !l.Authorize(a) || a.Decision.Verdict != event.Accept {
					t.Errorf("%+v", a.Decision)
				}
			}
			l.Flush()
		})
	}
	done.Wait()
}

// FuzzAuthorization holds any arguments to what a handler relies on: there is a decision, what it would send can be sent, and a command that no pattern
// permits does not pass.
func FuzzAuthorization(f *testing.F) {
	f.Add([]byte("service=shell\x00cmd=show\x00cmd-arg=version"))
	f.Add([]byte("service=shell\x00cmd=\x00shell:roles*"))
	f.Add([]byte("service*\x00=\x00cmd"))
	r := newNetwork(f, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		r.t = t
		a := r.authorization("alice")
		a.Args = slices.DeleteFunc(bytes.Split(data, []byte{0}), func(b []byte) bool { return len(b) > 255 })
		d := r.authorized(a)
		for _, arg := range d.Args {
			if len(arg) > document.MaxArgument || len(d.Args) > document.MaxArguments {
				t.Fatalf("%d arguments, one of %d bytes", len(d.Args), len(arg))
			}
		}
		if d.Verdict == event.Accept && len(a.Command) > 0 && (bytes.HasPrefix(a.Command, []byte("reload")) || bytes.ContainsAny(a.Command, "\t\n\r")) {
			t.Fatalf("%q passed", a.Command)
		}
		r.lane.Flush()
	})
}

func BenchmarkAuthorize(b *testing.B) {
	for name, args := range map[string]string{"command": "service=shell cmd=show cmd-arg=version cmd-arg=<cr>", "shell": "service=shell cmd="} {
		b.Run(name, func(b *testing.B) {
			r := newNetwork(b, nil)
			r.quiet()
			a := r.authorization("alice", strings.Fields(args)...)
			b.ReportAllocs()
			for b.Loop() {
				if !r.lane.Authorize(a) || a.Decision.Verdict != event.Accept {
					b.Fatal(a.Decision)
				}
			}
		})
	}
}
