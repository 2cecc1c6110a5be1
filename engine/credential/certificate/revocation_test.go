package certificate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"trine/engine/trace"
)

const (
	crlURL  = "http://pki.example/sub.crl"
	ocspURL = "http://ocsp.example/"
)

// web is a Fetcher of pages that a test makes.
type web struct {
	mu    sync.Mutex
	pages map[string]func(context.Context, FetchRequest) ([]byte, error)
	asked map[string]int
}

func newWeb() *web {
	return &web{pages: map[string]func(context.Context, FetchRequest) ([]byte, error){}, asked: map[string]int{}}
}

func (w *web) Fetch(ctx context.Context, r FetchRequest) ([]byte, error) {
	w.mu.Lock()
	w.asked[r.URL]++
	page := w.pages[r.URL]
	w.mu.Unlock()
	if page == nil {
		return nil, errors.New("answered with status 404")
	}
	return page(ctx, r)
}

func (w *web) serve(url string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = func(context.Context, FetchRequest) ([]byte, error) { return body, nil }
}

func (w *web) hang(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = func(ctx context.Context, _ FetchRequest) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func (w *web) count(url string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[url]
}

// pki is a root, an authority below it, and a client of that, whose certificate names a CRL and a responder.
type pki struct {
	t          *testing.T
	root, sub  *authority
	alice      *authority
	web        *web
	revocation *Revocations
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	k := &pki{t: t, root: newRoot(t, "Root"), web: newWeb()}
	k.sub = k.root.sub(t, "Sub", nil)
	k.alice = k.sub.issue(t, "alice", func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer = []string{"ldap://pki.example/cn=sub", crlURL}, []string{ocspURL}
	})
	k.revocation = NewRevocations(k.web, Limits{})
	t.Cleanup(k.revocation.Close)
	return k
}

func (k *pki) verifier(policy Policy) *Verifier {
	k.t.Helper()
	v, err := NewVerifier(Trust{
		Roots: []*x509.Certificate{k.root.cert}, Intermediates: []*x509.Certificate{k.sub.cert}, Policy: policy, Mapping: Mapping{Part: Attribute, Attribute: "CN"},
	}, k.revocation)
	if err != nil {
		k.t.Fatal(err)
	}
	return v
}

func (k *pki) login(v *Verifier) Outcome {
	return v.Verify(k.t.Context(), Presented{Leaf: k.alice.cert}, time.Now())
}

// scopeOf returns an issuing distribution point.
func scopeOf(critical bool, parts ...asn1.RawValue) pkix.Extension {
	der, err := asn1.Marshal(parts)
	if err != nil {
		panic(err)
	}
	return pkix.Extension{Id: oidIssuingDistributionPoint, Critical: critical, Value: der}
}

func scopeFlag(tag int) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte{0xff}}
}

func scopeURL(url string) asn1.RawValue {
	name, _ := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(url)})
	full, _ := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: name})
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: full}
}

