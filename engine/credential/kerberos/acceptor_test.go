package kerberos

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"trine/engine/secret"
	"trine/engine/trace"
)

// newAcceptor returns an acceptor with keys of every encryption type for the service of honest.
func newAcceptor(t testing.TB, edit func(*Config)) *Acceptor {
	t.Helper()
	file := []byte{5, 2}
	for _, enctype := range []int32{aes128SHA1, aes256SHA1, aes128SHA256, aes256SHA384, rc4HMAC} {
		file = append(file, keytabOf(honest().service, 2, enctype, key(enctype))[2:]...)
	}
	keytab, err := ParseKeytab(file)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Keytab: keytab, Mapping: Mapping{Realms: map[string]Realm{"EXAMPLE.TEST": {}, "OTHER.TEST": {Keep: true}}}}
	if edit != nil {
		edit(&c)
	}
	a, err := NewAcceptor(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTicketsAreJudged(t *testing.T) {
	bound := bindingHash([]byte("tls-server-end-point:ours"))
	in := func(d time.Duration) *time.Time { at := noon.Add(d); return &at }
	other := principal{name: []string{"alice"}, realm: "OTHER.TEST"}
	for name, test := range map[string]struct {
		edit    func(*forgery)
		config  func(*Config)
		binding string
		want    trace.Reason
		user    string
		says    string
	}{
		"good":                       {want: trace.OK, user: "alice"},
		"without SPNEGO":             {edit: func(f *forgery) { f.spnego = false }, want: trace.OK, user: "alice"},
		"as Windows 2000 calls it":   {edit: func(f *forgery) { f.mechanism = oidMSKerberos }, want: trace.OK, user: "alice"},
		"nothing mutual":             {edit: func(f *forgery) { f.options = 0 }, want: trace.OK, user: "alice"},
		"a PAC that is garbage":      {edit: func(f *forgery) { f.extra = pac([]byte("garbage")) }, want: trace.OK, user: "alice"},
		"no version of the key":      {edit: func(f *forgery) { f.version = 0 }, want: trace.OK, user: "alice"},
		"AES-128":                    {edit: func(f *forgery) { f.enctype, f.key = aes128SHA1, key(aes128SHA1) }, want: trace.OK, user: "alice"},
		"AES-128 with SHA-256":       {edit: func(f *forgery) { f.enctype, f.key = aes128SHA256, key(aes128SHA256) }, want: trace.OK, user: "alice"},
		"AES-256 with SHA-384":       {edit: func(f *forgery) { f.enctype, f.key, f.session = aes256SHA384, key(aes256SHA384), aes256SHA384 }, want: trace.OK, user: "alice"},
		"RC4, allowed":               {edit: func(f *forgery) { f.enctype, f.key = rc4HMAC, key(rc4HMAC) }, config: func(c *Config) { c.RC4 = true }, want: trace.OK, user: "alice"},
		"RC4":                        {edit: func(f *forgery) { f.enctype, f.key = rc4HMAC, key(rc4HMAC) }, want: trace.KerberosWeak},
		"RC4 in the session":         {edit: func(f *forgery) { f.session, f.sessionKey = rc4HMAC, make([]byte, 16) }, want: trace.KerberosWeak, says: "session"},
		"a type that nobody knows":   {edit: func(f *forgery) { f.ticketType = 16 }, want: trace.KerberosWeak, says: "encryption type 16"},
		"another version":            {edit: func(f *forgery) { f.version = 3 }, want: trace.KerberosNoKey, says: "version 3"},
		"another service":            {edit: func(f *forgery) { f.service.name[0] = "cifs" }, want: trace.KerberosNoKey, says: "cifs/"},
		"another realm's service":    {edit: func(f *forgery) { f.service.realm = "OTHER.TEST" }, want: trace.KerberosNoKey},
		"another key":                {edit: func(f *forgery) { f.key = make([]byte, 32) }, want: trace.KerberosWrongKey},
		"a ticket cut short":         {edit: func(f *forgery) { f.keepTicket = -1 }, want: trace.KerberosWrongKey},
		"a ticket that is too short": {edit: func(f *forgery) { f.keepTicket = 27 }, want: trace.KerberosWrongKey},
		"a proof that is too short":  {edit: func(f *forgery) { f.keepProof = 3 }, want: trace.KerberosWrongKey},
		"a proof of another type":    {edit: func(f *forgery) { f.proofType = aes128SHA1 }, want: trace.KerberosWrongKey},
		"a proof of another's":       {edit: func(f *forgery) { f.claimed.name = []string{"root"} }, want: trace.KerberosWrongKey, says: "root"},
		"a proof of another realm":   {edit: func(f *forgery) { f.claimed = other }, want: trace.KerberosWrongKey, says: "OTHER.TEST"},
		"for a user's ticket":        {edit: func(f *forgery) { f.options |= flag(1) }, want: trace.KerberosMalformed},
		"expired":                    {edit: func(f *forgery) { f.ends = noon.Add(-DefaultSkew - time.Second) }, want: trace.KerberosExpired},
		"expired within the skew":    {edit: func(f *forgery) { f.ends = noon.Add(-DefaultSkew) }, want: trace.OK, user: "alice"},
		"not yet valid":              {edit: func(f *forgery) { f.starts = in(DefaultSkew + time.Second) }, want: trace.KerberosNotYetValid},
		"valid within the skew":      {edit: func(f *forgery) { f.starts = in(DefaultSkew) }, want: trace.OK, user: "alice"},
		"begins with the login":      {edit: func(f *forgery) { f.authAt = noon.Add(time.Hour) }, want: trace.KerberosNotYetValid},
		"postdated":                  {edit: func(f *forgery) { f.flags = flag(7) }, want: trace.KerberosNotYetValid},
		"a clock that is slow":       {edit: func(f *forgery) { f.at, f.micro = noon.Add(-DefaultSkew), 0 }, want: trace.OK, user: "alice"},
		"a clock that is too slow":   {edit: func(f *forgery) { f.at, f.micro = noon.Add(-DefaultSkew-time.Second), 999_999 }, want: trace.KerberosSkew},
		"a clock that is too fast":   {edit: func(f *forgery) { f.at, f.micro = noon.Add(DefaultSkew), 1 }, want: trace.KerberosSkew},
		"a skew of its own":          {edit: func(f *forgery) { f.at = noon.Add(2 * time.Second) }, config: func(c *Config) { c.Skew = time.Second }, want: trace.KerberosSkew},
		"a million microseconds":     {edit: func(f *forgery) { f.micro = 1_000_000 }, want: trace.KerberosMalformed},
		"no checksum":                {edit: func(f *forgery) { f.checksum = 0 }, want: trace.KerberosMalformed, says: "checksum"},
		"another checksum":           {edit: func(f *forgery) { f.checksum = 16 }, want: trace.KerberosMalformed, says: "checksum"},
		"a realm that is not mapped": {edit: func(f *forgery) { f.client.realm, f.claimed.realm, f.flags = "THIRD.TEST", "THIRD.TEST", flag(12) }, want: trace.KerberosRealm, says: "THIRD.TEST"},
		"another realm":              {edit: func(f *forgery) { f.client, f.claimed, f.flags = other, other, flag(12) }, want: trace.OK, user: "alice@OTHER.TEST"},
		"a path that nobody checked": {edit: func(f *forgery) { f.client, f.claimed = other, other }, want: trace.KerberosRealm, says: "checked"},
		"anonymous":                  {edit: func(f *forgery) { f.flags = flag(16) }, want: trace.KerberosUnmapped, says: "anonymous"},
		"anonymous by name": {edit: func(f *forgery) {
			f.client.name, f.claimed.name = []string{"WELLKNOWN", "ANONYMOUS"}, []string{"WELLKNOWN", "ANONYMOUS"}
		}, want: trace.KerberosUnmapped},
		"bound":                       {edit: func(f *forgery) { f.binding = bound[:] }, binding: "tls-server-end-point:ours", config: func(c *Config) { c.RequireBinding = true }, want: trace.OK, user: "alice"},
		"bound, nobody knows to what": {edit: func(f *forgery) { f.binding = bound[:] }, want: trace.OK, user: "alice"},
		"bound to another":            {edit: func(f *forgery) { f.binding = bound[:] }, binding: "tls-server-end-point:theirs", want: trace.KerberosBinding, says: "another TLS connection"},
		"not bound":                   {binding: "tls-server-end-point:ours", want: trace.OK, user: "alice"},
		"not bound, but must be":      {binding: "tls-server-end-point:ours", config: func(c *Config) { c.RequireBinding = true }, want: trace.KerberosBinding, says: "required"},
		"bound to what is unknown":    {edit: func(f *forgery) { f.binding = bound[:] }, config: func(c *Config) { c.RequireBinding = true }, want: trace.KerberosBinding},
	} {
		t.Run(name, func(t *testing.T) {
			f := honest()
			if test.edit != nil {
				test.edit(f)
			}
			var binding []byte
			if test.binding != "" {
				binding = []byte(test.binding)
			}
			a := newAcceptor(t, test.config)
			o := a.Accept(f.token(t), binding, noon)
			if o.Reason != test.want || o.User != test.user || (o.Err == nil) != (test.want == trace.OK) {
				t.Fatalf("got %s (%v), user %q", o.Reason, o.Err, o.User)
			}
			if test.says != "" && !strings.Contains(o.Err.Error(), test.says) {
				t.Errorf("got %v", o.Err)
			}
			if o.Bound != (name == "bound") {
				t.Errorf("bound: %t", o.Bound)
			}
			if (o.Reply != nil) != (test.want == trace.OK) {
				t.Errorf("reply %x", o.Reply)
			}
			if test.want == trace.OK {
				if o := a.Accept(f.token(t), binding, noon); o.Reason != trace.OK {
					t.Errorf("another use of the ticket: %s (%v)", o.Reason, o.Err)
				}
				if !o.OnceUntil.Equal(f.at.Add(time.Duration(f.micro)*time.Microsecond).Add(a.skew)) || !o.Ends.Equal(f.ends) || !o.AuthAt.Equal(f.authAt) {
					t.Errorf("times: %v, %v, %v", o.OnceUntil, o.Ends, o.AuthAt)
				}
			}
		})
	}
}

// pac returns authorization data with a PAC in it, as a KDC of Windows or MIT adds it.
func pac(body []byte) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		nested(b, []cbasn1.Tag{explicit(10), cbasn1.SEQUENCE, cbasn1.SEQUENCE}, func(b *cryptobyte.Builder) {
			integer(b, 0, 128)
			octets(b, 1, body)
		})
	}
}

