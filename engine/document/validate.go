package document

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"trine/engine/credential/imported"
	"trine/engine/event"
	"trine/engine/secret"
)

// maxName is the longest name in bytes: what a RADIUS User-Name holds (RFC 2865 section 5).
const maxName = 253

// maxSecrets is how many shared secrets a client may have, those of other times counted too.
const maxSecrets = 16

// Validate reports what is wrong within one document: its name and what its fields mean together. What it refers to is
// checked by ValidateAll.
func Validate(d *Document) Problems {
	c := &checker{doc: d}
	c.name("name", "name", d.Name)
	d.Spec.check(c)
	return c.problems
}

// checker gathers problems with the fields of one document.
type checker struct {
	doc      *Document
	problems Problems
}

func (c *checker) fail(path, suggestion, format string, args ...any) {
	c.problems = append(c.problems, c.doc.problem(path, fmt.Sprintf(format, args...), suggestion))
}

// name checks a name that people type and programs compare.
func (c *checker) name(path, what, s string) {
	if reason := nameProblem(s); reason != "" {
		c.fail(path, "", "the %s %s", what, reason)
	}
}

func nameProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxName:
		return fmt.Sprintf("is longer than %d bytes", maxName)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case s == "." || s == "..":
		return "is . or .."
	case strings.TrimSpace(s) != s:
		return "begins or ends with a blank"
	case !norm.NFC.IsNormalString(s):
		return "is not in Unicode's composed form (NFC), so that it could look like another one"
	}
	for _, r := range s {
		if r == '/' || r == '\\' {
			return fmt.Sprintf("has %q in it", r)
		}
		if !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r) {
			return fmt.Sprintf("has the character %U in it, which cannot be seen", r)
		}
	}
	return ""
}

func (c *checker) unique(path string, list []string, fold bool) {
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		key := s
		if fold {
			key = event.FoldName(s)
		}
		if s == "" {
			c.fail(element(path, i), "", "the text is empty")
		} else if seen[key] {
			c.fail(element(path, i), "", "%q is in the list twice", s)
		}
		seen[key] = true
	}
}

func (u *User) check(c *checker) {
	if strings.Contains(u.Mail, "@") && u.MailDomain != "" {
		c.fail("spec.mail", "", "the address has an @ although mailDomain is given")
	}
	if strings.Contains(u.MailDomain, "@") {
		c.fail("spec.mailDomain", "", "the domain has an @ in it")
	}
	for i, a := range u.Aliases {
		if a == "" {
			continue // unique says so
		}
		if reason := aliasProblem(a); reason != "" {
			c.fail(element("spec.aliases", i), "", "the alias %s", reason)
		} else if event.FoldName(a) == event.FoldName(c.doc.Name) {
			c.fail(element("spec.aliases", i), "", "the alias is the user's name")
		}
	}
	c.unique("spec.aliases", u.Aliases, true)
	c.unique("spec.groups", u.Groups, false)
	c.grants("spec.roles", u.Roles)
	c.attributes(u.Attributes)
	if u.Password.IsSealed() {
		c.fail("spec.password", "", "a password comes in as clear text; as %s, or left out, it stays as it is", secret.Mark)
	}
	u.checkHash(c)
	if u.PasswordMustChange && u.Password.IsZero() && u.PasswordHash.IsZero() {
		c.fail("spec.passwordMustChange", "", "the field counts only together with password or passwordHash")
	}
}

// checkHash checks that the hash of a password is one that can be verified.
func (u *User) checkHash(c *checker) {
	const path = "spec.passwordHash"
	switch {
	case u.PasswordHash.IsSealed():
		c.fail(path, "", "a hash comes in as the other system shows it; as %s, or left out, the password stays as it is", secret.Mark)
	case u.PasswordHash.IsPlain() && !u.Password.IsZero():
		c.fail(path, "give one of them", "the user has both a password and the hash of one")
	case u.PasswordHash.IsPlain():
		text, err := u.PasswordHash.Open(nil, nil, nil)
		if err == nil {
			_, err = imported.Parse(string(text))
		}
		if err != nil {
			c.fail(path, "", "the hash is %v", err)
		}
		clear(text)
	}
}