func TestRevocationByCRL(t *testing.T) {
	k := newPKI(t)
	serial := []*big.Int{big.NewInt(5), k.alice.cert.SerialNumber, new(big.Int).Lsh(big.NewInt(1), 158)}
	others := []*big.Int{big.NewInt(5), new(big.Int).Add(k.alice.cert.SerialNumber, big.NewInt(1))}
	impostor := newRoot(t, "Sub") // the authority's name, another key
	impostor.cert.SubjectKeyId = k.sub.cert.SubjectKeyId
	signless := *k.sub
	with := func(extensions ...pkix.Extension) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.ExtraExtensions = extensions }
	}
	flipped := k.sub.crl(nil, nil)
	flipped[len(flipped)-1] ^= 1
	for name, test := range map[string]struct {
		body []byte
		want trace.Reason
		says string
	}{
		"not on the list": {body: k.sub.crl(others, nil), want: trace.OK},
		"an empty list":   {body: k.sub.crl(nil, nil), want: trace.OK},
		"on the list":     {body: k.sub.crl(serial, nil), want: trace.CertificateRevoked, says: "key compromise"},
		"as PEM":          {body: pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: k.sub.crl(serial, nil)}), want: trace.CertificateRevoked},
		"on hold": {body: k.sub.crl(nil, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: k.alice.cert.SerialNumber, RevocationTime: time.Now(), ReasonCode: 6}}
		}), want: trace.CertificateRevoked, says: "on hold"},
		"users only":        {body: k.sub.crl(serial, with(scopeOf(true, scopeFlag(1)))), want: trace.CertificateRevoked},
		"its own point":     {body: k.sub.crl(serial, with(scopeOf(true, scopeURL(crlURL)))), want: trace.CertificateRevoked},
		"of another point":  {body: k.sub.crl(nil, with(scopeOf(true, scopeURL("http://pki.example/other.crl")))), want: trace.CertificateRevocationUnknown, says: "another distribution point"},
		"authorities only":  {body: k.sub.crl(nil, with(scopeOf(true, scopeFlag(2)))), want: trace.CertificateRevocationUnknown, says: "authorities only"},
		"some reasons only": {body: k.sub.crl(nil, with(scopeOf(true, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, Bytes: []byte{6, 0x40}}))), want: trace.CertificateRevocationUnknown, says: "some reasons only"},
		"an indirect list":  {body: k.sub.crl(nil, with(scopeOf(true, scopeFlag(4)))), want: trace.CertificateRevocationUnknown, says: "indirect"},
		"a delta list":      {body: k.sub.crl(nil, with(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}})), want: trace.CertificateRevocationUnknown, says: "delta"},
		"an entry of another": {body: k.sub.crl(nil, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(1), RevocationTime: time.Now(), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}}}}
		}), want: trace.CertificateRevocationUnknown, says: "critical extension"},
		"garbage":            {body: []byte("<html>not found</html>"), want: trace.CertificateRevocationUnknown, says: "no CRL"},
		"PEM of a key":       {body: []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), want: trace.CertificateRevocationUnknown, says: "PEM of something else"},
		"nothing":            {body: []byte{}, want: trace.CertificateRevocationUnknown, says: "no CRL"},
		"a broken signature": {body: flipped, want: trace.CertificateRevocationUnknown, says: "signature"},
		"of an impostor":     {body: impostor.crl(nil, nil), want: trace.CertificateRevocationUnknown, says: "signature"},
		"of another":         {body: k.root.crl(nil, nil), want: trace.CertificateRevocationUnknown, says: "another authority"},
		"stale":              {body: signless.crl(nil, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Second) }), want: trace.CertificateRevocationUnknown, says: "was to be replaced"},
		"of the future":      {body: k.sub.crl(nil, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(30 * time.Minute) }), want: trace.CertificateRevocationUnknown, says: "was to be replaced"},
		"oversized":          {body: make([]byte, 8<<20+1), want: trace.CertificateRevocationUnknown, says: "more than 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, accept := range []bool{false, true} {
				web := newWeb()
				web.serve(crlURL, test.body)
				k := &pki{t: t, root: k.root, sub: k.sub, alice: k.alice, web: web, revocation: NewRevocations(web, Limits{})}
				defer k.revocation.Close()
				o := k.login(k.verifier(Policy{Method: CRL, LeafOnly: true, AcceptUnavailable: accept}))
				want := test.want
				if accept && want == trace.CertificateRevocationUnknown {
					want = trace.OK
					if o.Excused == nil || !strings.Contains(o.Excused.Error(), test.says) {
						t.Errorf("excused by %v", o.Excused)
					}
				} else if test.says != "" && (o.Err == nil || !strings.Contains(o.Err.Error(), test.says)) {
					t.Errorf("got %v", o.Err)
				}
				if o.Reason != want || (o.User == "") == (want == trace.OK) {
					t.Errorf("accept %t: got %s (%v), user %q", accept, o.Reason, o.Err, o.User)
				}
			}
		})
	}
}

func TestEveryCertificateOfTheChainIsChecked(t *testing.T) {
	k := newPKI(t)
	rootURL := "http://pki.example/root.crl"
	k.web.serve(crlURL, k.sub.crl(nil, nil))
	k.web.serve(rootURL, k.root.crl([]*big.Int{k.sub.cert.SerialNumber}, nil))
	policy := Policy{Method: CRL, CRLs: []string{crlURL, rootURL}}
	if o := k.login(k.verifier(policy)); o.Reason != trace.CertificateRevoked || !strings.Contains(o.Err.Error(), "CN=Sub") {
		t.Errorf("the authority was revoked: %s (%v)", o.Reason, o.Err)
	}
	policy.LeafOnly = true
	if o := k.login(k.verifier(policy)); o.Reason != trace.OK {
		t.Errorf("leaf only: %s (%v)", o.Reason, o.Err)
	}
	// A list for end entities says nothing about authorities.
	k = newPKI(t)
	k.web.serve(crlURL, k.sub.crl(nil, nil))
	k.web.serve(rootURL, k.root.crl(nil, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{scopeOf(true, scopeFlag(1))} }))
	policy.LeafOnly = false
	if o := k.login(k.verifier(policy)); o.Reason != trace.CertificateRevocationUnknown || !strings.Contains(o.Err.Error(), "for end entities only") {
		t.Errorf("a list for end entities: %s (%v)", o.Reason, o.Err)
	}
	// The authority's certificate names nobody to ask.
	if o := k.login(k.verifier(Policy{Method: CRL})); o.Reason != trace.CertificateRevocationUnknown || !strings.Contains(o.Err.Error(), "names no way") {
		t.Errorf("nobody to ask: %s (%v)", o.Reason, o.Err)
	}
}

