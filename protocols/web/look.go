package web

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"trine/engine/credential/webauthn"
	"trine/engine/policy"
)

// look is what pages of an identity provider need of it, made once for each change of it.
type look struct {
	issuer         *policy.Issuer
	name           string
	css            template.CSS
	header, footer template.HTML
	csp            string // without what single pages add
	party          *webauthn.RelyingParty
}

// looks keeps what was made.
type looks struct {
	kept   sync.Map // name of the identity provider -> *look
	policy *bluemonday.Policy
	once   sync.Once
}

// lookOf returns the look of an identity provider.
func (f *Front) lookOf(i *policy.Issuer) *look {
	if kept, ok := f.looks.kept.Load(i.Name); ok && kept.(*look).issuer == i {
		return kept.(*look)
	}
	f.looks.once.Do(func() { f.looks.policy = htmlPolicy() })
	l := &look{issuer: i, name: i.Spec.DisplayName}
	if l.name == "" {
		l.name = i.Spec.Organization
	}
	if l.name == "" {
		l.name = i.Site.Host
	}
	styles := "'self'"
	if css := cleanCSS(i.Site.Look.CSS); css != "" {
		l.css = template.CSS(css) //nolint:gosec // cleaned; what it says is the administrator's, and the policy of the page lets it load nothing
		sum := sha256.Sum256([]byte(css))
		styles += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	l.header = template.HTML(cleanHTML(f.looks.policy, i.Site.Look.Header)) //nolint:gosec // sanitised
	l.footer = template.HTML(cleanHTML(f.looks.policy, i.Site.Look.Footer)) //nolint:gosec // sanitised
	l.csp = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src 'self' data:; script-src 'self'; connect-src 'self'; style-src " + styles +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
	if rp, err := webauthn.New(webauthn.Config{ID: i.Site.Host, Name: l.name, Origins: []string{i.Site.Origin}}); err == nil {
		l.party = rp
	}
	f.looks.kept.Store(i.Name, l)
	return l
}

// htmlPolicy is what a header or footer may have: text, links and pictures. Ids are left out, as scripts find what is theirs by them.
func htmlPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("address", "b", "blockquote", "br", "code", "div", "em", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "small", "span", "strong", "sub", "sup", "u", "ul")
	p.AllowAttrs("class", "lang", "dir", "title").Globally()
	p.AllowAttrs("href").Matching(links).OnElements("a")
	p.AllowAttrs("src").Matching(pictures).OnElements("img")
	p.AllowAttrs("alt").OnElements("img")
	p.AllowAttrs("width", "height").Matching(bluemonday.Integer).OnElements("img")
	p.AllowURLSchemes("https", "mailto", "tel")
	p.AllowURLSchemeWithCustomPolicy("data", func(u *url.URL) bool { return pictures.MatchString(u.String()) })
	p.AllowRelativeURLs(true)
	p.RequireParseableURLs(true)
	return p
}

var (
	links    = regexp.MustCompile(`(?i)^(?:https:|mailto:|tel:|[/#?])`)
	pictures = regexp.MustCompile(`(?i)^data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*$`)
)

// cleanHTML leaves of a header or footer what the policy allows, and closes what was left open, so that nothing of it goes on into the page.
func cleanHTML(p *bluemonday.Policy, text string) string {
	nodes, err := html.ParseFragment(strings.NewReader(p.Sanitize(text)), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, n := range nodes {
		if err := html.Render(&b, n); err != nil {
			return ""
		}
	}
	return b.String()
}

var (
	imports = regexp.MustCompile(`(?i)@import[^;{}]*;?`)
	loads   = regexp.MustCompile(`(?i)(?:url|image|image-set|src)\(\s*(?:"[^"]*"|'[^']*'|[^)]*)\s*\)?`)
	dataURL = regexp.MustCompile(`(?i)^url\(\s*["']?data:image/(?:png|jpeg|gif|webp|svg\+xml)[;,][A-Za-z0-9+/=%,;:._~ -]*["']?\s*\)$`) // no parentheses: nothing in it can load anything, wherever strings begin
)

// cleanCSS leaves out of a style sheet what would load something from elsewhere, and what could end its element. The policy of the page would keep it from loading, too.
func cleanCSS(css string) string {
	css = strings.NewReplacer("<", "", "\x00", "", "\r\n", "\n", "\r", "\n", "\f", "\n").Replace(strings.ToValidUTF8(css, ""))
	for range 8 { // what is left out can bring together what was apart
		next := loads.ReplaceAllStringFunc(imports.ReplaceAllString(plainCSS(css), ""), func(s string) string {
			if dataURL.MatchString(s) {
				return s
			}
			return "none"
		})
		if next == css {
			return strings.TrimSpace(css)
		}
		css = next
	}
	return "" // it was made to outwit this
}

// plainCSS returns a style sheet without comments, and with the escapes outside of strings resolved, by which words are hidden.
func plainCSS(css string) string {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(css); i++ {
		switch c := css[i]; {
		case quote != 0:
			b.WriteByte(c)
			switch {
			case c == '\\' && i+1 < len(css):
				i++
				b.WriteByte(css[i])
			case c == quote || c == '\n': // a string ends with its line
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
			b.WriteByte(c)
		case c == '/' && strings.HasPrefix(css[i:], "/*"):
			end := strings.Index(css[i+2:], "*/")
			if end < 0 {
				return b.String()
			}
			i += 2 + end + 1
			b.WriteByte(' ')
		case c == '\\':
			digits := 0
			for digits < 6 && i+1+digits < len(css) && strings.IndexByte("0123456789abcdefABCDEF", css[i+1+digits]) >= 0 {
				digits++
			}
			if digits == 0 { // the character behind it stands for itself
				continue
			}
			n, _ := strconv.ParseUint(css[i+1:i+1+digits], 16, 32)
			if i += digits; i+1 < len(css) && strings.IndexByte(" \t\n", css[i+1]) >= 0 {
				i++
			}
			if r := rune(n); r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0xa0 && utf8.ValidRune(r) {
				b.WriteRune(r)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