func TestTokenIsAcceptedOnce(t *testing.T) {
	a := newAcceptor(t, nil)
	token := honest().token(t)
	var accepted, replayed sync.Map
	var attempts sync.WaitGroup
	for i := range 50 {
		attempts.Go(func() {
			switch o := a.Accept(token, nil, noon); o.Reason {
			case trace.OK:
				accepted.Store(i, o.Once)
			case trace.KerberosReplayed:
				replayed.Store(i, o.Once)
			default:
				t.Errorf("got %s (%v)", o.Reason, o.Err)
			}
		})
	}
	attempts.Wait()
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	if count(&accepted) != 1 || count(&replayed) != 49 {
		t.Errorf("accepted %d times, replayed %d times", count(&accepted), count(&replayed))
	}
	// The same authenticator with another wrapping, which nothing protects.
	o := a.Accept(rewrap(t, token), nil, noon)
	if o.Reason != trace.KerberosReplayed {
		t.Errorf("with another wrapping: %s (%v)", o.Reason, o.Err)
	}
}

// rewrap offers the Kerberos token of a SPNEGO token by itself.
func rewrap(t *testing.T, token []byte) []byte {
	t.Helper()
	_, inner, _ := parseContextToken(token)
	_, optimistic, ok := parseNegTokenInit(inner)
	if !ok {
		t.Fatal("no token of SPNEGO")
	}
	return optimistic
}

