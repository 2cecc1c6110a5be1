package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"html/template"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"trine/engine"
	"trine/engine/credential/otp"
	"trine/engine/credential/recovery"
	"trine/engine/credential/webauthn"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/engine/trace"
)

// portal is the protocol of an identity provider's own pages: a login for them ends at one of them.
type portal struct{ front *Front }

// Name implements Protocol.
func (p *portal) Name() string { return "web" }

// Endpoint implements Protocol; the front finds its own pages itself.
func (p *portal) Endpoint(*policy.Issuer, string) func(*Exchange) { return nil }

// Continue implements Protocol.
func (p *portal) Continue(x *Exchange, request []byte, o *Outcome) {
	if o.Refused != RefusedNot {
		p.front.message(x, http.StatusForbidden, "error.nologin", o.Step.ID)
		return
	}
	to := string(request)
	if !strings.HasPrefix(to, protectedPath) {
		to = protectedPath
	}
	p.front.redirect(x, to)
}

// LoggedOut implements Protocol.
func (p *portal) LoggedOut(*policy.Cache, *state.SSO, *state.SSOVisit) (string, func(context.Context) error) {
	return "", nil
}

// freshFor is how long ago a person must have proved who he is to change how he does that.
const freshFor = 15 * time.Minute

// visitor is who has come to the pages of an identity provider.
type visitor struct {
	session state.SSO
	user    state.User
	token   string // of forms
}

// visit returns who has come. Where nobody is logged in, or not freshly enough, it shows the pages of a login, which ends at a path, and returns nil.
func (f *Front) visit(x *Exchange, fresh bool, path string) *visitor {
	if f.broken(x) {
		return nil
	}
	l := &Login{Client: x.Issuer.Portal(), Request: []byte(path)}
	if fresh {
		l.Demand = login.Demand{Bounded: true, MaxAge: freshFor}
	}
	s, ok := f.config.Engine.Session(x.SessionID())
	if !ok || s.Scope != x.Issuer.SSO.Scope {
		f.Login(x, l)
		return nil
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	demand := l.Demand
	demand.Passive = true
	step := f.config.Engine.Converse(ctx, &engine.Round{
		Protocol: f.portal.Name(), Cache: x.Cache, Client: l.Client, Source: x.Source, Browser: x.browserHash(), Session: x.SessionID(), Device: x.deviceSecret(), Demand: demand,
		RelyingParty: f.lookOf(x.Issuer).party,
	})
	if step.Verdict != event.Accept {
		f.Login(x, l)
		return nil
	}
	if step.Session.ID != "" {
		x.setSession(step.Session.ID)
	}
	v := &visitor{session: s}
	if !f.config.People.UserByID(&v.user, step.UserID) {
		f.message(x, http.StatusForbidden, "error.nologin", step.ID)
		return nil
	}
	v.token = f.token(x, &s)
	return v
}

const tokenContext = "trine/form/1"

// token returns what forms of a person's pages hold, so that no other site can send them.
func (f *Front) token(x *Exchange, s *state.SSO) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(x.browserHash(), s.Number))
	mac, err := f.config.Keyring.MAC(nil, []byte(tokenContext), sum[:])
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(mac)
}

// posted returns the form that somebody sent from his pages, and who he is; nil where the request was answered.
func (f *Front) posted(x *Exchange, fresh bool) (*visitor, url.Values) {
	if x.R.Method != http.MethodPost {
		f.redirect(x, protectedPath)
		return nil, nil
	}
	form, ok := f.form(x)
	if !ok || f.broken(x) {
		return nil, nil
	}
	s, live := f.config.Engine.Session(x.SessionID())
	if !live || s.Scope != x.Issuer.SSO.Scope {
		f.redirect(x, protectedPath)
		return nil, nil
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(x.browserHash(), s.Number))
	mac, err := base64.RawURLEncoding.DecodeString(form.Get("token"))
	good := false
	if err == nil {
		good, err = f.config.Keyring.CheckMAC(mac, []byte(tokenContext), sum[:])
	}
	if err != nil || !good {
		f.stats.badFlows.Add(1)
		f.message(x, http.StatusForbidden, "error.expired", 0)
		return nil, nil
	}
	v := f.visit(x, fresh, protectedPath)
	if v == nil {
		return nil, nil
	}
	return v, form
}

