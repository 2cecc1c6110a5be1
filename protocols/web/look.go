package web

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"regexp"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"

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
	f.looks.once.Do(func() {
		p := bluemonday.UGCPolicy()
		p.AllowAttrs("class", "lang", "dir").Globally()
		p.AllowDataURIImages()
		p.AllowURLSchemes("https", "mailto", "tel", "data")
		f.looks.policy = p
	})
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
	l.header = template.HTML(f.looks.policy.Sanitize(i.Site.Look.Header)) //nolint:gosec // sanitised
	l.footer = template.HTML(f.looks.policy.Sanitize(i.Site.Look.Footer)) //nolint:gosec // sanitised
	l.csp = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src 'self' data:; script-src 'self'; connect-src 'self'; style-src " + styles +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
	if rp, err := webauthn.New(webauthn.Config{ID: i.Site.Host, Name: l.name, Origins: []string{i.Site.Origin}}); err == nil {
		l.party = rp
	}
	f.looks.kept.Store(i.Name, l)
	return l
}

var (
	imports = regexp.MustCompile(`(?i)@import[^;]*;?`)
	loads   = regexp.MustCompile(`(?i)(?:url|image|image-set|src)\(\s*(?:"[^"]*"|'[^']*'|[^)]*)\s*\)`)
	dataURL = regexp.MustCompile(`(?i)^url\(\s*["']?data:image/(?:png|jpeg|gif|webp|svg\+xml)[;,]`)
)

// cleanCSS leaves out of a style sheet what would load something from elsewhere, and what could end its element. The policy of the page would keep it from loading, too.
func cleanCSS(css string) string {
	css = strings.NewReplacer("<", "", "\x00", "", "\r\n", "\n", "\r", "\n", "\f", "\n").Replace(css)
	css = imports.ReplaceAllString(css, "")
	css = loads.ReplaceAllStringFunc(css, func(s string) string {
		if dataURL.MatchString(s) {
			return s
		}
		return "none"
	})
	return strings.TrimSpace(css)
}