// respond returns an OCSP response about a serial number of an authority; with is put into it.
func respond(t testing.TB, about, signer *authority, serial *big.Int, with *x509.Certificate, edit func(*ocsp.Response)) []byte {
	t.Helper()
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: serial, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour), Certificate: with}
	if edit != nil {
		edit(&r)
	}
	der, err := ocsp.CreateResponse(about.cert, signer.cert, r, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// extended signs a response anew with an extension.
func extended(t *testing.T, der []byte, signer *authority, oid asn1.ObjectIdentifier, critical bool, value []byte) []byte {
	t.Helper()
	r, err := ocsp.ParseResponse(der, nil)
	if err != nil {
		t.Fatal(err)
	}
	var tbs cryptobyte.String
	if input := cryptobyte.String(r.TBSResponseData); !input.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		t.Fatal("no response data")
	}
	var data cryptobyte.Builder
	data.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oid)
					if critical {
						b.AddASN1Boolean(true)
					}
					b.AddASN1OctetString(value)
				})
			})
		})
	})
	signed := data.BytesOrPanic()
	digest := sha256.Sum256(signed)
	signature, err := ecdsa.SignASN1(rand.Reader, signer.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	var response cryptobyte.Builder
	response.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1})
				b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(signed)
						b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
						})
						b.AddASN1BitString(signature)
					})
				})
			})
		})
	})
	return response.BytesOrPanic()
}

// nonceOf returns the nonce of a request.
func nonceOf(t *testing.T, request []byte) []byte {
	t.Helper()
	_, after, ok := strings.Cut(string(request), "\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02\x04\x22")
	if !ok || len(after) != 34 {
		t.Errorf("a request without a nonce of 32 octets: %x", request)
		return nil
	}
	return []byte(after)
}

