package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/api"
	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/radius"
	"trine/protocols/tacacs"
)

// simulator lets the administration try out logins and authorizations.
type simulator struct {
	n      *Node
	aside  *credential.Verifier // one for all, so that its limits hold for all of them together
	radius *radius.Simulator
}

func (n *Node) newSimulator() *simulator {
	return &simulator{n, n.verifier.Aside(), radius.NewSimulator(n.names, n.store.Status().Cluster, n.keyring)}
}

// placeholder stands where a password is assumed, and is not looked at.
const placeholder = "assumed"

// trial is what a simulation is about, whatever its protocol.
type trial struct {
	admin.Simulation
	cache  *policy.Cache
	client *policy.Client // nil: no service provider claims the source
	source netip.Addr
	time   time.Time
	method credential.Method
}

// Simulate implements admin.Simulator.
func (s *simulator) Simulate(ctx context.Context, q admin.Simulation) (admin.Simulated, error) {
	t := &trial{Simulation: q, cache: q.Policies, time: q.At}
	circumstances := engine.Circumstances{Policies: q.Policies, Verifier: s.aside}
	if t.cache == nil {
		t.cache = s.n.policies.Holder().Load()
	}
	if q.At.IsZero() {
		t.time = s.n.clock()
	} else {
		circumstances.Clock = func() time.Time { return q.At }
	}
	if len(q.Users) > 0 {
		circumstances.People = s.n.views.Draft(q.Users)
	}
	if q.Assumed != admin.NothingAssumed {
		t.Password, circumstances.Verifier = placeholder, s.n.verifier.Assuming(q.Assumed == admin.PasswordRight)
	}
	if err := t.settle(); err != nil {
		return admin.Simulated{}, err
	}
	if err := t.asking(); err != nil {
		return admin.Simulated{}, err
	}
	switch client := t.client; {
	case client == nil:
		return t.unanswered(trace.ClientUnknown, trace.ClientNone, t.source.String(), ""), nil
	case client.Wire == nil && client.Broken != nil:
		return t.unanswered(trace.ConfigBroken, trace.ClientIsBad, client.Name, client.Broken.Error()), nil
	}
	sim := s.n.engine.Simulate(circumstances)
	try := s.overRadius
	if t.Protocol == document.TypeTacacs {
		try = overTacacs
	}
	out, err := try(ctx, sim, t)
	switch {
	case errors.Is(err, radius.ErrSecret), errors.Is(err, tacacs.ErrSecret):
		return t.unanswered(trace.ConfigBroken, trace.ClientIsBad, t.client.Name, err.Error()), nil
	case errors.Is(err, radius.ErrAttempt), errors.Is(err, tacacs.ErrAttempt):
		return admin.Simulated{}, fmt.Errorf("%w: %w", admin.ErrSimulation, err)
	}
	return out, err
}

// overRadius tries out a RADIUS login.
func (s *simulator) overRadius(ctx context.Context, sim engine.Simulation, t *trial) (admin.Simulated, error) {
	found, err := s.radius.Try(ctx, sim, &radius.Attempt{
		Cache: t.cache, Client: t.client, Source: t.source, Time: t.time, User: t.User, Method: t.method, Password: t.Password, Attributes: t.Attributes,
	})
	if err != nil {
		return admin.Simulated{}, err
	}
	out := admin.Simulated{Decided: found.Decided, Answer: found.Code}
	for _, p := range found.Attributes {
		out.Attributes = append(out.Attributes, api.Attribute{Name: p.Named(), Value: p.Value})
	}
	return out, nil
}

// overTacacs tries out a TACACS+ login or authorization.
func overTacacs(ctx context.Context, sim engine.Simulation, t *trial) (admin.Simulated, error) {
	attempt := &tacacs.Attempt{
		Cache: t.cache, Client: t.client, Source: t.source, Time: t.time, User: t.User, Port: t.Port, RemoteAddress: t.RemoteAddress,
		Method: t.method, Password: t.Password, Enable: int8(t.Enable), Level: 1,
	}
	if t.Level != admin.NoLevel {
		attempt.Level = int8(t.Level)
	}
	switch {
	case t.Command != "":
		attempt.Arguments = tacacs.CommandArguments(t.Command)
	case t.Service != "":
		attempt.Arguments = []string{"service=" + t.Service}
		if t.Service == "shell" && !slices.ContainsFunc(t.Arguments, namesCommand) {
			attempt.Arguments = append(attempt.Arguments, "cmd=") // RFC 8907 section 8.2: an exec is a shell without a command
		}
	}
	attempt.Arguments = append(attempt.Arguments, t.Arguments...)
	found, err := tacacs.Try(ctx, sim, attempt)
	if err != nil {
		return admin.Simulated{}, err
	}
	return admin.Simulated{Decided: found.Decided, Answer: found.Status, Message: found.Message, Arguments: found.Arguments}, nil
}

