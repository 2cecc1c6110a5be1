package document

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/language"

	"trine/engine/message"
)

var (
	countryCode  = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)
	numberPrefix = regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`)
	headerName   = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110 section 5.6.2
	hostName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$`)
)

func (g *MessageGateway) check(c *checker) {
	c.language("spec.language", g.Language)
	seen := map[string]bool{}
	for i := range g.Texts {
		t, path := &g.Texts[i], element("spec.texts", i)
		c.language(path+".language", t.Language)
		if key := string(t.Message) + " " + strings.ToLower(t.Language); seen[key] {
			c.fail(path, "", "there is a text for %s in %s already", t.Message, t.Language)
		} else {
			seen[key] = true
		}
		c.template(path+".text", t.Text)
		c.template(path+".subject", t.Subject)
		switch {
		case strings.ContainsAny(t.Subject, "\r\n"):
			c.fail(path+".subject", "", "a subject stands on one line")
		case t.Subject == "" && g.Type == TypeSMTP:
			c.fail(path+".subject", "", "a mail needs a subject")
		case t.Subject != "" && g.Type != TypeSMTP:
			c.fail(path+".subject", "leave it out", "only a mail has a subject")
		}
		if !slices.Contains(message.Kinds(g.Channel()), t.Message) {
			c.fail(path+".message", "", "a gateway of type %s carries no messages of kind %s", g.Type, t.Message)
		}
	}
	for _, block := range []struct {
		name, of      string
		wanted, given bool
	}{
		{"smtp", "type smtp", g.Type == TypeSMTP, g.SMTP != nil},
		{"http", "types http and push", g.Type != TypeSMTP, g.HTTP != nil},
	} {
		switch {
		case block.wanted && !block.given:
			c.fail("spec."+block.name, "", "the field is required for type %s", g.Type)
		case block.given && !block.wanted:
			c.fail("spec."+block.name, "leave it out", "the field is for %s", block.of)
		}
	}
	if g.SMTP != nil {
		g.SMTP.check(c)
	}
	if g.HTTP != nil {
		g.HTTP.check(c, g.Channel())
	}
}

func (g *SMTPGateway) check(c *checker) {
	for i, s := range g.Servers {
		if _, _, err := g.ServerAddress(s); err != nil {
			c.fail(element("spec.smtp.servers", i), "", "%v", err)
		}
	}
	c.unique("spec.smtp.servers", g.Servers, true)
	c.address("spec.smtp.from", g.From)
	if g.ReplyTo != "" {
		c.address("spec.smtp.replyTo", g.ReplyTo)
	}
	if g.HelloName != "" && !hostName.MatchString(g.HelloName) {
		c.fail("spec.smtp.helloName", "", "%q is not the name of a host", shorten(g.HelloName))
	}
	c.authorities("spec.smtp.authorities", g.Authorities)
	protected := g.Security == "starttls" || g.Security == "tls"
	switch {
	case g.UserName == "" && !g.Password.IsZero():
		c.fail("spec.smtp.userName", "", "there is a password and no userName")
	case g.UserName != "" && g.Password.IsZero():
		c.fail("spec.smtp.password", "", "there is a userName and no password")
	case g.UserName != "" && !protected:
		c.fail("spec.smtp.security", "use starttls or tls", "with %s the password could be read on the way", g.Security)
	}
	if g.Authorities != "" && !protected {
		c.fail("spec.smtp.authorities", "use starttls or tls", "with %s no certificate is checked", g.Security)
	}
}

