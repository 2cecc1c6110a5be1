package oidc

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"trine/engine/document"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/web"
)

// Documents is what the registration endpoint changes the configuration by. Its calls return when the change is in force on this node.
type Documents interface {
	// Create adds a document; ErrTaken where another has its name or one of its claims by now.
	Create(ctx context.Context, d *document.Document, by string) error
	// Replace changes a document of the given version.
	Replace(ctx context.Context, d *document.Document, by string) error
	// Delete removes a document.
	Delete(ctx context.Context, kind, name, by string) error
	// Read returns a document as it is, with its secrets in clear.
	Read(kind, name string) (*document.Document, error)
}

// ErrTaken means that a document of that name is there, or one that claims what it claims.
var ErrTaken = errors.New("there is a document of that name, or with that claim")

const (
	maxMetadata   = 32 << 10
	secretLife    = 0 // client secrets do not expire
	registerTries = 4
)

// metadata is what a client says of itself (RFC 7591 section 2, OpenID Connect Dynamic Client Registration 1.0 section 2). Members of other names are passed over.
type metadata struct {
	RedirectURIs        []string        `json:"redirect_uris,omitempty"`
	ResponseTypes       []string        `json:"response_types,omitempty"`
	GrantTypes          []string        `json:"grant_types,omitempty"`
	ApplicationType     string          `json:"application_type,omitempty"`
	Contacts            []string        `json:"contacts,omitempty"`
	ClientName          string          `json:"client_name,omitempty"`
	LogoURI             string          `json:"logo_uri,omitempty"`
	ClientURI           string          `json:"client_uri,omitempty"`
	PolicyURI           string          `json:"policy_uri,omitempty"`
	TermsURI            string          `json:"tos_uri,omitempty"`
	JWKSURI             string          `json:"jwks_uri,omitempty"`
	JWKS                json.RawMessage `json:"jwks,omitempty"`
	SectorIdentifierURI string          `json:"sector_identifier_uri,omitempty"`
	SubjectType         string          `json:"subject_type,omitempty"`
	IDTokenAlg          string          `json:"id_token_signed_response_alg,omitempty"`
	IDTokenKeyAlg       string          `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEnc          string          `json:"id_token_encrypted_response_enc,omitempty"`
	UserInfoAlg         string          `json:"userinfo_signed_response_alg,omitempty"`
	UserInfoKeyAlg      string          `json:"userinfo_encrypted_response_alg,omitempty"`
	UserInfoEnc         string          `json:"userinfo_encrypted_response_enc,omitempty"`
	RequestObjectAlg    string          `json:"request_object_signing_alg,omitempty"`
	AuthMethod          string          `json:"token_endpoint_auth_method,omitempty"`
	AuthAlg             string          `json:"token_endpoint_auth_signing_alg,omitempty"`
	DefaultMaxAge       *int64          `json:"default_max_age,omitempty"`
	RequireAuthTime     bool            `json:"require_auth_time,omitempty"`
	DefaultACRValues    []string        `json:"default_acr_values,omitempty"`
	PostLogoutURIs      []string        `json:"post_logout_redirect_uris,omitempty"`
	FrontLogoutURI      string          `json:"frontchannel_logout_uri,omitempty"`
	FrontLogoutSession  bool            `json:"frontchannel_logout_session_required,omitempty"`
	BackLogoutURI       string          `json:"backchannel_logout_uri,omitempty"`
	BackLogoutSession   bool            `json:"backchannel_logout_session_required,omitempty"`
	Scope               string          `json:"scope,omitempty"`

	// Of updates (RFC 7592 section 2.2).
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
}

func badMetadata(format string, args ...any) *refusal {
	return refuse("invalid_client_metadata", trace.OIDCRegistrationInvalid, format, args...)
}

// register is the client registration endpoint (RFC 7591, RFC 7592).
func (p *Provider) register(x *web.Exchange) {
	q, err := parseParams(x.R.URL.RawQuery)
	if err != nil || q.twice != "" {
		answerError(x.W, refuse("invalid_request", trace.OIDCRequestInvalid, "the query cannot be read"), 0, false)
		return
	}
	if x.R.Method == http.MethodPost {
		p.registerNew(x)
		return
	}
	if x.R.Method != http.MethodGet && x.R.Method != http.MethodPut && x.R.Method != http.MethodDelete {
		x.W.Header().Set("Allow", "GET, POST, PUT, DELETE")
		x.W.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	client, wire := p.registered(x, q.get("client_id"))
	if client == nil {
		wrong := &refusal{code: "invalid_token", reason: trace.OIDCRegistrationDenied, words: "the registration access token is not that of the client", status: http.StatusUnauthorized}
		answerBearer(x.W, wrong, p.refused(x, nil, "", wrong))
		return
	}
	switch x.R.Method {
	case http.MethodGet:
		d, err := p.documents.Read(document.KindServiceProvider, client.Name)
		if err != nil {
			answerError(x.W, p.broken(x, "read the client", err), 0, false)
			return
		}
		answerJSON(x.W, http.StatusOK, p.registration(x, d, p.hides(x.Cache, wire), false))
	case http.MethodPut:
		p.registerAgain(x, client, wire)
	case http.MethodDelete:
		if err := p.documents.Delete(x.R.Context(), document.KindServiceProvider, client.Name, "client "+client.ClientID); err != nil {
			answerError(x.W, p.broken(x, "delete the client", err), 0, false)
			return
		}
		x.W.Header()["Cache-Control"] = noStore
		x.W.WriteHeader(http.StatusNoContent)
	}
}

// hides reports whether a client reads its registration without its secrets.
func (p *Provider) hides(c *policy.Cache, wire *Client) bool {
	if by := c.Client(wire.spec.Registration.By); by != nil {
		if r, ok := by.Wire.(*Registrar); ok {
			return r.spec.HideSecrets
		}
	}
	return false
}

// registered returns the client whose registration access token came; nil where there is none.
func (p *Provider) registered(x *web.Exchange, id string) (*policy.Client, *Client) {
	token, ok := strings.CutPrefix(x.R.Header.Get("Authorization"), "Bearer ")
	client := x.Cache.OpenIDClient([]byte(id))
	if !ok || client == nil || client.Issuer == nil || client.Issuer.Name != x.Issuer.Name {
		return nil, nil
	}
	wire := wireOf(client)
	given := sha256.Sum256([]byte(token))
	if wire == nil || !wire.registered || subtle.ConstantTimeCompare(given[:], wire.registration[:]) != 1 {
		return nil, nil
	}
	return client, wire
}

// registrar returns the service provider whose token came, or why it is not good.
func (p *Provider) registrar(x *web.Exchange) (*policy.Client, *Registrar, *refusal) {
	no := &refusal{code: "invalid_token", reason: trace.OIDCRegistrationDenied, words: "the initial access token is none with which clients register here", status: http.StatusUnauthorized}
	token, ok := strings.CutPrefix(x.R.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, nil, no
	}
	given := sha256.Sum256([]byte(token))
	for client := range x.Cache.Registrars() {
		r, ok := client.Wire.(*Registrar)
		if !ok || !r.open || client.Broken != nil || client.Issuer == nil || client.Issuer.Name != x.Issuer.Name || subtle.ConstantTimeCompare(given[:], r.digest[:]) != 1 {
			continue
		}
		if until := r.spec.RegistrationToken.ValidUntil; !until.IsZero() && !p.now().Before(until) {
			no.words = "the initial access token has expired"
			return client, nil, no
		}
		return client, r, nil
	}
	return nil, nil, no
}

// readMetadata reads what a client says of itself. The handbook's sample has JSON under the content type of a form.
func readMetadata(r *http.Request) (m metadata, asForm bool, wrong *refusal) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && kind != "application/x-www-form-urlencoded" {
		return m, false, badMetadata("the content type is not application/json")
	}
	body, err := readBody(r, maxMetadata)
	if err != nil {
		wrong = badMetadata("%s", err)
		if errors.Is(err, errLong) {
			wrong.status = http.StatusRequestEntityTooLarge
		}
		return m, false, wrong
	}
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != '{' || json.Unmarshal(body, &m) != nil {
		return m, false, badMetadata("the body is not the JSON object of RFC 7591 section 2")
	}
	return m, kind != "application/json", nil
}

func (p *Provider) registerNew(x *web.Exchange) {
	by, r, wrong := p.registrar(x)
	if wrong != nil {
		answerBearer(x.W, wrong, p.refused(x, by, "", wrong))
		return
	}
	m, asForm, wrong := readMetadata(x.R)
	if wrong == nil && (m.ClientID != "" || m.ClientSecret != "") {
		wrong = badMetadata("the identity provider chooses client_id and client_secret")
	}
	var d *document.Document
	if wrong == nil {
		d, wrong = p.clientOf(x, by, r, &m)
	}
	if wrong != nil {
		answerError(x.W, wrong, p.refused(x, by, "", wrong), false)
		return
	}
	o := d.Spec.(*document.ServiceProvider).OIDC
	if o.TokenEndpointAuth != "none" && o.TokenEndpointAuth != "private_key_jwt" {
		o.ClientSecret = secret.Plain(randomText(36))
	}
	o.Registration = &document.OpenIDRegistration{By: by.Name, AccessToken: secret.Plain(randomText(36)), At: p.now().UTC().Truncate(time.Second)}
	if wrong := p.create(x, by, r, d); wrong != nil {
		answerError(x.W, wrong, p.refused(x, by, "", wrong), false)
		return
	}
	status := http.StatusCreated
	if asForm {
		status = http.StatusOK
	}
	answerJSON(x.W, status, p.registration(x, d, false, asForm))
}

// create adds the document at the first place that is free. No two have the same, whichever node they registered at, so there are never more than may be.
func (p *Provider) create(x *web.Exchange, by *policy.Client, r *Registrar, d *document.Document) *refusal {
	o := d.Spec.(*document.ServiceProvider).OIDC
	taken := x.Cache.RegisteredBy(by.Name)
	for range registerTries {
		place := 1
		for taken[place] {
			place++
		}
		if place > r.spec.RegistrationToken.MaxClients {
			return &refusal{code: "invalid_token", reason: trace.OIDCRegistrationDenied, words: "as many clients are registered with the initial access token as may be", status: http.StatusForbidden}
		}
		o.Registration.Place = place
		err := p.documents.Create(x.R.Context(), clone(d), "registration "+by.Name)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ErrTaken):
			return p.broken(x, "record the client", err)
		}
		taken[place] = true
	}
	wrong := refuse("temporarily_unavailable", trace.OIDCRegistrationInvalid, "too many clients register at a time")
	wrong.status = http.StatusServiceUnavailable
	return wrong
}

// clone copies a document as far as creating it changes it: its secrets are sealed.
func clone(d *document.Document) *document.Document {
	out := *d
	sp := *d.Spec.(*document.ServiceProvider)
	oidc := *sp.OIDC
	if oidc.Registration != nil {
		registration := *oidc.Registration
		oidc.Registration = &registration
	}
	sp.OIDC, out.Spec = &oidc, &sp
	return &out
}

// registerAgain replaces what a client said of itself (RFC 7592 section 2.2).
func (p *Provider) registerAgain(x *web.Exchange, client *policy.Client, wire *Client) {
	m, _, wrong := readMetadata(x.R)
	old, err := p.documents.Read(document.KindServiceProvider, client.Name)
	if err != nil {
		answerError(x.W, p.broken(x, "read the client", err), 0, false)
		return
	}
	was := old.Spec.(*document.ServiceProvider).OIDC
	by := x.Cache.Client(wire.spec.Registration.By)
	var r *Registrar
	if by != nil {
		r, _ = by.Wire.(*Registrar)
	}
	switch {
	case wrong != nil:
	case m.ClientID != client.ClientID:
		wrong = badMetadata("client_id is not that of the client")
	case m.ClientSecret != "" && !secretOf(was.ClientSecret, m.ClientSecret):
		wrong = badMetadata("client_secret is not that of the client")
	case r == nil:
		wrong = badMetadata("nobody can register any more where the client was registered")
	}
	var d *document.Document
	if wrong == nil {
		d, wrong = p.clientOf(x, by, r, &m)
	}
	if wrong != nil {
		answerError(x.W, wrong, p.refused(x, client, "", wrong), false)
		return
	}
	d.Name = old.Name
	o := d.Spec.(*document.ServiceProvider).OIDC
	o.ClientID, o.Registration, o.ClientSecret = was.ClientID, was.Registration, was.ClientSecret
	if o.ClientSecret.IsZero() && o.TokenEndpointAuth != "none" && o.TokenEndpointAuth != "private_key_jwt" {
		o.ClientSecret = secret.Plain(randomText(36))
	}
	if err := p.documents.Replace(x.R.Context(), clone(d), "client "+client.ClientID); err != nil {
		answerError(x.W, p.broken(x, "record the client", err), 0, false)
		return
	}
	answerJSON(x.W, http.StatusOK, p.registration(x, d, r.spec.HideSecrets, false))
}

func secretOf(t secret.Text, text string) bool {
	clear, err := t.Open(nil, nil, nil)
	return err == nil && subtle.ConstantTimeCompare(clear, []byte(text)) == 1
}

// clientOf makes the document of a client of what it says of itself, within what may be registered.
func (p *Provider) clientOf(x *web.Exchange, by *policy.Client, r *Registrar, m *metadata) (*document.Document, *refusal) {
	id := "DR_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(randomBytes(10)))
	d := document.New(document.KindServiceProvider, id)
	sp := d.Spec.(*document.ServiceProvider)
	rules := by.Spec
	sp.Type, sp.DisplayName, sp.EntityGroup, sp.IdentityProvider = document.TypeOIDC, m.ClientName, rules.EntityGroup, x.Issuer.Name
	sp.Consent, sp.RequiredRoles, sp.RequiredSystem, sp.AuthorizationPolicy = rules.Consent, rules.RequiredRoles, rules.RequiredSystem, rules.AuthorizationPolicy
	sp.UIDExpression, sp.UIDScript, sp.Audit = rules.UIDExpression, rules.UIDScript, rules.Audit
	o := document.NewOpenIDClient()
	sp.OIDC = o
	o.ClientID, o.ClaimsByScope = id, r.spec.ClaimsByScope
	o.ResponseURLs, o.PostLogoutURLs, o.Contacts = m.RedirectURIs, m.PostLogoutURIs, m.Contacts
	o.ClientURL, o.LogoURL, o.PolicyURL, o.TermsURL = m.ClientURI, m.LogoURI, m.PolicyURI, m.TermsURI
	o.FrontChannelLogoutURL, o.FrontChannelSession, o.BackChannelLogoutURL = m.FrontLogoutURI, m.FrontLogoutSession, m.BackLogoutURI
	o.JWKSURL, o.JWKS = m.JWKSURI, string(m.JWKS)
	o.RequireAuthTime, o.DefaultACRValues = m.RequireAuthTime, m.DefaultACRValues
	if m.ApplicationType != "" {
		o.ApplicationType = m.ApplicationType
	}
	if m.SubjectType != "" {
		o.SubjectType = m.SubjectType
	}
	if m.IDTokenAlg != "" {
		o.IDTokenAlgorithm = m.IDTokenAlg
	}
	o.UserInfoAlgorithm = m.UserInfoAlg
	o.TokenEndpointAuth = m.AuthMethod
	if m.AuthMethod == "" {
		o.TokenEndpointAuth = "client_secret_basic" // RFC 7591 section 2
	}
	if m.AuthAlg != "" {
		o.AssertionAlgorithms = document.Values{m.AuthAlg}
	}
	if m.RequestObjectAlg != "" {
		o.RequestObjectAlgorithms = document.Values{m.RequestObjectAlg}
	} else {
		o.RequestObjectAlgorithms = append(o.RequestObjectAlgorithms, "none") // OpenID Connect Dynamic Client Registration 1.0 section 2
	}
	if m.DefaultMaxAge != nil {
		if *m.DefaultMaxAge < 0 || *m.DefaultMaxAge > 8760*3600 {
			return nil, badMetadata("default_max_age is not from 0 to a year, in seconds")
		}
		o.DefaultMaxAge = time.Duration(*m.DefaultMaxAge) * time.Second
	}
	for _, e := range []struct {
		name, key, content string
		to                 **document.OpenIDEncryption
	}{{"id_token", m.IDTokenKeyAlg, m.IDTokenEnc, &o.IDTokenEncryption}, {"userinfo", m.UserInfoKeyAlg, m.UserInfoEnc, &o.UserInfoEncryption}} {
		switch {
		case e.key == "" && e.content != "":
			return nil, badMetadata("%s_encrypted_response_enc needs %s_encrypted_response_alg", e.name, e.name)
		case e.key != "":
			*e.to = &document.OpenIDEncryption{Algorithm: e.key, Content: e.content}
			if e.content == "" {
				(*e.to).Content = "A128CBC-HS256"
			}
		}
	}
	if wrong := registerFlows(r, m, o); wrong != nil {
		return nil, wrong
	}
	if wrong := p.registerSector(x.R.Context(), r, m, o); wrong != nil {
		return nil, wrong
	}
	return d, checkRegistered(d, m)
}

// registerFlows opens the flows that a client asks for, within those that may be registered.
func registerFlows(r *Registrar, m *metadata, o *document.OpenIDClient) *refusal {
	may := &r.spec.Flows
	types := m.ResponseTypes
	if len(types) == 0 {
		types = []string{"code"}
	}
	grants := m.GrantTypes
	if len(grants) == 0 {
		grants = []string{}
		for _, t := range types {
			if slices.Contains(words(t), "code") {
				grants = append(grants, "authorization_code")
			}
			if document.SortedWords(t) != "code" {
				grants = append(grants, "implicit")
			}
		}
		grants = append(grants, "refresh_token")
	}
	o.Flows = document.OpenIDFlows{}
	for _, g := range grants {
		switch g {
		case "authorization_code":
			o.Flows.AuthorizationCode = may.AuthorizationCode
		case "implicit":
			o.Flows.Implicit = may.Implicit
		case "password":
			o.Flows.Password, o.Flows.PasswordWithClientCredentials = may.Password, may.PasswordWithClientCredentials && o.TokenEndpointAuth != "none"
		case "client_credentials":
			o.Flows.ClientCredentials = may.ClientCredentials && o.TokenEndpointAuth != "none"
		case "refresh_token":
			o.Flows.Refresh = may.Refresh
			continue // a client that asks for it where there is none works without
		default:
			return badMetadata("the grant_type %q is not known here", short(g))
		}
		if g == "authorization_code" && !o.Flows.AuthorizationCode || g == "implicit" && !o.Flows.Implicit || g == "client_credentials" && !o.Flows.ClientCredentials ||
			g == "password" && !o.Flows.Password && !o.Flows.PasswordWithClientCredentials {
			return badMetadata("the grant_type %q is not open to clients that are registered here", g)
		}
	}
	if o.Flows.AuthorizationCode || o.Flows.Implicit {
		o.ResponseTypes = nil
		for _, t := range types {
			o.ResponseTypes = append(o.ResponseTypes, document.SortedWords(t))
		}
	}
	o.AllowedScopes = r.spec.AllowedScopes
	if asked := words(m.Scope); len(asked) > 0 && !slices.Contains(r.spec.AllowedScopes, "*") {
		o.AllowedScopes = nil
		for _, s := range asked {
			if slices.Contains(r.spec.AllowedScopes, s) {
				o.AllowedScopes = append(o.AllowedScopes, s)
			}
		}
	} else if len(asked) > 0 {
		o.AllowedScopes = asked
	}
	return nil
}

// registerSector finds out the sector of a client with pairwise subjects. The document that its redirect URIs must stand in is fetched.
func (p *Provider) registerSector(ctx context.Context, r *Registrar, m *metadata, o *document.OpenIDClient) *refusal {
	o.SectorIdentifierURI = m.SectorIdentifierURI
	if m.SectorIdentifierURI == "" {
		o.SectorIdentifierURI = r.spec.SectorIdentifierURI
		return nil
	}
	text, err := p.out.get(ctx, m.SectorIdentifierURI, maxMetadata)
	if err != nil {
		return badMetadata("the sector_identifier_uri cannot be used: %s", err)
	}
	var list []string
	if json.Unmarshal(text, &list) != nil {
		return badMetadata("what the sector_identifier_uri leads to is no JSON list of redirect URIs")
	}
	for _, u := range m.RedirectURIs {
		if !slices.Contains(list, u) {
			return badMetadata("the redirect URI %q does not stand in what the sector_identifier_uri leads to", short(u))
		}
	}
	return nil
}

// checkRegistered checks the document as plan does, and tells what is wrong in the words of the protocol.
func checkRegistered(d *document.Document, m *metadata) *refusal {
	sp := d.Spec.(*document.ServiceProvider)
	if sp.OIDC.Flows.AuthorizationCode || sp.OIDC.Flows.Implicit {
		if len(m.RedirectURIs) == 0 {
			return refuse("invalid_redirect_uri", trace.OIDCRegistrationInvalid, "redirect_uris is missing")
		}
	}
	for _, u := range m.RedirectURIs {
		if reason := document.ResponseURLProblem(u, sp.OIDC.ApplicationType); reason != "" {
			return refuse("invalid_redirect_uri", trace.OIDCRegistrationInvalid, "%s", reason)
		}
		parsed, err := url.Parse(u)
		if err == nil && sp.OIDC.Flows.Implicit && sp.OIDC.ApplicationType == "web" && (parsed.Scheme != "https" || parsed.Hostname() == "localhost") {
			return refuse("invalid_redirect_uri", trace.OIDCRegistrationInvalid, "a web client of the implicit flow has https redirect URIs of another host than localhost")
		}
	}
	trial := clone(d)
	o := trial.Spec.(*document.ServiceProvider).OIDC
	if o.TokenEndpointAuth != "none" && o.TokenEndpointAuth != "private_key_jwt" { // it is made once all else is good
		o.ClientSecret = secret.Plain(strings.Repeat("x", 48))
	}
	if problems := document.ValidateValues(trial); len(problems) > 0 {
		return badMetadata("%s", problems[0].Reason)
	}
	if _, err := newClient(trial.Spec.(*document.ServiceProvider)); err != nil {
		return badMetadata("%s", err)
	}
	return nil
}

// registration tells a client what is registered of it, in the order of the handbook, and as the handbook has it nothing more.
func (p *Provider) registration(x *web.Exchange, d *document.Document, hide, handbook bool) []byte {
	sp := d.Spec.(*document.ServiceProvider)
	c := sp.OIDC
	id := d.ClientID()
	o := newObject(make([]byte, 0, 2048))
	clear, _ := c.ClientSecret.Open(nil, nil, nil)
	if len(clear) > 0 {
		o.number("client_secret_expires_at", secretLife)
	}
	o.text("registration_client_uri", x.Issuer.URL+x.Issuer.Spec.Profiles.OpenID.Registration+"?client_id="+url.QueryEscape(id))
	if len(clear) > 0 && !hide {
		o.text("client_secret", string(clear))
	}
	if len(c.ResponseURLs) > 0 {
		o.texts("redirect_uris", c.ResponseURLs)
	}
	if !hide && c.Registration != nil {
		token, _ := c.Registration.AccessToken.Open(nil, nil, nil)
		o.given("registration_access_token", string(token))
	}
	o.given("client_name", sp.DisplayName)
	o.text("client_id", id)
	if handbook || hide {
		return o.end()
	}
	if c.Registration != nil {
		o.number("client_id_issued_at", c.Registration.At.Unix())
	}
	if types := c.Types(); len(types) > 0 {
		o.texts("response_types", types)
	}
	o.texts("grant_types", grantTypes(&c.Flows))
	o.text("application_type", c.ApplicationType)
	o.text("token_endpoint_auth_method", c.Auth())
	if len(c.AssertionAlgorithms) == 1 {
		o.text("token_endpoint_auth_signing_alg", c.AssertionAlgorithms[0])
	}
	o.text("subject_type", c.SubjectType)
	o.given("sector_identifier_uri", c.SectorIdentifierURI)
	o.text("id_token_signed_response_alg", c.IDTokenAlgorithm)
	if e := c.IDTokenEncryption; e != nil {
		o.text("id_token_encrypted_response_alg", e.Algorithm)
		o.text("id_token_encrypted_response_enc", e.Content)
	}
	o.given("userinfo_signed_response_alg", c.UserInfoAlgorithm)
	if e := c.UserInfoEncryption; e != nil {
		o.text("userinfo_encrypted_response_alg", e.Algorithm)
		o.text("userinfo_encrypted_response_enc", e.Content)
	}
	if len(c.RequestObjectAlgorithms) == 1 {
		o.text("request_object_signing_alg", c.RequestObjectAlgorithms[0])
	}
	o.given("jwks_uri", c.JWKSURL)
	if c.JWKS != "" {
		o.raw("jwks", []byte(c.JWKS))
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"contacts", c.Contacts}, {"post_logout_redirect_uris", c.PostLogoutURLs}, {"default_acr_values", c.DefaultACRValues}} {
		if len(list.values) > 0 {
			o.texts(list.name, list.values)
		}
	}
	o.given("client_uri", c.ClientURL)
	o.given("logo_uri", c.LogoURL)
	o.given("policy_uri", c.PolicyURL)
	o.given("tos_uri", c.TermsURL)
	if c.DefaultMaxAge > 0 {
		o.number("default_max_age", int64(c.DefaultMaxAge/time.Second))
	}
	if c.RequireAuthTime {
		o.flag("require_auth_time", true)
	}
	if c.FrontChannelLogoutURL != "" {
		o.text("frontchannel_logout_uri", c.FrontChannelLogoutURL)
		o.flag("frontchannel_logout_session_required", c.FrontChannelSession)
	}
	if c.BackChannelLogoutURL != "" {
		o.text("backchannel_logout_uri", c.BackChannelLogoutURL)
		o.flag("backchannel_logout_session_required", true)
	}
	o.text("scope", strings.Join(c.AllowedScopes, " "))
	return o.end()
}

func grantTypes(f *document.OpenIDFlows) (list []string) {
	for _, g := range []struct {
		on   bool
		name string
	}{
		{f.AuthorizationCode, "authorization_code"},
		{f.Implicit, "implicit"},
		{f.Password || f.PasswordWithClientCredentials, "password"},
		{f.ClientCredentials, "client_credentials"},
		{f.Refresh, "refresh_token"},
	} {
		if g.on {
			list = append(list, g.name)
		}
	}
	return list
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func randomText(n int) string { return base64.RawURLEncoding.EncodeToString(randomBytes(n)) }
