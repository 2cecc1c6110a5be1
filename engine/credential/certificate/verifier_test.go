package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine/trace"
)

func TestChains(t *testing.T) {
	root, other := newRoot(t, "Root"), newRoot(t, "Root") // the same name, another key
	sub := root.sub(t, "Sub", nil)
	narrow := root.sub(t, "Narrow", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains, c.PermittedEmailAddresses = true, []string{"example.org"}, []string{"example.org"}
	})
	servers := root.sub(t, "Servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	shallow := root.sub(t, "Shallow", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	old := root.sub(t, "Old", func(c *x509.Certificate) { c.NotAfter = noon.AddDate(-1, 0, 0) })
	for name, test := range map[string]struct {
		leaf  *authority
		with  []*authority
		known []*authority
		at    time.Time
		want  trace.Reason
		says  string
	}{
		"of the root":                       {leaf: root.issue(t, "alice", nil), want: trace.OK},
		"of an authority that came with it": {leaf: sub.issue(t, "alice", nil), with: []*authority{sub}, want: trace.OK},
		"of an authority that is known":     {leaf: sub.issue(t, "alice", nil), known: []*authority{sub}, want: trace.OK},
		"with the root itself":              {leaf: sub.issue(t, "alice", nil), with: []*authority{sub, root}, want: trace.OK},
		"without the authority between":     {leaf: sub.issue(t, "alice", nil), want: trace.CertificateUntrusted},
		"of another root":                   {leaf: other.issue(t, "alice", nil), with: []*authority{other}, want: trace.CertificateUntrusted},
		"signed by itself":                  {leaf: (*authority)(nil).issue(t, "alice", nil), want: trace.CertificateUntrusted},
		"any usage":                         {leaf: root.issue(t, "alice", func(c *x509.Certificate) { c.ExtKeyUsage = nil }), want: trace.OK},
		"for servers":                       {leaf: root.issue(t, "alice", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), want: trace.CertificateUsage},
		"of an authority for servers":       {leaf: servers.issue(t, "alice", nil), with: []*authority{servers}, want: trace.CertificateUsage},
		"expired":                           {leaf: root.issue(t, "alice", nil), at: noon.AddDate(14, 0, 0), want: trace.CertificateExpired},
		"not yet valid":                     {leaf: root.issue(t, "alice", nil), at: noon.AddDate(-37, 0, 0), want: trace.CertificateNotYetValid},
		"of an authority that has expired":  {leaf: old.issue(t, "alice", nil), with: []*authority{old}, want: trace.CertificateExpired},
		"at no time":                        {leaf: root.issue(t, "alice", nil), at: time.Unix(-62135596800, 0), want: trace.CertificateUntrusted, says: "no time"},
		"a name that the authority may give": {
			leaf: narrow.issue(t, "alice", func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@example.org"} }), with: []*authority{narrow}, want: trace.OK,
		},
		"a name that the authority may not give": {
			leaf: narrow.issue(t, "alice", func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@example.com"} }), with: []*authority{narrow}, want: trace.CertificateUntrusted,
			says: "example.com",
		},
		"one authority too many": {
			leaf: shallow.sub(t, "Below", nil).issue(t, "alice", nil), with: []*authority{shallow}, want: trace.CertificateUntrusted,
		},
		"of no authority": {leaf: root.issue(t, "bob", nil).issue(t, "alice", nil), want: trace.CertificateUntrusted},
		"a critical extension that nobody knows": {
			leaf: root.issue(t, "alice", func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
			}), want: trace.CertificateUntrusted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			trust := Trust{Roots: []*x509.Certificate{root.cert}, Policy: Policy{Method: Off}, Mapping: Mapping{Part: Attribute, Attribute: "CN"}}
			for _, c := range test.known {
				trust.Intermediates = append(trust.Intermediates, c.cert)
			}
			v, err := NewVerifier(trust, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := Presented{Leaf: test.leaf.cert}
			for _, c := range test.with {
				p.Chain = append(p.Chain, c.cert)
			}
			at := noon
			if !test.at.IsZero() || test.says == "no time" {
				at = test.at
			}
			o, known := v.Known(p, at)
			if o.Reason != test.want || !known || (o.Err == nil) != (test.want == trace.OK) || (o.User == "alice") != (test.want == trace.OK) {
				t.Fatalf("got %s (%v), user %q, known %t", o.Reason, o.Err, o.User, known)
			}
			if test.says != "" && !strings.Contains(o.Err.Error(), test.says) {
				t.Errorf("got %v", o.Err)
			}
		})
	}
}

func TestVerifierRefusesTrustThatCannotWork(t *testing.T) {
	root := newRoot(t, "Root")
	leaf := root.issue(t, "alice", nil)
	roots := []*x509.Certificate{root.cert}
	r := NewRevocations(nil, Limits{})
	defer r.Close()
	for name, trust := range map[string]Trust{
		"no root":                     {},
		"a root that is no authority": {Roots: []*x509.Certificate{leaf.cert}},
		"no such method":              {Roots: roots, Policy: Policy{Method: 9}},
		"no such part":                {Roots: roots, Mapping: Mapping{Part: 9}},
		"no such attribute":           {Roots: roots, Mapping: Mapping{Part: Attribute, Attribute: "commonName"}},
		"no expression":               {Roots: roots, Mapping: Mapping{Part: Expression}},
		"too long":                    {Roots: roots, Policy: Policy{Timeout: time.Hour}},
		"a CRL in a file":             {Roots: roots, Policy: Policy{CRLs: []string{"file:///etc/ssl/crl.pem"}}},
		"a responder with a password": {Roots: roots, Policy: Policy{Responder: "http://a:b@ocsp.example/"}},
		"too many lists":              {Roots: roots, Policy: Policy{CRLs: make([]string, 33)}},
	} {
		if _, err := NewVerifier(trust, r); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := NewVerifier(Trust{Roots: roots}, nil); err == nil {
		t.Error("revocation is to be checked with nothing, which is taken")
	}
}

func TestMapping(t *testing.T) {
	root := newRoot(t, "Root")
	home, _ := url.Parse("urn:person:alice")
	full := root.issue(t, "alice", func(c *x509.Certificate) {
		c.Subject = pkix.Name{
			Country: []string{"DE"}, Organization: []string{`Example, "Inc."`}, SerialNumber: "E-17", CommonName: "Alice Smith",
			ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "asmith"},
				{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "alice@example.org"},
				{Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: "private"},
			},
		}
		c.EmailAddresses, c.DNSNames, c.URIs = []string{"a.smith@example.org"}, []string{"pc.example.org"}, []*url.URL{home}
	}).cert
	principal := root.issue(t, "alice", func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{upn(t, "alice@corp.example")} }).cert
	twice := root.issue(t, "alice", func(c *x509.Certificate) {
		c.EmailAddresses = []string{"a@example.org", "b@example.org"}
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "alice"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "root"}}
	}).cert
	hidden := root.issue(t, "root\x00.example.org", nil).cert
	endless := root.issue(t, strings.Repeat("a", maxUser+1), nil).cert
	for name, test := range map[string]struct {
		cert    *x509.Certificate
		mapping string
		want    string
	}{
		"subject":            {full, "subject", `1.2.3.4=#130770726976617465,emailAddress=alice@example.org,UID=asmith,serialNumber=E-17,CN=Alice Smith,O=Example\, \"Inc.\",C=DE`},
		"CN":                 {full, "subject.CN", "Alice Smith"},
		"UID":                {full, "subject.UID", "asmith"},
		"serial number":      {full, "subject.serialNumber", "E-17"},
		"e-mail of subject":  {full, "subject.emailAddress", "alice@example.org"},
		"OID":                {full, "subject.1.2.3.4", "private"},
		"e-mail":             {full, "san.email", "a.smith@example.org"},
		"DNS":                {full, "san.dns", "pc.example.org"},
		"URI":                {full, "san.uri", "urn:person:alice"},
		"UPN":                {principal, "san.upn", "alice@corp.example"},
		"no UPN":             {full, "san.upn", ""},
		"no e-mail":          {principal, "san.email", ""},
		"no UID":             {principal, "subject.UID", ""},
		"two e-mails":        {twice, "san.email", ""},
		"two CNs":            {twice, "subject.CN", ""},
		"a NUL in the name":  {hidden, "subject.CN", ""},
		"a name without end": {endless, "subject.CN", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseMapping(test.mapping)
			if err != nil {
				t.Fatal(err)
			}
			if m.String() != test.mapping {
				t.Errorf("%q prints as %q", test.mapping, m)
			}
			fields, err := FieldsOf(test.cert)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.User(&fields)
			if got != test.want || (err != nil) != (test.want == "") || err != nil && !errors.Is(err, ErrUnmapped) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for _, text := range []string{"", "cn", "subject.", "subject.commonName", "subject.2.5.4.3", "subject.1", "subject.1.2.", "subject.01.2", "san.ip", "san.upn "} {
		if m, err := ParseMapping(text); err == nil {
			t.Errorf("%q is taken as %v", text, m)
		}
	}
}

func TestDistinguishedNamesAreEscaped(t *testing.T) {
	root := newRoot(t, "Root")
	for value, want := range map[string]string{
		"Smith, Alice": `CN=Smith\, Alice`,
		" alice ":      `CN=\ alice\ `,
		"#alice":       `CN=\#alice`,
		"a+b":          `CN=a\+b`,
		`a\b`:          `CN=a\\b`,
		"Zoë":          "CN=Zoë",
	} {
		fields, err := FieldsOf(root.issue(t, value, nil).cert)
		if err != nil || fields.Subject.DN != want {
			t.Errorf("%q: %s, %v", value, fields.Subject.DN, err)
		}
	}
}

func TestExpressionMaps(t *testing.T) {
	root := newRoot(t, "Root")
	broken := errors.New("line 1: no such field")
	for name, test := range map[string]struct {
		expression func(*Fields) (string, error)
		want       string
		err        error
	}{
		"a name": {func(f *Fields) (string, error) {
			return strings.ToLower(f.Subject.Attributes["CN"][0]) + "@" + f.Issuer.DN, nil
		}, "alice@CN=Root", nil},
		"nothing": {func(*Fields) (string, error) { return "", nil }, "", ErrUnmapped},
		"failure": {func(*Fields) (string, error) { return "alice", broken }, "", broken},
	} {
		v, err := NewVerifier(Trust{Roots: []*x509.Certificate{root.cert}, Policy: Policy{Method: Off}, Mapping: Mapping{Part: Expression, Expression: test.expression}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := v.Known(Presented{Leaf: root.issue(t, "Alice", nil).cert}, noon)
		if o.User != test.want || !errors.Is(o.Err, test.err) || (o.Reason == trace.OK) != (test.err == nil) || test.err != nil && o.Reason != trace.CertificateUnmapped {
			t.Errorf("%s: %s, %q, %v", name, o.Reason, o.User, o.Err)
		}
	}
}

func TestMalformedUPNIsRefused(t *testing.T) {
	root := newRoot(t, "Root")
	good := upn(t, "alice")
	for i := range good.Value {
		for _, b := range []byte{0, 0xff, good.Value[i] ^ 1} {
			value := append([]byte(nil), good.Value...)
			value[i] = b
			c := *root.cert
			c.Extensions = []pkix.Extension{{Id: oidSubjectAltName, Value: value}}
			if upns, err := upnsOf(&c); err != nil && !errors.Is(err, ErrMalformed) || err != nil && upns != nil {
				t.Fatalf("byte %d = %d: %q, %v", i, b, upns, err)
			}
		}
	}
	c := *root.cert
	c.Extensions = []pkix.Extension{{Id: oidSubjectAltName, Value: good.Value[:len(good.Value)-1]}}
	if _, err := upnsOf(&c); !errors.Is(err, ErrMalformed) {
		t.Errorf("cut short: %v", err)
	}
}

func TestOutcomeIsTold(t *testing.T) {
	root := newRoot(t, "Root")
	v, err := NewVerifier(Trust{Roots: []*x509.Certificate{root.cert}, Policy: Policy{Method: Off}, Mapping: Mapping{Part: UPN}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		outcome Outcome
		want    []trace.StepCode
	}{
		"missing":  {Unread(ErrMissing), []trace.StepCode{trace.CertificateRefused}},
		"unmapped": {v.Verify(t.Context(), Presented{Leaf: root.issue(t, "alice", nil).cert}, noon), []trace.StepCode{trace.CertificateCame, trace.CertificateChained, trace.CertificateRefused}},
		"expired":  {v.Verify(t.Context(), Presented{Leaf: root.issue(t, "alice", nil).cert}, noon.AddDate(14, 0, 0)), []trace.StepCode{trace.CertificateCame, trace.CertificateRefused}},
		"mapped": {
			v.Verify(t.Context(), Presented{Leaf: root.issue(t, "alice", func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{upn(t, "a@b")} }).cert}, noon),
			[]trace.StepCode{trace.CertificateCame, trace.CertificateChained, trace.CertificateMapped},
		},
	} {
		var steps trace.Trace
		steps.Start(noon)
		test.outcome.Record(&steps)
		var got []trace.StepCode
		for i := range steps.Len() {
			got = append(got, steps.Step(i).Code)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
