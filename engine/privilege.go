package engine

import (
	"strconv"

	"trine/engine/credential"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/trace"
)

// enabling reports whether the request asks for a privilege level and is no login.
func (r *Request) enabling() bool {
	return r.Enable >= 0 && r.Client.System != "" && r.work.action == nil
}

// system returns the information system whose roles are the privilege levels; nil if there is none of that name.
func (r *Request) system() *policy.System { return r.Cache.System(r.Client.System) }

// privilege finds the privilege level that the person's roles give in the client's information system, and holds the one that is asked for against it.
func (e *Engine) privilege(r *Request) trace.Reason {
	system := r.Client.System
	if system == "" {
		return trace.OK
	}
	level := r.person.Privilege(system)
	r.work.privilege = level
	switch {
	case level < 0:
		r.trace.Add(trace.PrivilegeLacked, system, "")
		return trace.TacacsPrivilegeNone
	case r.enabling() && r.Enable > level:
		r.trace.Add(trace.EnableTooHigh, levelText(r.Enable), levelText(level))
		return trace.TacacsEnableLevel
	}
	r.trace.Add(trace.PrivilegeHeld, levelText(level), system)
	return trace.OK
}

// enable decides a request for a privilege level by the enable secret of the information system. The secret is nobody's own, so guesses at it count apart
// from those at the password, and it is looked at for unknown names too. It returns true if the request waits.
func (e *Engine) enable(r *Request, system *policy.System) (waits bool) {
	guarded := r.guarded(login.Password)
	guarded.Name = "enable secret"
	if reason := e.Locked(r, guarded); reason != trace.OK {
		return e.refused(r, reason)
	}
	switch {
	case system.Broken != nil:
		r.trace.Add(trace.SystemIsBad, system.Name, system.Broken.Error())
		return e.refused(r, trace.ConfigBroken)
	case !r.Proof.Method.Clear():
		r.trace.Add(trace.MethodUnknown, "an enable secret comes as clear text", "")
		return e.refused(r, trace.ProofMissing)
	case len(r.Proof.Password) > credential.MaxPassword || !system.Enables(r.Proof.Password):
		r.trace.Add(trace.EnableSecretDiffers, system.Name, "")
		e.Failed(r, guarded)
		return e.refused(r, trace.TacacsEnableSecret)
	}
	r.trace.Add(trace.EnableSecretFits, system.Name, "")
	if reason := e.known(r); reason != trace.OK {
		return e.refused(r, reason)
	}
	if reason := e.standing(r); reason != trace.OK {
		return e.refused(r, reason)
	}
	return e.entitled(r)
}

// known says whether somebody has the name of a request for which no password is verified.
func (e *Engine) known(r *Request) trace.Reason {
	switch found := &r.work.found; {
	case found.ok:
		return trace.OK
	case found.unlisted:
		return trace.RealmUnknown
	}
	return trace.UserUnknown
}

// maxRecorded is how many bytes of a command line are recorded.
const maxRecorded = 1024

// describePrivilege adds to a decision's record what is recorded where the client speaks TACACS+.
func (r *Request) describePrivilege(d *event.DecidedView) {
	d.Privilege, d.Port = uint32(r.work.privilege+1), r.Port
	switch a := r.work.action; {
	case a != nil:
		d.Kind, d.Service, d.Command, d.Level = event.DecidedAuthorization, a.Service, a.Command[:min(len(a.Command), maxRecorded)], uint32(max(a.Level, -1)+1)
	case r.token:
		d.Kind = event.DecidedToken
	case r.enabling():
		d.Kind, d.Level = event.DecidedEnable, uint32(r.Enable)+1
	case r.Changes:
		d.Kind = event.DecidedChange
	}
}

// levelText returns a level as text, without allocating for those that there are.
func levelText(level int8) string { return strconv.Itoa(int(level)) }
