package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Options say which provider a relying party asks, and as whom.
type Options struct {
	// Issuer is the provider's issuer URL, exactly as it calls itself.
	Issuer string
	// ClientID and ClientSecret are those of the client's document. Without a secret the client is public.
	ClientID     string
	ClientSecret string
	// Scopes are asked for beside openid.
	Scopes []string
	// URL is where browsers find this relying party, without a path, such as http://127.0.0.1:8081. Empty: as Listen says.
	URL string
	// CA is a file of certificates in PEM, one of which is the provider's or has issued it; empty: the system's.
	CA string
	// Insecure skips the check of the provider's certificate. It is refused unless the issuer is on loopback.
	Insecure bool
}

// RelyingParty is an http.Handler that logs people in at a provider and shows what it learned.
type RelyingParty struct {
	options Options
	self    string // URL without a path
	cookie  string // cookies do not tell ports apart, so the port is in the name
	client  *http.Client
	people  *visitors
	mux     http.Handler

	mu       sync.Mutex
	provider *provider // nil until it answered for the first time
}

// provider is what discovery said.
type provider struct {
	*oidc.Provider
	verifier *oidc.IDTokenVerifier
	extra    struct {
		EndSession    string   `json:"end_session_endpoint"`
		Introspection string   `json:"introspection_endpoint"`
		ACR           []string `json:"acr_values_supported"`
		SendsIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
	}
}

// New makes a relying party that browsers find at address unless the options name a URL. The provider is asked with the first login, so that it need not
// run yet.
func New(o Options, address netip.AddrPort) (*RelyingParty, error) {
	issuer, err := url.Parse(o.Issuer)
	if err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http" {
		return nil, fmt.Errorf("the issuer %q is no URL such as https://localhost:1443", o.Issuer)
	}
	if o.ClientID == "" {
		return nil, errors.New("the client id is empty: give that of the client's document")
	}
	rp := &RelyingParty{options: o, self: o.URL, people: newVisitors()}
	if rp.self == "" {
		rp.self = "http://" + address.String()
	}
	here, err := url.Parse(rp.self)
	if err != nil || here.Host == "" || here.Path != "" {
		return nil, fmt.Errorf("%q is no URL without a path, such as http://127.0.0.1:8081", rp.self)
	}
	rp.cookie = "trine-demo-" + here.Port()
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case o.Insecure:
		if !loopback(issuer.Hostname()) {
			return nil, fmt.Errorf("%s is not on loopback: its certificate is always checked; name its issuer's with --ca", o.Issuer)
		}
		config.InsecureSkipVerify = true
	case o.CA != "":
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("read the provider's certificate: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CA)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	rp.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	rp.mux = rp.routes()
	return rp, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// URL is where browsers find the relying party.
func (rp *RelyingParty) URL() string { return rp.self + "/" }

// ServeHTTP answers a browser, or the provider.
func (rp *RelyingParty) ServeHTTP(w http.ResponseWriter, r *http.Request) { rp.mux.ServeHTTP(w, r) }

// Close gives up idle connections to the provider.
func (rp *RelyingParty) Close() { rp.client.CloseIdleConnections() }

// with returns a context whose requests go out as the options say.
func (rp *RelyingParty) with(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, rp.client)
}

// discover asks the provider what it is, once it answers.
func (rp *RelyingParty) discover(ctx context.Context) (*provider, error) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	if rp.provider != nil {
		return rp.provider, nil
	}
	// The provider fetches keys with this context long after this request.
	found, err := oidc.NewProvider(rp.with(context.WithoutCancel(ctx)), rp.options.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask %s what it is: %w", rp.options.Issuer, err)
	}
	p := &provider{Provider: found, verifier: found.Verifier(&oidc.Config{ClientID: rp.options.ClientID})}
	if err := found.Claims(&p.extra); err != nil {
		return nil, fmt.Errorf("read what %s says of itself: %w", rp.options.Issuer, err)
	}
	rp.provider = p
	return p, nil
}

// oauth is the client as the library wants it.
func (rp *RelyingParty) oauth(p *provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: rp.options.ClientID, ClientSecret: rp.options.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: rp.self + callbackPath, Scopes: append([]string{oidc.ScopeOpenID}, rp.options.Scopes...),
	}
}
