package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"

	"trine/appliance/admin/api"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/state"
)

// Simulator tries out logins and authorizations.
type Simulator interface {
	// Simulate has a login decided by the engine that decides, without recording anything. What is wrong with the login itself, so that no
	// device could ask for it, wraps ErrSimulation.
	Simulate(ctx context.Context, q Simulation) (Simulated, error)
}

// ErrSimulation means that a login cannot be tried out as it was described; the error that wraps it says why.
var ErrSimulation = errors.New("this login cannot be tried out")

// Simulation is a login to try out, or over TACACS+ an authorization.
type Simulation struct {
	User       string
	Client     string     // name of the service provider; empty: the one that claims the source
	Source     netip.Addr // the zero Addr: one of the service provider's
	Protocol   string     // "radius" or "tacacs"; empty: the service provider's, or what the other fields make likely
	Method     string     // "pap", ...; empty: the usual one of the protocol
	Password   string
	Assumed    Assumption
	Attributes []string        // of the request, such as "NAS-Port-Type = Ethernet"
	At         time.Time       // zero: now
	Policies   *policy.Cache   // nil: what is in force
	Users      []state.Drafted // laid over those that there are

	// What TACACS+ alone has.
	Enable              int    // the privilege level asked for by enable; NoLevel: it is none
	Service, Command    string // one of them makes it an authorization
	Arguments           []string
	Level               int // that the device says that the user has, in an authorization; NoLevel: not said
	Port, RemoteAddress string
}

// NoLevel is where no privilege level is given.
const NoLevel = -1

// Authorizes reports whether it is an authorization, to which nobody proves anything.
func (q *Simulation) Authorizes() bool { return q.Service != "" || q.Command != "" }

// OfTacacs reports whether something is given that TACACS+ alone has.
func (q *Simulation) OfTacacs() bool {
	return q.Authorizes() || q.Enable != NoLevel || q.Level != NoLevel || q.Port != "" || q.RemoteAddress != "" || q.Method == "ascii"
}

// Assumption is what is taken for granted of a password.
type Assumption uint8

// The assumptions.
const (
	NothingAssumed Assumption = iota
	PasswordRight
	PasswordWrong
)

// Simulated is what a login or an authorization would get.
type Simulated struct {
	Decided    *event.Decided  // the record that it would leave
	Answer     string          // the code or status of the answer; empty if there would be none
	Attributes []api.Attribute // of the answer, over RADIUS
	Message    string          // over TACACS+, what the answer has for the user to read
	Arguments  []string        // over TACACS+, of the answer
}

// Simulations a second, and how many may come together: enough for people and scripts, and too few to guess many passwords with.
const (
	simulationsPerSecond = 10
	simulationsAtOnce    = 30
)

func (s *Server) registerSimulation(a huma.API) {
	register(a, operation{
		id: "simulateLogin", method: http.MethodPost, path: "/simulate", tag: "Events", summary: "Say what a login or an authorization would get, and why",
		about: "Decided by the code that decides logins and authorizations, with the configuration in force or a draft of it, now or at another time. Nothing is recorded, " +
			"and no failure counts against anybody. Documents of the kinds that decide, and users, can be drafted.",
		scopes: []string{ScopeSimulate},
	}, s.simulate)
}

type simulateInput struct {
	Call
	Body api.SimulationRequest
}