func TestRevocationByOCSP(t *testing.T) {
	k := newPKI(t)
	serial := k.alice.cert.SerialNumber
	delegate := func(edit func(*x509.Certificate)) *authority {
		return k.sub.issue(t, "Responder", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
			if edit != nil {
				edit(c)
			}
		})
	}
	responder, stranger := delegate(nil), newRoot(t, "Stranger")
	usage := delegate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	anything := delegate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })
	encipher := delegate(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	expired := delegate(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	impostor := newRoot(t, "Sub").issue(t, "Responder", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} })
	twin := k.root.sub(t, "Twin", nil) // an authority that has given the same serial number
	by := func(signer *authority, with *x509.Certificate, edit func(*ocsp.Response)) []byte {
		return respond(t, k.sub, signer, serial, with, edit)
	}
	status := func(s int) func(*ocsp.Response) {
		return func(r *ocsp.Response) {
			r.Status, r.RevokedAt, r.RevocationReason = s, time.Now().Add(-time.Hour), ocsp.KeyCompromise
		}
	}
	flipped := by(k.sub, nil, nil)
	flipped[len(flipped)-1] ^= 1
	const unknown = trace.CertificateRevocationUnknown
	for name, test := range map[string]struct {
		policy Policy
		body   []byte
		page   func(FetchRequest) []byte
		want   trace.Reason
		says   string
		always bool // refused also where what cannot be found out is accepted
	}{
		"good, by the authority":              {body: by(k.sub, nil, nil), want: trace.OK},
		"good, by the authority with its own": {body: by(k.sub, k.sub.cert, nil), want: trace.OK},
		"good, by its responder":              {body: by(responder, responder.cert, nil), want: trace.OK},
		"good, by a trusted responder":        {policy: Policy{Responders: []*x509.Certificate{stranger.cert}}, body: by(stranger, stranger.cert, nil), want: trace.OK},
		"good, by one that is known":          {policy: Policy{Responders: []*x509.Certificate{stranger.cert}}, body: by(stranger, nil, nil), want: trace.OK},
		"good, with SHA-256":                  {body: by(k.sub, nil, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }), want: trace.OK},
		"good, undated":                       {body: by(k.sub, nil, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), want: trace.OK},
		"revoked":                             {body: by(k.sub, nil, status(ocsp.Revoked)), want: trace.CertificateRevoked, says: "key compromise", always: true},
		"not known to the responder":          {body: by(k.sub, nil, status(ocsp.Unknown)), want: unknown, says: "does not know", always: true},
		"by a stranger":                       {body: by(stranger, stranger.cert, nil), want: unknown, says: "not of the authority"},
		"by a stranger without a certificate": {body: by(stranger, nil, nil), want: unknown, says: "neither the authority nor a trusted responder"},
		"by a responder without its cert":     {body: by(responder, nil, nil), want: unknown, says: "neither the authority nor a trusted responder"},
		"by somebody of the authority":        {body: by(usage, usage.cert, nil), want: unknown, says: "id-kp-OCSPSigning"},
		"by somebody for any usage":           {body: by(anything, anything.cert, nil), want: unknown, says: "id-kp-OCSPSigning"},
		"by a key that does not sign":         {body: by(encipher, encipher.cert, nil), want: unknown, says: "not meant for signatures"},
		"by a responder of an impostor":       {body: by(impostor, impostor.cert, nil), want: unknown, says: "not of the authority"},
		"by a responder that has expired":     {body: by(expired, expired.cert, nil), want: unknown, says: "not valid at the time"},
		"a broken signature":                  {body: flipped, want: unknown, says: "neither the authority"},
		"stale":                               {body: by(k.sub, nil, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Second) }), want: unknown, says: "stale"},
		"undated and old":                     {body: by(k.sub, nil, func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = time.Now().Add(-time.Hour), time.Time{} }), want: unknown, says: "stale"},
		"of the future":                       {body: by(k.sub, nil, func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(time.Hour) }), want: unknown, says: "future"},
		"about another certificate":           {body: respond(t, k.sub, k.sub, big.NewInt(1), nil, nil), want: unknown, says: "no response matching"},
		"about another authority's":           {policy: Policy{Responders: []*x509.Certificate{stranger.cert}}, body: respond(t, twin, stranger, serial, stranger.cert, nil), want: unknown, says: "another authority"},
		"a critical extension":                {body: extended(t, by(k.sub, nil, nil), k.sub, asn1.ObjectIdentifier{1, 2, 3}, true, nil), want: unknown, says: "critical extension"},
		"an extension":                        {body: extended(t, by(k.sub, nil, nil), k.sub, asn1.ObjectIdentifier{1, 2, 3}, false, nil), want: trace.OK},
		"a nonce that nobody asked for":       {body: extended(t, by(k.sub, nil, nil), k.sub, oidNonce, false, []byte{4, 1, 1}), want: trace.OK},
		"no nonce":                            {policy: Policy{Nonce: true}, body: by(k.sub, nil, nil), want: unknown, says: "without the nonce"},
		"another nonce":                       {policy: Policy{Nonce: true}, body: extended(t, by(k.sub, nil, nil), k.sub, oidNonce, false, []byte{4, 1, 1}), want: unknown, says: "another nonce"},
		"the nonce": {policy: Policy{Nonce: true}, page: func(r FetchRequest) []byte {
			return extended(t, by(k.sub, nil, nil), k.sub, oidNonce, false, nonceOf(t, r.Body))
		}, want: trace.OK},
		"an error":                          {body: ocsp.TryLaterErrorResponse, want: unknown, says: "try later"},
		"garbage":                           {body: []byte("<html>"), want: unknown, says: "no OCSP answer"},
		"nothing":                           {body: []byte{}, want: unknown, says: "no OCSP answer"},
		"oversized":                         {body: make([]byte, maxAnswer+1), want: unknown, says: "more than 65536 bytes"},
		"a good answer with more behind it": {body: append(by(k.sub, nil, nil), 0), want: unknown, says: "trailing data"},
		"a responder that the policy names": {policy: Policy{Responder: "http://other.example/ocsp"}, body: by(k.sub, nil, nil), want: unknown, says: "other.example"},
		"CRL alone, though OCSP would know": {policy: Policy{Method: CRL}, body: by(k.sub, nil, nil), want: unknown, says: crlURL},
	} {
		t.Run(name, func(t *testing.T) {
			for _, accept := range []bool{false, true} {
				web := newWeb()
				web.pages[ocspURL] = func(_ context.Context, r FetchRequest) ([]byte, error) {
					if r.ContentType != "application/ocsp-request" || len(r.Body) == 0 {
						return nil, fmt.Errorf("asked with %q", r.ContentType)
					}
					if test.page != nil {
						return test.page(r), nil
					}
					return test.body, nil
				}
				k := &pki{t: t, root: k.root, sub: k.sub, alice: k.alice, web: web, revocation: NewRevocations(web, Limits{})}
				defer k.revocation.Close()
				policy := test.policy
				if policy.Method == Either {
					policy.Method = OCSP
				}
				policy.LeafOnly, policy.AcceptUnavailable = true, accept
				o := k.login(k.verifier(policy))
				want := test.want
				if accept && want == unknown && !test.always {
					want = trace.OK
				} else if test.says != "" && (o.Err == nil || !strings.Contains(o.Err.Error(), test.says)) {
					t.Errorf("got %v", o.Err)
				}
				if o.Reason != want || (o.User == "") == (want == trace.OK) {
					t.Errorf("accept %t: got %s (%v), user %q", accept, o.Reason, o.Err, o.User)
				}
			}
		})
	}
}

