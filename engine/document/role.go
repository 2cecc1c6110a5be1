package document

import (
	"fmt"
	"strings"
	"time"

	"trine/engine/event"
	"trine/engine/secret"
)

// InformationSystem is a system in which people have accounts and roles: an application, a directory, a network.
type InformationSystem struct {
	// Description is free text.
	Description string `json:"description"`
	// EnableSecret is what people type for `enable` on the devices whose roles are those of this system (TACACS+), where it is not to be their own password. It is one secret for them all, and guesses at it lock out as guesses at a second factor do.
	EnableSecret secret.Text `json:"enableSecret"`
}

func (*InformationSystem) kind() string { return KindInformationSystem }

func (s *InformationSystem) normalise() {}

func (s *InformationSystem) check(c *checker) {
	if strings.Contains(c.doc.Name, "@") {
		c.fail("name", "", "the name of a system has no @: it stands behind the one in the names of roles and accounts")
	}
}

func (s *InformationSystem) relations(string, *relations) {}

// Role is what somebody may do in an InformationSystem. The document is named `ROLE@SYSTEM`.
type Role struct {
	// Description is free text.
	Description string `json:"description"`
	// Reply lists what an Access-Accept for whoever has the role carries, as the field reply of Group does.
	Reply []string `json:"reply"`
	// Commands lists which commands whoever has the role may run on devices that ask over TACACS+, and whose `tacacs.system` is the role's. The first pattern that matches decides, over the lists of all his roles in that system, the role of the highest privilege level first. With a list, what no pattern matches is denied; where none of his roles has one, every command is permitted.
	Commands []CommandRule `json:"commands"`
	// Services maps services that devices ask for over TACACS+, such as `shell`, `junos-exec` or `ppp`, to the arguments that the answer carries: `NAME=VALUE` for a mandatory one, `NAME*VALUE` for an optional one. Of several roles the one of the highest privilege level comes first, and the first to set an argument wins. A service other than shell is authorized for those alone who have a role that lists it, be it with an empty list. The shell gets `priv-lvl` by itself.
	Services map[string]Values `json:"services"`
}

func (*Role) kind() string { return KindRole }

func (r *Role) normalise() {}

func (r *Role) check(c *checker) {
	c.inSystem("role")
	c.reply("spec.reply", r.Reply)
	c.commands("spec.commands", r.Commands)
	c.services("spec.services", r.Services)
}

func (r *Role) relations(name string, rel *relations) {
	rel.ref(KindInformationSystem, SystemOf(name), "name")
}

// Account is an account that a person has in an InformationSystem. The document is named `ACCOUNT@SYSTEM`.
type Account struct {
	// Description is free text.
	Description string `json:"description"`
	// Owner names the User whose account it is. It goes when he goes.
	Owner string `json:"owner" ref:"User" required:"true"`
	// Enabled says whether the account can be used in its system.
	Enabled bool `json:"enabled" default:"true"`
	// Attributes are values of any attribute of the account, each a text or a list of texts.
	Attributes map[string]Values `json:"attributes"`
}

func (*Account) kind() string { return KindAccount }

func (a *Account) normalise() {}

func (a *Account) check(c *checker) {
	c.inSystem("account")
	c.attributes(a.Attributes)
}

func (a *Account) relations(name string, r *relations) {
	r.ref(KindInformationSystem, SystemOf(name), "name")
}

// Grant gives a role for a time.
type Grant struct {
	// Role names the Role.
	Role string `json:"role" ref:"Role" required:"true"`
	// NotBefore is when the role begins to count, in whole seconds; without it, at once.
	NotBefore time.Time `json:"notBefore"`
	// NotAfter is when the role ends to count, in whole seconds; without it, never.
	NotAfter time.Time `json:"notAfter"`
}

// String returns the grant as a cell of a CSV file has it: the role, and where it has a validity, a blank and an interval
// `FROM/UNTIL` (ISO 8601) of which either end may be missing.
func (g Grant) String() string {
	if g.NotBefore.IsZero() && g.NotAfter.IsZero() {
		return g.Role
	}
	end := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return g.Role + " " + end(g.NotBefore) + "/" + end(g.NotAfter)
}

