package document

import (
	"crypto/tls"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var pathPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// maxPathPrefix bounds a path prefix in bytes.
const maxPathPrefix = 200

// checkWeb checks where the web front finds an identity provider, and what its ports are like.
func (p *IdentityProvider) checkWeb(c *checker) {
	if p.Parent != "" && p.HostName == "" && p.PathPrefix == "" && p.Profiles.ofBrowsers() {
		c.fail("spec.hostName", "give it a hostName, a pathPrefix or both", "the web front cannot tell the virtual identity provider from the one above it")
	}
	if p.Parent != "" && p.Network != nil {
		c.fail("spec.network", "leave it out", "a virtual identity provider has the network of the one above it")
	}
	c.host("spec.hostName", p.HostName)
	if p.PathPrefix != "" {
		switch first, _, _ := strings.Cut(strings.TrimPrefix(p.PathPrefix, "/"), "/"); {
		case len(p.PathPrefix) > maxPathPrefix:
			c.fail("spec.pathPrefix", "", "the path is longer than %d bytes", maxPathPrefix)
		case !pathPrefix.MatchString(p.PathPrefix) || slices.ContainsFunc(strings.Split(p.PathPrefix, "/"), func(s string) bool { return s == "." || s == ".." }):
			c.fail("spec.pathPrefix", "", "expected segments of letters, digits and . _ ~ -, each behind a slash, such as /partners; found %q", shorten(p.PathPrefix))
		case first == "login" || first == "protected":
			c.fail("spec.pathPrefix", "", "the pages of every identity provider are below /login and /protected")
		case first == ".well-known":
			c.fail("spec.pathPrefix", "", "what identity providers say of themselves is below /.well-known")
		}
	}
	if n := p.Network; n != nil {
		c.host("spec.network.hostName", n.HostName)
		seen := map[int]bool{}
		for i := range n.Ports {
			at := element("spec.network.ports", i)
			if seen[n.Ports[i].Port] {
				c.fail(at+".port", "", "the port %d is listed twice", n.Ports[i].Port)
			}
			seen[n.Ports[i].Port] = true
			n.Ports[i].check(c, at)
		}
	}
	if k := p.TLS; k != nil {
		files := k.Chain != "" || !k.PrivateKey.IsZero()
		switch {
		case files && !k.PKCS12.IsZero():
			c.fail("spec.tls.pkcs12", "", "give either chain and privateKey or pkcs12")
		case k.PKCS12.IsZero() && (k.Chain == "" || k.PrivateKey.IsZero()):
			c.fail("spec.tls", "give chain and privateKey, or pkcs12", "a certificate is of no use without its key")
		case !k.PIN.IsZero() && k.PKCS12.IsZero():
			c.fail("spec.tls.pin", "leave it out", "there is no pkcs12 that it would open")
		}
	}
	if k := p.Authentication.Kerberos; k != nil {
		if len(k.Realms) == 0 && p.Authentication.KerberosDomain == "" {
			c.fail("spec.authentication.kerberosDomain", "", "name the realm whose principals are users, here or in kerberos.realms")
		}
		names := make([]string, len(k.Realms))
		for i, r := range k.Realms {
			names[i] = r.Name
			if r.Keep && r.As != "" {
				c.fail(element("spec.authentication.kerberos.realms", i)+".as", "", "give either keep or as")
			}
		}
		c.unique("spec.authentication.kerberos.realms", names, false)
	}
}

// ofBrowsers reports whether any protocol is switched on that browsers speak.
func (p *Profiles) ofBrowsers() bool { return p.OpenID != nil && p.OpenID.Enabled }

func (p *Port) check(c *checker, at string) {
	behind := p.ReverseProxy != nil
	switch {
	case !p.Encryption && !behind:
		c.fail(at+".encryption", "add reverseProxy", "encryption may be off only behind a proxy")
	case p.ProxyProtocolV2 && !behind:
		c.fail(at+".proxyProtocolV2", "add reverseProxy", "a PROXY header is believed only from a proxy whose addresses are known")
	case p.CertificateHeader != "" && !behind:
		c.fail(at+".certificateHeader", "add reverseProxy", "a certificate in a header is believed only from a proxy whose addresses are known")
	case !p.Encryption && p.AcceptClientCertificate:
		c.fail(at+".acceptClientCertificate", "use certificateHeader", "without encryption nobody presents a certificate")
	}
	if p.CertificateHeader != "" && !headerName.MatchString(p.CertificateHeader) {
		c.fail(at+".certificateHeader", "", "%q is no name of a header", shorten(p.CertificateHeader))
	}
	versions := 0
	for i, name := range p.ExcludedProtocols {
		_, version := TLSVersion(name)
		_, suite := CipherSuite(name)
		if version {
			versions++
		}
		if !version && !suite {
			c.fail(element(at+".excludedProtocols", i), "", "expected TLSv1.2, TLSv1.3 or the name of a cipher suite, found %q", shorten(name))
		}
	}
	if versions == 2 {
		c.fail(at+".excludedProtocols", "", "nothing is left: TLSv1.2 and TLSv1.3 are both left out")
	}
}

// TLSVersion returns the version of TLS with a name as documents have it.
func TLSVersion(name string) (uint16, bool) {
	switch name {
	case "TLSv1.2":
		return tls.VersionTLS12, true
	case "TLSv1.3":
		return tls.VersionTLS13, true
	}
	return 0, false
}

// CipherSuite returns the cipher suite of TLS 1.2 with a name.
func CipherSuite(name string) (uint16, bool) {
	for _, s := range tls.CipherSuites() {
		if s.Name == name {
			return s.ID, true
		}
	}
	return 0, false
}

// host checks a name or an address as it stands in a URL.
func (c *checker) host(path, host string) {
	if host == "" {
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && (len(host) > 253 || !hostName.MatchString(host) || strings.HasSuffix(host, ".")) {
		c.fail(path, "", "expected a host name such as sso.example.org, found %q", shorten(host))
	}
}

// claimSite claims where the web front finds the identity provider. One that names no host of its own has that of the one above it, which the document does not say: set.places looks
// for others there.
func (p *IdentityProvider) claimSite(name string, r *relations) {
	switch {
	case p.Parent == "" && p.Network != nil && p.Network.HostName != "":
		r.claim(placeAt(p.Network.HostName, ""), "spec.network.hostName")
	case p.Parent != "" && p.HostName != "":
		r.claim(placeAt(p.HostName, p.PathPrefix), "spec.hostName")
	case p.Parent != "" && p.PathPrefix != "":
		r.claim(placeBelow(p.Parent, p.PathPrefix), "spec.pathPrefix")
	}
}

// placeAt is the claim of a place by the host, placeBelow that by the identity provider whose host it has.
func placeAt(host, prefix string) string { return "site/" + strings.ToLower(host) + prefix + "/" }

func placeBelow(parent, prefix string) string { return "site/below " + parent + prefix + "/" }

// places checks that no two virtual identity providers have the same place, where one names the host and the other has it of the one above it.
func (s *set) places(d *Document) {
	p, ok := d.Spec.(*IdentityProvider)
	if !ok {
		return
	}
	switch {
	case p.Parent == "" && p.Network != nil && p.Network.HostName != "":
		if was := s.look.Document(d.Key()); was != nil {
			if n := was.Spec.(*IdentityProvider).Network; n != nil && strings.EqualFold(n.HostName, p.Network.HostName) {
				return // all that is below it is where it was
			}
		}
		for key := range s.look.Referrers(d.Key()) {
			below := s.find(key)
			if below == nil || s.changed[key] != nil { // which is looked at by itself
				continue
			}
			if v, ok := below.Spec.(*IdentityProvider); ok && v.Parent == d.Name && v.HostName == "" && v.PathPrefix != "" {
				s.sole(d, "spec.network.hostName", placeAt(p.Network.HostName, v.PathPrefix), key)
			}
		}
	case p.Parent != "" && p.HostName == "" && p.PathPrefix != "":
		above := s.find(KindIdentityProvider + "/" + p.Parent)
		if above == nil {
			return // references said so
		}
		if n := above.Spec.(*IdentityProvider).Network; n != nil && n.HostName != "" {
			s.sole(d, "spec.pathPrefix", placeAt(n.HostName, p.PathPrefix), d.Key())
		}
	case p.Parent != "" && p.HostName != "" && p.PathPrefix != "":
		root, held := s.holder(placeAt(p.HostName, ""))
		if !held {
			return
		}
		if above, ok := s.find(root).Spec.(*IdentityProvider); ok && above.Parent == "" {
			_, name, _ := strings.Cut(root, "/")
			if other, held := s.holder(placeBelow(name, p.PathPrefix)); held && other != d.Key() && (s.changed[other] == nil || d.Key() > other) {
				s.taken(d, "spec.hostName", placeAt(p.HostName, p.PathPrefix), other, d.Key())
			}
		}
	}
}

// sole checks that nobody holds a place that is another identity provider's, or the document's own, by the host of the one above it.
func (s *set) sole(d *Document, path, place, key string) {
	if other, held := s.holder(place); held && other != key && (s.changed[other] == nil || key == d.Key() && d.Key() > other) {
		s.taken(d, path, place, other, key)
	}
}

func (s *set) taken(d *Document, path, place, holder, key string) {
	whose := ""
	if key != d.Key() {
		whose = ", and would be that of " + strings.Replace(key, "/", " ", 1)
	}
	s.fail(d, path, "give one of them another pathPrefix or hostName", "%s is held by %s%s", claimWords(place), strings.Replace(holder, "/", " ", 1), whose)
}

// site checks that an identity provider to which browsers come has a host name, its own or that of the one above it.
func (s *set) site(d *Document) {
	p, ok := d.Spec.(*IdentityProvider)
	if !ok || !p.Profiles.ofBrowsers() || p.HostName != "" {
		return
	}
	at, network := "spec.network.hostName", p.Network
	if p.Parent != "" {
		at = "spec.hostName"
		above := s.find(KindIdentityProvider + "/" + p.Parent)
		if above == nil {
			return // references said so
		}
		network = above.Spec.(*IdentityProvider).Network
	}
	if network == nil || network.HostName == "" {
		s.fail(d, at, "", "the field is required where profiles.openid is enabled: URLs begin with it")
	}
}
