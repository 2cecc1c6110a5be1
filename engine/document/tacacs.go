package document

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// TypeTacacs is the type of a service provider that speaks TACACS+ (RFC 8907).
const TypeTacacs = "tacacs"

// MaxLevel is the highest privilege level (RFC 8907 section 9).
const MaxLevel = 15

// Bounds of what TACACS+ carries (RFC 8907 sections 5.2 and 6.1) and of what people write for it.
const (
	MaxArgument  = 255 // bytes of one argument
	MaxArguments = 255 // arguments of one packet

	maxPrompt   = 1024 // bytes of a banner or prompt
	maxPattern  = 1024 // bytes of the pattern of a command
	maxCommands = 1000 // patterns of one list
	maxServices = 64   // services of one role
)

// TacacsClient is what a service provider of type tacacs has of its own.
type TacacsClient struct {
	// SourceIPs lists where its connections come from: addresses, prefixes, or ranges `first-last`. Where several service providers match, the longest prefix wins; two may not claim the same prefix.
	SourceIPs []AddressRange `json:"sourceIPs" required:"true"`
	SharedSecrets
	// Realms lists the realms of login names such as `user@realm` and `REALM\user`. A name is looked up as it came first; a realm that is not listed stays a part of it.
	Realms []Realm `json:"realms"`
	// Prompts are what people read when they log in by ASCII.
	Prompts TacacsPrompts `json:"prompts"`
	// SingleConnect lets devices that ask for it use one connection for all their sessions (RFC 8907 section 4.3).
	SingleConnect bool `json:"singleConnect" default:"true"`
	// IdleTimeout is how long a connection may stand without traffic before it is closed.
	IdleTimeout time.Duration `json:"idleTimeout" default:"5m" min:"10s" max:"24h"`
	// SecondFactor says how its devices carry a second factor: challenge asks for it in a further round of an ASCII login (GETDATA), appended takes a one-time password that follows the password in the same field, either takes both, and none rejects logins that need one.
	SecondFactor string `json:"secondFactor" default:"challenge" enum:"challenge,appended,either,none"`
	// CertificateNames lists the names of which the certificate of a device must have one, within TLS: DNS names or addresses among its alternative names, or else its common name. Without them every certificate of the node's authorities will do.
	CertificateNames Values `json:"certificateNames"`
	// StaleAfter is how long after its last accounting record a session counts as ended; devices that restart tell of no end.
	StaleAfter time.Duration `json:"staleAfter" default:"24h" min:"1m" max:"8760h"`
	// Quirks are what its devices do against RFC 8907, and what is let pass for their sake. All are off.
	Quirks TacacsQuirks `json:"quirks"`
	// AuthorizationRules is a script that has the last word on each authorization: true authorizes, false refuses. JavaScript, or a script of the handbook as it is written. It sees user, priv_level, remote_address, port, authorized (what the roles and the authorization policy decided) and the maps mandatoryArguments and optionalArguments, which it may change. See docs/guides/scripts.md.
	AuthorizationRules string `json:"authorizationRules"`
	// System names the InformationSystem whose roles `0@SYSTEM` to `15@SYSTEM` are privilege levels: of several that a person has the highest counts, and who has none is refused. Without it, the one of the service provider's own name. Where the system or one of these roles is missing when the service provider is created, it is created with it, and stays when the service provider goes.
	System string `json:"system"`
}

// TacacsPrompts are what people read when they log in by ASCII.
type TacacsPrompts struct {
	// Banner comes before the first prompt, on lines of its own.
	Banner string `json:"banner"`
	// User asks for the login name.
	User string `json:"user" default:"Username: "`
	// Password asks for the password.
	Password string `json:"password" default:"Password: "`
}

// TacacsQuirks are what devices do against RFC 8907, and what is let pass for their sake.
type TacacsQuirks struct {
	// PasswordInStart takes the data of the START packet of an ASCII login for the password, as IOS XR sends it.
	PasswordInStart bool `json:"passwordInStart"`
	// MinorVersionOneAnywhere accepts minor version 1 where section 5.4.1 wants 0.
	MinorVersionOneAnywhere bool `json:"minorVersionOneAnywhere"`
	// RemoteAddressText cuts the remote address at the first blank: some devices put text behind it.
	RemoteAddressText bool `json:"remoteAddressText"`
	// ShortBody accepts a body that is shorter than its header says.
	ShortBody bool `json:"shortBody"`
	// PairsWithoutSeparator takes an argument without = or * for an optional one without a value, and passes over one without a single byte. An answer that repeats such an argument writes it with the *.
	PairsWithoutSeparator bool `json:"pairsWithoutSeparator"`
}

