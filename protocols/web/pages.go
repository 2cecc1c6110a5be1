package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/language"

	"trine/engine"
	"trine/engine/attribute"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/trace"
)

//go:embed templates/*.html static/* texts/*.json
var files embed.FS

// pages are the templates, the texts and the static files, all made at the start.
type pages struct {
	templates map[string]*template.Template
	texts     []texts
	matcher   language.Matcher
	assets    map[string]*asset // by the name under which they are served
	names     map[string]string // that name, by the name of the file
}

// texts are the words of one language.
type texts struct {
	locale string
	words  map[string]string
}

// asset is a static file; its name has its hash, so that it can be kept for ever.
type asset struct {
	kind string
	body []byte
}

// locales are the languages that there are, the one first that stands for all others.
func locales() []string { return []string{"en", "es"} }

func newPages() (*pages, error) {
	p := &pages{templates: map[string]*template.Template{}, assets: map[string]*asset{}, names: map[string]string{}}
	var tags []language.Tag
	for _, locale := range locales() {
		b, err := files.ReadFile("texts/" + locale + ".json")
		if err != nil {
			return nil, fmt.Errorf("read the texts of pages: %w", err)
		}
		t := texts{locale: locale}
		if err := json.Unmarshal(b, &t.words); err != nil {
			return nil, fmt.Errorf("read the texts of pages %s: %w", locale, err)
		}
		p.texts = append(p.texts, t)
		tags = append(tags, language.Make(locale))
	}
	p.matcher = language.NewMatcher(tags)
	static, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, fmt.Errorf("read the static files: %w", err)
	}
	for _, entry := range static {
		b, err := files.ReadFile("static/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read the static files: %w", err)
		}
		ext := path.Ext(entry.Name())
		kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[ext]
		sum := sha256.Sum256(b)
		name := strings.TrimSuffix(entry.Name(), ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		p.assets[name], p.names[entry.Name()] = &asset{kind: kind, body: b}, name
	}
	layout, err := template.New("layout.html").ParseFS(files, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	all, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list the pages: %w", err)
	}
	for _, name := range all {
		if name == "templates/layout.html" {
			continue
		}
		t, err := layout.Clone()
		if err == nil {
			_, err = t.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("parse the page %s: %w", name, err)
		}
		p.templates[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return p, nil
}

// locale returns the language of pages: what the request asks for, and else what the browser prefers.
func (p *pages) locale(asked []string, accept string) string {
	_, index := language.MatchStrings(p.matcher, strings.Join(append(asked[:len(asked):len(asked)], accept), ","))
	for _, a := range asked { // each by itself: what cannot be read spoils the others
		if tag, err := language.Parse(a); err == nil {
			if _, i, confidence := p.matcher.Match(tag); confidence >= language.High {
				return p.texts[i].locale
			}
		}
	}
	return p.texts[index].locale
}

// page is what every template gets; Body is its own.
type page struct {
	Lang    string
	Title   string // key of the text
	Name    string // of the identity provider
	CSS     template.CSS
	Header  template.HTML
	Footer  template.HTML
	Script  string // file of static, empty: none
	Prefix  string // path of the identity provider
	Wide    bool
	Refresh string // URL to which the page goes on by itself
	Body    any

	texts map[string]string
	names map[string]string
}

// T returns a text of the page's language.
func (p *page) T(key string, args ...any) string {
	text, ok := p.texts[key]
	if !ok {
		return key
	}
	if len(args) > 0 {
		return fmt.Sprintf(text, args...)
	}
	return text
}

// Has reports whether there is a text of that key.
func (p *page) Has(key string) bool { _, ok := p.texts[key]; return ok }

// Static returns the URL of a static file.
func (p *page) Static(name string) string { return p.Prefix + staticPath + p.names[name] }

// show writes a page.
func (f *Front) show(x *Exchange, name, locale string, status int, p *page, also ...string) {
	f.stats.pages.Add(1)
	l := f.lookOf(x.Issuer)
	if locale == "" {
		locale = f.pages.locale(nil, x.R.Header.Get("Accept-Language"))
	}
	p.Lang, p.Name, p.CSS, p.Header, p.Footer, p.Prefix, p.names = locale, l.name, l.css, l.header, l.footer, x.Issuer.Site.Prefix, f.pages.names
	p.texts = f.pages.texts[0].words
	for _, t := range f.pages.texts {
		if t.locale == locale {
			p.texts = t.words
		}
	}
	var b bytes.Buffer
	if err := f.pages.templates[name].Execute(&b, p); err != nil {
		f.logger.Error("a page could not be made", "page", name, "error", err)
		x.W.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := x.W.Header()
	noStore(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", l.csp+"; "+strings.Join(append(also[:len(also):len(also)], formActions), "; "))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	if status == 0 {
		status = http.StatusOK
	}
	x.W.WriteHeader(status)
	if x.R.Method != http.MethodHead {
		_, _ = x.W.Write(b.Bytes())
	}
}

// formActions lets forms go where a login can end. Browsers hold a redirect behind a form to it too, and where a login ends is the service provider's: what is sealed in the form
// says where, and nothing of a page can change that.
const formActions = "form-action 'self' https: http:"

// static answers with a static file.
func (f *Front) static(x *Exchange) {
	a := f.pages.assets[strings.TrimPrefix(x.Path, staticPath)]
	if a == nil {
		f.lost(x)
		return
	}
	h := x.W.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = x.W.Write(a.body)
}

// messagePage is a page that says one thing.
type messagePage struct {
	Text      string
	Reference string
	Home      bool
}

// Error answers with a page that says to a person that his request is refused. ID is the decision that says why, by `trine explain`; 0: none was recorded.
func (f *Front) Error(x *Exchange, status int, reason trace.Reason, id uint64) {
	key := "reason." + string(reason)
	if _, ok := f.pages.texts[0].words[key]; !ok {
		key = "error.request"
	}
	f.message(x, status, key, id)
}

func (f *Front) message(x *Exchange, status int, key string, id uint64) {
	f.show(x, "message", "", status, &page{Title: "title.error", Body: &messagePage{Text: key, Reference: reference(id), Home: true}})
}

func (f *Front) lost(x *Exchange) { f.message(x, http.StatusNotFound, "error.lost", 0) }

func reference(id uint64) string {
	if id == 0 {
		return ""
	}
	return event.FormatID(id)
}

// loginPage is a page that asks a person for one factor, or for a new password.
type loginPage struct {
	Flow      string
	Do        string // path of the form
	Client    string // who asks; empty: the identity provider's own pages
	User      string // who it is; empty: the page asks for the name
	Typed     string // the name as it is filled in
	Factor    login.Factor
	Kind      string // name of Factor in texts
	Others    []string
	Password  bool // a new password is asked for
	Expired   bool
	Number    uint8
	Options   string
	Trust     bool
	Trusted   bool
	Begun     bool
	Session   string // whose session will not do
	Cancel    bool
	Error     string // key of the text
	Detail    string
	Note      string
	Reference uint64
	Status    int
}

// Ref returns the decision as people see it.
func (p *loginPage) Ref() string { return reference(p.Reference) }

// Is reports whether the page asks for a factor of that name.
func (p *loginPage) Is(name string) bool { return p.Kind == name }

// preferred is the order in which factors are offered.
func preferred() []login.Factor {
	return []login.Factor{login.Password, login.FIDO, login.Push, login.OTP, login.PIN, login.Email, login.SMS, login.Certificate, login.Kerberos}
}

// showLogin shows the page for what is wanted next.
func (f *Front) showLogin(x *Exchange, w *flow, p *loginPage) {
	choices := w.choicesOr(x)
	if p.Factor == login.NoFactor {
		p.Factor = w.Asked
	}
	var offered []login.Factor
	for _, c := range preferred() {
		if !choices.Has(c) || c == login.FIDO && f.lookOf(x.Issuer).party == nil || c == login.Kerberos && x.Issuer.Tickets == nil {
			continue
		}
		offered = append(offered, c)
	}
	if p.Factor == login.NoFactor && len(offered) > 0 {
		p.Factor = offered[0]
	}
	for _, c := range offered {
		if c != p.Factor {
			p.Others = append(p.Others, c.String())
		}
	}
	p.Kind, p.Password = p.Factor.String(), w.Password
	if w.Password {
		p.Others = nil
	}
	p.Begun = w.Asked == p.Factor && w.Asked != login.NoFactor
	p.Do = x.Issuer.Site.Prefix + loginPath
	if p.Factor == login.Kerberos && !w.Password {
		p.Do += "/negotiate"
	}
	if c := w.client(x); c != nil && w.Client != "" {
		p.Client, p.Cancel = clientName(c), true
	}
	switch s, live := f.config.Engine.Session(x.SessionID()); {
	case w.Proved && w.Name != "":
		p.User = w.Name
	case w.Proved:
		p.User = " "
	case live && !w.Other && w.Name == "" && s.Scope == x.Issuer.SSO.Scope && w.State != nil:
		p.User = s.User
	default:
		if p.Typed = w.Name; p.Typed == "" {
			p.Typed = w.Hint
		}
		if p.Typed == "" {
			p.Typed = f.remembered(x)
		}
	}
	p.Trusted = w.Trust
	p.Trust = (w.Proved || p.User != "") && x.Issuer.TrustedDevices != nil && !w.Password
	text, err := f.seal(w)
	if err != nil {
		f.logger.Error("a page of a login could not be made", "error", err)
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	p.Flow = text
	script := ""
	switch {
	case p.Factor == login.FIDO && p.Options != "":
		script = "key.js"
	case p.Factor == login.Push && p.Begun:
		script = "push.js"
	}
	f.show(x, "login", w.Locale, p.Status, &page{Title: "title.login", Script: script, Body: p})
}

func clientName(c *policy.Client) string {
	if c.Spec.DisplayName != "" {
		return c.Spec.DisplayName
	}
	return c.Name
}

// selectPage asks a person whether he goes on as himself.
type selectPage struct{ Flow, Do, User, Client string }

func (f *Front) showSelect(x *Exchange, w *flow, user string) {
	text, err := f.seal(w)
	if err != nil {
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	p := &selectPage{Flow: text, Do: x.Issuer.Site.Prefix + loginPath, User: user}
	if c := w.client(x); c != nil {
		p.Client = clientName(c)
	}
	f.show(x, "select", w.Locale, 0, &page{Title: "title.select", Body: p})
}

// consentPage asks a person what he lets a service provider have.
type consentPage struct {
	Flow, Do, User, Client string
	Scopes                 []string
	Claims                 []consentClaim
	Offline                bool
	Home, Policy, Terms    string
}

// consentClaim is a claim with the values that would be told.
type consentClaim struct{ Name, Values string }

func (f *Front) showConsent(x *Exchange, w *flow, client *policy.Client, step *engine.Step, scopes, claims []string) {
	text, err := f.seal(w)
	if err != nil {
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	p := &consentPage{Flow: text, Do: x.Issuer.Site.Prefix + loginPath, User: step.User, Client: clientName(client)}
	for _, s := range scopes {
		switch s {
		case "openid":
		case "offline_access":
			p.Offline = true
		default:
			p.Scopes = append(p.Scopes, s)
		}
	}
	for _, name := range claims {
		c := consentClaim{Name: name}
		for i := range step.Released {
			if claimName(&step.Released[i]) == name {
				c.Values = string(bytes.Join(step.Released[i].Values, []byte(", ")))
				if len(c.Values) > 200 {
					c.Values = strings.ToValidUTF8(c.Values[:200], "") + "…"
				}
			}
		}
		p.Claims = append(p.Claims, c)
	}
	f.show(x, "consent", w.Locale, 0, &page{Title: "title.consent", Body: p})
}

// claimName returns the name under which clients get a released attribute; empty where it has none.
func claimName(r *attribute.Released) string { return r.Attribute.OpenIDName }