// parseGrant reads what Grant.String writes; an end may also be a day. It returns what is wrong, or nothing.
func parseGrant(text string) (g Grant, reason string) {
	g.Role = text
	at := strings.LastIndexByte(text, ' ')
	from, until, dated := strings.Cut(text[at+1:], "/") // no name has a slash in it
	if !dated {
		return g, ""
	}
	if at < 0 {
		return g, "expected a role, a blank and an interval FROM/UNTIL"
	}
	g.Role = strings.TrimSpace(text[:at])
	for _, end := range []struct {
		text string
		to   *time.Time
	}{{from, &g.NotBefore}, {until, &g.NotAfter}} {
		if end.text == "" {
			continue
		}
		t, ok := parseTime(end.text)
		if !ok {
			return g, fmt.Sprintf("the validity of the role %q must be an interval such as 2027-01-01/2027-07-01 or 2027-01-01/", g.Role)
		}
		*end.to = t
	}
	return g, ""
}

// SystemOf returns the information system of a role or account: what follows the last @ of its name; empty if there is none.
func SystemOf(name string) string {
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		return name[at+1:]
	}
	return ""
}

// inSystem checks a name of the form NAME@SYSTEM.
func (c *checker) inSystem(what string) {
	at := strings.LastIndexByte(c.doc.Name, '@')
	if at <= 0 || at == len(c.doc.Name)-1 {
		c.fail("name", "", "expected a name such as %s@SYSTEM, found %q", what, shorten(c.doc.Name))
	}
}

// grants checks a list of roles. A role may be given for several times.
func (c *checker) grants(path string, list []Grant) {
	seen := make(map[Grant]bool, len(list))
	for i, g := range list {
		at := element(path, i)
		if !g.NotAfter.IsZero() && !g.NotBefore.Before(g.NotAfter) {
			c.fail(at+".notAfter", "", "the role ends to count before it begins")
		}
		for _, end := range []struct {
			field string
			t     time.Time
		}{{".notBefore", g.NotBefore}, {".notAfter", g.NotAfter}} {
			if end.t.Nanosecond() != 0 || !end.t.IsZero() && end.t.Unix() <= 0 {
				c.fail(at+end.field, "", "expected a time in whole seconds, after 1970-01-01")
			}
		}
		if seen[g] {
			c.fail(at+".role", "", "%q is in the list twice", g.Role)
		}
		seen[g] = true
	}
}

// attributes checks attributes with names of their own.
func (c *checker) attributes(attributes map[string]Values) {
	c.named("spec.attributes", "attribute", attributes)
}

// named checks values that have names of their own.
func (c *checker) named(in, what string, all map[string]Values) {
	for name, values := range all {
		path := join(in, name)
		if reason := nameProblem(name); reason != "" {
			c.fail(path, "", "the name of the %s %s", what, reason)
		}
		for i, v := range values {
			if v == "" {
				c.fail(element(path, i), "leave it out", "the value is empty")
			}
		}
		if len(values) == 0 {
			c.fail(path, "leave it out", "the %s has no value", what)
		}
	}
}

// Unix returns the ends of the grant's validity in unix seconds, 0 for one that is open.
func (g *Grant) Unix() (notBefore, notAfter int64) { return unixOf(g.NotBefore), unixOf(g.NotAfter) }

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func ofUnix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func storedGrants(list []Grant) []*event.UserSpec_Grant {
	var out []*event.UserSpec_Grant
	for i := range list {
		from, until := list[i].Unix()
		out = append(out, &event.UserSpec_Grant{Role: list[i].Role, NotBeforeUnix: from, NotAfterUnix: until})
	}
	return out
}

func grantsOf(list []*event.UserSpec_Grant) []Grant {
	var out []Grant
	for _, g := range list {
		out = append(out, Grant{Role: g.Role, NotBefore: ofUnix(g.NotBeforeUnix), NotAfter: ofUnix(g.NotAfterUnix)})
	}
	return out
}
