package policy

import (
	"crypto"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/secret"
)

// Site is what the web front needs of an identity provider: where it is, and what it looks like. A virtual one has what it does not say itself of the one above
// it.
type Site struct {
	// Host is the name or address that browsers ask for, in lower case and without a port.
	Host string
	// Origin is scheme, host and port as browsers write them.
	Origin string
	// Prefix is the path below which it is found; empty, or it begins with a slash and does not end with one.
	Prefix string
	// Ports are what its ports are like.
	Ports []document.Port
	// Certificate is what it proves its host name with; nil: that of the node.
	Certificate *tls.Certificate
	Advanced    document.Advanced
	Look        document.LookAndFeel
}

// DefaultWebPort is the port of identity providers that name none.
const DefaultWebPort = 1443

// settle computes where an identity provider is on the web; above is that of which it is a virtual one, nil for none.
func (i *Issuer) settle(above *Issuer, certificate *tls.Certificate) {
	i.Site, i.URL = nil, ""
	network, host := i.Spec.Network, i.Spec.HostName
	look, advanced := i.Spec.LookAndFeel, i.Spec.Advanced
	if above != nil {
		network = above.Spec.Network
		if look == nil {
			look = above.Spec.LookAndFeel
		}
		if advanced == nil {
			advanced = above.Spec.Advanced
		}
	}
	if host == "" && network != nil {
		host = network.HostName
	}
	if host == "" {
		return
	}
	s := &Site{Host: strings.ToLower(host), Prefix: i.Spec.PathPrefix, Certificate: certificate}
	port := DefaultWebPort
	if network != nil && len(network.Ports) > 0 {
		s.Ports = network.Ports
		port = network.Ports[0].Port
		if p := network.Ports[0].ReverseProxy; p != nil && p.Port != 0 {
			port = p.Port
		}
	}
	s.Origin = "https://" + s.Host
	if a, err := netip.ParseAddr(s.Host); err == nil && a.Is6() {
		s.Origin = "https://[" + s.Host + "]"
	}
	if port != 443 {
		s.Origin += ":" + strconv.Itoa(port)
	}
	if look != nil {
		s.Look = *look
	}
	if advanced != nil {
		s.Advanced = *advanced
	}
	i.Site, i.URL = s, s.Origin+s.Prefix
}

// hostSites are the identity providers of one host.
type hostSites struct {
	root  *issuerObject
	under map[string]*issuerObject // by path prefix
	depth int                      // segments of the longest prefix
}

// newSites indexes identity providers by host and path. Where two have the same place, as a virtual one can by the host name of another, that with the first
// name has it.
func newSites(all map[string]*issuerObject) map[string]*hostSites {
	sites := make(map[string]*hostSites, len(all))
	for name, o := range all {
		s := o.issuer.Site
		if s == nil {
			continue
		}
		h := sites[s.Host]
		if h == nil {
			h = &hostSites{under: map[string]*issuerObject{}}
			sites[s.Host] = h
		}
		if s.Prefix == "" {
			if h.root == nil || name < h.root.issuer.Name {
				h.root = o
			}
			continue
		}
		if was := h.under[s.Prefix]; was == nil || name < was.issuer.Name {
			h.under[s.Prefix] = o
		}
		h.depth = max(h.depth, strings.Count(s.Prefix, "/"))
	}
	return sites
}