func TestStapledAnswerIsTakenFirst(t *testing.T) {
	k := newPKI(t)
	serial := k.alice.cert.SerialNumber
	good := respond(t, k.sub, k.sub, serial, nil, nil)
	gone := respond(t, k.sub, k.sub, serial, nil, func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, time.Now() })
	stale := respond(t, k.sub, k.sub, serial, nil, func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Second) })
	forged := respond(t, k.sub, newRoot(t, "Sub"), serial, nil, nil)
	k.web.serve(crlURL, k.sub.crl(nil, nil))
	for name, test := range map[string]struct {
		policy Policy
		staple []byte
		want   trace.Reason
	}{
		"good":                     {Policy{Method: OCSP}, good, trace.OK},
		"revoked":                  {Policy{Method: Either}, gone, trace.CertificateRevoked},
		"revoked, unavailable":     {Policy{Method: OCSP, AcceptUnavailable: true}, gone, trace.CertificateRevoked},
		"stale":                    {Policy{Method: OCSP}, stale, trace.CertificateRevocationUnknown},
		"stale, and a CRL":         {Policy{Method: Either}, stale, trace.OK},
		"forged":                   {Policy{Method: OCSP}, forged, trace.CertificateRevocationUnknown},
		"garbage":                  {Policy{Method: OCSP}, []byte("x"), trace.CertificateRevocationUnknown},
		"good, but a nonce is due": {Policy{Method: OCSP, Nonce: true}, good, trace.CertificateRevocationUnknown},
		"good, but CRLs decide":    {Policy{Method: CRL, CRLs: []string{"http://none.example/"}}, good, trace.CertificateRevocationUnknown},
	} {
		test.policy.LeafOnly = true
		o := k.verifier(test.policy).Verify(t.Context(), Presented{Leaf: k.alice.cert, Stapled: test.staple}, time.Now())
		if o.Reason != test.want {
			t.Errorf("%s: %s (%v)", name, o.Reason, o.Err)
		}
	}
}

func TestStapledAnswerIsOfTheLeafAlone(t *testing.T) {
	k := newPKI(t)
	staple := respond(t, k.sub, k.sub, k.alice.cert.SerialNumber, nil, nil)
	o := k.verifier(Policy{Method: OCSP}).Verify(t.Context(), Presented{Leaf: k.alice.cert, Stapled: staple}, time.Now())
	if o.Reason != trace.CertificateRevocationUnknown || strings.Contains(o.Err.Error(), "stapled") || !strings.Contains(o.Err.Error(), "CN=Sub") {
		t.Errorf("got %s (%v)", o.Reason, o.Err)
	}
}

func TestURLsOfACertificateAreBounded(t *testing.T) {
	urls := []string{"ldap://a/", "file:///etc/passwd", "http://u:p@a/", "http:///", "http:a", "//a", "", "http://" + strings.Repeat("a", 2048)}
	if got := named(urls); len(got) != 0 {
		t.Errorf("fetched: %q", got)
	}
	for range 10 {
		urls = append(urls, crlURL)
	}
	if got := named(urls); len(got) != maxSources {
		t.Errorf("fetched: %q", got)
	}
}

func TestCRLIsAskedWhereOCSPGivesNoAnswer(t *testing.T) {
	for name, answers := range map[string]func(k *pki){
		"not there": func(*pki) {},
		"garbage":   func(k *pki) { k.web.serve(ocspURL, []byte("x")) },
		"not known": func(k *pki) {
			k.web.serve(ocspURL, respond(t, k.sub, k.sub, k.alice.cert.SerialNumber, nil, func(r *ocsp.Response) { r.Status = ocsp.Unknown }))
		},
	} {
		k := newPKI(t)
		answers(k)
		k.web.serve(crlURL, k.sub.crl([]*big.Int{k.alice.cert.SerialNumber}, nil))
		if o := k.login(k.verifier(Policy{LeafOnly: true})); o.Reason != trace.CertificateRevoked {
			t.Errorf("%s: %s (%v)", name, o.Reason, o.Err)
		}
		k = newPKI(t)
		answers(k)
		k.web.serve(crlURL, k.sub.crl(nil, nil))
		if o := k.login(k.verifier(Policy{LeafOnly: true})); o.Reason != trace.OK || !strings.HasPrefix(o.Revocation, "CRL") {
			t.Errorf("%s: %s (%v) by %s", name, o.Reason, o.Err, o.Revocation)
		}
	}
}

