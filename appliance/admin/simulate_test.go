package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/api"
	"trine/engine/event"
	"trine/engine/state"
)

func TestSimulationHandsOnWhatIsAsked(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	at := time.Date(2026, 12, 24, 20, 0, 0, 0, time.UTC)
	told, err := c.Simulate(t.Context(), api.SimulationRequest{
		User: "alice", Client: "core", Source: "::ffff:192.0.2.7", Method: "chap", Password: "hush-hush", Attributes: []string{"NAS-Port = 1"}, At: &at,
	})
	if err != nil {
		t.Fatal(err)
	}
	q := n.Simulated
	if q.User != "alice" || q.Client != "core" || q.Source.String() != "192.0.2.7" || q.Method != "chap" || q.Password != "hush-hush" ||
		len(q.Attributes) != 1 || !q.At.Equal(at) || q.Policies != nil || len(q.Users) != 0 || q.Assumed != admin.NothingAssumed {
		t.Errorf("%+v", q)
	}
	if told.Verdict != "reject" || told.Reason != "user.unknown" || told.Meaning == "" || told.Advice == "" || !told.At.Equal(at) || len(told.Steps) != 1 ||
		told.Answer != "Access-Reject" || len(told.Attributes) != 1 || len(told.Assumed) != 0 {
		t.Errorf("%+v", told)
	}
}

func TestSimulationHandsOnWhatTACACSAloneHas(t *testing.T) {
	n, c := start(t)
	n.Told = admin.Simulated{
		Decided: &event.Decided{Protocol: "tacacs", Verdict: uint32(event.Accept), Reason: "ok"}, Answer: "PASS_REPL", Message: "Welcome", Arguments: []string{"service=shell", "priv-lvl=1"},
	}
	level, none := 7, 0
	told, err := c.Simulate(t.Context(), api.SimulationRequest{
		User: "alice", Source: "192.0.2.7", Protocol: "tacacs", Service: "shell", Arguments: []string{"priv-lvl*15"}, Level: &level, Port: "tty1", Remote: "192.0.2.9",
	})
	if err != nil {
		t.Fatal(err)
	}
	if q := n.Simulated; !q.Authorizes() || !q.OfTacacs() || q.Protocol != "tacacs" || q.Service != "shell" || len(q.Arguments) != 1 || q.Level != 7 || q.Enable != admin.NoLevel ||
		q.Port != "tty1" || q.RemoteAddress != "192.0.2.9" || q.Assumed != admin.NothingAssumed || q.Password != "" {
		t.Errorf("%+v", q)
	}
	if told.Answer != "PASS_REPL" || told.Message != "Welcome" || len(told.Arguments) != 2 || told.Arguments[1] != "priv-lvl=1" {
		t.Errorf("%+v", told)
	}
	if _, err = c.Simulate(t.Context(), api.SimulationRequest{User: "alice", Client: "core", Enable: &none, Password: "hush-hush"}); err != nil {
		t.Fatal(err)
	}
	if q := n.Simulated; q.Authorizes() || !q.OfTacacs() || q.Enable != 0 || q.Level != admin.NoLevel {
		t.Errorf("%+v", q)
	}
	if _, err = c.Simulate(t.Context(), api.SimulationRequest{User: "alice", Client: "core", Command: " show version "}); err != nil || n.Simulated.Command != "show version" {
		t.Errorf("%+v, %v", n.Simulated, err)
	}
}

