package node

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nwaples/tacplus"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/appliance/probe"
	"trine/protocols/tacacs/wire"
)

// TestSimulationAndExplanationAgreeWithTheAnswer has logins answered over the network by a node as it ships: what explain tells of each
// is what simulate told before, word for word.
func TestSimulationAndExplanationAgreeWithTheAnswer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	node := startWith(t, data, arguments(data, map[string]string{"quickstart": "true", "trace-accepts": "1"})...)
	n := &interop{t: t, addr: node.addresses}
	var err error
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	n.apply("kind: UserType\nname: slow\n---\nkind: User\nname: carol\nspec: {userType: slow, password: carols-Passw0rd}\n---\nkind: User\nname: off\nspec: {active: false, password: switched-0ff-pw}\n")
	n.apply("kind: ServiceProvider\nname: loopback\nspec: {type: radius, publicID: loopback, entityGroup: network, radius: {sourceIPs: [127.0.0.0/8], secret: testing123, rejectDelay: 0s}}\n")
	last := ""
	to := node.addresses.RadiusAuthentication[0]
	// The decoy follows the default user type within a second or so; both sides are to meet the same one.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		told, err := n.simulate(api.SimulationRequest{User: "nobody", Source: "127.0.0.1", Method: "pap", Password: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(textsOf(told.Steps), " "), "(clear form)") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the decoy never became like the default user type: %q", textsOf(told.Steps))
		}
	}
	for _, user := range []string{"alice", "carol", "off", "nobody"} {
		for _, method := range probe.Methods() {
			for _, password := range []string{"wonderland", "carols-Passw0rd", "switched-0ff-pw"} {
				told, err := n.simulate(api.SimulationRequest{
					User: user, Source: "127.0.0.1", Method: method, Password: password, Attributes: []string{"NAS-Identifier = trine radius test"},
				})
				if err != nil {
					t.Fatal(err)
				}
				answer, err := n.login(to, "testing123", user, password, method)
				if err != nil {
					t.Fatal(err)
				}
				found := n.after(&last, user)
				if found.Verdict != told.Verdict || found.Reason != told.Reason || found.Meaning != told.Meaning || !slices.Equal(textsOf(found.Steps), textsOf(told.Steps)) {
					t.Fatalf("%s by %s: explained %s %q, simulated %s %q", user, method, found.Reason, textsOf(found.Steps), told.Reason, textsOf(told.Steps))
				}
				if told.Answer != answer.Code || !slices.Equal(namesOf(answer.Attributes), namesOfAPI(told.Attributes)) {
					t.Fatalf("%s by %s: answered %s %v, simulated %s %v", user, method, answer.Code, answer.Attributes, told.Answer, told.Attributes)
				}
			}
		}
	}
}

