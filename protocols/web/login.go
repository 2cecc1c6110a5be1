package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"trine/engine"
	"trine/engine/credential/certificate"
	"trine/engine/credential/kerberos"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/trace"
)

// roundTime bounds one round of a login.
const roundTime = 20 * time.Second

// Login answers the request: by a page, or by calling Continue at once where the session suffices.
func (f *Front) Login(x *Exchange, l *Login) {
	if f.broken(x) {
		return
	}
	protocol, ok := f.protocolOf(l.Client, x)
	if !ok {
		f.message(x, http.StatusInternalServerError, "error.internal", 0)
		return
	}
	w := &flow{
		Protocol: protocol, Issuer: x.Issuer.Name, Request: l.Request, Reference: l.Reference, Demand: l.Demand, Hint: l.Hint, Consent: l.Consent, Select: l.SelectAccount,
		Locale: f.pages.locale(l.Locales, x.R.Header.Get("Accept-Language")), NotAfter: f.clock().Add(flowLife).Unix(),
	}
	if protocol != f.portal.Name() {
		w.Client = l.Client.Name
	}
	if len(l.Request) > MaxRequest {
		f.message(x, http.StatusRequestURITooLong, "error.long", 0)
		return
	}
	if x.R.Method == http.MethodPost && x.foreign() { // the cookies did not come along; they do with a GET
		text, err := f.seal(w)
		if err != nil {
			f.message(x, http.StatusInternalServerError, "error.internal", 0)
			return
		}
		f.redirect(x, loginPath+"?flow="+text)
		return
	}
	w.Browser = x.browserHash()
	f.begin(x, w)
}

// protocolOf returns the name of the protocol that asks for a login, by the type of its client.
func (f *Front) protocolOf(c *policy.Client, x *Exchange) (string, bool) {
	if c == nil || c.Name == x.Issuer.Name && c.Spec.Type == "" {
		return f.portal.Name(), true
	}
	name := c.Spec.Type
	if f.protocols[name] == nil && len(f.order) == 1 {
		name = f.order[0].Name()
	}
	return name, f.protocols[name] != nil
}

// foreign reports whether a page of another site made the request.
func (x *Exchange) foreign() bool {
	if site := x.R.Header.Get("Sec-Fetch-Site"); site != "" {
		return site != "same-origin" && site != "none"
	}
	origin := x.R.Header.Get("Origin")
	return origin != "" && origin != x.Issuer.Site.Origin
}

// begin makes the first round of a login.
func (f *Front) begin(x *Exchange, w *flow) {
	if w.Select && !w.Demand.Passive {
		if s, ok := f.config.Engine.Session(x.SessionID()); ok && s.Scope == x.Issuer.SSO.Scope {
			f.showSelect(x, w, s.User)
			return
		}
	}
	f.round(x, w, new(attempt))
}

// attempt is what a person sent for one round.
type attempt struct {
	factor   login.Factor
	proof    engine.Proof
	password []byte // the new one
	reply    string // of a Kerberos ticket, for the header
}