func TestSimulationLaysDocumentsOver(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, "kind: Group\nname: staff\n---\nkind: User\nname: alice\nspec: {firstName: Alice, primaryGroup: staff}")
	before := n.Last()
	told, err := c.Simulate(t.Context(), api.SimulationRequest{
		User: "ally", Client: "core", Assume: &api.Assumptions{Password: "ok"},
		Documents: []api.DraftFile{{Name: "a.yaml", Text: "kind: User\nname: Alice\nspec: {aliases: [ally], password: looking-glass}\n---\nkind: Group\nname: staff"}, {
			Name: "b.yaml", Text: "kind: Group\nname: fresh\nspec: {sessions: {limit: 7}}",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := n.Simulated
	if q.Policies == nil || q.Policies.Group([]byte("fresh")) == nil || len(q.Users) != 1 || q.Assumed != admin.PasswordRight {
		t.Fatalf("%+v", q)
	}
	var u state.User
	if people := n.Views.Draft(q.Users); !people.User(&u, []byte("ally")) || string(u.Name) != "alice" || len(u.PrimaryGroup) != 0 || !u.HasPassword() {
		t.Errorf("the drafted user is %+v", u)
	}
	if len(told.Draft) != 2 || told.Draft[0] != "User/alice" || told.Draft[1] != "Group/fresh" || len(told.Assumed) != 1 {
		t.Errorf("%+v", told)
	}
	if n.Last() != before || n.Policies.Holder().Load().Group([]byte("fresh")) != nil {
		t.Error("the draft was put in force")
	}
}

func TestSimulationRefusesWhatItCannotDo(t *testing.T) {
	_, c := start(t)
	mustApply(t, c, "kind: User\nname: alice")
	ok, level, beyond := &api.Assumptions{Password: "ok"}, 15, 16
	for _, x := range []struct {
		name string
		q    api.SimulationRequest
		want string
	}{
		{"nobody asks", api.SimulationRequest{User: "alice", Assume: ok}, "say who asks"},
		{"no address", api.SimulationRequest{User: "alice", Source: "somewhere", Assume: ok}, "is no address"},
		{"no password", api.SimulationRequest{User: "alice", Client: "core"}, "either the password"},
		{"two passwords", api.SimulationRequest{User: "alice", Client: "core", Password: "x", Assume: ok}, "either the password"},
		{"unknown method", api.SimulationRequest{User: "alice", Client: "core", Method: "eap", Assume: ok}, "method"},
		{"unknown client", api.SimulationRequest{User: "alice", Client: "nowhere", Assume: ok}, "no such service provider"},
		{"service and command", api.SimulationRequest{User: "alice", Client: "core", Service: "shell", Command: "show"}, "either a service or a command"},
		{"arguments of nothing", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Arguments: []string{"x=1"}}, "say what is to be authorized"},
		{"a level of a login", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Level: &level}, "is enable"},
		{"a password of an authorization", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Service: "shell"}, "has no password"},
		{"a method of an authorization", api.SimulationRequest{User: "alice", Client: "core", Method: "pap", Service: "shell"}, "has no password"},
		{"no such level", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Enable: &beyond}, "15"},
		{"no such protocol", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Protocol: "ldap"}, "protocol"},
		{"bad draft", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Documents: []api.DraftFile{{Name: "x.yaml", Text: "kind: Nothing"}}}, "x.yaml"},
		{"dangling draft", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Documents: []api.DraftFile{{Text: "kind: User\nname: alice\nspec: {primaryGroup: nowhere}"}}}, "nowhere"},
		{"draft of what is no part of the cache", api.SimulationRequest{User: "alice", Client: "core", Assume: ok, Documents: []api.DraftFile{{
			Text: "kind: InformationSystem\nname: hr\n---\nkind: Account\nname: alice@hr\nspec: {owner: alice}",
		}}}, "cannot be drafted"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, err := c.Simulate(t.Context(), x.q); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSimulationNeedsItsScope(t *testing.T) {
	n, c := start(t)
	for scope, want := range map[string]int{"simulate": http.StatusOK, "*": http.StatusOK, "write": http.StatusForbidden, "read": http.StatusForbidden, "users": http.StatusForbidden} {
		w := wire{t: t, h: n.Admin.Handler(), key: key(t, c, scope).Secret}
		if rec := w.do("POST", "/api/v1/simulate", `{"user":"alice","client":"core","assume":{"password":"ok"}}`); rec.Code != want {
			t.Errorf("%s: %d %s", scope, rec.Code, rec.Body)
		}
	}
}

func TestSimulationsAreTooFewToGuessWith(t *testing.T) {
	_, c := start(t)
	for range 100 {
		_, err := c.Simulate(t.Context(), api.SimulationRequest{User: "alice", Client: "core", Password: "guess"})
		if err != nil {
			if !strings.Contains(err.Error(), "being tried out") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("100 guesses in a row went through")
}

func TestPasswordOfASimulationIsNotSaidAgain(t *testing.T) {
	n, c := start(t)
	w := wire{t: t, h: n.Admin.Handler(), key: key(t, c, "simulate").Secret}
	for _, body := range []string{
		`{"user":"alice","client":"core","password":"hush-hush"}`,
		`{"user":"alice","client":"nowhere","password":"hush-hush"}`,
		`{"user":"alice","client":"core","method":"none","password":"hush-hush","assume":{"password":"ok"}}`,
		`{"user":"alice","client":"core","password":{"hush-hush":1}}`,
		`{"user":"alice","client":"core","documents":[{"text":"kind: User\nname: alice\nspec: {password: [hush-hush]}"}],"assume":{"password":"ok"}}`,
	} {
		if rec := w.do("POST", "/api/v1/simulate", body); strings.Contains(rec.Body.String(), "hush") {
			t.Errorf("%s: %s", body, rec.Body)
		}
	}
}

// TestExplanationTellsTheLastWord has an accept that could not be rendered: the reject behind it is what the device got.
func TestExplanationTellsTheLastWord(t *testing.T) {
	n, c := start(t)
	const id = 4711
	for _, d := range []*event.Decided{
		{Id: id, Verdict: uint32(event.Accept), Reason: "ok"},
		{Id: id, Verdict: uint32(event.Reject), Reason: "radius.reply.too-large"},
	} {
		var b event.Builder
		if err := b.Add(event.TypeDecided, event.ClassDecision, []uint64{event.StreamKey(event.StreamDecision, event.FormatID(id))}, d); err != nil {
			t.Fatal(err)
		}
		if err := n.Record(&b); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := c.Explain(t.Context(), event.FormatID(id)); err != nil || e.Reason != "radius.reply.too-large" {
		t.Errorf("%+v, %v", e, err)
	}
}