func TestReplaysAreForgottenWhenTheyCouldNotBeAccepted(t *testing.T) {
	r := replays{limit: leastSweep, seen: map[[32]byte]time.Time{}}
	key := func(n int) [32]byte { return [32]byte{byte(n), byte(n >> 8), byte(n >> 16)} }
	at := noon
	for i := range leastSweep {
		if fresh, err := r.add(key(i), at.Add(time.Minute), at); !fresh || err != nil {
			t.Fatalf("%d: %t, %v", i, fresh, err)
		}
	}
	if fresh, err := r.add(key(leastSweep), at.Add(time.Minute), at); fresh || !errors.Is(err, errReplayFull) {
		t.Errorf("one more than there is room for: %t, %v", fresh, err)
	}
	if fresh, err := r.add(key(7), at.Add(time.Minute), at); fresh || err != nil {
		t.Errorf("one that was seen, though full: %t, %v", fresh, err)
	}
	at = at.Add(time.Minute + 1)
	if fresh, err := r.add(key(leastSweep), at.Add(time.Minute), at); !fresh || err != nil || len(r.seen) != 1 {
		t.Errorf("after the others were over: %t, %v, %d are kept", fresh, err, len(r.seen))
	}
	// The clock is set back behind what is forgotten.
	if fresh, err := r.add(key(7), noon.Add(time.Minute), noon); fresh || err != nil {
		t.Errorf("one that was forgotten: %t, %v", fresh, err)
	}
}

