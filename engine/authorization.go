package engine

import (
	"net/netip"
	"strconv"
	"time"

	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
)

// Authorization is one request to authorize a service or a command (RFC 8907 section 6), of a person who has logged in. A protocol loop keeps a pool of
// them. Its slices are the protocol's and must stay as they are until the decision is delivered.
type Authorization struct {
	// What the protocol fills in.
	Protocol      string         // "tacacs"
	Cache         *policy.Cache  // loaded once for the request; nil: the one in force when it is decided
	Client        *policy.Client // who asks
	Source        netip.AddrPort // where the request came from
	Name          []byte         // the login name as it came
	Level         int8           // the privilege level that the device says that the person has, 0 to 15
	Args          [][]byte       // the arguments as they came
	Port          []byte
	RemoteAddress []byte
	Arrived       time.Time             // the node's clock
	Deadline      time.Time             // past it the caller no longer waits; zero: none
	Done          AuthorizationDelivery // where a decision that took its time goes
	Token         uint64                // the protocol's own mark

	// Service and Command are what the arguments ask for, as the engine reads them: the command line is normalised, and empty where it is not a command
	// that is asked for. They are valid until the next Authorize.
	Service, Command []byte

	// Decision is the outcome: Verdict Accept passes, with Args and Replace; Reject fails; of Discard the device gets an error, so that it asks
	// another node. Valid until the next Authorize.
	Decision Decision

	request Request
	action
}

// AuthorizationDelivery takes authorizations that could not be decided at once. Authorized may run on any goroutine and must not block.
type AuthorizationDelivery interface {
	Authorized(a *Authorization)
}

// action is what the engine keeps of an authorization while it decides. Its buffers are kept.
type action struct {
	asked   []policy.Argument // as they came
	line    []byte            // of the command
	spelled []byte            // the arguments that came without a separator, each with one
	roles   []*policy.Role    // in the client's information system, in the order of their precedence
	granted []grantedArgument // what the configuration gives for the service
	level   [len("priv-lvl=15")]byte
	added   [][]byte // the arguments that are granted and that the device did not send
	whole   [][]byte // all that are in force
	replace bool     // those that the device sent are not all in force
	reason  trace.Reason
}

// Authorize decides an authorization. It returns true if a.Decision is made; otherwise a.Done is told later, exactly once and possibly before Authorize
// returns, and the authorization is the engine's until then.
//
// The order is: the client, the arguments, the person, what is required of him, his privilege level, the authorization policy, then the command or the
// service, and last the script of the service provider. Nothing is proved here: the device says who has logged in.
func (l *Lane) Authorize(a *Authorization) bool {
	e, r := l.engine, &a.request
	r.Reset()
	r.Protocol, r.Cache, r.Client, r.Source, r.Name = a.Protocol, a.Cache, a.Client, a.Source, a.Name
	r.Port, r.Calling, r.Arrived, r.Deadline, r.Done = a.Port, a.RemoteAddress, a.Arrived, a.Deadline, a
	a.Service, a.Command = nil, nil
	e.begin(r, l.newID())
	r.work.action = a
	if e.consider(r) || !l.settle(r) {
		return false
	}
	a.Decision = r.Decision
	return true
}

// Decided implements Delivery for the request within.
func (a *Authorization) Decided(r *Request) {
	a.Decision = r.Decision
	a.Done.Authorized(a)
}

var _ Delivery = (*Authorization)(nil)

// consider decides an authorization. It returns true if it waits for a script.
func (e *Engine) consider(r *Request) (waits bool) {
	a := r.work.action
	reason := e.admit(r)
	e.identify(r)
	for _, check := range [...]func(*Engine, *Request) trace.Reason{(*Engine).read, (*Engine).known, (*Engine).member} {
		if reason == trace.OK {
			reason = check(e, r)
		}
	}
	if reason != trace.OK {
		return e.refused(r, reason)
	}
	a.reason = trace.OK
	return e.entitled(r)
}

