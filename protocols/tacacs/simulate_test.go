package tacacs

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/tacacs/wire"
)

// try tries something out that the service provider of the rig asks for.
func (r *rig) try(change func(*Attempt)) (*Answer, error) {
	r.t.Helper()
	source := netip.MustParseAddr("127.0.0.1")
	q := &Attempt{
		Cache: r.house.Policies.Holder().Load(), Source: source, Time: time.Now(), User: "alice", Port: "tty1", RemoteAddress: "192.0.2.9",
		Method: credential.ASCII, Password: "wonderland", Enable: -1, Level: 1,
	}
	q.Client = q.Cache.ClientFor(protocol, source)
	change(q)
	return Try(r.t.Context(), r.house.Engine.Simulate(engine.Circumstances{}), q)
}

// TestSimulationAnswersAsTheNetworkDoes has everything asked over the network that was simulated before.
func TestSimulationAnswersAsTheNetworkDoes(t *testing.T) {
	r := newRig(t)
	var session uint32
	for _, user := range []string{"alice", "bob", "nemo", "nobody"} {
		for _, password := range []string{"wonderland", "builder", "nobody"} {
			for _, enable := range []int8{-1, 15} {
				for _, method := range []string{"ascii", "pap", "chap", "mschapv1", "mschapv2"} {
					m, err := ParseMethod(method)
					if err != nil {
						t.Fatal(err)
					}
					q := Attempt{User: user, Method: m, Password: password, Enable: enable}
					told, err := r.try(func(a *Attempt) { a.User, a.Method, a.Password, a.Enable = user, m, password, enable })
					if err != nil {
						t.Fatalf("%s by %s: %v", user, method, err)
					}
					s := wire.AuthenStart{PrivLvl: 1, User: []byte(user)}
					if enable >= 0 {
						s.Service, s.PrivLvl = wire.ServiceEnable, uint8(enable)
					}
					if err := q.prove(&s); err != nil {
						t.Fatal(err)
					}
					session++
					d := r.dial("testing123")
					d.start(session, s)
					if m == credential.ASCII {
						d.reply(session, wire.AuthenGetPass)
						d.say(session, 3, password)
					}
					_, body := d.read()
					var a wire.AuthenReply
					if f := wire.ParseAuthenReply(body, 0, &a); f != wire.OK || told.Status != a.Status.String() || told.Message != string(a.ServerMsg) {
						t.Errorf("%s by %s with %s for %d: answered %v %q, simulated %s %q", user, method, password, enable, a.Status, a.ServerMsg, told.Status, told.Message)
					}
					if pass := told.Decided.Verdict == uint32(event.Accept); pass != (told.Status == "PASS") || told.Decided.Method != uint32(m) || string(told.Decided.UserName) != user {
						t.Errorf("the record is %+v", told.Decided)
					}
				}
			}
		}
		for _, args := range []string{
			"service=shell cmd=", "service=shell cmd= idletime*9", "service=shell cmd= idletime=9", "service=ppp protocol=ip", "service=shell cmd=show cmd-arg=version cmd-arg=<cr>", "service=shell cmd=reload cmd-arg=<cr>",
		} {
			told, err := r.try(func(a *Attempt) { a.User, a.Arguments = user, strings.Fields(args) })
			if err != nil {
				t.Fatalf("%s asks for %s: %v", user, args, err)
			}
			session++
			d := r.dial("testing123")
			d.authorize(session, user, strings.Fields(args)...)
			for _, status := range []wire.AuthorStatus{wire.AuthorPassAdd, wire.AuthorPassRepl, wire.AuthorFail} {
				if told.Status == status.String() {
					d.response(session, status, told.Arguments...)
				}
			}
			if told.Decided.Kind != uint32(event.DecidedAuthorization) {
				t.Errorf("the record is %+v", told.Decided)
			}
		}
	}
}

func TestSimulationTellsWhatIsAskedFor(t *testing.T) {
	r := newRig(t)
	r.house.PasswordToChange("bob", "builder")
	told, err := r.try(func(a *Attempt) { a.User, a.Password = "bob", "builder" })
	if err != nil || told.Status != "GETPASS" || told.Message != mustChange+askNew || told.Decided.Reason != string(trace.PasswordMustChange) {
		t.Errorf("%+v, %v", told, err)
	}
	told, err = r.try(func(a *Attempt) { a.Arguments, a.Level = CommandArguments("show   version"), 15 })
	if err != nil || told.Status != "PASS_ADD" || string(told.Decided.Command) != "show version" || told.Decided.Level != 16 || string(told.Decided.Port) != "tty1" {
		t.Errorf("%+v, %v", told, err)
	}
	r.house.Put(challengesAlone)
	for method, status := range map[credential.Method]string{credential.PAP: "FAIL", credential.ASCII: "RESTART"} {
		if told, err = r.try(func(a *Attempt) { a.Method = method }); err != nil || told.Status != status || told.Decided.Reason != string(trace.TacacsMethodDisabled) {
			t.Errorf("%+v, %v", told, err)
		}
	}
	r.house.Put("kind: ServiceProvider\nname: core\nspec: {type: tacacs, tacacs: {sourceIPs: [127.0.0.0/16], secrets: [{value: testing123, notAfter: 2020-01-01T00:00:00Z}]}}")
	if told, err = r.try(func(*Attempt) {}); !errors.Is(err, ErrSecret) {
		t.Errorf("%+v, %v", told, err)
	}
}

func TestSimulationRefusesWhatNoDeviceCanSend(t *testing.T) {
	r := newRig(t)
	for name, change := range map[string]func(*Attempt){
		"no name":              func(a *Attempt) { a.User = "" },
		"no method":            func(a *Attempt) { a.Method = credential.NoProof },
		"a long name":          func(a *Attempt) { a.User = strings.Repeat("x", 256) },
		"a long password":      func(a *Attempt) { a.Method, a.Password = credential.PAP, strings.Repeat("x", 256) },
		"no hash":              func(a *Attempt) { a.Method, a.Password = credential.MSCHAPv2, "\xff" },
		"no such argument":     func(a *Attempt) { a.Arguments = []string{"service"} },
		"a long argument":      func(a *Attempt) { a.Arguments = []string{"service=" + strings.Repeat("x", 250)} },
		"too many arguments":   func(a *Attempt) { a.Arguments = make([]string, 256) },
		"no such level":        func(a *Attempt) { a.Arguments, a.Level = []string{"service=shell"}, 16 },
		"a name with controls": func(a *Attempt) { a.User = "a\x01" },
	} {
		if told, err := r.try(change); !errors.Is(err, ErrAttempt) {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
	if _, err := ParseMethod("none"); !errors.Is(err, ErrAttempt) {
		t.Error("a login without a proof is taken")
	}
}

func TestSimulationRecordsNothing(t *testing.T) {
	r := newRig(t)
	proposed := 0
	r.house.Watch(func([]byte) { proposed++ })
	for _, password := range []string{"wonderland", "looking-glass"} {
		if _, err := r.try(func(a *Attempt) { a.Password = password }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.try(func(a *Attempt) { a.Arguments = CommandArguments("reload") }); err != nil {
		t.Fatal(err)
	}
	if s := r.server.Stats(); proposed != 0 || s.Requests[0].Count != 0 {
		t.Errorf("%d proposals, %+v", proposed, s.Requests)
	}
}