func TestReplyProvesTheService(t *testing.T) {
	for _, enctype := range []int32{aes128SHA1, aes256SHA1, aes128SHA256, aes256SHA384} {
		f := honest()
		f.session, f.sessionKey, f.spnego = enctype, key(enctype), false
		o := newAcceptor(t, nil).Accept(f.token(t), nil, noon)
		oid, inner, ok := parseContextToken(o.Reply)
		if !ok || !oid.Equal(oidKerberos) || [2]byte(inner) != tokenReply {
			t.Fatalf("%s: %x (%v)", enctypeName(enctype), o.Reply, o.Err)
		}
		r := open(inner[2:], 15)
		version, kind, part := r.integer(0), r.integer(1), r.sealed(2)
		if r.end() != nil || version != 5 || kind != 15 || part.enctype != enctype {
			t.Fatalf("%s: no AP-REP: %x", enctypeName(enctype), inner)
		}
		plain, err := decrypt(enctype, f.sessionKey, usageReply, part.cipher)
		if err != nil {
			t.Fatal(err)
		}
		p := open(plain, 27)
		second, micro, sequence := p.time(0), p.integer(1), p.integer(3)
		if p.end() != nil || !second.Equal(f.at) || micro != f.micro || sequence < 0 || sequence >= 1<<30 {
			t.Errorf("%s: %v, %d, %d", enctypeName(enctype), second, micro, sequence)
		}
	}
}

func TestWhatIsNotKerberosIsToldApart(t *testing.T) {
	ntlm := append([]byte(nil), "NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2"...)
	good := honest()
	good.spnego = false
	request := good.token(t)
	for name, test := range map[string]struct {
		token []byte
		want  trace.Reason
		says  string
	}{
		"NTLM":                         {ntlm, trace.KerberosNotUsed, "NTLM"},
		"NTLM in SPNEGO":               {spnego(ntlm, oidNTLM), trace.KerberosNotUsed, "NTLM"},
		"NTLM, though Kerberos is on":  {spnego(ntlm, oidKerberos, oidNTLM), trace.KerberosNotUsed, "NTLM"},
		"Kerberos, but NTLM is better": {spnego(request, oidNTLM, oidKerberos), trace.KerberosNotUsed, "likes best"},
		"another mechanism":            {spnego([]byte("x"), asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 30}), trace.KerberosNotUsed, "1.3.6.1.4.1.311.2.2.30"},
		"no ticket with it":            {spnego(nil, oidKerberos), trace.KerberosMalformed, "brings no ticket"},
		"no mechanism":                 {spnego(request), trace.KerberosMalformed, "no token of SPNEGO"},
		"too many mechanisms":          {spnego(request, bytes17()...), trace.KerberosMalformed, "no token of SPNEGO"},
		"a continuation":               {[]byte{0xa1, 2, 0x30, 0}, trace.KerberosMalformed, "continuation"},
		"more behind it":               {append(bytes.Clone(request), 0), trace.KerberosMalformed, "GSS-API"},
		"nothing":                      {nil, trace.KerberosMalformed, "GSS-API"},
		"text":                         {[]byte("hello"), trace.KerberosMalformed, "GSS-API"},
		"a reply":                      {bytes.Replace(request, append([]byte{0x12, 1, 2, 2}, tokenRequest[:]...), append([]byte{0x12, 1, 2, 2}, tokenReply[:]...), 1), trace.KerberosMalformed, "no AP-REQ"},
		"too large":                    {make([]byte, MaxToken+1), trace.KerberosMalformed, "larger than"},
	} {
		o := newAcceptor(t, nil).Accept(test.token, nil, noon)
		if o.Reason != test.want || !strings.Contains(o.Err.Error(), test.says) || o.User != "" {
			t.Errorf("%s: %s (%v)", name, o.Reason, o.Err)
		}
	}
}