// TestTacacsSimulationAndExplanationAgreeWithTheAnswer does the same over TACACS+: logins by each method, enable, services and commands.
func TestTacacsSimulationAndExplanationAgreeWithTheAnswer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	node := startWith(t, data, arguments(data, map[string]string{"quickstart": "true", "trace-accepts": "1"})...)
	n := &interop{t: t, addr: node.addresses}
	var err error
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	n.apply("kind: UserType\nname: slow\n---\nkind: User\nname: carol\nspec: {userType: slow, password: carols-Passw0rd, roles: [{role: 1@lab}]}\n")
	p := newPlus(t, node.addresses.Tacacs[0], true)
	last := ""
	told := func(q api.SimulationRequest) *api.Simulation {
		t.Helper()
		q.Client, q.Source, q.Port, q.Remote = "lab", "127.0.0.1", "tty1", "192.0.2.9"
		s, err := n.simulate(q)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	agree := func(told *api.Simulation, user, status string, arguments []string) {
		t.Helper()
		found := n.after(&last, user)
		a, b := found.Decision, told.Decision
		a.Steps, b.Steps, a.At = nil, nil, b.At
		if !reflect.DeepEqual(a, b) || !slices.Equal(textsOf(found.Steps), textsOf(told.Steps)) {
			t.Errorf("explained %+v %q, simulated %+v %q", a, textsOf(found.Steps), b, textsOf(told.Steps))
		}
		if told.Answer != status || !slices.Equal(told.Arguments, arguments) {
			t.Errorf("%s: answered %s %q, simulated %s %q", user, status, arguments, told.Answer, told.Arguments)
		}
	}
	for _, user := range []string{"alice", "carol"} {
		for _, password := range []string{"wonderland", "carols-Passw0rd"} {
			for method, kind := range map[string]uint8{"ascii": tacplus.AuthenTypeASCII, "pap": tacplus.AuthenTypePAP, "chap": tacplus.AuthenTypeCHAP} {
				simulated := told(api.SimulationRequest{User: user, Method: method, Password: password})
				var status wire.AuthenStatus
				switch method {
				case "ascii":
					status = p.ascii(user, password)
				case "pap":
					status = p.proving(user, kind, []byte(password))
				default:
					status = p.proving(user, kind, chapProof(password))
				}
				agree(simulated, user, status.String(), nil)
			}
			level := 15
			simulated := told(api.SimulationRequest{User: user, Enable: &level, Password: password})
			reply, session := p.begin(tacplus.AuthenStart{AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceEnable, PrivLvl: 15, User: user})
			status, _ := p.typed(reply, session, password)
			agree(simulated, user, status.String(), nil)
		}
		for _, q := range []api.SimulationRequest{
			{Service: "shell"},
			{Service: "shell", Arguments: []string{"priv-lvl*9"}},
			{Service: "junos-exec"},
			{Service: "ppp", Arguments: []string{"protocol=ip"}},
			{Command: "show version"},
			{Command: "reload"},
			{Command: "erase startup-config"},
		} {
			q.User = user
			simulated := told(q)
			args := append([]string{"service=" + q.Service}, q.Arguments...)
			switch {
			case q.Command != "":
				args = []string{"service=shell"}
				for i, word := range strings.Fields(q.Command) {
					args = append(args, []string{"cmd=", "cmd-arg="}[min(i, 1)]+word)
				}
				args = append(args, "cmd-arg=<cr>")
			case q.Service == "shell":
				args = slices.Insert(args, 1, "cmd=")
			}
			status, gets := p.may(user, args...)
			agree(simulated, user, status.String(), gets)
		}
	}
}