// CommandRule permits or denies the commands that match a pattern. What is matched is the command line as the device sends it: the command and
// its arguments joined by one blank, runs of blanks within it as one, and without the `<cr>` at its end.
type CommandRule struct {
	// Permit is the pattern of commands that may be run. Either this or deny is given.
	Permit string `json:"permit"`
	// Deny is the pattern of commands that may not be run.
	Deny string `json:"deny"`
	// Form is how the pattern is written, and it matches whole command lines: glob has `*` for any text, `?` for one character and a backslash before one that means itself; regex is a regular expression (RE2).
	Form string `json:"form" default:"glob" enum:"glob,regex"`
}

// Pattern returns the pattern of the rule, whichever it is.
func (r *CommandRule) Pattern() string { return r.Permit + r.Deny }

// Regexp compiles the pattern as a regular expression that matches whole command lines.
func (r *CommandRule) Regexp() (*regexp.Regexp, error) {
	if _, err := regexp.Compile(r.Pattern()); err != nil { // so that it cannot close the group that anchors it
		return nil, err
	}
	return regexp.Compile(`(?s)\A(?:` + r.Pattern() + `)\z`)
}

// Challenges reports whether its devices can be asked for a second factor in a further round.
func (t *TacacsClient) Challenges() bool {
	return t.SecondFactor == "challenge" || t.SecondFactor == "either"
}

// Appends reports whether its devices append one-time passwords to passwords.
func (t *TacacsClient) Appends() bool {
	return t.SecondFactor == "appended" || t.SecondFactor == "either"
}

// Prefixes returns the source prefixes, ranges split, in the order of the document.
func (t *TacacsClient) Prefixes() []netip.Prefix { return prefixes(t.SourceIPs) }

// System returns the name of the InformationSystem whose roles are the privilege levels at the service provider of that name; empty where it has
// none, since it does not speak TACACS+.
func (s *ServiceProvider) System(name string) string {
	switch {
	case s.Tacacs == nil:
		return ""
	case s.Tacacs.System != "":
		return s.Tacacs.System
	}
	return name
}

// LevelRole returns the name of the role that gives a privilege level in a system.
func LevelRole(level int, system string) string { return strconv.Itoa(level) + "@" + system }

// Level returns the privilege level that a role gives by its name, 0 to MaxLevel; -1 if it is another role.
func Level(role string) int {
	at := strings.LastIndexByte(role, '@')
	if at < 1 {
		return -1
	}
	n, err := strconv.Atoi(role[:at])
	if err != nil || n < 0 || n > MaxLevel || strconv.Itoa(n) != role[:at] {
		return -1
	}
	return n
}

// Brings returns the documents that are created with this one where they are not there yet: of a service provider of type tacacs, its InformationSystem
// and the roles of the privilege levels.
func (d *Document) Brings() []*Document {
	sp, ok := d.Spec.(*ServiceProvider)
	if !ok {
		return nil
	}
	system := sp.System(d.Name)
	if system == "" || systemProblem(system) != "" {
		return nil
	}
	bring := func(kind, name, description string) *Document {
		b := New(kind, name)
		b.Source, b.Comment = d.Source, "created with ServiceProvider "+d.Name
		switch spec := b.Spec.(type) {
		case *InformationSystem:
			spec.Description = description
		case *Role:
			spec.Description = description
		}
		return b
	}
	out := []*Document{bring(KindInformationSystem, system, "Devices of "+d.Name)}
	for level := range MaxLevel + 1 {
		description := fmt.Sprintf("Privilege level %d", level)
		switch level {
		case 0:
			description += ": anonymous"
		case 1:
			description += ": user"
		case MaxLevel:
			description += ": root"
		}
		out = append(out, bring(KindRole, LevelRole(level, system), description))
	}
	return out
}

// systemProblem says what is wrong with the name of a system, with room for that of a role before it.
func systemProblem(name string) string {
	switch reason := nameProblem(name); {
	case reason != "":
		return reason
	case strings.Contains(name, "@"):
		return "has an @ in it"
	case len(name)+len("15@") > maxName:
		return fmt.Sprintf("is longer than %d bytes", maxName-len("15@"))
	}
	return ""
}

func (t *TacacsClient) check(c *checker) {
	const at = "spec.tacacs"
	c.sources(at+".sourceIPs", t.SourceIPs)
	t.SharedSecrets.check(c, at)
	c.realms(at+".realms", t.Realms)
	c.prompt(at+".prompts.banner", t.Prompts.Banner, true)
	c.prompt(at+".prompts.user", t.Prompts.User, false)
	c.prompt(at+".prompts.password", t.Prompts.Password, false)
	if t.System != "" {
		if reason := systemProblem(t.System); reason != "" {
			c.fail(at+".system", "", "the name of the system %s", reason)
		}
	} else if reason := systemProblem(c.doc.Name); reason != "" {
		c.fail(at+".system", "give the system another name here", "without this field the system has the service provider's name, which %s", reason)
	}
}