func TestResponderThatHangsCostsTheTimeoutAndNoMore(t *testing.T) {
	for name, test := range map[string]struct {
		policy Policy
		want   trace.Reason
		took   time.Duration
	}{
		"refused":                      {Policy{Method: OCSP}, trace.CertificateRevocationUnknown, DefaultTimeout},
		"accepted":                     {Policy{Method: OCSP, AcceptUnavailable: true}, trace.OK, DefaultTimeout},
		"a timeout of its own":         {Policy{Method: OCSP, Timeout: time.Second}, trace.CertificateRevocationUnknown, time.Second},
		"half is left for the CRL":     {Policy{Method: Either}, trace.OK, DefaultTimeout / 2},
		"both hang":                    {Policy{Method: Either, CRLs: []string{"http://slow.example/"}}, trace.CertificateRevocationUnknown, DefaultTimeout},
		"accepted though both hang":    {Policy{Method: Either, CRLs: []string{"http://slow.example/"}, AcceptUnavailable: true}, trace.OK, DefaultTimeout},
		"every one of the chain hangs": {Policy{Method: OCSP, Responder: ocspURL}, trace.CertificateRevocationUnknown, DefaultTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newPKI(t)
				k.web.hang(ocspURL)
				k.web.hang("http://slow.example/")
				k.web.serve(crlURL, k.sub.crl(nil, nil))
				test.policy.LeafOnly = test.policy.Responder == ""
				began := time.Now()
				o := k.login(k.verifier(test.policy))
				if o.Reason != test.want || time.Since(began) != test.took {
					t.Errorf("got %s (%v) after %v", o.Reason, o.Err, time.Since(began))
				}
			})
		})
	}
}

func TestCallerWhoLeavesIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		k.web.hang(ocspURL)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		o := k.verifier(Policy{Method: OCSP, LeafOnly: true}).Verify(ctx, Presented{Leaf: k.alice.cert}, time.Now())
		if o.Reason != trace.CertificateRevocationUnknown || time.Since(began) != time.Second {
			t.Errorf("got %s after %v", o.Reason, time.Since(began))
		}
	})
}

func TestSourceThatFailedIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		k.web.hang(ocspURL)
		v := k.verifier(Policy{Method: OCSP, LeafOnly: true, AcceptUnavailable: true})
		k.login(v)
		time.Sleep(20 * time.Second) // the fetch has ended, too
		began := time.Now()
		if o := k.login(v); o.Excused == nil || time.Since(began) != 0 || k.web.count(ocspURL) != 1 {
			t.Errorf("excused %v, after %v, asked %d times", o.Excused, time.Since(began), k.web.count(ocspURL))
		}
		if _, known := v.Known(Presented{Leaf: k.alice.cert}, time.Now()); !known {
			t.Error("a source that has failed is to be fetched again at once")
		}
		time.Sleep(30 * time.Second)
		if _, known := v.Known(Presented{Leaf: k.alice.cert}, time.Now()); known {
			t.Error("a source that has failed is never fetched again")
		}
		k.web.serve(ocspURL, respond(t, k.sub, k.sub, k.alice.cert.SerialNumber, nil, nil))
		if o := k.login(v); o.Excused != nil || o.Revocation != "OCSP "+ocspURL {
			t.Errorf("excused %v, by %q", o.Excused, o.Revocation)
		}
	})
}