func bytes17() []asn1.ObjectIdentifier {
	all := make([]asn1.ObjectIdentifier, maxMechanisms+1)
	for i := range all {
		all[i] = oidKerberos
	}
	return all
}

func TestEveryByteOfATokenCounts(t *testing.T) {
	token := honest().token(t)
	a := newAcceptor(t, nil)
	accepted := 0
	for i := range token {
		broken := bytes.Clone(token)
		broken[i] ^= 1
		if o := a.Accept(broken, nil, noon); o.Reason == trace.OK {
			accepted++ // what nothing protects: name types, unused options, the versions of keys that are not looked at
			if o.User != "alice" {
				t.Errorf("byte %d makes it a token of %q", i, o.User)
			}
		}
		if o := a.Accept(token[:i], nil, noon); o.Reason == trace.OK {
			t.Errorf("the first %d bytes are accepted", i)
		}
	}
	if accepted > 1 { // the first use of the authenticator; all others are replays
		t.Errorf("accepted %d times", accepted)
	}
}

func TestHeader(t *testing.T) {
	for value, test := range map[string]struct {
		want string
		err  error
	}{
		"Negotiate aGVsbG8=":    {"hello", nil},
		"negotiate   aGVsbG8= ": {"hello", nil},
		"":                      {"", ErrMissing},
		"Negotiate":             {"", ErrMissing},
		"Basic aGVsbG8=":        {"", ErrMissing},
		"NTLM aGVsbG8=":         {"", ErrMissing},
		"Negotiate aGVsbG8":     {"", ErrMalformed},
		"Negotiate a b":         {"", ErrMalformed},
		"Negotiate " + strings.Repeat("A", 2*MaxToken): {"", ErrMalformed},
	} {
		got, err := FromHeader(value)
		if string(got) != test.want || !errors.Is(err, test.err) {
			t.Errorf("%.40q: %q, %v", value, got, err)
		}
	}
	if got := ToHeader([]byte("hello")); got != "Negotiate aGVsbG8=" {
		t.Error(got)
	}
	if got := ToHeader(nil); got != "Negotiate" {
		t.Error(got)
	}
	if o := Unread(ErrMissing); o.Reason != trace.KerberosMissing {
		t.Error(o.Reason)
	}
}

