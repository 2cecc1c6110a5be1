package engine

import (
	"bytes"

	"trine/engine/policy"
	"trine/engine/state"
)

// resolve finds the person behind a login name: as it came (user name or alias), else without the realm that the client's
// realm rules let go (RFC 7542 section 2: realms compare without case; they are stripped by policy only).
func resolve(dst *state.User, people *state.State, client *policy.Client, name []byte) bool {
	if len(name) == 0 {
		return false
	}
	if people.User(dst, name) {
		return true
	}
	user, ok := strip(client, name)
	return ok && people.User(dst, user)
}

// strip returns what is left of `DOMAIN\user` or `user@realm` where a rule of the client names the realm and lets it go.
func strip(client *policy.Client, name []byte) (user []byte, ok bool) {
	var realm []byte
	if i := bytes.IndexByte(name, '\\'); i >= 0 {
		realm, user = name[:i], name[i+1:]
	} else if i := bytes.LastIndexByte(name, '@'); i >= 0 {
		user, realm = name[:i], name[i+1:]
	} else {
		return nil, false
	}
	if len(user) == 0 || client.Spec == nil || client.Spec.Radius == nil {
		return nil, false
	}
	for i := range client.Spec.Radius.Realms {
		rule := &client.Spec.Radius.Realms[i]
		if rule.Strip && (rule.Name == "*" || equalFold(realm, rule.Name)) {
			return user, true
		}
	}
	return nil, false
}

// equalFold compares without regard to ASCII case, and without allocating.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		x, y := b[i], s[i]
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if 'A' <= y && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}
