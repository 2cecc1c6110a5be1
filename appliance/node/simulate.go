package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"trine/appliance/admin"
	"trine/appliance/admin/api"
	"trine/engine"
	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/radius"
)

// simulator lets the administration try out logins.
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

// Simulate implements admin.Simulator.
func (s *simulator) Simulate(ctx context.Context, q admin.Simulation) (admin.Simulated, error) {
	attempt := radius.Attempt{Cache: q.Policies, Time: q.At, User: q.User, Method: credential.PAP, Password: q.Password, Attributes: q.Attributes}
	circumstances := engine.Circumstances{Policies: q.Policies, Verifier: s.aside}
	if attempt.Cache == nil {
		attempt.Cache = s.n.policies.Holder().Load()
	}
	if q.At.IsZero() {
		attempt.Time = s.n.clock()
	} else {
		circumstances.Clock = func() time.Time { return q.At }
	}
	if len(q.Users) > 0 {
		circumstances.People = s.n.views.Draft(q.Users)
	}
	if q.Assumed != admin.NothingAssumed {
		attempt.Password, circumstances.Verifier = placeholder, s.n.verifier.Assuming(q.Assumed == admin.PasswordRight)
	}
	var err error
	if q.Method != "" {
		if attempt.Method, err = radius.ParseMethod(q.Method); err != nil {
			return admin.Simulated{}, fmt.Errorf("%w: %w", admin.ErrSimulation, err)
		}
	}
	if attempt.Client, attempt.Source, err = asking(attempt.Cache, q.Client, q.Source); err != nil {
		return admin.Simulated{}, err
	}
	switch client := attempt.Client; {
	case client == nil:
		return unanswered(&attempt, trace.ClientUnknown, trace.ClientNone, attempt.Source.String(), ""), nil
	case client.Wire == nil && client.Broken != nil:
		return unanswered(&attempt, trace.ConfigBroken, trace.ClientIsBad, client.Name, client.Broken.Error()), nil
	}
	found, err := s.radius.Try(ctx, s.n.engine.Simulate(circumstances), &attempt)
	switch {
	case errors.Is(err, radius.ErrSecret):
		return unanswered(&attempt, trace.ConfigBroken, trace.ClientIsBad, attempt.Client.Name, err.Error()), nil
	case errors.Is(err, radius.ErrAttempt):
		return admin.Simulated{}, fmt.Errorf("%w: %w", admin.ErrSimulation, err)
	case err != nil:
		return admin.Simulated{}, err
	}
	out := admin.Simulated{Decided: found.Decided, Answer: found.Code}
	for _, p := range found.Attributes {
		out.Attributes = append(out.Attributes, api.Attribute{Name: p.Named(), Value: p.Value})
	}
	return out, nil
}

// asking returns the service provider that asks and an address of its, or only the address where no service provider claims it.
func asking(cache *policy.Cache, name string, source netip.Addr) (*policy.Client, netip.Addr, error) {
	const wire = "radius"
	if source.IsValid() {
		client := cache.ClientFor(wire, source)
		switch {
		case name == "" || client != nil && client.Name == name:
			return client, source, nil
		case client == nil:
			return nil, source, fmt.Errorf("%w: no service provider claims %s, so %s does not either", admin.ErrSimulation, source, name)
		}
		return nil, source, fmt.Errorf("%w: %s belongs to the service provider %s, not to %s", admin.ErrSimulation, source, client.Name, name)
	}
	client := cache.Client(name)
	if client == nil || client.Spec == nil || client.Spec.Radius == nil {
		return nil, source, fmt.Errorf("%w: there is no service provider named %q that asks over RADIUS", admin.ErrSimulation, name)
	}
	for _, prefix := range client.Spec.Radius.Prefixes() {
		// The first address may be a narrower service provider's.
		for address, tries := prefix.Addr(), 0; prefix.Contains(address) && tries < 1024; address, tries = address.Next(), tries+1 {
			if cache.ClientFor(wire, address) == client {
				return client, address, nil
			}
		}
	}
	return nil, source, fmt.Errorf("%w: say from which of its addresses %s asks", admin.ErrSimulation, name)
}

// unanswered is what comes of a packet that gets no answer, since the server cannot tell that it is authentic.
func unanswered(q *radius.Attempt, reason trace.Reason, step trace.StepCode, subject, detail string) admin.Simulated {
	d := &event.Decided{
		Verdict: uint32(event.Discard), Reason: string(reason), Protocol: "radius", Method: uint32(q.Method), UserName: []byte(q.User),
		Source: q.Source.AsSlice(), AtUnixNano: q.Time.UnixNano(), PolicyIndex: q.Cache.Index,
		Steps: []*event.Decided_Step{{Code: uint32(step), Subject: subject, Detail: detail}},
	}
	if q.Client != nil {
		d.Client = q.Client.Name
	}
	return admin.Simulated{Decided: d}
}
