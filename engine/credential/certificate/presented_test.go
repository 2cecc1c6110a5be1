package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
)

func pemOf(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

func TestHeadersOfEveryProxyAreRead(t *testing.T) {
	root := newRoot(t, "Root")
	sub := root.sub(t, "Sub", nil)
	leaf := sub.issue(t, "alice", nil).cert
	text := base64.StdEncoding.EncodeToString(leaf.Raw)
	upper := base64.StdEncoding.EncodeToString(sub.cert.Raw)
	above := base64.StdEncoding.EncodeToString(root.cert.Raw)
	many := strings.TrimSuffix(strings.Repeat(":"+upper+":, ", MaxChain), ", ")
	for name, test := range map[string]struct {
		header, chain []string
		above         int
		err           error
	}{
		"RFC 9440":                            {header: []string{":" + text + ":"}},
		"RFC 9440 without padding":            {header: []string{":" + strings.TrimRight(text, "=") + ":"}},
		"RFC 9440 with a chain":               {header: []string{":" + text + ":"}, chain: []string{":" + upper + ":, :" + above + ":"}, above: 2},
		"RFC 9440 with a chain in two fields": {header: []string{":" + text + ":"}, chain: []string{":" + upper + ":", ":" + above + ":"}, above: 2},
		"as many as there may be":             {header: []string{":" + text + ":"}, chain: []string{many}, above: MaxChain},
		"nginx":                               {header: []string{url.PathEscape(pemOf(leaf))}},
		"nginx, everything escaped":           {header: []string{strings.ReplaceAll(strings.ReplaceAll(url.PathEscape(pemOf(leaf)), "-", "%2D"), "+", "%2B")}},
		"form encoding":                       {header: []string{url.QueryEscape(pemOf(leaf))}},
		"Apache":                              {header: []string{strings.ReplaceAll(pemOf(leaf), "\n", " ")}},
		"tabs for line ends":                  {header: []string{strings.ReplaceAll(pemOf(leaf), "\n", "\n\t")}},
		"PEM with its chain":                  {header: []string{url.PathEscape(pemOf(leaf, sub.cert))}, above: 1},
		"a chain of PEM":                      {header: []string{url.PathEscape(pemOf(leaf))}, chain: []string{url.PathEscape(pemOf(sub.cert, root.cert))}, above: 2},
		"HAProxy":                             {header: []string{text}},
		"Traefik":                             {header: []string{url.QueryEscape(text)}},
		"an empty field beside it":            {header: []string{"", text, "(null)"}},

		"none":                              {err: ErrMissing},
		"empty":                             {header: []string{" "}, err: ErrMissing},
		"Apache's none":                     {header: []string{"(null)"}, err: ErrMissing},
		"two":                               {header: []string{text, text}, err: ErrMalformed},
		"two in one":                        {header: []string{":" + text + ":, :" + text + ":"}, err: ErrMalformed},
		"a forgery in front":                {header: []string{pemOf(leaf) + ", " + pemOf(leaf)}, err: ErrMalformed},
		"parameters":                        {header: []string{":" + text + ":;a=1"}, err: ErrMalformed},
		"no end":                            {header: []string{":" + text}, err: ErrMalformed},
		"PEM without its end":               {header: []string{strings.TrimSuffix(pemOf(leaf), pemEnd+"\n")}, err: ErrMalformed},
		"a key":                             {header: []string{"-----BEGIN PRIVATE KEY----- MIIB -----END PRIVATE KEY-----"}, err: ErrMalformed},
		"no base64":                         {header: []string{"MIIB$$$$"}, err: ErrMalformed},
		"no certificate":                    {header: []string{base64.StdEncoding.EncodeToString([]byte("hello"))}, err: ErrMalformed},
		"cut short":                         {header: []string{text[:len(text)/2]}, err: ErrMalformed},
		"more behind it":                    {header: []string{base64.StdEncoding.EncodeToString(append(leaf.Raw[:len(leaf.Raw):len(leaf.Raw)], 0))}, err: ErrMalformed},
		"broken URL encoding":               {header: []string{"-----BEGIN%2"}, err: ErrMalformed},
		"too large a header":                {header: []string{strings.Repeat("A", MaxHeader+1)}, err: ErrMalformed},
		"too large a certificate":           {header: []string{strings.Repeat("A", MaxCertificate*2)}, err: ErrMalformed},
		"too long a chain":                  {header: []string{":" + text + ":"}, chain: []string{many, ":" + above + ":"}, err: ErrMalformed},
		"too long a chain of PEM":           {header: []string{strings.Repeat(pemOf(leaf), MaxChain+2)}, err: ErrMalformed},
		"a chain that cannot be read":       {header: []string{text}, chain: []string{":" + upper + ":,"}, err: ErrMalformed},
		"a chain header that is too large":  {header: []string{text}, chain: []string{strings.Repeat("A", MaxHeader+1)}, err: ErrMalformed},
		"a chain without its certificate":   {chain: []string{":" + upper + ":"}, err: ErrMissing},
		"a line end within base64 of RFC 9": {header: []string{":" + text[:64] + "\n" + text[64:] + ":"}, err: ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := FromHeader(test.header, test.chain)
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v", err)
			}
			if err == nil && (!p.Leaf.Equal(leaf) || len(p.Chain) != test.above) {
				t.Errorf("got %s and %d above", describe(p.Leaf), len(p.Chain))
			}
		})
	}
}

