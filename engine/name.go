package engine

import (
	"bytes"

	"trine/engine/document"
	"trine/engine/policy"
)

// resolution says how a login name was looked up.
type resolution struct {
	ok       bool   // somebody has the name
	looked   []byte // the name that was looked up last
	realm    []byte // the realm that was taken off it, or that no rule lists; empty if the name has none
	stripped bool
	unlisted bool // the client lists realms, and not this one
}

// resolve finds the person behind a login name: as it came (user name or alias), else without the realm that the client's
// realm rules let go (RFC 7542 section 2: realms compare without case; they are stripped by policy only). Find looks one name up.
func resolve(client *policy.Client, name []byte, find func(login []byte) bool) resolution {
	found := resolution{looked: name}
	if len(name) == 0 {
		return found
	}
	if found.ok = find(name); found.ok {
		return found
	}
	user, realm := split(name)
	if len(realm) == 0 {
		return found
	}
	found.realm = realm
	rule, some := ruleFor(client, realm)
	switch {
	case rule == nil:
		found.unlisted = some
	case rule.Strip && len(user) > 0:
		found.stripped, found.looked = true, user
		found.ok = find(user)
	}
	return found
}

// split takes `DOMAIN\user` or `user@realm` apart; realm is empty if the name is neither.
func split(name []byte) (user, realm []byte) {
	if i := bytes.IndexByte(name, '\\'); i >= 0 {
		return name[i+1:], name[:i]
	}
	if i := bytes.LastIndexByte(name, '@'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, nil
}

// ruleFor returns the client's rule for a realm: the one that names it, else the one for every realm, else nil; some reports
// whether it has rules at all.
func ruleFor(client *policy.Client, realm []byte) (rule *document.Realm, some bool) {
	var rules []document.Realm
	switch spec := client.Spec; {
	case spec == nil:
	case spec.Radius != nil:
		rules = spec.Radius.Realms
	case spec.Tacacs != nil:
		rules = spec.Tacacs.Realms
	}
	for i := range rules {
		switch {
		case equalFold(realm, rules[i].Name):
			return &rules[i], true
		case rules[i].Name == "*" && rule == nil:
			rule = &rules[i]
		}
	}
	return rule, len(rules) > 0
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
