package oidc

import (
	"net/http"
	"strings"
	"time"

	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/web"
)

// codeLife is how long an authorization code can be redeemed (RFC 6749 section 4.1.2).
const codeLife = time.Minute

// authorize is the authorization endpoint (OpenID Connect Core 1.0 section 3.1.2).
func (p *Provider) authorize(x *web.Exchange) {
	q, ok, err := readRequest(x)
	if !ok {
		return
	}
	if err != nil {
		p.page(x, nil, refuse("invalid_request", trace.OIDCRequestInvalid, "%s", err))
		return
	}
	a, page, wrong := p.parseRequest(x.R.Context(), x.Cache, x.Issuer, q, false)
	switch {
	case page != nil:
		p.page(x, a.client, page)
		return
	case wrong != nil:
		p.refuseRequest(x, a, wrong, p.refused(x, a.client, "", wrong))
		return
	}
	if a.mode == modeQuery && a.response == withCode {
		x.W.Header().Set("Referrer-Policy", "no-referrer")
	}
	request := a.given.encode()
	if len(request) > web.MaxRequest {
		wrong := refuse("invalid_request", trace.OIDCRequestInvalid, "the request is longer than %d bytes", web.MaxRequest)
		p.refuseRequest(x, a, wrong, p.refused(x, a.client, "", wrong))
		return
	}
	l := &web.Login{
		Client: a.client, Demand: a.demand, Hint: a.hint, Locales: a.locales, Request: []byte(request), SelectAccount: a.account,
		Reference: []byte(a.client.ClientID),
	}
	if a.hintSubject != "" && l.Hint == "" && a.wire.spec.SubjectType != "pairwise" {
		l.Hint = a.hintSubject
	}
	if a.client.Spec.Consent || a.consent {
		l.Consent = &web.Consent{Force: a.consent, Scopes: a.scopes, Claims: append(append([]string(nil), a.claims.userInfo...), a.claims.idToken...), Offline: a.offline()}
	}
	p.front.Login(x, l)
}

// Continue implements web.Protocol.
func (p *Provider) Continue(x *web.Exchange, request []byte, o *web.Outcome) {
	q, err := parseParams(string(request))
	if err != nil {
		p.page(x, nil, refuse("invalid_request", trace.OIDCRequestInvalid, "%s", err))
		return
	}
	a, page, wrong := p.parseRequest(x.R.Context(), x.Cache, x.Issuer, q, true)
	if page != nil { // the client was changed meanwhile
		p.page(x, a.client, page)
		return
	}
	id := o.Step.ID
	if wrong == nil {
		if wrong = refusedLogin(o); wrong == nil {
			wrong = p.respondTo(x, a, o)
			if wrong == nil {
				return
			}
			id = p.refused(x, a.client, o.Step.User, wrong)
		}
	} else {
		id = p.refused(x, a.client, o.Step.User, wrong)
	}
	p.refuseRequest(x, a, wrong, id)
}

// refusedLogin says in the protocol's words why there was no login.
func refusedLogin(o *web.Outcome) *refusal {
	reason := o.Step.Reason
	switch o.Refused {
	case web.RefusedNot:
		return nil
	case web.LoginRequired:
		return refuse("login_required", reason, "the person would have to log in")
	case web.InteractionRequired:
		return refuse("interaction_required", reason, "the person would have to be asked for something")
	case web.ConsentRequired:
		return refuse("consent_required", reason, "the person would have to be asked for consent")
	case web.Unavailable:
		return refuse("temporarily_unavailable", reason, "the identity provider cannot decide now")
	}
	if reason == trace.ContextUnmet {
		return refuse("unmet_authentication_requirements", reason, "no login that the person can make is of a context that is asked for")
	}
	return refuse("access_denied", reason, "the person may not, or did not want to, log in at the client")
}