func FuzzFromHeader(f *testing.F) {
	f.Add(":MIIB:", "")
	f.Add("-----BEGIN%20CERTIFICATE-----%0AMIIB%0A-----END%20CERTIFICATE-----", ":AA==:, :AA==:")
	f.Add("-----BEGIN+CERTIFICATE-----MIIB-----END+CERTIFICATE-----", "-----BEGIN CERTIFICATE----- -----END CERTIFICATE-----")
	f.Add("MIIB%2B", ",,")
	f.Fuzz(func(t *testing.T, header, chain string) {
		p, err := FromHeader([]string{header}, []string{chain})
		if err != nil {
			if !errors.Is(err, ErrMissing) && !errors.Is(err, ErrMalformed) || p.Leaf != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		if p.Leaf == nil || len(p.Chain) > MaxChain {
			t.Fatalf("%v", p)
		}
		if fields, err := FieldsOf(p.Leaf); err == nil {
			for _, m := range []Mapping{{}, {Part: Attribute, Attribute: "CN"}, {Part: UPN}} {
				_, _ = m.User(&fields)
			}
		}
	})
}

func TestCertificateOfATLSPeer(t *testing.T) {
	root := newRoot(t, "Root")
	sub := root.sub(t, "Sub", nil)
	server, client := root.issue(t, "server", nil), sub.issue(t, "alice", nil)
	near, far := net.Pipe()
	listener := tls.Server(near, &tls.Config{
		ClientAuth:   tls.RequireAnyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.cert.Raw}, PrivateKey: server.key}},
	})
	peer := tls.Client(far, &tls.Config{
		InsecureSkipVerify: true,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{client.cert.Raw, sub.cert.Raw}, PrivateKey: client.key}},
	})
	defer listener.Close()
	defer peer.Close()
	shaken := make(chan error, 1)
	go func() { shaken <- peer.HandshakeContext(t.Context()) }()
	if err := listener.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	state := listener.ConnectionState()
	p, err := FromTLS(&state)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(Trust{Roots: []*x509.Certificate{root.cert}, Policy: Policy{Method: Off}, Mapping: Mapping{Part: Attribute, Attribute: "CN"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o := v.Verify(t.Context(), p, noon); o.User != "alice" || len(o.Chain) != 3 {
		t.Errorf("got %+v", o)
	}
	if _, err := FromTLS(&tls.ConnectionState{}); !errors.Is(err, ErrMissing) {
		t.Errorf("without one: %v", err)
	}
	state.PeerCertificates = append(state.PeerCertificates, make([]*x509.Certificate, MaxChain)...)
	if _, err := FromTLS(&state); !errors.Is(err, ErrMalformed) {
		t.Errorf("too many: %v", err)
	}
}