// member says whether the person may do anything at all. How old his password is was asked when he logged in.
func (e *Engine) member(r *Request) trace.Reason {
	if r.user.Inactive {
		r.trace.AddName(trace.UserIsOff, r.user.Name, "")
		return trace.UserInactive
	}
	r.meet(e.now())
	return e.kind(r, r.Cache.UserType(r.user.UserType))
}

// judge decides about the command or the service, of a person who may ask for it. It returns true if it waits for the service provider's script.
func (e *Engine) judge(r *Request) (waits bool) {
	a := r.work.action
	a.roles = r.person.RolesIn(a.roles[:0], r.Client.System)
	a.granted = a.granted[:0]
	if len(a.Command) > 0 {
		a.reason = a.judgeCommand(r)
	} else {
		a.reason = a.judgeService(r)
	}
	if reason := a.compose(r); a.reason == trace.OK {
		a.reason = reason
	}
	if r.Client.Authorization != nil {
		return e.consult(r)
	}
	e.conclude(r, a.reason)
	return false
}

// conclude makes the decision.
func (e *Engine) conclude(r *Request, reason trace.Reason) {
	a, d := r.work.action, &r.Decision
	if reason == trace.OK && len(a.whole) > document.MaxArguments {
		r.trace.Add(trace.ArgumentsTooMany, strconv.Itoa(len(a.whole)), "")
		reason = trace.TacacsReplyTooLarge
	}
	if reason != trace.OK {
		r.reject(reason)
		return
	}
	d.Verdict, d.Reason, d.Privilege = event.Accept, trace.OK, r.work.privilege
	d.Replace = a.replace
	if a.replace {
		d.Args = append(d.Args[:0], a.whole...)
	} else {
		d.Args = append(d.Args[:0], a.added...)
	}
	r.work.traced = e.traces()
}

// judgeCommand holds the command line against the lists of commands: that of the rule which decided, then those of the roles.
func (a *Authorization) judgeCommand(r *Request) trace.Reason {
	some := ""
	decide := func(name string, list policy.Commands) (reason trace.Reason, decided bool) {
		if len(list) == 0 {
			return "", false
		}
		if some == "" {
			some = name
		}
		switch c := list.Match(a.Command); {
		case c == nil:
			return "", false
		case c.Permit:
			r.trace.Add(trace.CommandPermitted, name, c.Pattern)
			return trace.OK, true
		default:
			r.trace.Add(trace.CommandDenied, name, c.Pattern)
			return trace.TacacsCommandDenied, true
		}
	}
	if rule := r.work.rule; rule != nil {
		if reason, decided := decide(rule.Name, rule.Commands); decided {
			return reason
		}
	}
	for _, role := range a.roles {
		if reason, decided := decide(role.Name, role.Commands); decided {
			return reason
		}
	}
	if some == "" {
		r.trace.Add(trace.CommandsUnlisted, r.Client.System, "")
		return trace.OK
	}
	r.trace.Add(trace.CommandUnmatched, some, "")
	return trace.TacacsCommandDenied
}

var shell = []byte("shell")

// judgeService gathers what the configuration gives for a service: that of the rule which decided, then that of the roles. The first of these to set an
// argument wins.
func (a *Authorization) judgeService(r *Request) trace.Reason {
	listed := string(a.Service) == string(shell)
	if rule := r.work.rule; rule != nil && rule.Reply != nil {
		if reply, ok := rule.Reply.(policy.Reply); ok {
			listed = true
			r.trace.AddName(trace.ServiceListed, a.Service, rule.Name)
			a.grant(reply)
		}
	}
	for _, role := range a.roles {
		if reply, ok := role.Service(a.Service); ok {
			listed = true
			r.trace.AddName(trace.ServiceListed, a.Service, role.Name)
			a.grant(reply)
		}
	}
	if !listed {
		r.trace.AddName(trace.ServiceUnlisted, a.Service, r.Client.System)
		return trace.TacacsServiceDenied
	}
	if string(a.Service) == string(shell) {
		a.grantLevel(r.work.privilege)
	}
	return trace.OK
}
