package engine

import (
	"time"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
)

// authorize checks whether somebody who has proved who he is, or a device, may use the identity provider and the service provider, and
// finds the rule that decides what he gets. What it refuses, the device is told no more of than of a wrong password.
func (e *Engine) authorize(r *Request) trace.Reason {
	for _, check := range [...]func(*Engine, *Request) trace.Reason{(*Engine).access, (*Engine).requiredRoles, (*Engine).requiredSystem, (*Engine).privilege, (*Engine).rules} {
		if reason := check(e, r); reason != trace.OK {
			return reason
		}
	}
	return trace.OK
}

// access checks who may use the identity provider.
func (e *Engine) access(r *Request) trace.Reason {
	if ok, issuer, field := r.person.MayUse(r.Client.Issuer, r.userType()); !ok {
		r.trace.Add(trace.AccessLacked, issuer, field)
		return trace.IssuerNotAllowed
	}
	return trace.OK
}

func (e *Engine) requiredRoles(r *Request) trace.Reason {
	client := r.Client
	if client.RequiredRoles == "" {
		return trace.OK
	}
	role := r.person.RequiredRole(client)
	if role == nil {
		r.trace.Add(trace.RolesLacked, client.RequiredRoles, client.Name)
		return trace.RoleMissing
	}
	r.trace.Add(trace.RoleHeld, role.Name, client.Name)
	return trace.OK
}

// requiredSystem checks the accounts of a person. A device has none.
func (e *Engine) requiredSystem(r *Request) trace.Reason {
	client := r.Client
	if client.RequiredSystem == "" {
		return trace.OK
	}
	standing := state.NoAccount
	if !r.work.device {
		standing = e.config.People.Account(r.user.Name, client.RequiredSystem)
	}
	switch standing {
	case state.AccountEnabled:
		r.trace.Add(trace.AccountHeld, client.RequiredSystem, client.Name)
		return trace.OK
	case state.AccountDisabled:
		r.trace.Add(trace.AccountIsOff, client.RequiredSystem, client.Name)
		return trace.AccountDisabled
	default:
		r.trace.Add(trace.AccountLacked, client.RequiredSystem, client.Name)
		return trace.AccountMissing
	}
}

// rules finds the rule of the authorization policy that decides.
func (e *Engine) rules(r *Request) trace.Reason {
	if !r.Client.HasRules() {
		return trace.OK
	}
	r.establish(&r.facts)
	r.facts.Request = (*asking)(r)
	r.work.rule = r.Client.Authorize(&r.facts, &r.trace)
	if rule := r.work.rule; rule != nil && rule.Reject {
		return trace.AuthorizationDenied
	}
	return trace.OK
}

// meet looks up what the configuration makes of the person, or device, at a time.
func (r *Request) meet(now time.Time) {
	r.work.asked.at = now
	r.Cache.Person(&r.person, &r.user, now.Unix())
}

// establish makes f the facts of a request whose person is known.
func (r *Request) establish(f *attribute.Facts) {
	f.Renew()
	f.Subject, f.Principal, f.Authentication = attribute.OfUser(&r.user), r.user.Name, authentication(r.work.proved)
	f.Roles, f.Now, f.Customs = r.person.Roles(), r.work.asked.at, r.Cache.Customs()
	if !r.work.device {
		f.Accounts = r.work.engine.config.People
	}
}

var defaultUserType = []byte(document.DefaultUserTypeName)

// userType returns the name of the person's user type. A device has none.
func (r *Request) userType() []byte {
	switch {
	case r.work.device:
		return nil
	case len(r.user.UserType) == 0:
		return defaultUserType
	}
	return r.user.UserType
}

// asked is what a request keeps for conditions that ask about it.
type asked struct {
	at     time.Time
	looked bool // whether group is known
	group  []byte
}

// asking is a request as the conditions of authorization policies ask about it.
type asking Request

var _ attribute.Request = (*asking)(nil)

// At implements attribute.Request.
func (a *asking) At() time.Time { return a.work.asked.at }

// SSID implements attribute.Request: RFC 3580 section 3.20 puts it behind the access point's address and a colon.
func (a *asking) SSID() []byte {
	if _, n := event.CutMAC(a.Called); n > 0 && n < len(a.Called) && a.Called[n] == ':' {
		return a.Called[n+1:]
	}
	return nil
}

// UserType implements attribute.Request.
func (a *asking) UserType() []byte { return (*Request)(a).userType() }

// InGroup implements attribute.Request.
func (a *asking) InGroup(number uint32) bool { return a.person.In(number) }

// HasRole implements attribute.Request.
func (a *asking) HasRole(number uint32) bool { return a.person.HasRole(number) }

// EndpointInGroup implements attribute.Request. The endpoint is that of the login, or else that with the address of the calling
// station; one that has expired is none.
func (a *asking) EndpointInGroup(number uint32) bool {
	if a.work.device {
		return a.person.In(number)
	}
	if w := &a.work.asked; !w.looked {
		w.looked = true
		if mac, ok := event.ParseMAC(a.Calling); ok && a.work.engine.config.People.Endpoint(&a.endpoint, mac) && !a.endpoint.Over(w.at.Unix()) {
			w.group = a.endpoint.Group
		}
	}
	return a.Cache.GroupIn(a.work.asked.group, number)
}

// AppendValues implements attribute.Request.
func (a *asking) AppendValues(dst [][]byte, of any) [][]byte {
	if name, ok := of.(policy.Asked); ok {
		if dst, ok = (*Request)(a).appendAsked(dst, name); ok {
			return dst
		}
	}
	if a.Attributes == nil {
		return dst
	}
	return a.Attributes.AppendValues(dst, of)
}
