package engine

import (
	"trine/engine/state"
	"trine/engine/trace"
)

// authorize checks whether a person who has proved who he is may use the service provider. What it refuses, the device is told no
// more of than of a wrong password.
func (e *Engine) authorize(r *Request) trace.Reason {
	client := r.Client
	if client.RequiredRoles != "" {
		role := r.person.RequiredRole(client)
		if role == nil {
			r.trace.Add(trace.RolesLacked, client.RequiredRoles, client.Name)
			return trace.RoleMissing
		}
		r.trace.Add(trace.RoleHeld, role.Name, client.Name)
	}
	if client.RequiredSystem == "" {
		return trace.OK
	}
	switch e.config.People.Account(r.user.Name, client.RequiredSystem) {
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