// ServerAddress returns one of the servers as host and port, the port that the kind of security has where none is given.
func (g *SMTPGateway) ServerAddress(server string) (host, port string, err error) {
	host = server
	if _, ip := netip.ParseAddr(strings.Trim(server, "[]")); ip != nil && strings.Contains(server, ":") {
		if host, port, err = net.SplitHostPort(server); err != nil {
			return "", "", fmt.Errorf("%q is not a host or host:port", shorten(server))
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", "", fmt.Errorf("%q is not the number of a port", shorten(port))
		}
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err != nil && !hostName.MatchString(host) {
		return "", "", fmt.Errorf("%q is not the name or address of a host", shorten(host))
	}
	if port == "" {
		port = map[string]string{"starttls": "587", "tls": "465"}[g.Security]
	}
	if port == "" {
		port = "25"
	}
	return host, port, nil
}

func (g *HTTPGateway) check(c *checker, channel message.Channel) {
	u, err := url.Parse(g.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		c.fail("spec.http.url", "", "expected a URL such as https://sms.example.com/send")
	case u.User != nil:
		c.fail("spec.http.url", "use auth: basic with userName and secret", "the URL holds a user name or password, which would not be kept secret")
	case u.Scheme == "http" && !g.Cleartext:
		c.fail("spec.http.url", "use https, or set cleartext: true", "codes and secrets could be read on the way")
	}
	c.authorities("spec.http.authorities", g.Authorities)
	if g.Form != nil && g.JSON != "" {
		c.fail("spec.http.json", "", "give either form or json")
	}
	if g.Method == http.MethodGet && (g.Form != nil || g.JSON != "") {
		c.fail("spec.http.method", "use query, or another method", "a GET has no body")
	}
	used := g.templates(c)
	needs := []string{"To", "Text"}
	if channel == message.Push {
		needs = []string{"To", "Challenge", "Ticket"}
	}
	for _, need := range needs {
		if !strings.Contains(used, "{{."+need+"}}") {
			c.fail("spec.http", "", "neither query, form nor json has {{.%s}} in it", need)
		}
	}
	if channel != message.Push {
		for _, only := range []string{"Challenge", "Ticket"} {
			if strings.Contains(used, "{{."+only+"}}") {
				c.fail("spec.http", "leave it out", "{{.%s}} is for type push", only)
			}
		}
	}
	if channel == message.Push && g.CountryCode != "" {
		c.fail("spec.http.countryCode", "leave it out", "devices have no telephone numbers")
	}
	if channel == message.Push && len(g.Prefixes) > 0 {
		c.fail("spec.http.prefixes", "leave it out", "devices have no telephone numbers")
	}
	g.checkHeaders(c)
	g.checkAuth(c, used)
	if _, err := regexp.Compile(g.Response); err != nil {
		c.fail("spec.http.response", "", "the regular expression does not compile: %v", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if g.CountryCode != "" && !countryCode.MatchString(g.CountryCode) {
		c.fail("spec.http.countryCode", "write it without + and zeros, such as 49", "%q is not a country code", shorten(g.CountryCode))
	}
	for i, p := range g.Prefixes {
		if !numberPrefix.MatchString(p) {
			c.fail(element("spec.http.prefixes", i), "", "%q is not the beginning of a number such as +49", shorten(p))
		}
	}
}

// templates checks every template and returns them together.
func (g *HTTPGateway) templates(c *checker) string {
	var all strings.Builder
	check := func(path, text string) {
		all.WriteString(text + "\n")
		if _, err := message.Parse[GatewayValues](text); err != nil {
			c.fail(path, "", "%v", err)
		}
	}
	for _, m := range []struct {
		name   string
		values map[string]Values
	}{{"query", g.Query}, {"form", g.Form}} {
		for _, name := range slices.Sorted(maps.Keys(m.values)) {
			for _, v := range m.values[name] {
				check(join("spec.http."+m.name, name), v)
			}
		}
	}
	if g.JSON != "" {
		tree, err := ParseJSONTemplate(g.JSON)
		if err != nil {
			c.fail("spec.http.json", "", "%v", err)
		}
		EachText(tree, func(text string) (string, error) {
			check("spec.http.json", text)
			return text, nil
		})
	}
	return all.String()
}

func (g *HTTPGateway) checkHeaders(c *checker) {
	for _, name := range slices.Sorted(maps.Keys(g.Headers)) {
		path := join("spec.http.headers", name)
		switch canonical := http.CanonicalHeaderKey(name); {
		case !headerName.MatchString(name):
			c.fail(path, "", "%q is not the name of a header field", shorten(name))
		case slices.Contains([]string{"Authorization", "Proxy-Authorization", "Cookie"}, canonical) || g.Auth == "header" && strings.EqualFold(name, g.Header):
			c.fail(path, "use auth and secret", "the field holds a secret, which would not be kept secret here")
		case slices.Contains([]string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"}, canonical):
			c.fail(path, "leave it out", "the field is made by the connection")
		}
		for _, v := range g.Headers[name] {
			if strings.ContainsFunc(v, unicode.IsControl) {
				c.fail(path, "", "the value has characters that a header field cannot have")
			}
		}
	}
}

func (g *HTTPGateway) checkAuth(c *checker, templates string) {
	shown := strings.Contains(templates, "{{.Secret}}")
	switch {
	case g.Auth == "none" && !g.Secret.IsZero():
		c.fail("spec.http.auth", "choose basic, bearer, header or template", "there is a secret, and nothing sends it")
	case g.Auth != "none" && g.Secret.IsZero():
		c.fail("spec.http.secret", "", "auth: %s needs a secret", g.Auth)
	case g.Auth == "basic" && (g.UserName == "" || strings.Contains(g.UserName, ":")):
		c.fail("spec.http.userName", "", "auth: basic needs a userName, without a colon (RFC 7617 section 2)")
	case g.Auth == "header" && !headerName.MatchString(g.Header):
		c.fail("spec.http.header", "", "auth: header needs the name of a header field")
	case g.Auth != "header" && g.Header != "":
		c.fail("spec.http.header", "leave it out", "the field is for auth: header")
	case g.Auth == "template" && !shown:
		c.fail("spec.http.auth", "", "no template has {{.Secret}} in it")
	case g.Auth != "template" && shown:
		c.fail("spec.http.auth", "use auth: template", "a template has {{.Secret}} in it")
	}
}

// ParseJSONTemplate reads a JSON text whose texts are templates.
func ParseJSONTemplate(text string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("this is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("this is not JSON: there is more after its end")
	}
	return tree, nil
}

// EachText returns a copy of a JSON tree in which f has replaced each text that is a value, or the first error of f.
func EachText(tree any, f func(text string) (string, error)) (any, error) {
	var err error
	switch v := tree.(type) {
	case string:
		return f(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			if out[i], err = EachText(v[i], f); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if out[key], err = EachText(v[key], f); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return tree, nil
}

func (c *checker) language(path, tag string) {
	if _, err := language.Parse(tag); err != nil {
		c.fail(path, "", "%q is not a language tag such as de or en-GB (BCP 47)", shorten(tag))
	}
}

func (c *checker) template(path, text string) {
	if _, err := message.Parse[message.Values](text); err != nil {
		c.fail(path, "", "%v", err)
	}
}

func (c *checker) address(path, text string) {
	if strings.ContainsAny(text, "\r\n") {
		c.fail(path, "", "an address stands on one line")
	} else if _, err := mail.ParseAddress(text); err != nil {
		c.fail(path, "", "%q is not a mail address such as it@example.com or IT <it@example.com>", shorten(text))
	}
}

func (c *checker) authorities(path, pem string) {
	if pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		c.fail(path, "", "there is no certificate in PEM here")
	}
}