func TestAnswersAreKeptUntilTheirNextUpdate(t *testing.T) {
	for name, test := range map[string]struct {
		policy Policy
		url    string
		answer func(*pki) []byte
	}{
		"CRL":  {Policy{Method: CRL, LeafOnly: true}, crlURL, func(k *pki) []byte { return k.sub.crl(nil, nil) }},
		"OCSP": {Policy{Method: OCSP, LeafOnly: true}, ocspURL, func(k *pki) []byte { return respond(t, k.sub, k.sub, k.alice.cert.SerialNumber, nil, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newPKI(t)
				k.web.serve(test.url, test.answer(k))
				v, p := k.verifier(test.policy), Presented{Leaf: k.alice.cert}
				if _, known := v.Known(p, time.Now()); known || k.web.count(test.url) != 0 {
					t.Error("known before it was fetched")
				}
				for range 3 {
					if o := k.login(v); o.Reason != trace.OK {
						t.Fatalf("got %s (%v)", o.Reason, o.Err)
					}
				}
				time.Sleep(time.Hour - time.Nanosecond)
				if o, known := v.Known(p, time.Now()); !known || o.Reason != trace.OK || o.User != "alice" || k.web.count(test.url) != 1 {
					t.Errorf("before nextUpdate: %s, known %t, asked %d times", o.Reason, known, k.web.count(test.url))
				}
				time.Sleep(time.Nanosecond)
				if _, known := v.Known(p, time.Now()); known {
					t.Error("known after nextUpdate")
				}
				if _, known := v.Known(p, time.Now().Add(-3*time.Hour)); known {
					t.Error("known for a time before it")
				}
				if o := k.login(v); o.Reason != trace.CertificateRevocationUnknown || k.web.count(test.url) != 2 {
					t.Errorf("after nextUpdate: %s (%v), asked %d times", o.Reason, o.Err, k.web.count(test.url))
				}
			})
		})
	}
}

func TestOlderListBringsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		old := k.sub.crl(nil, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(24 * time.Hour) })
		time.Sleep(time.Minute)
		k.web.serve(crlURL, k.sub.crl([]*big.Int{k.alice.cert.SerialNumber}, nil))
		v := k.verifier(Policy{Method: CRL, LeafOnly: true})
		if o := k.login(v); o.Reason != trace.CertificateRevoked {
			t.Fatalf("got %s (%v)", o.Reason, o.Err)
		}
		time.Sleep(2 * time.Hour)
		k.web.serve(crlURL, old)
		if o := k.login(v); o.Reason != trace.CertificateRevocationUnknown || !strings.Contains(o.Err.Error(), "older") {
			t.Errorf("got %s (%v)", o.Reason, o.Err)
		}
	})
}

func TestLoginsAtOnceShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		answer := respond(t, k.sub, k.sub, k.alice.cert.SerialNumber, nil, nil)
		k.web.pages[ocspURL] = func(context.Context, FetchRequest) ([]byte, error) {
			time.Sleep(time.Second)
			return answer, nil
		}
		v := k.verifier(Policy{Method: OCSP, LeafOnly: true})
		var logins sync.WaitGroup
		for range 100 {
			logins.Go(func() {
				if o := k.login(v); o.Reason != trace.OK {
					t.Errorf("got %s (%v)", o.Reason, o.Err)
				}
			})
		}
		logins.Wait()
		if n := k.web.count(ocspURL); n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

func TestFetchGoesOnForTheNextLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		answer := respond(t, k.sub, k.sub, k.alice.cert.SerialNumber, nil, nil)
		k.web.pages[ocspURL] = func(context.Context, FetchRequest) ([]byte, error) {
			time.Sleep(3 * time.Second)
			return answer, nil
		}
		v := k.verifier(Policy{Method: OCSP, LeafOnly: true, Timeout: time.Second})
		if o := k.login(v); o.Reason != trace.CertificateRevocationUnknown {
			t.Errorf("the first: %s", o.Reason)
		}
		time.Sleep(5 * time.Second)
		if o, known := v.Known(Presented{Leaf: k.alice.cert}, time.Now()); !known || o.Reason != trace.OK {
			t.Errorf("the next: %s, known %t", o.Reason, known)
		}
	})
}

func TestAnswersOfOneTrustAreNotHandedToAnother(t *testing.T) {
	k := newPKI(t)
	stranger := newRoot(t, "Stranger")
	k.web.serve(ocspURL, respond(t, k.sub, stranger, k.alice.cert.SerialNumber, stranger.cert, nil))
	trusting := k.verifier(Policy{Method: OCSP, LeafOnly: true, Responders: []*x509.Certificate{stranger.cert}})
	if o := k.login(trusting); o.Reason != trace.OK {
		t.Fatalf("got %s (%v)", o.Reason, o.Err)
	}
	if o := k.login(k.verifier(Policy{Method: OCSP, LeafOnly: true})); o.Reason != trace.CertificateRevocationUnknown {
		t.Errorf("got %s (%v)", o.Reason, o.Err)
	}
}

func TestFetchesUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		k.revocation.Close()
		k.revocation = NewRevocations(k.web, Limits{Flights: 1})
		t.Cleanup(k.revocation.Close)
		k.web.hang(ocspURL)
		k.web.serve(crlURL, k.sub.crl(nil, nil))
		v := k.verifier(Policy{Method: OCSP, LeafOnly: true})
		go k.login(v)
		synctest.Wait()
		if o := k.login(k.verifier(Policy{Method: CRL, LeafOnly: true})); !errors.Is(o.Err, errBusy) {
			t.Errorf("got %v", o.Err)
		}
	})
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	m := map[[32]byte]int{}
	for i := range 1000 {
		makeRoom(m, 10, func(n int) bool { return n%2 == 0 })
		m[sha256.Sum256(big.NewInt(int64(i)).Bytes())] = i
		if len(m) > 10 {
			t.Fatalf("%d are kept", len(m))
		}
	}
	for _, n := range m {
		if n < 900 && n%2 == 0 {
			t.Errorf("%d is kept, which is over", n)
		}
	}
}

func TestClosingEndsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPKI(t)
		k.web.hang(ocspURL)
		v := k.verifier(Policy{Method: OCSP, LeafOnly: true})
		done := make(chan Outcome, 1)
		go func() { done <- k.login(v) }()
		synctest.Wait()
		began := time.Now()
		k.revocation.Close()
		if o := <-done; o.Reason != trace.CertificateRevocationUnknown || time.Since(began) != 0 {
			t.Errorf("got %s after %v", o.Reason, time.Since(began))
		}
		k.web.serve(crlURL, k.sub.crl(nil, nil))
		if o := k.login(k.verifier(Policy{Method: CRL, LeafOnly: true})); !errors.Is(o.Err, errClosed) {
			t.Errorf("after the end: %v", o.Err)
		}
	})
}

func TestRevocationIsTold(t *testing.T) {
	k := newPKI(t)
	steps := func(o Outcome) string {
		var recorded trace.Trace
		recorded.Start(time.Now())
		o.Record(&recorded)
		var b strings.Builder
		for i := range recorded.Len() {
			s := recorded.Step(i)
			fmt.Fprintln(&b, s.Code.Words(string(s.Subject), string(s.Detail)))
		}
		return b.String()
	}
	if told := steps(k.login(k.verifier(Policy{Method: CRL, LeafOnly: true}))); !strings.Contains(told, "could not be found out: nothing tells") || strings.Contains(told, "names the user") {
		t.Errorf("unknown: %s", told)
	}
	if told := steps(k.login(k.verifier(Policy{Method: CRL, LeafOnly: true, AcceptUnavailable: true}))); !strings.Contains(told, "which the policy accepts: ") || !strings.Contains(told, "names the user alice: subject.CN") {
		t.Errorf("excused: %s", told)
	}
	k = newPKI(t)
	k.web.serve(crlURL, k.sub.crl(nil, nil))
	if told := steps(k.login(k.verifier(Policy{Method: CRL, LeafOnly: true}))); !strings.Contains(told, "It was not revoked: CRL "+crlURL) {
		t.Errorf("good: %s", told)
	}
	k = newPKI(t)
	k.web.serve(crlURL, k.sub.crl([]*big.Int{k.alice.cert.SerialNumber}, nil))
	if told := steps(k.login(k.verifier(Policy{Method: CRL, LeafOnly: true}))); !strings.Contains(told, "refused: CRL "+crlURL+" says that CN=alice was revoked") || strings.Contains(told, "not revoked") {
		t.Errorf("revoked: %s", told)
	}
}

func FuzzParseCRL(f *testing.F) {
	sub := newRoot(f, "Sub")
	f.Add(sub.crl([]*big.Int{big.NewInt(7)}, func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{scopeOf(true, scopeURL(crlURL), scopeFlag(1))}
	}))
	f.Add([]byte("-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"))
	f.Add(scopeOf(true, scopeURL(crlURL), scopeFlag(1)).Value)
	f.Fuzz(func(t *testing.T, body []byte) {
		if l, err := parseCRL(body, sub.cert); (l == nil) == (err == nil) {
			t.Fatalf("%v, %v", l, err)
		}
		_, _ = parseScope(body)
	})
}

func FuzzParseOCSP(f *testing.F) {
	sub := newRoot(f, "Sub")
	alice := sub.issue(f, "alice", nil)
	good := respond(f, sub, sub, alice.cert.SerialNumber, sub.cert, nil)
	f.Add(good)
	response, err := ocsp.ParseResponse(good, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(response.TBSResponseData)
	f.Add(ocsp.UnauthorizedErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		a := parseOCSP(der, alice.cert, sub.cert, &Policy{}, nil, time.Now())
		if (a.status == unavailable) != (a.err != nil && a.until.IsZero()) {
			t.Fatalf("%+v", a)
		}
		_ = checkResponseData(der, alice.cert.SerialNumber, sub.cert, []byte{1})
	})
}