// respondTo makes the successful response.
func (p *Provider) respondTo(x *web.Exchange, a *authRequest, o *web.Outcome) *refusal {
	step := &o.Step
	known := facts{userID: step.UserID, name: step.Name, released: step.Released}
	if known.name == "" {
		known.name = step.User
	}
	sub := p.subject(a.wire, &known)
	if a.hintSubject != "" && a.hintSubject != sub || a.claims.subject != "" && a.claims.subject != sub {
		return refuse("login_required", trace.LoginRequired, "the person who is logged in is not the one who is asked for")
	}
	var factors uint32
	for _, proof := range step.Proofs {
		factors |= 1 << proof.Factor
	}
	i := issuance{
		x: x, client: a.client, wire: a.wire, scopes: a.scopes, facts: known,
		person: person{user: step.User, session: step.Session.Number, factors: factors, at: step.Since.Unix(), class: step.Class, login: step.ID},
		detail: detail{
			nonce: a.nonce, amr: methods(step.Proofs), claims: a.given.get("claims"), resources: strings.Join(a.resources, " "), authTime: a.maxAge || a.wire.spec.RequireAuthTime,
			sessionID: p.sid(step.Session.Number, a.client),
		},
	}
	if step.Since.IsZero() {
		i.person.at = p.now().Unix()
	}
	var response params
	add := func(name, value string) { response.list = append(response.list, param{name, value}) }
	var parts idTokenParts
	if a.response&withCode != 0 {
		text, err := p.makeCode(&i, a)
		if err != nil {
			return p.broken(x, "make a code", err)
		}
		parts.code = text
		add("code", text)
	}
	if a.wire.spec.EchoNonce && a.nonce != "" {
		add("nonce", a.nonce)
	}
	if a.response&withToken != 0 {
		if wrong := p.start(x, &i); wrong != nil {
			return wrong
		}
		text, life, err := p.accessToken(&i)
		if err != nil {
			return p.broken(x, "make an access token", err)
		}
		parts.accessToken = text
		add("access_token", text)
		add("token_type", "Bearer")
		add("expires_in", itoa(int64(life/time.Second)))
		add("scope", strings.Join(a.scopes, " "))
	}
	if a.response&withIDToken != 0 {
		if a.response&withToken == 0 {
			if wrong := p.record(x, &i); wrong != nil {
				return wrong
			}
		}
		parts.alone = a.response == withIDToken
		if a.response&withCode != 0 {
			parts.state = a.state
		}
		text, err := p.idToken(&i, &parts)
		if err != nil {
			return p.broken(x, "make an ID token", err)
		}
		add("id_token", text)
	}
	if a.openID() {
		add("session_state", p.sessionState(x, a.client.ClientID, a.redirectURI, step.Session.Number))
	}
	send(x.W, x.R, a, x.Issuer, response)
	return nil
}

// makeCode makes an authorization code. Nothing is recorded: it holds all that the token endpoint needs.
func (p *Provider) makeCode(i *issuance, a *authRequest) (string, error) {
	c := code{
		number: p.engine.NewID(), notAfter: p.engine.TermFrom().Add(codeLife).Unix(), index: p.engine.AppliedIndex(), client: a.client.Name, issuer: i.x.Issuer.Name, redirectURI: a.redirectURI,
		challenge: a.challenge, plain: a.plain, scopes: strings.Join(a.scopes, " "), person: i.person, detail: i.detail,
	}
	return seal(p.keyring, codeContext, c.append(make([]byte, 0, 512)))
}

// refuseRequest sends a refusal to the client by way of the browser.
func (p *Provider) refuseRequest(x *web.Exchange, a *authRequest, wrong *refusal, id uint64) {
	var response params
	response.list = append(response.list, param{"error", wrong.code}, param{"error_description", described(wrong, id)})
	if a.openID() || a.none {
		response.list = append(response.list, param{"session_state", p.sessionState(x, a.client.ClientID, a.redirectURI, 0)})
	}
	send(x.W, x.R, a, x.Issuer, response)
}

// page tells the person of a refusal that has nowhere else to go.
func (p *Provider) page(x *web.Exchange, client *policy.Client, wrong *refusal) {
	p.front.Error(x, http.StatusBadRequest, wrong.reason, p.refused(x, client, "", wrong))
}

func itoa(n int64) string { return string(appendInt(nil, n)) }

// sid is how clients know a session (OpenID Connect Front-Channel Logout 1.0 section 3): each by another name, so that they cannot compare.
func (p *Provider) sid(session uint64, client *policy.Client) string {
	if session == 0 {
		return ""
	}
	return pairwise(p.pairwiseKey(), "sid/"+client.Name, session)[:22]
}
