package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func secretOf(t testing.TB, s string) *Secret {
	t.Helper()
	secret, err := NewSecret([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func parsed(t testing.TB, packet []byte) *View {
	t.Helper()
	v := new(View)
	if f := Parse(packet, v); f != OK {
		t.Fatalf("Parse: %v", f)
	}
	return v
}

// The packets printed in RFC 2865 section 7.1 and 7.2 and RFC 5997 section 6.
const (
	nemoRequest = `01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a
		01 06 6e 65 6d 6f 02 12 0d be 70 8d 93 d4 13 ce 31 96 e4 3f 78 2a 0a ee
		04 06 c0 a8 01 10 05 06 00 00 00 03`
	nemoAccept = `02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2
		06 06 00 00 00 01 0f 06 00 00 00 00 0e 06 c0 a8 01 03`
	flopsyRequest = `01 01 00 47 2a ee 86 f0 8d 0d 55 96 9c a5 97 8e 0d 33 67 a2
		01 08 66 6c 6f 70 73 79 03 13 16 e9 75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75
		04 06 c0 a8 01 10 05 06 00 00 00 14 06 06 00 00 00 02 07 06 00 00 00 01`
	flopsyAccept = `02 01 00 38 15 ef bc 7d ab 26 cf a3 dc 34 d9 c0 3c 86 01 a4
		06 06 00 00 00 02 07 06 00 00 00 01 08 06 ff ff ff fe 0a 06 00 00 00 02
		0d 06 00 00 00 01 0c 06 00 00 05 dc`
	statusRequest = `0c da 00 26 8a 54 f4 68 6f b3 94 c5 28 66 e3 02 18 5d 06 23
		50 12 5a 66 5e 2e 1e 84 11 f3 e2 43 82 20 97 c8 4f a3`
	statusAccept = `02 da 00 14 ef 0d 55 2a 4b f2 d6 93 ec 2b 6f e8 b5 41 1d 66`
	statusAcct   = `0c b3 00 26 92 5f 6b 66 dd 5f ed 57 1f cb 1d b7 ad 38 82 60
		50 12 e8 d6 ea bd a9 10 87 5c d9 1f da de 26 36 78 58`
	rfcSecret = "xyzzy5461"
)

func TestRFC2865PasswordIsRevealedAndHidden(t *testing.T) {
	secret := secretOf(t, rfcSecret)
	v := parsed(t, unhex(t, nemoRequest))
	hidden, ok := v.First(UserPassword)
	if !ok {
		t.Fatal("no User-Password")
	}
	clearText, f := secret.Reveal(HideUserPassword, nil, hidden, v.Authenticator())
	if f != OK || string(clearText) != "arctangent" {
		t.Fatalf("Reveal = %q, %v", clearText, f)
	}
	again, f := secret.Hide(HideUserPassword, nil, clearText, v.Authenticator(), 0)
	if f != OK || !bytes.Equal(again, hidden) {
		t.Fatalf("Hide = %x, %v; want %x", again, f, hidden)
	}
}

func TestRFCResponseAuthenticators(t *testing.T) {
	for _, c := range []struct{ name, request, reply string }{
		{"RFC 2865 7.1", nemoRequest, nemoAccept},
		{"RFC 2865 7.2", flopsyRequest, flopsyAccept},
		{"RFC 5997 6.1", statusRequest, statusAccept},
	} {
		t.Run(c.name, func(t *testing.T) {
			secret := secretOf(t, rfcSecret)
			request, reply := parsed(t, unhex(t, c.request)), parsed(t, unhex(t, c.reply))
			if f := secret.VerifyReply(reply, request.ID(), request.Authenticator(), false); f != OK {
				t.Fatalf("VerifyReply = %v", f)
			}
			if f := secretOf(t, "xyzzy5462").VerifyReply(reply, request.ID(), request.Authenticator(), false); f != AuthenticatorMismatch {
				t.Fatalf("with a wrong secret: %v", f)
			}
			if f := secret.VerifyReply(reply, request.ID()+1, request.Authenticator(), false); f != ReplyUnexpected {
				t.Fatalf("for another identifier: %v", f)
			}
			// A reply without Message-Authenticator is not something that Reply
			// writes for these codes; its digest must be the printed one still.
			got := secret.digest(reply.Bytes(), request.Authenticator())
			if !bytes.Equal(got[:], reply.Authenticator()[:]) {
				t.Fatalf("digest = %x", got)
			}
		})
	}
}

func TestRFC5997StatusServerSignatureVerifies(t *testing.T) {
	for _, packet := range []string{statusRequest, statusAcct} {
		v := parsed(t, unhex(t, packet))
		if f := secretOf(t, rfcSecret).Verify(v, true); f != OK {
			t.Errorf("Verify = %v", f)
		}
		if f := secretOf(t, "other").Verify(v, true); f != SignatureMismatch {
			t.Errorf("with a wrong secret: %v", f)
		}
	}
}

func TestVerifyNamesTheCause(t *testing.T) {
	secret := secretOf(t, "s")
	build := func(code Code, fill func(b *Builder)) []byte {
		var b Builder
		b.UnsignedRequest(make([]byte, 0, MaxPacket), code, 1, secret)
		fill(&b)
		p, f := b.Finish()
		if f != OK {
			t.Fatal(f)
		}
		return p
	}
	plain := func(b *Builder) { b.Text(UserName, "u") }
	twice := func(b *Builder) { b.Sign(); b.Attr(MessageAuthenticator, make([]byte, 16)) }
	short := func(b *Builder) { b.Attr(MessageAuthenticator, make([]byte, 15)) }
	signed := func(b *Builder) { plain(b); b.Sign() }
	for _, c := range []struct {
		name    string
		packet  []byte
		require bool
		flip    int
		want    Fault
	}{
		{"unsigned access, not required", build(AccessRequest, plain), false, 0, OK},
		{"unsigned access, required", build(AccessRequest, plain), true, 0, SignatureMissing},
		{"signed access", build(AccessRequest, signed), true, 0, OK},
		{"signed access, attribute changed", build(AccessRequest, signed), false, 22, SignatureMismatch},
		{"signed access, identifier changed", build(AccessRequest, signed), false, 1, SignatureMismatch},
		{"signature twice", build(AccessRequest, twice), true, 0, SignatureMalformed},
		{"signature short", build(AccessRequest, short), false, 0, SignatureMalformed},
		{"accounting", build(AccountingRequest, plain), false, 0, OK},
		{"accounting changed", build(AccountingRequest, plain), false, 22, AuthenticatorMismatch},
		{"signed accounting", build(AccountingRequest, signed), true, 0, OK},
		{"signed CoA", build(CoARequest, signed), true, 0, OK},
		{"unsigned Disconnect, required", build(DisconnectRequest, plain), true, 0, SignatureMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.flip > 0 {
				c.packet[c.flip] ^= 1
			}
			padded := append(c.packet, "padding that no digest sees"...)
			if got := secret.Verify(parsed(t, padded), c.require); got != c.want {
				t.Fatalf("Verify = %v, want %v", got, c.want)
			}
		})
	}
}

func TestParseRefusesEveryMalformedShape(t *testing.T) {
	header := func(length int, rest string) []byte {
		p := make([]byte, headerLen)
		p[0], p[2], p[3] = 1, byte(length>>8), byte(length)
		return append(p, rest...)
	}
	for _, c := range []struct {
		name   string
		packet []byte
		want   Fault
	}{
		{"nothing", nil, TooShort},
		{"19 bytes", make([]byte, 19), TooShort},
		{"length 19", header(19, ""), LengthField},
		{"length beyond datagram", header(21, ""), LengthField},
		{"length 4097", header(4097, strings.Repeat("x", 5000)), TooLong},
		{"bare header", header(20, ""), OK},
		{"padding", header(20, "anything"), OK},
		{"one byte of attribute", header(21, "\x01"), AttributeOverrun},
		{"attribute length 0", header(22, "\x01\x00"), AttributeLength},
		{"attribute length 1", header(22, "\x01\x01"), AttributeLength},
		{"attribute without value", header(22, "\x01\x02"), OK},
		{"attribute beyond length", header(22, "\x01\x03x"), AttributeOverrun},
		{"second attribute beyond", header(25, "\x01\x03x\x02\x09"), AttributeOverrun},
		{"most attributes", header(4096, strings.Repeat("\x01\x02", maxAttributes)), OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := View{count: 7}
			if got := Parse(c.packet, &v); got != c.want {
				t.Fatalf("Parse = %v, want %v", got, c.want)
			}
			if c.want != OK && (v.Len() != 0 || v.Bytes() != nil || v.Has(UserName)) {
				t.Fatal("a refused packet left something in the view")
			}
		})
	}
}

func TestAllAttributesAreKept(t *testing.T) {
	p := make([]byte, headerLen, MaxPacket)
	p[2], p[3] = 0x10, 0
	for len(p) < MaxPacket {
		p = append(p, byte(len(p)/2%200+1), 2)
	}
	v := parsed(t, p)
	if v.Len() != maxAttributes {
		t.Fatalf("%d attributes, want %d", v.Len(), maxAttributes)
	}
	var again []byte
	for i := range v.Len() {
		again = append(again, v.Raw(i)...)
	}
	if !bytes.Equal(again, p[headerLen:]) {
		t.Fatal("attributes are not the packet's bytes in order")
	}
}

func TestViewReads(t *testing.T) {
	var b Builder
	secret := secretOf(t, "s")
	b.Request(make([]byte, 0, MaxPacket), AccessRequest, 9, secret)
	b.Text(UserName, "alice")
	b.Attr(ProxyState, []byte("a"))
	b.Uint32(NASPort, 77)
	b.Attr(ProxyState, []byte("b"))
	b.Split(EAPMessage, bytes.Repeat([]byte("e"), 600))
	p, f := b.Finish()
	if f != OK {
		t.Fatal(f)
	}
	v := parsed(t, p)
	if first, _ := v.At(0); first != MessageAuthenticator {
		t.Errorf("first attribute is %d", first)
	}
	if name, ok := v.First(UserName); !ok || string(name) != "alice" {
		t.Errorf("User-Name = %q", name)
	}
	if port, ok := v.Uint32(NASPort); !ok || port != 77 {
		t.Errorf("NAS-Port = %d", port)
	}
	if _, ok := v.Uint32(UserName); ok {
		t.Error("five bytes were read as an integer")
	}
	if _, ok := v.First(State); ok || v.Has(State) {
		t.Error("State out of nothing")
	}
	if got := v.Concat(nil, ProxyState); string(got) != "ab" {
		t.Errorf("Proxy-States = %q", got)
	}
	if v.Count(EAPMessage) != 3 || len(v.Concat(nil, EAPMessage)) != 600 {
		t.Errorf("EAP-Message in %d pieces", v.Count(EAPMessage))
	}
	if !v.Contiguous(EAPMessage) || !v.Contiguous(State) || v.Contiguous(ProxyState) {
		t.Error("Contiguous is wrong")
	}
	n := 0
	for range v.All() {
		n++
	}
	if n != v.Len() {
		t.Errorf("All yields %d of %d", n, v.Len())
	}
}

func TestSecretPrintsRedacted(t *testing.T) {
	const word = "hunter2!"
	secret := secretOf(t, word)
	type holder struct {
		S *Secret
		u Secret
	}
	asJSON, err := json.Marshal(holder{secret, *secret})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "value", *secret)
	prints := []string{string(asJSON), log.String(), secret.String(), secret.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%p"} {
		prints = append(prints, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, *secret), fmt.Sprintf(verb, holder{secret, *secret}), fmt.Sprintf(verb, []Secret{*secret}))
	}
	for _, s := range prints {
		if strings.Contains(s, word) || strings.Contains(s, hex.EncodeToString([]byte(word))) || strings.Contains(s, "104 117") {
			t.Errorf("secret in %q", s)
		}
	}
	if _, err := NewSecret(nil); err == nil {
		t.Error("an empty secret was taken")
	}
}