// simulate tries a login out, as soon as the node's limit of such attempts lets it.
func (n *interop) simulate(r api.SimulationRequest) (*api.Simulation, error) {
	for {
		told, err := n.admin.Simulate(n.t.Context(), r)
		var p *api.Problem
		if !errors.As(err, &p) || p.Reason != api.ReasonBusy {
			return told, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// after returns the explanation of the login under a name that came after the one with the id in last, once it is in the log.
func (n *interop) after(last *string, user string) *api.Explanation {
	n.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		list, err := n.admin.Events(n.t.Context(), client.EventQuery{Classes: []string{"decision"}, Reverse: true, Limit: 1})
		if err != nil {
			n.t.Fatal(err)
		}
		if len(list.Events) == 0 {
			continue
		}
		_, rest, _ := strings.Cut(string(list.Events[0].Body), `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		if id == *last {
			continue
		}
		e, err := n.admin.Explain(n.t.Context(), id)
		if err != nil {
			n.t.Fatal(err)
		}
		if e.UserName == user {
			*last = id
			return e
		}
	}
	n.t.Fatalf("no login of %s was recorded", user)
	return nil
}

func textsOf(steps []api.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Text)
	}
	return out
}

func namesOf(attributes []probe.Attribute) []string {
	var out []string
	for _, a := range attributes {
		out = append(out, a.Name)
	}
	return out
}

func namesOfAPI(attributes []api.Attribute) []string {
	var out []string
	for _, a := range attributes {
		out = append(out, a.Name)
	}
	return out
}

func TestSimulationFindsWhoAsks(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	node := startWith(t, data, arguments(data, map[string]string{"quickstart": "true"})...)
	n := &interop{t: t, addr: node.addresses}
	var err error
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	n.apply("kind: ServiceProvider\nname: wide\nspec: {type: radius, radius: {sourceIPs: [10.0.0.0/30], secret: device-S3cret-one}}\n---\n" +
		"kind: ServiceProvider\nname: narrow\nspec: {type: radius, radius: {sourceIPs: [10.0.0.0/31], secrets: [{value: device-S3cret-two, notAfter: 2030-01-01T00:00:00Z}]}}\n---\n" +
		"kind: ServiceProvider\nname: past\nspec: {type: tacacs, tacacs: {sourceIPs: [10.0.1.0/24], secrets: [{value: device-S3cret-two, notAfter: 2030-01-01T00:00:00Z}]}}\n")
	later := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		q    api.SimulationRequest
		want string // source, client, verdict and reason, or the error
	}{
		{"by name", api.SimulationRequest{Client: "narrow"}, "10.0.0.0 narrow accept ok"},
		{"by name, past a narrower one", api.SimulationRequest{Client: "wide"}, "10.0.0.2 wide accept ok"},
		{"by address", api.SimulationRequest{Source: "10.0.0.1"}, "10.0.0.1 narrow accept ok"},
		{"by both", api.SimulationRequest{Source: "10.0.0.3", Client: "wide"}, "10.0.0.3 wide accept ok"},
		{"by both, which differ", api.SimulationRequest{Source: "10.0.0.1", Client: "wide"}, "belongs to the service provider narrow"},
		{"a stranger", api.SimulationRequest{Source: "192.0.2.1"}, "192.0.2.1  discard client.unknown"},
		{"no such name", api.SimulationRequest{Client: "nowhere"}, `no service provider named "nowhere"`},
		{"a secret that is over", api.SimulationRequest{Client: "narrow", At: &later}, "10.0.0.0 narrow discard config.broken"},
		{"over TACACS+, by name", api.SimulationRequest{Client: "lab"}, "127.0.0.0 lab accept ok"},
		{"over TACACS+, by address", api.SimulationRequest{Source: "127.0.0.9", Protocol: "tacacs"}, "127.0.0.9 lab accept ok"},
		{"over RADIUS, by the same address", api.SimulationRequest{Source: "127.0.0.9"}, "127.0.0.9 loopback accept ok"},
		{"over TACACS+, a stranger", api.SimulationRequest{Source: "10.0.0.1", Port: "tty1"}, "10.0.0.1  discard client.unknown"},
		{"over another protocol than its own", api.SimulationRequest{Client: "lab", Protocol: "radius"}, "asks over tacacs, not over radius"},
		{"over RADIUS, what it has not", api.SimulationRequest{Client: "wide", Port: "tty1"}, "has to ask over TACACS+"},
		{"over RADIUS, ascii", api.SimulationRequest{Client: "wide", Method: "ascii"}, "there are pap, chap"},
		{"over TACACS+, attributes", api.SimulationRequest{Client: "lab", Attributes: []string{"NAS-Port = 1"}}, "have no attributes"},
		{"over TACACS+, no proof", api.SimulationRequest{Client: "lab", Method: "none"}, "there are ascii"},
		{"over TACACS+, a secret that is over", api.SimulationRequest{Client: "past", At: &later}, "10.0.1.0 past discard config.broken"},
		{"an attribute that does not exist", api.SimulationRequest{Client: "narrow", Attributes: []string{"NAS-Prot = 1"}}, "unknown attribute"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.User, c.q.Assume = "alice", &api.Assumptions{Password: "ok"}
			told, err := n.admin.Simulate(t.Context(), c.q)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Error(err)
				}
				return
			}
			if got := strings.Join([]string{told.Source, told.Client, told.Verdict, told.Reason}, " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