// prompt checks what people read on a terminal, where control characters could do anything.
func (c *checker) prompt(path, text string, lines bool) {
	switch {
	case len(text) > maxPrompt:
		c.fail(path, "", "the text is longer than %d bytes", maxPrompt)
	case !utf8.ValidString(text):
		c.fail(path, "", "the text is not UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && !(lines && r == '\n') }):
		c.fail(path, "", "the text has a character in it that cannot be printed")
	}
}

// commands checks a list of patterns.
func (c *checker) commands(path string, list []CommandRule) {
	if len(list) > maxCommands {
		c.fail(path, "", "there are more than %d patterns", maxCommands)
		return
	}
	for i := range list {
		r, at := &list[i], element(path, i)
		field := "permit"
		if r.Deny != "" {
			field = "deny"
		}
		switch {
		case r.Permit == "" && r.Deny == "":
			c.fail(at, "", "give a pattern in permit or in deny")
			continue
		case r.Permit != "" && r.Deny != "":
			c.fail(join(at, "deny"), "", "give either permit or deny")
			continue
		case len(r.Pattern()) > maxPattern:
			c.fail(join(at, field), "", "the pattern is longer than %d bytes", maxPattern)
			continue
		}
		if r.Form != "regex" {
			if slashes := len(r.Pattern()) - len(strings.TrimRight(r.Pattern(), `\`)); slashes%2 == 1 {
				c.fail(join(at, field), "", "the pattern ends with a backslash, which stands before a character that means itself")
			}
			continue
		}
		if _, err := r.Regexp(); err != nil {
			c.fail(join(at, field), "", "the regular expression does not compile: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
}

// services checks the arguments of services.
func (c *checker) services(path string, all map[string]Values) {
	if len(all) > maxServices {
		c.fail(path, "", "there are more than %d services", maxServices)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		at := join(path, name)
		if reason := argumentProblem("service=" + name); reason != "" || name == "" {
			c.fail(at, "", "the name of the service is no value of an argument: it is empty, too long, or not printable US-ASCII")
			continue
		}
		c.arguments(at, all[name])
	}
}

// arguments checks the arguments of an answer (RFC 8907 section 6.1).
func (c *checker) arguments(path string, list []string) {
	if len(list) > MaxArguments-1 { // the shell gets priv-lvl
		c.fail(path, "", "there are more than %d arguments", MaxArguments-1)
		return
	}
	for i, text := range list {
		at := element(path, i)
		if reason := argumentProblem(text); reason != "" {
			c.fail(at, "", "%s", reason)
			continue
		}
		name, value, _, _ := CutArgument(text)
		switch name {
		case "service", "cmd", "cmd-arg":
			c.fail(at, "", "the device says the argument %s, and the answer cannot", name)
		case "priv-lvl":
			if n, err := strconv.Atoi(value); err != nil || n < 0 || n > MaxLevel {
				c.fail(at, "", "expected a privilege level from 0 to %d, found %q", MaxLevel, shorten(value))
			}
		case "timeout", "idletime":
			if _, err := strconv.ParseUint(value, 10, 32); err != nil {
				c.fail(at, "", "expected a number of minutes, found %q", shorten(value))
			}
		}
	}
}

// argumentProblem says what is wrong with an argument as TACACS+ carries it.
func argumentProblem(text string) string {
	name, _, _, ok := CutArgument(text)
	switch {
	case !ok:
		return fmt.Sprintf("expected NAME=VALUE, or NAME*VALUE for an optional argument, found %q", shorten(text))
	case len(text) > MaxArgument:
		return fmt.Sprintf("the argument is longer than %d bytes", MaxArgument)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "the argument has a character in it that is not printable US-ASCII"
	case strings.ContainsRune(name, ' '):
		return fmt.Sprintf("the name of the argument %q has a blank in it", shorten(name))
	}
	return ""
}

// CheckArgument returns an error if text is no argument that an answer can carry.
func CheckArgument(text string) error {
	if reason := argumentProblem(text); reason != "" {
		return fmt.Errorf("%s", reason)
	}
	return nil
}

// CutArgument splits an argument at its first separator: = for a mandatory one, * for an optional one (RFC 8907 section 6.1). It is not ok where there is
// no separator, or nothing before it.
func CutArgument[T string | []byte](arg T) (name, value T, mandatory, ok bool) {
	for i := range len(arg) {
		if c := arg[i]; c == '=' || c == '*' {
			return arg[:i], arg[i+1:], c == '=', i > 0
		}
	}
	return arg, arg[len(arg):], false, false
}