// round makes one round of a login, and goes on with what it came to.
func (f *Front) round(x *Exchange, w *flow, a *attempt) {
	client := w.client(x)
	if client == nil {
		f.message(x, http.StatusBadRequest, "error.client", 0)
		return
	}
	if w.Other && w.Name == "" && a.factor == login.NoFactor {
		w.Choices, w.Asked = firstFactors(x.Issuer), login.NoFactor
		f.showLogin(x, w, &loginPage{})
		return
	}
	r := &engine.Round{
		Protocol: w.Protocol, Cache: x.Cache, Client: client, Source: x.Source, Browser: x.browserHash(), Session: x.SessionID(), Device: x.deviceSecret(), State: w.State, Demand: w.Demand,
		Factor: a.factor, Proof: a.proof, NewPassword: a.password, Reference: w.Reference, RelyingParty: f.lookOf(x.Issuer).party, Familiar: f.familiar(x),
	}
	if w.Name != "" {
		r.Name = []byte(w.Name)
	}
	if w.Trust {
		r.Trust = deviceLabel(x.R.UserAgent())
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	step := f.config.Engine.Converse(ctx, r)
	cancel()
	if a.reply != "" && step.Verdict != event.Reject {
		x.W.Header().Set("WWW-Authenticate", a.reply)
	}
	f.take(x, w, client, a, &step)
}

// take goes on with what a round came to.
func (f *Front) take(x *Exchange, w *flow, client *policy.Client, a *attempt, step *engine.Step) {
	switch step.Verdict {
	case event.Accept:
		f.accepted(x, w, client, step)
	case event.Challenge:
		w.State, w.Choices, w.Asked, w.Password = step.State, step.Choices, step.Asked, step.MustChangePassword
		w.Proved = w.Proved || step.ID != 0
		p := &loginPage{Number: step.Number, Options: string(step.Options), Expired: step.MustChangePassword}
		if step.Asked == login.Push && a.proof.Typed != nil {
			p.Note = "push.waiting"
		}
		f.showLogin(x, w, p)
	case event.Reject:
		f.rejected(x, w, client, a, step)
	default:
		if w.Demand.Passive {
			f.resume(x, w, &Outcome{Step: *step, Refused: Unavailable})
			return
		}
		w.Choices = w.choicesOr(x)
		f.showLogin(x, w, &loginPage{Status: http.StatusServiceUnavailable, Error: "error.unavailable", Reference: step.ID})
	}
}

// rejected goes on after a round that was refused.
func (f *Front) rejected(x *Exchange, w *flow, client *policy.Client, a *attempt, step *engine.Step) {
	f.stats.refused.Add(1)
	switch {
	case w.Demand.Passive && step.Reason == trace.LoginRequired:
		f.resume(x, w, &Outcome{Step: *step, Refused: LoginRequired})
		return
	case w.Demand.Passive && step.Reason == trace.StepUpRequired:
		f.resume(x, w, &Outcome{Step: *step, Refused: InteractionRequired})
		return
	case w.Demand.Passive || step.Reason == trace.ContextUnmet:
		f.resume(x, w, &Outcome{Step: *step, Refused: AccessDenied})
		return
	}
	p := &loginPage{Error: rejection(step.Reason, w.Proved || step.Familiar), Detail: "", Reference: step.ID}
	switch {
	case step.MustChangePassword: // the new one will not do
		w.State, w.Password, p.Error, p.Detail = step.State, true, "error.newpassword", step.Message
	case step.State != nil || !w.Proved && a.factor != login.NoFactor && p.Error == "error.refused": // without a State too the page looks like that of a wrong proof, to its length
		if step.State != nil {
			w.State = step.State
		}
		if w.Asked != login.NoFactor && w.Asked == a.factor && login.SetOf(login.Push, login.FIDO).Has(w.Asked) {
			w.Asked = login.NoFactor
		}
	default: // from the beginning
		w.State, w.Asked, w.Password, w.Proved = nil, login.NoFactor, false, false
		w.Choices = firstFactors(x.Issuer)
		if s, ok := f.config.Engine.Session(x.SessionID()); ok && a.factor == login.NoFactor { // it is his session that will not do
			p.Session, w.Other = s.User, true
		}
	}
	w.Choices = w.choicesOr(x)
	f.showLogin(x, w, p)
}

// choicesOr returns the factors that can be chosen among; of a login that did not come as far, those with which one can begin.
func (w *flow) choicesOr(x *Exchange) login.Set {
	if w.Choices != 0 {
		return w.Choices
	}
	return firstFactors(x.Issuer)
}

// firstFactors returns the factors with which a login at an identity provider can begin. Adaptive rules may have others.
func firstFactors(i *policy.Issuer) (s login.Set) {
	for _, way := range i.Spec.Authentication.Matrix {
		if factor, ok := login.ParseFactor(way.First); ok {
			s |= login.SetOf(factor)
		}
	}
	if s == 0 {
		s = login.SetOf(login.Password)
	}
	return s
}

// rejection returns the words for a reason. All that could tell what somebody has guessed, or whether there is anybody of a name, are the same words; known says that the person is one who may be
// told, since something was proved of him, or he has logged in with the browser before.
func rejection(r trace.Reason, known bool) string {
	switch r {
	case trace.ChallengeExpired, trace.ChallengeInvalid, trace.ChallengeUsed:
		return "error.expired"
	case trace.UserLocked, trace.UserLockedSource:
		if !known {
			return "error.refused"
		}
		return "error.locked"
	case trace.CodeExpired, trace.CodeAttempts, trace.PushExpired, trace.WebAuthnExpired:
		return "error.codeexpired"
	case trace.PushDenied:
		return "error.pushdenied"
	case trace.FactorNotEnrolled, trace.FactorRefused:
		return "error.nofactor"
	case trace.PasswordChangeDenied, trace.PasswordTooYoung:
		return "error.nochange"
	}
	switch class, _, _ := strings.Cut(string(r), "."); class {
	case "log", "config", "script":
		return "error.unavailable"
	case "webauthn":
		return "error.key"
	case "certificate":
		return "error.certificate"
	case "kerberos":
		return "error.ticket"
	}
	return "error.refused"
}

// accepted goes on once a login is done.
func (f *Front) accepted(x *Exchange, w *flow, client *policy.Client, step *engine.Step) {
	f.stats.logins.Add(1)
	if step.Session.ID != "" {
		x.setSession(step.Session.ID)
		f.meet(x, step.UserID)
	}
	if step.Device.Secret != "" {
		http.SetCookie(x.W, &http.Cookie{
			Name: deviceCookie, Value: step.Device.Secret, Path: "/", MaxAge: min(longLife, int(time.Until(step.Device.NotAfter)/time.Second)), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
	if len(w.State) > 0 {
		f.remember(x, step.User)
	}
	o := &Outcome{Step: *step}
	if scopes, claims, ask := f.asks(w, client, step); ask {
		if w.Demand.Passive {
			o.Refused = ConsentRequired
			f.resume(x, w, o)
			return
		}
		if step.Session.ID == "" && step.Session.Number == 0 { // cannot go on from a session that there is not
			f.message(x, http.StatusServiceUnavailable, "error.unavailable", step.ID)
			return
		}
		w.User, w.Session = step.UserID, step.Session.Number
		f.showConsent(x, w, client, step, scopes, claims)
		return
	}
	f.resume(x, w, o)
}

// asks returns what the person is to be asked for, and whether he has to be.
func (f *Front) asks(w *flow, client *policy.Client, step *engine.Step) (scopes, claims []string, ask bool) {
	if w.Consent == nil && !client.Spec.Consent {
		return nil, nil, false
	}
	for i := range step.Released {
		if name := claimName(&step.Released[i]); name != "" {
			claims = append(claims, name)
		}
	}
	force := false
	if w.Consent != nil {
		scopes, force = slices.Clone(w.Consent.Scopes), w.Consent.Force
		if w.Consent.Offline && !slices.Contains(scopes, "offline_access") {
			scopes = append(scopes, "offline_access")
		}
		for _, c := range w.Consent.Claims {
			if !slices.Contains(claims, c) {
				claims = append(claims, c)
			}
		}
	}
	slices.Sort(scopes)
	slices.Sort(claims)
	scopes, claims = slices.Compact(scopes), slices.Compact(claims)
	kept, ok := f.config.Engine.Consent(step.UserID, client.Name)
	return scopes, claims, force || !ok || !kept.Covers(scopes, claims)
}

// resume lets the protocol go on.
func (f *Front) resume(x *Exchange, w *flow, o *Outcome) {
	p := f.protocols[w.Protocol]
	if p == nil {
		f.message(x, http.StatusInternalServerError, "error.internal", o.Step.ID)
		return
	}
	noStore(x.W.Header())
	p.Continue(x, w.Request, o)
}

// form reads the form of a page, each field once. It answers the request itself and returns false where that is not possible.
func (f *Front) form(x *Exchange) (url.Values, bool) {
	if x.foreign() {
		f.message(x, http.StatusForbidden, "error.foreign", 0)
		return nil, false
	}
	if kind, _, _ := strings.Cut(x.R.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		f.message(x, http.StatusUnsupportedMediaType, "error.form", 0)
		return nil, false
	}
	if err := x.R.ParseForm(); err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			f.message(x, http.StatusRequestEntityTooLarge, "error.long", 0)
		} else {
			f.message(x, http.StatusBadRequest, "error.form", 0)
		}
		return nil, false
	}
	for name, values := range x.R.PostForm {
		if len(values) > 1 || len(name) > 64 {
			f.message(x, http.StatusBadRequest, "error.form", 0)
			return nil, false
		}
		if limit := fieldLimit(name); len(values[0]) > limit {
			f.message(x, http.StatusBadRequest, "error.long", 0)
			return nil, false
		}
	}
	return x.R.PostForm, true
}

func fieldLimit(name string) int {
	switch name {
	case "flow", "pending":
		return maxFlow
	case "assertion":
		return 32 << 10
	}
	return 1024
}

// answerLogin answers the forms of the login pages, and the GET behind a form of another site.
func (f *Front) answerLogin(x *Exchange) {
	if f.broken(x) {
		return
	}
	switch x.R.Method {
	case http.MethodGet, http.MethodHead:
		text := x.R.URL.Query().Get("flow")
		if text == "" { // somebody came back to a page whose form was sent, or has a bookmark of one
			f.message(x, http.StatusOK, "error.again", 0)
			return
		}
		w, err := f.open(x, text)
		if err != nil || len(w.Browser) > 0 || len(w.State) > 0 {
			f.flowRefused(x, err)
			return
		}
		w.Browser = x.browserHash()
		f.begin(x, w)
		return
	case http.MethodPost:
	default:
		x.W.Header().Set("Allow", "GET, POST")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w, form, ok := f.goesOn(x)
	if !ok {
		return
	}
	f.act(x, w, form)
}

// goesOn reads a form of the pages of a login or logout with the flow that it goes on with, and answers where either will not do.
func (f *Front) goesOn(x *Exchange) (*flow, url.Values, bool) {
	form, ok := f.form(x)
	if !ok {
		return nil, nil, false
	}
	w, err := f.open(x, form.Get("flow"))
	if err != nil || len(w.Browser) == 0 {
		f.flowRefused(x, err)
		return nil, nil, false
	}
	return w, form, true
}

func (f *Front) flowRefused(x *Exchange, err error) {
	f.stats.badFlows.Add(1)
	f.logger.Debug("a form of the login pages was refused", "error", err, "source", x.Source.Addr())
	f.message(x, http.StatusBadRequest, "error.expired", 0)
}

// act does what a form asks for.
func (f *Front) act(x *Exchange, w *flow, form url.Values) {
	if name := strings.TrimSpace(form.Get("name")); name != "" && !w.Proved && len(name) <= 253 {
		w.Name = name
	}
	w.Trust = w.Trust || form.Get("trust") != ""
	factor, _ := login.ParseFactor(form.Get("factor"))
	if chosen := form.Get("choose"); chosen != "" {
		factor, _ = login.ParseFactor(chosen)
		f.chooses(x, w, factor)
		return
	}
	switch form.Get("do") {
	case "cancel":
		f.cancel(x, w)
	case "continue":
		w.Select = false
		f.round(x, w, new(attempt))
	case "other":
		w.Select, w.Other, w.Name, w.State, w.Asked, w.Proved = false, true, "", nil, login.NoFactor, false
		f.round(x, w, new(attempt))
	case "newpassword":
		f.newPassword(x, w, form)
	case "consent":
		f.consents(x, w)
	case "deny":
		f.cancel(x, w)
	default:
		f.proves(x, w, factor, form)
	}
}

// cancel tells the service provider that the person does not want to.
func (f *Front) cancel(x *Exchange, w *flow) {
	f.resume(x, w, &Outcome{Step: engine.Step{Verdict: event.Reject, Reason: trace.LoginRequired}, Refused: AccessDenied})
}

// chooses goes on with another factor: what is sent or asked is begun, and the others have a form.
func (f *Front) chooses(x *Exchange, w *flow, factor login.Factor) {
	if !w.choicesOr(x).Has(factor) {
		f.round(x, w, new(attempt))
		return
	}
	switch factor {
	case login.Email, login.SMS, login.Push:
		if w.Name == "" && !w.Proved {
			f.showLogin(x, w, &loginPage{Factor: factor, Error: "error.name"})
			return
		}
		f.round(x, w, &attempt{factor: factor})
	case login.FIDO:
		f.round(x, w, &attempt{factor: factor})
	default:
		w.Asked = login.NoFactor
		f.showLogin(x, w, &loginPage{Factor: factor})
	}
}

// proves makes a round with what the person sent.
func (f *Front) proves(x *Exchange, w *flow, factor login.Factor, form url.Values) {
	a := &attempt{factor: factor}
	switch factor {
	case login.Password, login.OTP, login.Email, login.SMS, login.PIN:
		typed := form.Get("secret")
		if factor != login.Password {
			typed = strings.Join(strings.Fields(typed), "")
		}
		switch {
		case w.Name == "" && !w.Proved && f.nobody(x, w):
			f.showLogin(x, w, &loginPage{Factor: factor, Error: "error.name"})
			return
		case typed == "":
			f.showLogin(x, w, &loginPage{Factor: factor, Error: "error.empty"})
			return
		}
		a.proof.Typed = []byte(typed)
	case login.Push:
		a.proof.Typed = []byte{}
	case login.FIDO:
		assertion := form.Get("assertion")
		if assertion == "" { // the ceremony was broken off, or there is no JavaScript
			f.showLogin(x, w, &loginPage{Factor: factor, Error: "error.key"})
			return
		}
		a.proof.Assertion = []byte(assertion)
	case login.Certificate:
		presented, err := x.certificate()
		if err != nil {
			f.showLogin(x, w, &loginPage{Factor: factor, Error: "error.certificate"})
			return
		}
		a.proof.Certificate = &presented
	default:
		f.round(x, w, new(attempt))
		return
	}
	f.round(x, w, a)
}

// nobody reports whether it is not known for whom a round would be.
func (f *Front) nobody(x *Exchange, w *flow) bool {
	if w.Other {
		return true
	}
	_, ok := f.config.Engine.Session(x.SessionID())
	return !ok
}

// certificate returns the client certificate that came over TLS, or that a trusted proxy passed on.
func (x *Exchange) certificate() (certificate.Presented, error) {
	if p := x.port; p != nil && p.CertificateHeader != "" && x.proxied {
		return certificate.FromHeader(x.R.Header.Values(p.CertificateHeader), nil)
	}
	return certificate.FromTLS(x.R.TLS)
}

// answerNegotiate takes a Kerberos ticket (RFC 4559).
func (f *Front) answerNegotiate(x *Exchange) {
	if f.broken(x) {
		return
	}
	if x.R.Method != http.MethodPost {
		f.redirect(x, loginPath)
		return
	}
	w, _, ok := f.goesOn(x)
	if !ok {
		return
	}
	tickets := x.Issuer.Tickets
	if tickets == nil {
		f.showLogin(x, w, &loginPage{Error: "error.ticket"})
		return
	}
	header := x.R.Header.Get("Authorization")
	if header == "" {
		x.W.Header().Set("WWW-Authenticate", "Negotiate")
		f.showLogin(x, w, &loginPage{Status: http.StatusUnauthorized, Error: "error.ticket"})
		return
	}
	shown := f.shown(x)
	o := tickets.Accept(header, shown, f.clock())
	a := &attempt{factor: login.Kerberos, proof: engine.Proof{Kerberos: &o}}
	if len(o.Reply) > 0 {
		a.reply = kerberos.ToHeader(o.Reply)
	}
	f.round(x, w, a)
}

// answerPush tells the script of the page whether a device has answered, without a round of its own.
func (f *Front) answerPush(x *Exchange) {
	noStore(x.W.Header())
	if x.R.Method != http.MethodPost {
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	form, ok := f.form(x)
	if !ok {
		return
	}
	answer := "gone"
	if w, err := f.open(x, form.Get("flow")); err == nil && len(w.Browser) > 0 {
		if d, err := login.OpenDialogue(w.State, f.config.Keyring); err == nil && d.Push.ID != 0 {
			answer = "waiting"
			if _, ok := f.config.People.PushAnswer(d.Push.ID); ok || !f.clock().Before(d.Push.NotAfter) {
				answer = "answered"
			}
		}
	}
	x.W.Header().Set("Content-Type", "application/json")
	_, _ = x.W.Write([]byte(`{"push":"` + answer + `"}`))
}

// newPassword makes the round that changes the password.
func (f *Front) newPassword(x *Exchange, w *flow, form url.Values) {
	first, second := form.Get("new"), form.Get("again")
	switch {
	case first == "":
		f.showLogin(x, w, &loginPage{Error: "error.empty"})
	case first != second:
		f.showLogin(x, w, &loginPage{Error: "error.notsame"})
	default:
		f.round(x, w, &attempt{password: []byte(first)})
	}
}

// consents keeps that the person agrees, and goes on.
func (f *Front) consents(x *Exchange, w *flow) {
	client := w.client(x)
	s, ok := f.config.Engine.Session(x.SessionID())
	if client == nil || w.User == 0 || !ok || s.Number != w.Session {
		f.flowRefused(x, errFlow)
		return
	}
	w.Demand.Force, w.Demand.Passive, w.Demand.Bounded, w.State = false, true, false, nil // it was met before the page
	r := &engine.Round{
		Protocol: w.Protocol, Cache: x.Cache, Client: client, Source: x.Source, Browser: x.browserHash(), Session: x.SessionID(), Device: x.deviceSecret(), Demand: w.Demand, Reference: w.Reference,
		RelyingParty: f.lookOf(x.Issuer).party,
	}
	ctx, cancel := context.WithTimeout(x.R.Context(), roundTime)
	defer cancel()
	step := f.config.Engine.Converse(ctx, r)
	if step.Verdict != event.Accept || step.UserID != w.User {
		f.resume(x, w, &Outcome{Step: step, Refused: AccessDenied})
		return
	}
	if step.Session.ID != "" {
		x.setSession(step.Session.ID)
	}
	o := &Outcome{Step: step}
	scopes, claims, _ := f.asks(w, client, &step)
	if err := f.config.Engine.GiveConsent(ctx, &engine.ConsentGiven{User: step.User, Client: client, Scopes: scopes, Claims: claims, Login: step.ID}); err != nil {
		f.logger.Warn("a consent could not be kept", "client", client.Name, "error", err)
		f.message(x, http.StatusServiceUnavailable, "error.unavailable", step.ID)
		return
	}
	f.resume(x, w, o)
}

// deviceLabel names a device as far as its browser says what it is.
func deviceLabel(agent string) string {
	find := func(pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if strings.Contains(agent, pairs[i]) {
				return pairs[i+1]
			}
		}
		return ""
	}
	browser := find("Edg/", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari")
	system := find("Windows", "Windows", "Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	switch {
	case browser == "" && system == "":
		return "Browser"
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return browser + " on " + system
}
