package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"trine/engine/login"
	"trine/engine/policy"
)

// flow is a login under way. It is in the page, sealed, and good only for the browser that got it.
type flow struct {
	Protocol  string       `json:"p"`
	Issuer    string       `json:"i"`
	Client    string       `json:"c,omitempty"` // empty: the identity provider's own pages
	Request   []byte       `json:"q,omitempty"`
	Reference []byte       `json:"r,omitempty"`
	Demand    login.Demand `json:"d"`
	Hint      string       `json:"h,omitempty"`
	Locale    string       `json:"l,omitempty"`
	Consent   *Consent     `json:"k,omitempty"`
	Browser   []byte       `json:"b,omitempty"` // the hash of its cookie; empty: none yet, which only the one request behind a cross-site form has
	NotAfter  int64        `json:"t"`
	Select    bool         `json:"a,omitempty"` // the person is to say whether he goes on as himself

	// Of a login of which a round was made.
	State    []byte       `json:"s,omitempty"`
	Name     string       `json:"n,omitempty"` // that was typed
	Choices  login.Set    `json:"f,omitempty"`
	Asked    login.Factor `json:"w,omitempty"`
	Proved   bool         `json:"v,omitempty"` // something was proved, so it is known who it is
	Other    bool         `json:"o,omitempty"` // the person is another one than that of the session
	Trust    bool         `json:"y,omitempty"`
	Password bool         `json:"m,omitempty"` // a new password is asked for
	// Of a login that is done and waits for consent.
	User uint64 `json:"u,omitempty"`
	// Of a logout that waits for being confirmed.
	Redirect string `json:"z,omitempty"`
	Session  uint64 `json:"x,omitempty"`
}

const (
	flowContext = "trine/flow/1"
	flowLife    = 15 * time.Minute
	maxFlow     = 48 << 10 // bytes, sealed and in base64
)

var (
	errFlow    = errors.New("it was not made here, or not for this browser")
	errExpired = errors.New("its time is over")
	errLong    = errors.New("the request is too long")
)

// seal returns the flow as the page holds it.
func (f *Front) seal(w *flow) (string, error) {
	plain, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	sealed, err := f.config.Keyring.Seal(nil, plain, []byte(flowContext))
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(sealed)
	if len(text) > maxFlow {
		return "", errLong
	}
	return text, nil
}

// open reads what a page of the identity provider held. It is good for the browser alone that got it.
func (f *Front) open(x *Exchange, text string) (*flow, error) {
	if text == "" || len(text) > maxFlow {
		return nil, errFlow
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errFlow
	}
	plain, err := f.config.Keyring.Open(nil, sealed, []byte(flowContext))
	if err != nil {
		return nil, errFlow
	}
	w := new(flow)
	if err := json.Unmarshal(plain, w); err != nil {
		return nil, errFlow
	}
	if w.Issuer != x.Issuer.Name || len(w.Browser) > 0 && subtle.ConstantTimeCompare(w.Browser, x.browserHash()) != 1 {
		return nil, errFlow
	}
	if f.clock().Unix() >= w.NotAfter {
		return w, errExpired
	}
	return w, nil
}

// client returns the service provider of a flow; nil where it is gone or belongs to another identity provider by now.
func (w *flow) client(x *Exchange) *policy.Client {
	if w.Client == "" {
		return x.Issuer.Portal()
	}
	c := x.Cache.Client(w.Client)
	if c == nil || c.Issuer == nil || c.Issuer.Name != x.Issuer.Name {
		return nil
	}
	return c
}

// The cookies.
const (
	browserCookie = "__Host-trine-browser"
	sessionCookie = "__Host-trine-sso"
	deviceCookie  = "__Host-trine-device"
	userCookie    = "__Host-trine-user"
	knownCookie   = "__Host-trine-known"

	longLife = 400 * 24 * 3600 // seconds; browsers keep nothing for longer
)

