package radius

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/event"
	"trine/engine/trace"
)

// model is what a world was made to be. What it says of a login is worked out anew each time, in the plainest way.
type model struct {
	groups  []group
	devices []device
	persons []*person
	clients []*provider
	issuer  [2]issuer // the second is a virtual one of the first
}

type group struct {
	parent int // -1: none
	roles  []grant
}

type grant struct {
	role        int
	from, until time.Time
}

type device struct {
	mac   string
	group int // -1: none
	until time.Time
}

type person struct {
	name, alias, password string
	active, mustChange    bool
	kind                  string // user type; empty: default
	groups                []int
	roles                 []grant
	account               string // in the system net: "", "enabled" or "disabled"
	otp                   *otp.Secret
	recovery              []string
	pin                   string
	mobile                string
	state                 []byte // of his last challenge
	asked                 string // which factor it asks for
	at                    int    // the client that it came by
}

type provider struct {
	address         netip.Addr
	realms          map[string]bool // whether it is taken off; "*" is every one
	roles           []int
	system, devices bool
	issuer          int
	second          string
	rejects         bool // a rule of its authorization policy does
}

type issuer struct {
	enabled           bool
	methods           [5]bool // by credential.Method
	ways              []string
	rules             int
	groups            []int
	roleBased, guests bool
}

// attempted is a login as the model looks at it.
type attempted struct {
	at       time.Time
	client   int
	name     string
	method   credential.Method
	right    bool   // the password is
	code     string // what was proved beside it: "OTP" if a good code is appended, or the factor if the answer to a challenge is right
	answers  bool
	person   *person // whose challenge it answers
	device   string  // it says this MAC address, and nothing else
	mismatch bool    // and calls from another one
}

// resolve finds a person by the rules of RFC 7542 as a client has them.
func (m *model) resolve(c *provider, name string) *person {
	named := func(name string) *person {
		for _, p := range m.persons {
			if strings.EqualFold(p.name, name) || strings.EqualFold(p.alias, name) {
				return p
			}
		}
		return nil
	}
	if p := named(name); p != nil {
		return p
	}
	user, realm := name, ""
	if before, after, ok := strings.Cut(name, `\`); ok {
		user, realm = after, before
	} else if i := strings.LastIndex(name, "@"); i >= 0 {
		user, realm = name[:i], name[i+1:]
	}
	strip, listed := c.realms[strings.ToLower(realm)]
	if !listed {
		strip = c.realms["*"]
	}
	if realm == "" || !strip {
		return nil
	}
	return named(user)
}

// within returns the groups and all above them.
func (m *model) within(groups []int) (all []int) {
	for _, g := range groups {
		for ; g >= 0; g = m.groups[g].parent {
			all = append(all, g)
		}
	}
	return all
}

func (m *model) held(own []grant, groups []int, at time.Time) (roles []int) {
	count := func(list []grant) {
		for _, g := range list {
			if !at.Before(g.from) && (g.until.IsZero() || at.Before(g.until)) {
				roles = append(roles, g.role)
			}
		}
	}
	count(own)
	for _, g := range m.within(groups) {
		count(m.groups[g].roles)
	}
	return roles
}

// lacks returns why somebody may not use a client, in no order; empty if he may as far as the model knows.
func (m *model) lacks(c *provider, kind, account string, own []grant, groups []int, at time.Time) (reasons []trace.Reason) {
	roles := m.held(own, groups, at)
	for i := range c.issuer + 1 {
		is := &m.issuer[i]
		in := len(is.groups) == 0
		for _, g := range m.within(groups) {
			in = in || slices.Contains(is.groups, g)
		}
		if !in || is.roleBased && len(roles) == 0 || is.guests && kind != "guests" {
			reasons = append(reasons, trace.IssuerNotAllowed)
		}
	}
	if len(c.roles) > 0 && !slices.ContainsFunc(c.roles, func(r int) bool { return slices.Contains(roles, r) }) {
		reasons = append(reasons, trace.RoleMissing)
	}
	switch {
	case !c.system || account == "enabled":
	case account == "disabled":
		reasons = append(reasons, trace.AccountDisabled)
	default:
		reasons = append(reasons, trace.AccountMissing)
	}
	return reasons
}

// contradicts says what is wrong with a decision by the model; empty if nothing is.
func (m *model) contradicts(a *attempted, d *event.Decided) string {
	c := m.clients[a.client]
	is := &m.issuer[c.issuer]
	reason := trace.Reason(d.Reason)
	accepts, challenges := d.Verdict == uint32(event.Accept), d.Verdict == uint32(event.Challenge)
	var lacks []trace.Reason
	if a.device != "" {
		i := slices.IndexFunc(m.devices, func(v device) bool { return v.mac == a.device })
		var groups []int
		if i >= 0 && m.devices[i].group >= 0 {
			groups = []int{m.devices[i].group}
		}
		lacks = m.lacks(c, "", "", nil, groups, a.at)
		over := i >= 0 && !m.devices[i].until.IsZero() && !a.at.Before(m.devices[i].until)
		switch {
		case accepts && (i < 0 || over || !c.devices || a.mismatch || len(lacks) > 0):
			return "the device may not come in"
		case challenges:
			return "a device is asked for nothing"
		case reason == trace.EndpointUnknown && i >= 0:
			return "the device is known"
		case reason == trace.EndpointExpired && !over:
			return "the device is not over"
		case reason == trace.EndpointNotAllowed && c.devices:
			return "devices are let in"
		}
	} else {
		p := m.resolve(c, a.name)
		if p != nil {
			lacks = m.lacks(c, p.kind, p.account, p.roles, p.groups, a.at)
		}
		proved := a.right || a.answers && a.person == p && a.code != ""
		switch {
		case (accepts || challenges) && (p == nil || !p.active || p.mustChange || !proved):
			return "he may not come in"
		case accepts && len(lacks) > 0:
			return "he may not use it"
		case accepts && !a.answers && is.rules == 0 && !enough(is.ways, a.code):
			return "a password is not enough"
		case challenges && is.rules == 0 && slices.Contains(is.ways, "Password"):
			return "a password is enough"
		case reason == trace.UserUnknown && p != nil, reason == trace.RealmUnknown && (p != nil || len(c.realms) == 0):
			return "he is known"
		case reason == trace.PasswordWrong && a.right && (is.rules == 0 || a.answers || a.code == ""):
			return "the password is right"
		case reason == trace.UserInactive && (p == nil || p.active), reason == trace.PasswordMustChange && (p == nil || !p.mustChange):
			return "he is not"
		case a.answers && a.code != "" && a.person == p && (reason == trace.OTPWrong || reason == trace.PINWrong || reason == trace.CodeWrong || reason == trace.RecoveryWrong):
			return "the answer is right"
		}
	}
	switch {
	case (accepts || challenges) && (!is.enabled || a.device == "" && a.method != credential.NoProof && !is.methods[a.method]):
		return "the identity provider does not take it"
	case slices.Contains([]trace.Reason{trace.RoleMissing, trace.AccountMissing, trace.AccountDisabled, trace.IssuerNotAllowed}, reason) && !slices.Contains(lacks, reason):
		return "he does not lack it"
	case reason == trace.AuthorizationDenied && !c.rejects:
		return "no rule rejects"
	case reason == trace.RadiusMethodDisabled && is.methods[a.method]:
		return "the method is on"
	}
	return ""
}

// enough reports whether a password, and what was proved beside it, is one of the ways.
func enough(ways []string, code string) bool {
	return slices.Contains(ways, "Password") || code != "" && slices.Contains(ways, "Password+"+code)
}