func (s *Server) simulate(ctx context.Context, in *simulateInput) (*answer[api.Simulation], error) {
	if !s.simulations.Allow() {
		return nil, api.NewProblem(http.StatusTooManyRequests, api.ReasonBusy, "more than %d logins a second are being tried out; try again in a moment", simulationsPerSecond)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	q, err := simulationOf(&in.Body)
	if err != nil {
		return nil, err
	}
	var told api.Simulation
	if err := s.layOver(ctx, &q, in.Body.Documents, &told); err != nil {
		return nil, err
	}
	found, err := s.cfg.Simulator.Simulate(ctx, q)
	switch {
	case errors.Is(err, ErrSimulation):
		return nil, api.NewProblem(http.StatusUnprocessableEntity, api.ReasonMalformed, "%v", err)
	case err != nil:
		return nil, err
	}
	told.Decision, told.Answer, told.Attributes = decisionOf(found.Decided), found.Answer, found.Attributes
	told.Message, told.Arguments = found.Message, found.Arguments
	for i := range told.Steps {
		told.Steps[i].Nanos = 0 // it has a clock of its own
	}
	switch q.Assumed {
	case PasswordRight:
		told.Assumed = append(told.Assumed, "The password is right: it was not looked at.")
	case PasswordWrong:
		told.Assumed = append(told.Assumed, "The password is wrong: it was not looked at.")
	}
	return &answer[api.Simulation]{Body: told}, nil
}

// simulationOf reads a request.
func simulationOf(r *api.SimulationRequest) (Simulation, error) {
	q := Simulation{
		User: r.User, Client: r.Client, Protocol: r.Protocol, Method: r.Method, Password: r.Password, Attributes: r.Attributes,
		Enable: levelOr(r.Enable), Service: r.Service, Command: strings.TrimSpace(r.Command), Arguments: r.Arguments, Level: levelOr(r.Level), Port: r.Port, RemoteAddress: r.Remote,
	}
	if r.Source != "" {
		source, err := netip.ParseAddr(r.Source)
		if err != nil {
			return q, badParameter("source", "%q is no address", r.Source)
		}
		q.Source = source.Unmap()
	}
	if q.Client == "" && !q.Source.IsValid() {
		return q, badParameter("client", "say who asks: the service provider in client, or an address in source")
	}
	if r.At != nil {
		q.At = *r.At
	}
	if r.Assume != nil {
		switch r.Assume.Password {
		case "ok":
			q.Assumed = PasswordRight
		case "wrong":
			q.Assumed = PasswordWrong
		}
	}
	switch {
	case q.Service != "" && q.Command != "":
		return q, badParameter("command", "give either a service or a command; a shell without a command is the service shell")
	case !q.Authorizes() && len(q.Arguments) > 0:
		return q, badParameter("arguments", "say what is to be authorized, with service or command")
	case !q.Authorizes() && q.Level != NoLevel:
		return q, badParameter("level", "it is part of an authorization; the level that a login asks for is enable")
	case q.Authorizes() && (q.Password != "" || q.Assumed != NothingAssumed || q.Method != "" || q.Enable != NoLevel):
		return q, badParameter("service", "an authorization has no password and no method, and is no enable: the user has logged in before")
	case q.Authorizes():
		return q, nil
	}
	if proved := q.Method != "none"; proved && (q.Password == "") != (q.Assumed != NothingAssumed) {
		return q, badParameter("password", "give either the password, or in assume whether it is right")
	}
	return q, nil
}

// levelOr returns a privilege level, or NoLevel where none is given.
func levelOr(level *int) int {
	if level == nil {
		return NoLevel
	}
	return *level
}

// layOver lays drafted documents over those in force.
func (s *Server) layOver(ctx context.Context, q *Simulation, files []api.DraftFile, told *api.Simulation) error {
	if len(files) == 0 {
		return nil
	}
	var texts []File
	for _, f := range files {
		texts = append(texts, File{Name: f.Name, Data: []byte(f.Text)})
	}
	documents, err := parseFiles(texts)
	if err != nil {
		return err
	}
	p, err := s.draft(ctx, wish{documents: documents})
	if err != nil {
		return err
	}
	var problems document.Problems
	for i := range p.steps {
		st := &p.steps[i]
		if st.action == api.Unchanged {
			continue
		}
		told.Draft = append(told.Draft, documentKey(st.kind, st.name))
		switch {
		case st.kind == document.KindUser:
			user, err := s.drafted(ctx, p, st)
			if err != nil {
				return err
			}
			q.Users = append(q.Users, user)
		case !policy.Compiles(st.kind) && st.kind != document.KindEntityGroup:
			problems = append(problems, at(st.after, "", "documents of this kind cannot be drafted for a simulation; apply it first"))
		}
	}
	if len(problems) > 0 {
		return refusal(problems)
	}
	q.Policies, told.Warnings = p.cache, findings(p.warnings)
	return nil
}

// drafted makes a user of a draft, with his password if the document holds one.
func (s *Server) drafted(ctx context.Context, p *plan, st *step) (state.Drafted, error) {
	var d state.Drafted
	spec, err := st.after.Stored()
	if err != nil {
		return d, err
	}
	put := &event.DocumentPut{Kind: st.kind, Name: st.name, Version: st.result, Spec: spec, Refs: st.after.Refs(), Claims: st.after.Claims()}
	if d.Document, err = encoded(put); err != nil || st.password == nil {
		return d, err
	}
	defer clear(st.password)
	u, ok := specOf[*document.User](st.after)
	if !ok {
		return d, errors.New("a password of a document that is no user")
	}
	t, err := s.userType(u.UserType, p.types)
	if err != nil {
		return d, err
	}
	set, err := s.forms(ctx, st.name, st.password, t)
	if err != nil {
		return d, err
	}
	set.MustChange = st.must
	d.Password, err = encoded(set)
	return d, err
}

// encoded returns a message as an event that stands alone.
func encoded(m proto.Message) ([]byte, error) {
	var b event.Builder
	if err := b.Add(event.TypeOf(m), event.ClassIdentity, nil, m); err != nil {
		return nil, err
	}
	_, data, _, err := event.NextPart(b.Bytes())
	return data, err
}