// aliasProblem checks a login name, which unlike a name may carry a realm: CORP\a, host/pc.realm.
func aliasProblem(s string) string {
	return nameProblem(strings.NewReplacer("/", "-", `\`, "-").Replace(s))
}

func (u *User) relations(name string, r *relations) {
	r.claim("login/"+event.FoldName(name), "name")
	for i, a := range u.Aliases {
		r.claim("login/"+event.FoldName(a), element("spec.aliases", i))
	}
}

func (g *Group) check(c *checker) {
	c.reply("spec.reply", g.Reply)
	c.grants("spec.roles", g.Roles)
	if g.Parent == c.doc.Name {
		c.fail("spec.parent", "", "the group is its own parent")
	}
}

func (g *Group) relations(string, *relations) {}

func (g *EntityGroup) check(*checker) {}

func (g *EntityGroup) relations(string, *relations) {}

func (t *UserType) check(c *checker) {
	p := &t.Password
	if len(p.Keep) == 0 {
		c.fail("spec.password.keep", "", "a password must be kept in one form at least: %s", or([]string{"argon2id", "keyed", "nt", "clear"}))
	}
	forms := make([]string, len(p.Keep))
	for i, f := range p.Keep {
		forms[i] = string(f)
	}
	c.unique("spec.password.keep", forms, false)
	if p.Argon2.MemoryKiB < 8*p.Argon2.Parallelism {
		c.fail("spec.password.argon2.memoryKiB", "", "Argon2 needs 8 KiB for each lane, %d here", 8*p.Argon2.Parallelism)
	}
	if p.MaxAge > 0 && p.MinAge > p.MaxAge {
		c.fail("spec.password.minAge", "", "the least age is above the greatest")
	}
	if l := p.Lockout; l != nil && l.Total != 0 && l.Total < l.Attempts {
		c.fail("spec.password.lockout.total", "", "fewer wrong passwords lock the person out everywhere than from one source (%d)", l.Attempts)
	}
	if p.Classes > p.MinLength && p.MinLength > 0 {
		c.fail("spec.password.minLength", "", "%d classes do not fit into %d characters", p.Classes, p.MinLength)
	}
}

func (t *UserType) relations(string, *relations) {}

func (p *IdentityProvider) check(c *checker) {
	if p.Parent == c.doc.Name {
		c.fail("spec.parent", "", "the identity provider is its own parent")
	}
	if p.Parent == "" && (p.HostName != "" || p.PathPrefix != "") {
		c.fail("spec.hostName", "", "hostName and pathPrefix are for virtual identity providers, which have a parent")
	}
	p.checkWeb(c)
	c.ways("spec.authentication.matrix", p.Authentication.Matrix)
	if x := p.Authentication.Certificate; x != nil {
		const at = "spec.authentication.certificate"
		c.either(at, "mapping", x.Mapping, "expression", x.Expression, "script", x.Script)
	}
	if s := p.Session; s != nil && s.SSOCookieDomain != "" && s.SSOCookieName == "" {
		c.fail("spec.session.ssoCookieName", "name the cookie", "a cookie that has a domain needs a name")
	}
	for i, r := range p.Authentication.AdaptiveRules {
		at := element("spec.authentication.adaptiveRules", i)
		c.either(at, "expression", r.Expression, "script", r.Script)
		if r.Expression == "" && r.Script == "" {
			c.fail(join(at, "expression"), "", "the field is required, or script in its stead")
		}
		c.ways(join(at, "matrix"), r.Matrix)
	}
	if r := p.Profiles.Radius; r != nil && r.AuthenticationPort == r.AccountingPort {
		c.fail("spec.profiles.radius.accountingPort", "", "logins and accounting cannot share a port")
	}
	if o := p.Profiles.OpenID; o != nil {
		o.check(c)
	}
	if t := p.Profiles.Tacacs; t != nil && t.Port == t.TLSPort {
		c.fail("spec.profiles.tacacs.tlsPort", "", "TACACS+ with and without TLS cannot share a port")
	}
}

// ways checks the cells of a matrix.
func (c *checker) ways(path string, matrix []Way) {
	for i, w := range matrix {
		switch {
		case w.First == w.Second:
			c.fail(join(element(path, i), "second"), "", "the second factor is the first one again")
		case w.TrustedDevice && w.Second == "":
			c.fail(join(element(path, i), "trustedDevice"), "leave it out, or name a second factor", "a trusted device stands for a second factor, and there is none")
		case slices.ContainsFunc(matrix[:i], func(o Way) bool { return o.First == w.First && o.Second == w.Second }):
			c.fail(element(path, i), "", "the way from %s is listed twice", w.First)
		}
	}
}

func (p *IdentityProvider) relations(name string, r *relations) {
	claimPublicID(p.PublicID, name, r)
	p.claimSite(name, r)
}

func (s *ServiceProvider) check(c *checker) {
	c.either("spec", "uidExpression", s.UIDExpression, "uidScript", s.UIDScript)
	for field, text := range map[string]string{"spec.uidExpression": s.UIDExpression, "spec.uidScript": s.UIDScript} {
		if s.Type == TypeTacacs && text != "" {
			c.fail(field, "leave it out", "devices are told no user name over TACACS+")
		}
	}
	c.unique("spec.requiredRoles", s.RequiredRoles, false)
	c.named("spec.labels", "label", s.Labels)
	names := make([]string, len(s.AuthorizationPolicy))
	for i, rule := range s.AuthorizationPolicy {
		at := element("spec.authorizationPolicy", i)
		names[i] = rule.Name
		c.name(at+".name", "name of the rule", rule.Name)
		c.condition(at+".condition", rule.Condition)
		if s.Type == TypeTacacs {
			c.arguments(at+".reply", rule.Reply)
			c.commands(at+".commands", rule.Commands)
		} else if s.Type == TypeOIDC || s.Type == TypeOIDCDynamic {
			if len(rule.Reply)+len(rule.Commands) > 0 {
				c.fail(at+".reply", "leave it out; sharing policies say which claims are released", "clients of OpenID Connect get no replies and ask for no commands")
			}
		} else {
			c.reply(at+".reply", rule.Reply)
			if len(rule.Commands) > 0 {
				c.fail(at+".commands", "", "devices ask for commands over TACACS+ alone, so the field is for type tacacs")
			}
		}
		if rule.Reject && len(rule.Reply) > 0 {
			c.fail(at+".reject", "", "a rule that rejects adds nothing to a reply")
		}
		if rule.Reject && len(rule.Commands) > 0 {
			c.fail(at+".reject", "", "a rule that rejects has no list of commands")
		}
	}
	c.unique("spec.authorizationPolicy", names, false)
	switch {
	case s.Type == TypeRadius && s.Radius == nil:
		c.fail("spec.radius", "", "the field is required for type radius")
	case s.Type == TypeTacacs && s.Tacacs == nil:
		c.fail("spec.tacacs", "", "the field is required for type tacacs")
	case s.Type == TypeOIDC && s.OIDC == nil:
		c.fail("spec.oidc", "", "the field is required for type oidc")
	case s.Type == TypeOIDCDynamic && s.OIDCDynamic == nil:
		c.fail("spec.oidc-dynamic", "", "the field is required for type oidc-dynamic")
	}
	for _, block := range s.blocks() {
		if block != s.Type {
			c.fail(join("spec", block), "leave it out", "the block is for type %s", block)
			return
		}
	}
	if s.Radius != nil {
		s.Radius.check(c)
	}
	if s.Tacacs != nil {
		s.Tacacs.check(c)
	}
	if s.OIDC != nil {
		s.OIDC.check(c)
	}
	if s.OIDCDynamic != nil {
		s.OIDCDynamic.check(c)
	}
	for i, u := range s.Impersonations {
		c.url(element("spec.impersonations", i), u, "https", "http")
	}
}

// blocks returns the names of the blocks that are given.
func (s *ServiceProvider) blocks() (given []string) {
	for _, b := range []struct {
		name  string
		given bool
	}{{TypeRadius, s.Radius != nil}, {TypeTacacs, s.Tacacs != nil}, {TypeOIDC, s.OIDC != nil}, {TypeOIDCDynamic, s.OIDCDynamic != nil}} {
		if b.given {
			given = append(given, b.name)
		}
	}
	return given
}

func (s *ServiceProvider) relations(name string, r *relations) {
	claimPublicID(s.PublicID, name, r)
	for i, rule := range s.AuthorizationPolicy {
		conditionRefs(rule.Condition, element("spec.authorizationPolicy", i)+".condition", r)
	}
	if s.Radius != nil {
		r.claimSources(TypeRadius, s.Radius.SourceIPs)
	}
	if s.Tacacs != nil {
		r.claimSources(TypeTacacs, s.Tacacs.SourceIPs)
		r.ref(KindInformationSystem, s.System(name), "spec.tacacs.system")
	}
	if s.OIDC != nil {
		path := "spec.oidc.clientID"
		if s.OIDC.ClientID == "" {
			path = "name"
		}
		r.claim("clientID/"+s.openID(name), path)
		if g := s.OIDC.Registration; g != nil {
			r.claim(fmt.Sprintf("registration/%s/%d", g.By, g.Place), "spec.oidc.registration.place")
		}
	}
}

func (r *RadiusClient) check(c *checker) {
	c.sources("spec.radius.sourceIPs", r.SourceIPs)
	r.SharedSecrets.check(c, "spec.radius")
	c.reply("spec.radius.reply", r.Reply)
	c.realms("spec.radius.realms", r.Realms)
}

func (c *checker) realms(path string, list []Realm) {
	names := make([]string, len(list))
	for i, realm := range list {
		names[i] = realm.Name
		if strings.ContainsAny(realm.Name, `@\/`) {
			c.fail(element(path, i)+".name", "", "a realm is written without @, / and \\")
		}
	}
	c.unique(path, names, true)
}

func claimPublicID(id, name string, r *relations) {
	path := "spec.publicID"
	if id == "" {
		id, path = name, "name"
	}
	r.claim("publicID/"+id, path)
}

var (
	replyLine = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(?::[0-9]{1,2})?\s*\+?=\s*\S`)
	oid       = regexp.MustCompile(`^[0-2](?:\.(?:0|[1-9][0-9]*))+$`)
)

// reply checks the form of a reply template. Whether the attributes exist is the protocol's to say.
func (c *checker) reply(path string, lines []string) {
	for i, l := range lines {
		if strings.ContainsAny(l, "\r\n\x00") {
			c.fail(element(path, i), "", "a reply attribute stands on one line")
		} else if !replyLine.MatchString(l) {
			c.fail(element(path, i), "", "expected Attribute = value, Attribute:tag = value or Attribute += value, found %q", shorten(l))
		}
	}
}

// either refuses two or more fields, given as names and values in turn, of which one says what the others say.
func (c *checker) either(path string, fields ...string) {
	given := ""
	for i := 0; i < len(fields); i += 2 {
		switch {
		case fields[i+1] == "":
		case given != "":
			c.fail(join(path, fields[i]), "", "give either %s or %s", given, fields[i])
		default:
			given = fields[i]
		}
	}
}

func (a *AttributeDefinition) check(c *checker) {
	if strings.ContainsFunc(a.ShortName, unicode.IsSpace) {
		c.fail("spec.shortName", "", "the short name has a blank in it")
	}
	if o := strings.TrimPrefix(a.OID, "urn:oid:"); o != "" && !oid.MatchString(o) {
		c.fail("spec.oid", "", "%q is not an object identifier such as 2.5.4.42", a.OID)
	}
	c.either("spec", "source", a.Source, "expression", a.Expression, "script", a.Script)
	if strings.ContainsFunc(a.RadiusID, unicode.IsSpace) {
		c.fail("spec.radiusID", "", "the name of a RADIUS attribute has no blanks")
	}
}

func (a *AttributeDefinition) relations(_ string, r *relations) {
	for _, n := range []struct{ what, id string }{
		{"shortName", a.ShortName},
		{"oid", strings.TrimPrefix(a.OID, "urn:oid:")},
		{"openidName", a.OpenIDName},
		{"radiusID", strings.ToLower(a.RadiusID)},
		{"claimURI", a.ClaimURI},
		{"casName", a.CASName},
	} {
		if n.id != "" {
			r.claim(n.what+"/"+n.id, "spec."+n.what)
		}
	}
}

func (a *AttributePolicy) check(c *checker) {
	c.condition("spec.condition", a.Condition)
	c.ofPeople("spec.condition", a.Condition)
	names := map[string]bool{}
	for i, rule := range a.Attributes {
		path := element("spec.attributes", i)
		if names[rule.Attribute] {
			c.fail(path+".attribute", "combine the two conditions with or", "the policy has a rule for %s already", rule.Attribute)
		}
		names[rule.Attribute] = true
		c.condition(path+".condition", rule.Condition)
		c.ofPeople(path+".condition", rule.Condition)
	}
}

func (a *AttributePolicy) relations(_ string, r *relations) {
	conditionRefs(a.Condition, "spec.condition", r)
	for i, rule := range a.Attributes {
		conditionRefs(rule.Condition, element("spec.attributes", i)+".condition", r)
	}
}

func conditionRefs(c *Condition, path string, r *relations) {
	walkCondition(c, path, func(c *Condition, path string) {
		switch kind := c.Test.names(); {
		case c.Test == TestAttributeValue:
			r.ref(KindAttributeDefinition, c.Name, path+".attribute")
		case kind == KindUserType && c.Group == DefaultUserTypeName: // it is there without a document
		case kind != "":
			r.ref(kind, c.Group, path)
		}
	})
}

// ofPeople refuses tests that only authorization policies have.
func (c *checker) ofPeople(path string, condition *Condition) {
	walkCondition(condition, path, func(n *Condition, path string) {
		if n.Test.ofRequest() {
			c.fail(path, "", "the test %s is one of authorizationPolicy, and sharing policies do not have it", n.Test)
		}
	})
}

// condition compiles the regular expressions of a condition, and checks its hours.
func (c *checker) condition(path string, condition *Condition) {
	walkCondition(condition, path, func(n *Condition, path string) {
		if n.Test == TestTime {
			if reason := n.Hours.problem(); reason != "" {
				c.fail(path, "", "%s", reason)
			}
		}
		if n.Regex == "" {
			return
		}
		if _, err := regexp.Compile(n.Regex); err != nil {
			c.fail(path+".regex", "", "the regular expression does not compile: %v", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		} else if _, err := regexp.Compile(n.Pattern()); err != nil {
			c.fail(path+".regex", "", "the regular expression does not compile once it is anchored: %v", err)
		}
	})
}

// walkCondition calls f with each condition and the path of what its test takes.
func walkCondition(c *Condition, path string, f func(c *Condition, path string)) {
	if c == nil {
		return
	}
	path = join(path, string(c.Test))
	f(c, path)
	for i, t := range c.Terms {
		if c.Test == TestNot {
			walkCondition(t, path, f)
		} else {
			walkCondition(t, element(path, i), f)
		}
	}
}