func TestPrincipalsAreMapped(t *testing.T) {
	m := Mapping{
		Principals: map[string]string{"alice/admin@EXAMPLE.TEST": "root", `a\/b@EXAMPLE.TEST`: "odd"},
		Realms:     map[string]Realm{"EXAMPLE.TEST": {}, "KEEP.TEST": {Keep: true}, "OTHER.TEST": {As: "corp.example"}},
	}
	for name, test := range map[string]struct {
		principal principal
		want      string
		err       error
	}{
		"taken off":         {principal{[]string{"alice"}, "EXAMPLE.TEST"}, "alice", nil},
		"kept":              {principal{[]string{"alice"}, "KEEP.TEST"}, "alice@KEEP.TEST", nil},
		"replaced":          {principal{[]string{"alice"}, "OTHER.TEST"}, "alice@corp.example", nil},
		"by name":           {principal{[]string{"alice", "admin"}, "EXAMPLE.TEST"}, "root", nil},
		"of a machine":      {principal{[]string{"host", "pc.example.test"}, "EXAMPLE.TEST"}, "host/pc.example.test", nil},
		"odd, by name":      {principal{[]string{"a/b"}, "EXAMPLE.TEST"}, "odd", nil},
		"looks like two":    {principal{[]string{"alice/admin"}, "EXAMPLE.TEST"}, "", ErrUnmapped},
		"looks like a mail": {principal{[]string{"alice@OTHER.TEST"}, "EXAMPLE.TEST"}, "", ErrUnmapped},
		"does not print":    {principal{[]string{"alice\x00"}, "EXAMPLE.TEST"}, "", ErrUnmapped},
		"empty":             {principal{[]string{""}, "EXAMPLE.TEST"}, "", ErrUnmapped},
		"too long":          {principal{[]string{strings.Repeat("a", 250), "bbbbbbb"}, "EXAMPLE.TEST"}, "", ErrUnmapped},
		"another case":      {principal{[]string{"alice"}, "example.test"}, "", ErrRealm},
		"unlisted":          {principal{[]string{"alice"}, "THIRD.TEST"}, "", ErrRealm},
		"anonymous":         {principal{[]string{"WELLKNOWN", "ANONYMOUS"}, "EXAMPLE.TEST"}, "", ErrUnmapped},
		"anonymous realm":   {principal{[]string{"WELLKNOWN", "ANONYMOUS"}, "WELLKNOWN:ANONYMOUS"}, "", ErrUnmapped},
	} {
		got, err := m.user(&test.principal)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestKeytab(t *testing.T) {
	service := honest().service
	good := keytabOf(service, 300, aes256SHA1, key(aes256SHA1))
	k, err := ParseKeytab(good)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Services(); len(got) != 1 || got[0] != "HTTP/idp.example.test@EXAMPLE.TEST, version 300, aes256-cts-hmac-sha1-96" {
		t.Errorf("got %q", got)
	}
	hole := append([]byte{5, 2, 0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4}, good[2:]...)
	if k, err := ParseKeytab(hole); err != nil || len(k.entries) != 1 {
		t.Errorf("a deleted entry: %v", err)
	}
	short := bytes.Clone(good[:len(good)-4]) // without the version of 32 bits
	short[5] -= 4
	if k, err := ParseKeytab(short); err != nil || len(k.find(&service, 300, aes256SHA1)) != 1 || len(k.find(&service, 301, aes256SHA1)) != 0 {
		t.Errorf("a version of 8 bits: %v", err)
	}
	for name, file := range map[string][]byte{
		"empty":               {},
		"no entry":            {5, 2},
		"version 1":           append([]byte{5, 1}, good[2:]...),
		"a file of text":      []byte("-----BEGIN"),
		"cut short":           good[:len(good)-5],
		"a size without end":  {5, 2, 0x7f, 0xff, 0xff, 0xff, 0},
		"a hole without end":  {5, 2, 0x80, 0, 0, 0, 0},
		"only a hole":         {5, 2, 0xff, 0xff, 0xff, 0xff, 0},
		"no component":        keytabOf(principal{nil, "R"}, 1, aes256SHA1, key(aes256SHA1)),
		"many components":     keytabOf(principal{make([]string, maxComponents+1), "R"}, 1, aes256SHA1, key(aes256SHA1)),
		"a key too short":     keytabOf(service, 1, aes256SHA1, make([]byte, 16)),
		"too large":           make([]byte, MaxKeytab+1),
		"an entry of nothing": {5, 2, 0, 0, 0, 1, 0},
	} {
		if k, err := ParseKeytab(file); !errors.Is(err, ErrKeytab) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %x %s", k, k, k, k)} {
		if strings.Contains(text, "1213") || !strings.Contains(text, secret.Mark) {
			t.Errorf("a keytab prints as %s", text)
		}
	}
	for name, c := range map[string]Config{
		"no keytab":      {},
		"too much skew":  {Keytab: k, Skew: time.Hour},
		"only weak keys": {Keytab: &Keytab{entries: []entry{{enctype: rc4HMAC}}}},
	} {
		if _, err := NewAcceptor(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestNewestKeyIsTriedFirst(t *testing.T) {
	service := honest().service
	var file []byte
	for version := uint32(1); version <= maxTries+2; version++ {
		k := key(aes256SHA1)
		k[0] = byte(version)
		if entry := keytabOf(service, version, aes256SHA1, k); file == nil {
			file = entry
		} else {
			file = append(file, entry[2:]...)
		}
	}
	k, err := ParseKeytab(file)
	if err != nil {
		t.Fatal(err)
	}
	found := k.find(&service, 0, aes256SHA1)
	if len(found) != maxTries || found[0].version != maxTries+2 {
		t.Errorf("%d are tried, the first of version %d", len(found), found[0].version)
	}
	if found = k.find(&service, 3, aes256SHA1); len(found) != 1 || found[0].version != 3 {
		t.Errorf("%d of version 3", len(found))
	}
}

func TestOutcomeIsTold(t *testing.T) {
	a := newAcceptor(t, nil)
	token := honest().token(t)
	for _, test := range []struct {
		outcome Outcome
		want    string
	}{
		{a.Accept(token, nil, noon), "A Kerberos ticket of alice@EXAMPLE.TEST for HTTP/idp.example.test@EXAMPLE.TEST came. The principal alice@EXAMPLE.TEST is the user alice."},
		{a.Accept(token, nil, noon), "A Kerberos ticket of alice@EXAMPLE.TEST for HTTP/idp.example.test@EXAMPLE.TEST came. The Kerberos ticket is refused: the same token was accepted before."},
		{Unread(ErrMissing), "The Kerberos ticket is refused: no Kerberos token came."},
	} {
		var steps trace.Trace
		steps.Start(noon)
		test.outcome.Record(&steps)
		var told []string
		for i := range steps.Len() {
			s := steps.Step(i)
			told = append(told, s.Code.Words(string(s.Subject), string(s.Detail)))
		}
		if got := strings.Join(told, " "); got != test.want {
			t.Errorf("got %s", got)
		}
	}
}

func FuzzAccept(f *testing.F) {
	plain := honest()
	plain.spnego = false
	f.Add(honest().token(f))
	f.Add(plain.token(f))
	f.Add(spnego([]byte("NTLMSSP\x00"), oidNTLM))
	for _, n := range []int{-1, 1, 27, 28} {
		short := honest()
		short.keepTicket = n
		f.Add(short.token(f))
	}
	a := newAcceptor(f, func(c *Config) { c.RC4 = true })
	f.Fuzz(func(t *testing.T, token []byte) {
		o := a.Accept(token, []byte("b"), noon)
		if (o.Reason == trace.OK) != (o.Err == nil) || o.Reason == trace.OK && o.User != "alice" {
			t.Fatalf("%+v", o)
		}
	})
}

// FuzzParts decodes what only the KDC, or only a client with a ticket, can have encrypted.
func FuzzParts(f *testing.F) {
	f.Add(honest().ticketPart())
	f.Add(honest().authenticatorPart())
	f.Fuzz(func(t *testing.T, der []byte) {
		if p, err := parseTicket(der); err == nil && len(p.client.name) == 0 {
			t.Fatalf("%+v", p)
		}
		if p, err := parseAuthenticator(der); err == nil && len(p.client.name) == 0 {
			t.Fatalf("%+v", p)
		}
	})
}

func FuzzParseKeytab(f *testing.F) {
	f.Add(keytabOf(honest().service, 2, aes256SHA1, key(aes256SHA1)))
	f.Add([]byte{5, 2, 0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := ParseKeytab(file)
		if (k == nil) == (err == nil) || err != nil && !errors.Is(err, ErrKeytab) {
			t.Fatalf("%v, %v", k, err)
		}
		if err == nil {
			k.Services()
		}
	})
}

func FuzzFromHeader(f *testing.F) {
	f.Add("Negotiate aGVsbG8=")
	f.Add("Basic x")
	f.Fuzz(func(t *testing.T, value string) {
		token, err := FromHeader(value)
		if err == nil {
			if again, err := FromHeader(ToHeader(token)); err != nil || !bytes.Equal(again, token) || len(token) > MaxToken+2 {
				t.Fatalf("%q becomes %q, %v", token, again, err)
			}
		} else if !errors.Is(err, ErrMissing) && !errors.Is(err, ErrMalformed) || token != nil {
			t.Fatalf("%q, %v", token, err)
		}
	})
}