// namesCommand reports whether an argument is cmd.
func namesCommand(argument string) bool {
	return len(argument) > 3 && argument[:3] == "cmd" && (argument[3] == '=' || argument[3] == '*')
}

// settle finds out by which protocol it comes, and the method.
func (t *trial) settle() error {
	if client := t.cache.Client(t.Client); t.Client != "" && client != nil && client.Spec != nil {
		if t.Protocol != "" && t.Protocol != client.Spec.Type {
			return fmt.Errorf("%w: the service provider %s asks over %s, not over %s", admin.ErrSimulation, t.Client, client.Spec.Type, t.Protocol)
		}
		t.Protocol = client.Spec.Type
	}
	if t.Protocol == "" {
		t.Protocol = document.TypeRadius
		if t.OfTacacs() {
			t.Protocol = document.TypeTacacs
		}
	}
	parse := radius.ParseMethod
	t.method = credential.PAP
	switch {
	case t.Protocol == document.TypeTacacs && len(t.Attributes) > 0:
		return fmt.Errorf("%w: requests over TACACS+ have no attributes; an authorization has arguments", admin.ErrSimulation)
	case t.Protocol == document.TypeTacacs:
		parse, t.method = tacacs.ParseMethod, credential.ASCII
	case t.OfTacacs() && t.Method != "ascii": // which the names of methods refuse
		return fmt.Errorf("%w: RADIUS has no enable, services, commands, ports by name and remote addresses; the service provider has to ask over TACACS+", admin.ErrSimulation)
	}
	if t.Method == "" {
		return nil
	}
	var err error
	if t.method, err = parse(t.Method); err != nil {
		return fmt.Errorf("%w: %w", admin.ErrSimulation, err)
	}
	return nil
}

// asking finds the service provider that asks and an address of its, or only the address where no service provider claims it.
func (t *trial) asking() error {
	name := t.Client
	if source := t.Source; source.IsValid() {
		t.source = source
		client := t.cache.ClientFor(t.Protocol, source)
		switch {
		case name == "" || client != nil && client.Name == name:
			t.client = client
			return nil
		case client == nil:
			return fmt.Errorf("%w: no service provider claims %s, so %s does not either", admin.ErrSimulation, source, name)
		}
		return fmt.Errorf("%w: %s belongs to the service provider %s, not to %s", admin.ErrSimulation, source, client.Name, name)
	}
	client := t.cache.Client(name)
	if client == nil || client.Spec == nil || client.Spec.Radius == nil && client.Spec.Tacacs == nil {
		return fmt.Errorf("%w: there is no service provider named %q that asks over RADIUS or TACACS+", admin.ErrSimulation, name)
	}
	var prefixes []netip.Prefix
	if r := client.Spec.Radius; r != nil {
		prefixes = r.Prefixes()
	} else {
		prefixes = client.Spec.Tacacs.Prefixes()
	}
	for _, prefix := range prefixes {
		// The first address may be a narrower service provider's.
		for address, tries := prefix.Addr(), 0; prefix.Contains(address) && tries < 1024; address, tries = address.Next(), tries+1 {
			if t.cache.ClientFor(t.Protocol, address) == client {
				t.client, t.source = client, address
				return nil
			}
		}
	}
	return fmt.Errorf("%w: say from which of its addresses %s asks", admin.ErrSimulation, name)
}

// unanswered is what comes of a packet that gets no answer, since the server cannot tell that it is authentic.
func (t *trial) unanswered(reason trace.Reason, step trace.StepCode, subject, detail string) admin.Simulated {
	d := &event.Decided{
		Verdict: uint32(event.Discard), Reason: string(reason), Protocol: t.Protocol, Method: uint32(t.method), UserName: []byte(t.User),
		Source: t.source.AsSlice(), AtUnixNano: t.time.UnixNano(), PolicyIndex: t.cache.Index,
		Steps: []*event.Decided_Step{{Code: uint32(step), Subject: subject, Detail: detail}},
	}
	if t.client != nil {
		d.Client = t.client.Name
	}
	switch {
	case t.Authorizes():
		d.Kind, d.Method, d.Service, d.Command = uint32(event.DecidedAuthorization), uint32(credential.NoProof), []byte(t.Service), []byte(t.Command)
	case t.Enable != admin.NoLevel:
		d.Kind, d.Level = uint32(event.DecidedEnable), uint32(t.Enable)+1
	}
	return admin.Simulated{Decided: d}
}