// overviewPage is what a person sees of himself.
type overviewPage struct {
	User, FullName, Token string
	Sessions              []sessionView
	Factors               []factorView
	Devices               []deviceView
	Consents              []consentView
	CanOTP, CanKey        bool
	CanTrust              bool
	Note                  string
}

type sessionView struct {
	ID, Source, Started, Used string
	Factors                   []string
	Here                      bool
	Visits                    []string
}

type factorView struct {
	ID, Kind, Label, Created, Used string
	Left                           int
}

type deviceView struct{ ID, Label, Created, Used, Until string }

type consentView struct {
	Client, Name, At string
	Scopes, Claims   []string
}

func shownTime(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04 UTC")
}

// overview shows a person his sessions, factors, devices and consents.
func (f *Front) overview(x *Exchange) {
	if x.R.Method != http.MethodGet && x.R.Method != http.MethodHead {
		x.W.Header().Set("Allow", "GET")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	v := f.visit(x, false, protectedPath)
	if v == nil {
		return
	}
	note := x.R.URL.Query().Get("done")
	if _, ok := f.pages.texts[0].words["done."+note]; !ok {
		note = ""
	}
	p := &overviewPage{User: string(v.user.Name), FullName: string(v.user.FullName), Token: v.token, Note: note}
	now := f.clock().Unix()
	for _, s := range f.config.People.SSOOf(string(v.user.Name)) {
		if !s.Live(now) || s.Scope != x.Issuer.SSO.Scope {
			continue
		}
		view := sessionView{ID: event.FormatID(s.Number), Started: shownTime(s.Started), Used: shownTime(s.Used), Here: s.Number == v.session.Number}
		if a, ok := netip.AddrFromSlice(s.Source); ok {
			view.Source = a.String()
		}
		for _, proof := range s.Proofs {
			view.Factors = append(view.Factors, login.Factor(proof.Factor).String())
		}
		for _, visit := range s.Visits {
			if c := x.Cache.Client(visit.Client); c != nil {
				view.Visits = append(view.Visits, clientName(c))
			}
		}
		p.Sessions = append(p.Sessions, view)
	}
	for _, factor := range f.factors(v) {
		view := factorView{ID: string(factor.ID), Kind: kindOf(factor.Kind), Label: string(factor.Label), Created: shownTime(factor.CreatedAt), Used: shownTime(factor.UsedAt), Left: -1}
		if factor.Kind == state.RecoveryCodes {
			view.Left = recovery.Left(factor.Data, uint32(factor.Next))
		}
		p.Factors = append(p.Factors, view)
	}
	for _, d := range f.config.People.TrustedDevices(v.user.ID) {
		if now < d.NotAfter {
			p.Devices = append(p.Devices, deviceView{ID: d.ID, Label: d.Label, Created: shownTime(d.CreatedAt), Used: shownTime(d.UsedAt), Until: shownTime(d.NotAfter)})
		}
	}
	for _, c := range f.config.Engine.Consents(v.user.ID) {
		view := consentView{Client: c.Client, Name: c.Client, At: shownTime(c.At), Scopes: c.Scopes, Claims: c.Claims}
		if client := x.Cache.Client(c.Client); client != nil {
			view.Name = clientName(client)
		}
		p.Consents = append(p.Consents, view)
	}
	p.CanKey, p.CanOTP, p.CanTrust = f.lookOf(x.Issuer).party != nil, true, x.Issuer.TrustedDevices != nil
	f.show(x, "overview", "", 0, &page{Title: "title.overview", Wide: true, Body: p})
}

func (f *Front) factors(v *visitor) []state.Factor {
	var list state.Factors
	f.config.People.Factors(&list, v.user.ID)
	return list.List
}

func kindOf(kind uint32) string {
	if kind == state.RecoveryCodes {
		return "Recovery"
	}
	return login.Factor(kind).String()
}

// done shows the overview with a note of what was done.
func (f *Front) done(x *Exchange, what string) { f.redirect(x, protectedPath+"?done="+what) }

// changed tells whether something could be changed.
func (f *Front) changed(x *Exchange, err error, what string) {
	switch {
	case err == nil:
		f.done(x, what)
	case errors.Is(err, engine.ErrRefused) || errors.Is(err, engine.ErrNoSession) || errors.Is(err, engine.ErrNoConsent):
		f.done(x, "gone")
	default:
		f.logger.Warn("a person's change could not be recorded", "what", what, "error", err)
		f.message(x, http.StatusServiceUnavailable, "error.unavailable", 0)
	}
}

// changeSessions ends one session of a person, or all but the one of the browser.
func (f *Front) changeSessions(x *Exchange) {
	v, form := f.posted(x, false)
	if v == nil {
		return
	}
	var ending []state.SSO
	for _, s := range f.config.People.SSOOf(string(v.user.Name)) {
		if !s.Live(f.clock().Unix()) || s.Scope != x.Issuer.SSO.Scope {
			continue
		}
		if form.Get("end") == "others" && s.Number != v.session.Number || form.Get("end") == event.FormatID(s.Number) {
			ending = append(ending, s)
		}
	}
	if len(ending) == 0 {
		f.done(x, "gone")
		return
	}
	if len(ending) == 1 && ending[0].Number == v.session.Number {
		f.logOut(x, "", &ending[0], "")
		return
	}
	numbers := make([]uint64, len(ending))
	for i := range ending {
		numbers[i] = ending[i].Number
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	f.changed(x, f.config.Engine.EndSessions(ctx, string(v.user.Name), numbers, ""), "sessions")
}

// portalLogout logs a person out who asks for it on his own pages.
func (f *Front) portalLogout(x *Exchange) {
	if x.R.Method != http.MethodPost {
		f.Logout(x, &Logout{Confirm: true})
		return
	}
	v, _ := f.posted(x, false)
	if v != nil {
		f.logOut(x, "", &v.session, "")
	}
}

// changeDevices has a trusted device of a person stand for nothing any more.
func (f *Front) changeDevices(x *Exchange) {
	v, form := f.posted(x, false)
	if v == nil {
		return
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	f.changed(x, f.config.Engine.DistrustDevice(ctx, string(v.user.Name), form.Get("id"), string(v.user.Name)), "device")
}

// changeConsents takes a consent back.
func (f *Front) changeConsents(x *Exchange) {
	v, form := f.posted(x, false)
	if v == nil {
		return
	}
	if form.Get("client") == "" { // that would be all of them
		f.done(x, "gone")
		return
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	f.changed(x, f.config.Engine.RevokeConsent(ctx, string(v.user.Name), form.Get("client"), ""), "consent")
}

// What a person is enrolling is in the page, sealed, until he has shown that he has it.
const (
	pendingContext = "trine/enrolment/1"
	pendingLife    = 10 * time.Minute
)

func (f *Front) sealPending(x *Exchange, v *visitor, kind byte, data []byte) (string, error) {
	plain := append([]byte{kind}, x.browserHash()...)
	plain = binary.BigEndian.AppendUint64(plain, v.user.ID)
	plain = binary.BigEndian.AppendUint64(plain, uint64(f.clock().Add(pendingLife).Unix()))
	sealed, err := f.config.Keyring.Seal(nil, append(plain, data...), []byte(pendingContext))
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

func (f *Front) openPending(x *Exchange, v *visitor, kind byte, text string) ([]byte, bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	plain, err := f.config.Keyring.Open(nil, sealed, []byte(pendingContext))
	if err != nil || len(plain) < 33 || plain[0] != kind || subtle.ConstantTimeCompare(plain[1:17], x.browserHash()) != 1 ||
		binary.BigEndian.Uint64(plain[17:]) != v.user.ID || f.clock().Unix() >= int64(binary.BigEndian.Uint64(plain[25:])) {
		return nil, false
	}
	return plain[33:], true
}

// enrolPage is a page on which a factor is enrolled, or that shows recovery codes.
type enrolPage struct {
	Token, Do, Pending, Kind string
	QR                       string
	Secret                   string
	Options                  string
	Codes                    []string
	Error                    string
	Passkey                  bool
	Label                    string // as it was typed before
}

// Image returns the QR code as the URL of a picture.
func (p *enrolPage) Image() template.URL { return template.URL("data:image/png;base64," + p.QR) }

// changeFactors enrols factors of a person, and removes them.
func (f *Front) changeFactors(x *Exchange) {
	v, form := f.posted(x, true)
	if v == nil {
		return
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	switch form.Get("do") {
	case "otp":
		f.beginOTP(x, v)
	case "otp-confirm":
		f.confirmOTP(ctx, x, v, form)
	case "key", "passkey":
		f.beginKey(x, v, form.Get("do") == "passkey", "", "")
	case "key-confirm":
		f.confirmKey(ctx, x, v, form)
	case "recovery":
		f.newCodes(ctx, x, v)
	case "remove":
		f.changed(x, f.config.Engine.RemoveFactor(ctx, string(v.user.Name), form.Get("id"), string(v.user.Name)), "removed")
	default:
		f.done(x, "gone")
	}
}

func newFactorID() string { return event.FormatID(rand.Uint64()) }

func label(form url.Values, otherwise string) string {
	text := strings.Join(strings.Fields(form.Get("label")), " ")
	if text == "" {
		return otherwise
	}
	if len(text) > 64 {
		text = strings.ToValidUTF8(text[:64], "")
	}
	return text
}

func (f *Front) beginOTP(x *Exchange, v *visitor) {
	device, err := otp.New(otp.DefaultParams())
	if err != nil {
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	f.showOTP(x, v, &device, "", "")
}

func (f *Front) showOTP(x *Exchange, v *visitor, device *otp.Secret, label, wrong string) {
	uri, err := device.URI(strings.ReplaceAll(f.lookOf(x.Issuer).name, ":", " "), string(v.user.Name), 0)
	var image []byte
	if err == nil {
		image, err = otp.PNG(uri)
	}
	var text string
	if err == nil {
		text, err = f.sealPending(x, v, byte(login.OTP), device.Append(nil))
	}
	if err != nil {
		f.logger.Error("a one-time password device could not be offered", "error", err)
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	f.show(x, "enrol", "", 0, &page{Title: "title.enrol", Body: &enrolPage{
		Token: v.token, Do: x.Issuer.Site.Prefix + protectedPath + "/factors", Pending: text, Kind: "OTP", QR: base64.StdEncoding.EncodeToString(image), Secret: spaced(device.Base32()), Label: label, Error: wrong,
	}})
}

func spaced(text string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (f *Front) confirmOTP(ctx context.Context, x *Exchange, v *visitor, form url.Values) {
	plain, ok := f.openPending(x, v, byte(login.OTP), form.Get("pending"))
	if !ok {
		f.message(x, http.StatusBadRequest, "error.expired", 0)
		return
	}
	device, err := otp.Parse(plain)
	if err != nil {
		f.message(x, http.StatusBadRequest, "error.expired", 0)
		return
	}
	code := []byte(strings.Join(strings.Fields(form.Get("secret")), ""))
	if _, reason := device.Verify(code, f.clock(), otp.State{}, otp.DefaultWindow()); reason != trace.OK {
		f.showOTP(x, v, &device, label(form, ""), "error.otp")
		return
	}
	put := &event.FactorPut{User: string(v.user.Name), Id: newFactorID(), Kind: uint32(login.OTP), Label: label(form, "App")}
	if put.Data, err = login.SealOTP(f.config.Keyring, put.User, put.Id, &device); err == nil {
		err = f.config.Engine.EnrolFactor(ctx, put)
	}
	f.changed(x, err, "enrolled")
}

// keysOf returns the WebAuthn credentials of a person, and the handle by which authenticators know him.
func (f *Front) keysOf(v *visitor) (handle []byte, list []webauthn.Credential) {
	for _, factor := range f.factors(v) {
		if factor.Kind != uint32(login.FIDO) {
			continue
		}
		stored, err := login.OpenFIDO(f.config.Keyring, string(v.user.Name), string(factor.ID), factor.Data)
		if err != nil {
			continue
		}
		if handle == nil {
			handle = stored.Handle
		}
		list = append(list, stored.Credential)
	}
	return handle, list
}

func (f *Front) beginKey(x *Exchange, v *visitor, passkey bool, label, wrong string) {
	party := f.lookOf(x.Issuer).party
	handle, existing := f.keysOf(v)
	var err error
	if party == nil {
		err = fmt.Errorf("%w: %s", webauthn.ErrConfig, x.Issuer.Site.Host)
	} else if handle == nil {
		handle, err = login.SealHandle(f.config.Keyring, v.user.ID)
	}
	var options []byte
	var session webauthn.Session
	if err == nil {
		user := webauthn.User{Handle: handle, Name: string(v.user.Name), Full: string(v.user.FullName)}
		options, session, err = party.BeginRegistration(user, existing, passkey, f.clock())
	}
	var text string
	if err == nil {
		text, err = f.sealPending(x, v, byte(login.FIDO), append(append([]byte{byte(len(handle))}, handle...), session.Append(nil)...))
	}
	if err != nil {
		f.logger.Warn("a security key could not be offered", "error", err)
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	f.show(x, "enrol", "", 0, &page{Title: "title.enrol", Script: "key.js", Body: &enrolPage{
		Token: v.token, Do: x.Issuer.Site.Prefix + protectedPath + "/factors", Pending: text, Kind: "FIDO", Options: string(options), Label: label, Error: wrong, Passkey: passkey,
	}})
}

func (f *Front) confirmKey(ctx context.Context, x *Exchange, v *visitor, form url.Values) {
	plain, ok := f.openPending(x, v, byte(login.FIDO), form.Get("pending"))
	party := f.lookOf(x.Issuer).party
	if !ok || party == nil || len(plain) < 1+int(plain[0]) {
		f.message(x, http.StatusBadRequest, "error.expired", 0)
		return
	}
	handle := plain[1 : 1+int(plain[0])]
	session, err := webauthn.ParseSession(plain[1+int(plain[0]):])
	if err != nil {
		f.message(x, http.StatusBadRequest, "error.expired", 0)
		return
	}
	credential, outcome := party.FinishRegistration(session, []byte(form.Get("assertion")), f.clock())
	if outcome.Reason != trace.OK {
		f.logger.Debug("a security key was not enrolled", "reason", outcome.Reason, "detail", outcome.Detail)
		f.beginKey(x, v, form.Get("passkey") != "", label(form, ""), "error.key")
		return
	}
	put := &event.FactorPut{User: string(v.user.Name), Id: newFactorID(), Kind: uint32(login.FIDO), Label: label(form, "Key")}
	if put.Data, err = login.SealFIDO(f.config.Keyring, put.User, put.Id, login.FIDOFactor{Handle: handle, Credential: credential}); err == nil {
		err = f.config.Engine.EnrolFactor(ctx, put)
	}
	f.changed(x, err, "enrolled")
}

// newCodes makes a person's recovery codes anew; those before are of no use any more.
func (f *Front) newCodes(ctx context.Context, x *Exchange, v *visitor) {
	put := &event.FactorPut{User: string(v.user.Name), Id: newFactorID(), Kind: state.RecoveryCodes, Label: "Recovery codes"}
	codes, data, err := recovery.New(recovery.Count, f.config.Keyring, login.FactorContext(nil, put.User, put.Id))
	put.Data = data
	var old []string
	for _, factor := range f.factors(v) {
		if factor.Kind == state.RecoveryCodes {
			old = append(old, string(factor.ID))
		}
	}
	if err == nil {
		err = f.config.Engine.EnrolFactor(ctx, put)
	}
	for _, id := range old {
		if err == nil {
			err = f.config.Engine.RemoveFactor(ctx, put.User, id, put.User)
		}
	}
	if err != nil {
		f.changed(x, err, "enrolled")
		return
	}
	f.show(x, "codes", "", 0, &page{Title: "title.codes", Body: &enrolPage{Codes: codes}})
}

// passwordPage asks a person for his password and a new one.
type passwordPage struct {
	Token, Do, Return string
	Error, Detail     string
}

// changePassword changes the password of a person who is logged in, and goes back to where he came from.
func (f *Front) changePassword(x *Exchange) {
	to := x.R.URL.Query().Get("return")
	if to != "" && !f.returns(x, to) {
		f.message(x, http.StatusBadRequest, "error.return", 0)
		return
	}
	path := protectedPath + "/changePassword"
	if to != "" {
		path += "?return=" + url.QueryEscape(to)
	}
	p := &passwordPage{Do: x.Issuer.Site.Prefix + path, Return: to}
	if x.R.Method != http.MethodPost {
		v := f.visit(x, false, path)
		if v != nil {
			p.Token = v.token
			f.show(x, "password", "", 0, &page{Title: "title.password", Body: p})
		}
		return
	}
	v, form := f.posted(x, false)
	if v == nil {
		return
	}
	p.Token = v.token
	current, first := form.Get("current"), form.Get("new")
	switch {
	case current == "" || first == "":
		p.Error = "error.empty"
	case first != form.Get("again"):
		p.Error = "error.notsame"
	default:
		ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
		defer cancel()
		step := f.config.Engine.Converse(ctx, &engine.Round{
			Protocol: f.portal.Name(), Cache: x.Cache, Client: x.Issuer.Portal(), Source: x.Source, Browser: x.browserHash(), Session: x.SessionID(), Device: x.deviceSecret(),
			Factor: login.Password, Proof: engine.Proof{Typed: []byte(current)}, NewPassword: []byte(first), RelyingParty: f.lookOf(x.Issuer).party, Familiar: f.familiar(x),
		})
		switch {
		case step.Verdict == event.Accept:
			if step.Session.ID != "" {
				x.setSession(step.Session.ID)
			}
			if to != "" {
				noStore(x.W.Header())
				x.W.Header().Set("Location", to)
				x.W.WriteHeader(http.StatusSeeOther)
				return
			}
			f.done(x, "password")
			return
		case step.MustChangePassword:
			p.Error, p.Detail = "error.newpassword", step.Message
		case step.Verdict == event.Reject:
			if p.Error = rejection(step.Reason, true); p.Error == "error.refused" {
				p.Error = "error.password"
			}
		default:
			p.Error = "error.unavailable"
		}
	}
	if s, ok := f.config.Engine.Session(x.SessionID()); ok {
		p.Token = f.token(x, &s)
	}
	f.show(x, "password", "", http.StatusUnprocessableEntity, &page{Title: "title.password", Body: p})
}

// returns reports whether a person may be sent to a URL: it is of the same origin, or a service provider has registered it.
func (f *Front) returns(x *Exchange, to string) bool {
	u, err := url.Parse(to)
	if err != nil || strings.ContainsAny(to, "\\\x00\r\n\t") {
		return false
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		return true
	}
	if u.Scheme == "https" && u.User == nil && "https://"+strings.ToLower(u.Host) == x.Issuer.Site.Origin {
		return true
	}
	for _, p := range f.order {
		if r, ok := p.(Returner); ok && r.Returns(x.Cache, x.Issuer, to) {
			return true
		}
	}
	return false
}