// IssuerAt returns the identity provider that a request is for, by its host in lower case and without a port, and by its path; rest is the path below the
// identity provider's own. The longest path prefix of whole segments counts; behind /.well-known/NAME the whole rest does. It does not allocate, and takes as long for one identity provider as for many.
func (c *Cache) IssuerAt(host, path string) (issuer *Issuer, rest string, ok bool) {
	h := c.tables.sites[host]
	if h == nil {
		return nil, "", false
	}
	if strings.HasPrefix(path, wellKnown) {
		if o, rest := h.wellKnown(path); o != nil {
			return o.issuer, rest, true
		}
	}
	end := 0 // of the longest path that could be a prefix
	for range h.depth {
		next := strings.IndexByte(path[min(end+1, len(path)):], '/')
		if next < 0 {
			end = len(path)
			break
		}
		end += 1 + next
	}
	for end > 0 {
		if o := h.under[path[:end]]; o != nil {
			if rest = path[end:]; rest == "" {
				rest = "/"
			}
			return o.issuer, rest, true
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
	if h.root == nil {
		return nil, "", false
	}
	return h.root.issuer, path, true
}

// wellKnown is below what a host says what there is of it (RFC 8615).
const wellKnown = "/.well-known/"

// wellKnown finds the identity provider whose path stands behind a name that is well known, as RFC 8414 section 3.1 has it; rest is that name, as if it were asked for below the
// identity provider.
func (h *hostSites) wellKnown(path string) (o *issuerObject, rest string) {
	end := strings.IndexByte(path[len(wellKnown):], '/')
	if end < 0 {
		return nil, ""
	}
	end += len(wellKnown)
	return h.under[path[end:]], path[:end]
}

// OnWeb reports whether any identity provider has the host, whatever the path.
func (c *Cache) OnWeb(host string) (*Issuer, bool) {
	h := c.tables.sites[host]
	if h == nil {
		return nil, false
	}
	if h.root != nil {
		return h.root.issuer, true
	}
	for _, o := range h.under { // all of one host have one certificate, or none
		return o.issuer, true
	}
	return nil, false
}

// EachIssuer calls f with each identity provider, in no order, until it returns false.
func (c *Cache) EachIssuer(f func(i *Issuer) bool) {
	for _, o := range c.tables.issuers {
		if !f(o.issuer) {
			return
		}
	}
}

// web compiles what the web front needs of a document and what takes work: its certificate and its keytab.
func (env *environment) web(d *document.Document, spec *document.IdentityProvider, o *own) error {
	var problems []error
	if k := spec.TLS; k != nil {
		var err error
		if o.certificate, err = env.keyPair(d, k); err != nil {
			problems = append(problems, attribute.InField("tls", err))
		}
	}
	a := &spec.Authentication
	if k := a.Kerberos; k != nil {
		keytab, err := env.binary(d, &k.Keytab)
		if err == nil {
			rules := login.TicketRules{Keytab: keytab, Realm: a.KerberosDomain, RequireBinding: k.RequireBinding, RC4: k.RC4}
			for _, r := range k.Realms {
				rules.Realms = append(rules.Realms, login.TicketRealm{Name: r.Name, Keep: r.Keep, As: r.As})
			}
			o.tickets, err = login.NewTickets(rules)
		}
		if err != nil {
			problems = append(problems, attribute.InField("authentication.kerberos.keytab", err))
		}
	}
	return errors.Join(problems...)
}

func (env *environment) clear(d *document.Document, t *secret.Text) ([]byte, error) {
	if t.IsZero() {
		return nil, nil
	}
	text, err := t.Open(nil, env.keyring, d.SecretContext())
	if err != nil {
		return nil, fmt.Errorf("open secret: %w", err)
	}
	return text, nil
}

// binary returns what a secret holds as base64.
func (env *environment) binary(d *document.Document, t *secret.Text) ([]byte, error) {
	text, err := env.clear(d, t)
	if err != nil {
		return nil, err
	}
	out, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		return nil, errors.New("expected base64 of a file")
	}
	return out, nil
}

// keyPair reads a key with its certificates.
func (env *environment) keyPair(d *document.Document, k *document.KeyPair) (*tls.Certificate, error) {
	if k.PKCS12.IsZero() {
		key, err := env.clear(d, &k.PrivateKey)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair([]byte(k.Chain), key)
		if err != nil {
			return nil, fmt.Errorf("chain and privateKey: %w", err)
		}
		return &pair, nil
	}
	file, err := env.binary(d, &k.PKCS12)
	if err != nil {
		return nil, fmt.Errorf("pkcs12: %w", err)
	}
	pin, err := env.clear(d, &k.PIN)
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	key, leaf, above, err := pkcs12.DecodeChain(file, string(pin))
	if err != nil {
		return nil, fmt.Errorf("pkcs12: %w", err)
	}
	pair := &tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, c := range above {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("pkcs12: the key cannot sign")
	}
	if own, ok := signer.Public().(interface{ Equal(x crypto.PublicKey) bool }); !ok || !own.Equal(leaf.PublicKey) {
		return nil, errors.New("pkcs12: the key is not that of the certificate")
	}
	return pair, nil
}