// browserID returns what the browser is known by, and gives it a cookie where it has none.
func (x *Exchange) browserID() string {
	if x.browser != "" {
		return x.browser
	}
	if c, err := x.R.Cookie(browserCookie); err == nil && len(c.Value) == 22 {
		x.browser = c.Value
		return x.browser
	}
	var b [16]byte
	rand.Read(b[:])
	x.browser = base64.RawURLEncoding.EncodeToString(b[:])
	http.SetCookie(x.W, &http.Cookie{Name: browserCookie, Value: x.browser, Path: "/", MaxAge: longLife, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return x.browser
}

// browserHash returns what flows are bound to: the hash of the cookie that came; of none, that of a fresh one.
func (x *Exchange) browserHash() []byte {
	sum := sha256.Sum256([]byte("trine/browser/1 " + x.browserID()))
	return sum[:16]
}

// sessionCookieOf returns the name and the domain of an identity provider's cookie.
func sessionCookieOf(i *policy.Issuer) (name, domain string) {
	if i.SSO != nil && i.SSO.CookieName != "" {
		return i.SSO.CookieName, i.SSO.CookieDomain
	}
	return sessionCookie, ""
}

// SessionID returns the id of the session that the browser has a cookie of; empty for none.
func (x *Exchange) SessionID() string {
	name, _ := sessionCookieOf(x.Issuer)
	if c, err := x.R.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}

func (x *Exchange) setSession(id string) {
	name, domain := sessionCookieOf(x.Issuer)
	c := &http.Cookie{Name: name, Value: id, Path: "/", Domain: domain, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if id == "" {
		c.MaxAge = -1
	}
	http.SetCookie(x.W, c)
}

// endSession has the browser forget its session, and show service providers that it has none.
func (f *Front) endSession(x *Exchange) {
	x.setSession("")
	for _, p := range f.order {
		if w, ok := p.(Watcher); ok {
			w.SessionGone(x)
		}
	}
}

func (x *Exchange) deviceSecret() string {
	if c, err := x.R.Cookie(deviceCookie); err == nil {
		return c.Value
	}
	return ""
}

const (
	knownContext = "trine/known/1"
	mostKnown    = 8
)

// familiar returns the ids of the people who have logged in with the browser before, the last one first, by a cookie that is good for this browser alone.
func (f *Front) familiar(x *Exchange) (users []uint64) {
	c, err := x.R.Cookie(knownCookie)
	if err != nil {
		return nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return nil
	}
	plain, err := f.config.Keyring.Open(nil, sealed, []byte(knownContext))
	if err != nil || len(plain) != 16+8*mostKnown || subtle.ConstantTimeCompare(plain[:16], x.browserHash()) != 1 {
		return nil
	}
	for plain = plain[16:]; len(plain) > 0; plain = plain[8:] {
		if id := binary.BigEndian.Uint64(plain); id != 0 {
			users = append(users, id)
		}
	}
	return users
}

// meet keeps that somebody has logged in with the browser. It tells the browser's holder neither who nor how many.
func (f *Front) meet(x *Exchange, user uint64) {
	users := []uint64{user}
	for _, id := range f.familiar(x) {
		if id != user && len(users) < mostKnown {
			users = append(users, id)
		}
	}
	plain := make([]byte, 16+8*mostKnown)
	copy(plain, x.browserHash())
	for i, id := range users {
		binary.BigEndian.PutUint64(plain[16+8*i:], id)
	}
	sealed, err := f.config.Keyring.Seal(nil, plain, []byte(knownContext))
	if err != nil {
		return
	}
	http.SetCookie(x.W, &http.Cookie{
		Name: knownCookie, Value: base64.RawURLEncoding.EncodeToString(sealed), Path: "/", MaxAge: longLife, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

const userContext = "trine/lastuser/1"

// remember keeps the name of who has logged in, where the identity provider fills it in.
func (f *Front) remember(x *Exchange, name string) {
	if !x.Issuer.Site.Advanced.RememberLastUser || name == "" {
		return
	}
	sealed, err := f.config.Keyring.Seal(nil, []byte(name), []byte(userContext))
	if err != nil {
		return
	}
	http.SetCookie(x.W, &http.Cookie{
		Name: userCookie, Value: base64.RawURLEncoding.EncodeToString(sealed), Path: "/", MaxAge: longLife, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// remembered returns the name of who logged in last.
func (f *Front) remembered(x *Exchange) string {
	c, err := x.R.Cookie(userCookie)
	if err != nil || !x.Issuer.Site.Advanced.RememberLastUser {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	name, err := f.config.Keyring.Open(nil, sealed, []byte(userContext))
	if err != nil {
		return ""
	}
	return string(name)
}
