package wire

import (
	"bytes"
	"encoding/binary"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/vendors/microsoft"
)

func newBuffer() []byte { return make([]byte, 0, MaxPacket) }

func finished(t testing.TB, b *Builder) []byte {
	t.Helper()
	p, f := b.Finish()
	if f != OK {
		t.Fatalf("Finish: %v", f)
	}
	return p
}

func TestReplyIsSignedFirstAndVerifies(t *testing.T) {
	secret := secretOf(t, "secret")
	for _, code := range []Code{AccessAccept, AccessReject, AccessChallenge, AccountingResponse} {
		t.Run(code.String(), func(t *testing.T) {
			var b Builder
			b.Request(newBuffer(), AccessRequest, 200, secret)
			b.Attr(ProxyState, []byte("one"))
			b.Text(UserName, "u")
			b.Attr(ProxyState, nil)
			b.Attr(ProxyState, []byte("three"))
			request := parsed(t, finished(t, &b))

			b.Reply(newBuffer(), code, request, secret)
			b.Text(ReplyMessage, "hello")
			b.ProxyStates(request)
			reply := parsed(t, finished(t, &b))

			signed := code != AccountingResponse
			if f := secret.VerifyReply(reply, 200, request.Authenticator(), signed); f != OK {
				t.Fatalf("VerifyReply = %v", f)
			}
			if first, _ := reply.At(0); (first == MessageAuthenticator) != signed {
				t.Errorf("first attribute is %d", first)
			}
			var states []string
			for value := range reply.Each(ProxyState) {
				states = append(states, string(value))
			}
			if len(states) != 3 || states[0] != "one" || states[1] != "" || states[2] != "three" {
				t.Errorf("Proxy-States %q", states)
			}
			reply.Bytes()[reply.first[ReplyMessage]+2] ^= 1
			if f := secret.VerifyReply(reply, 200, request.Authenticator(), signed); f != AuthenticatorMismatch {
				t.Errorf("a changed reply: %v", f)
			}
		})
	}
}

func TestReplySignatureIsCheckedBesideTheAuthenticator(t *testing.T) {
	secret := secretOf(t, "secret")
	var b Builder
	b.Request(newBuffer(), AccessRequest, 1, secret)
	request := parsed(t, finished(t, &b))
	b.Reply(newBuffer(), AccessAccept, request, secret)
	reply := parsed(t, finished(t, &b))
	signature, _ := reply.First(MessageAuthenticator)
	signature[0] ^= 1
	sum := secret.digest(reply.Bytes(), request.Authenticator())
	copy(reply.Authenticator()[:], sum[:]) // what a forger of MD5 would do
	if f := secret.VerifyReply(reply, 1, request.Authenticator(), false); f != SignatureMismatch {
		t.Fatalf("VerifyReply = %v", f)
	}
}

func TestFullPacketIsAFaultAndNoTruncation(t *testing.T) {
	secret := secretOf(t, "secret")
	var b Builder
	b.Request(newBuffer(), AccessRequest, 1, secret)
	request := parsed(t, finished(t, &b))
	for _, c := range []struct {
		name string
		size int
		fill func(*Builder)
		want Fault
	}{
		{"exactly 4096", MaxPacket, func(b *Builder) {
			for b.Room() >= 255 {
				b.Attr(Class, make([]byte, 253))
			}
			b.Attr(Class, make([]byte, b.Room()-2))
		}, OK},
		{"one byte more", MaxPacket, func(b *Builder) {
			for b.Room() >= 255 {
				b.Attr(Class, make([]byte, 253))
			}
			b.Attr(Class, make([]byte, b.Room()-1))
			b.Attr(Class, nil) // would fit again, but the fault sticks
		}, PacketFull},
		{"buffer larger than a packet", 9000, func(b *Builder) {
			for range 40 {
				b.Attr(Class, make([]byte, 253))
			}
		}, PacketFull},
		{"small buffer", 30, func(*Builder) {}, PacketFull},
		{"buffer without a header's room", 19, func(*Builder) {}, PacketFull},
		{"value of 254", MaxPacket, func(b *Builder) { b.Attr(Class, make([]byte, 254)) }, ValueTooLong},
		{"text of 254", MaxPacket, func(b *Builder) { b.Text(Class, string(make([]byte, 254))) }, ValueTooLong},
		{"VSA of 247", MaxPacket, func(b *Builder) { b.VSA(9, 1, make([]byte, 247)) }, OK},
		{"VSA of 248", MaxPacket, func(b *Builder) { b.VSA(9, 1, make([]byte, 248)) }, ValueTooLong},
		{"extended of 253", MaxPacket, func(b *Builder) { b.Extended(241, 1, make([]byte, 253)) }, ValueTooLong},
		{"password of 129", MaxPacket, func(b *Builder) { b.PAP("u", string(make([]byte, 129))) }, ValueTooLong},
		{"tunnel password of 239", MaxPacket, func(b *Builder) { b.TunnelPassword(1, make([]byte, 239)) }, OK},
		{"tunnel password of 240", MaxPacket, func(b *Builder) { b.TunnelPassword(1, make([]byte, 240)) }, ValueTooLong},
		{"header that lies", MaxPacket, func(b *Builder) { b.Hidden(HideSalted, []byte{69, 9}, nil) }, ValueTooLong},
		{"encoded beyond", MaxPacket, func(b *Builder) { b.Encoded(make([]byte, MaxPacket)) }, PacketFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Builder
			b.Reply(make([]byte, 0, c.size), AccessAccept, request, secret)
			c.fill(&b)
			p, f := b.Finish()
			if f != c.want || (p != nil) != (f == OK) {
				t.Fatalf("Finish = %d bytes, %v; want %v", len(p), f, c.want)
			}
			if f == OK {
				parsed(t, p)
			}
			if _, f := b.Finish(); f == OK {
				t.Error("Finish succeeded twice")
			}
		})
	}
	if _, f := new(Builder).Finish(); f != NotBegun {
		t.Errorf("zero Builder: %v", f)
	}
}

func TestHiddenValuesSurviveTheRoundTrip(t *testing.T) {
	secret := secretOf(t, "a secret that is rather long, well beyond one block of sixty-four bytes")
	authenticator := [16]byte{1, 2, 3}
	for _, h := range []Hiding{Clear, HideUserPassword, HideSalted, HideAscend} {
		for n := 0; n <= MaxValue; n++ {
			value := bytes.Repeat([]byte{0xA5}, n)
			if n > 3 {
				value[n/2] = 0 // a zero inside must not end the value
			}
			hidden, f := secret.Hide(h, []byte("x"), value, &authenticator, uint16(n))
			if !h.fits(n) {
				if f != ValueTooLong || string(hidden) != "x" {
					t.Fatalf("hiding %d in %d bytes: %v", h, n, f)
				}
				continue
			}
			if f != OK || len(hidden)-1 != h.HiddenLen(n) {
				t.Fatalf("hiding %d of %d bytes gave %d, %v; HiddenLen says %d", h, n, len(hidden)-1, f, h.HiddenLen(n))
			}
			got, f := secret.Reveal(h, []byte("y"), hidden[1:], &authenticator)
			if f != OK || !bytes.Equal(got[1:], value) {
				t.Fatalf("revealing %d of %d bytes: %q, %v", h, n, got, f)
			}
		}
	}
}

func TestRevealRefusesImpossibleValues(t *testing.T) {
	secret, authenticator := secretOf(t, "s"), [16]byte{}
	under := func(salt byte, clearText ...byte) []byte {
		b := append([]byte{salt, 1}, make([]byte, 16)...)
		copy(b[2:], clearText)
		secret.stream(b[2:], b[:2], &authenticator, false)
		return b
	}
	salted := func(clearText ...byte) []byte { return under(0x80, clearText...) }
	for _, c := range []struct {
		name  string
		h     Hiding
		value []byte
		want  Fault
	}{
		{"empty password", HideUserPassword, nil, HiddenLength},
		{"password of 15", HideUserPassword, make([]byte, 15), HiddenLength},
		{"password of 17", HideUserPassword, make([]byte, 17), HiddenLength},
		{"password of 144", HideUserPassword, make([]byte, 144), HiddenLength},
		{"salt alone", HideSalted, []byte{0x80, 0}, HiddenLength},
		{"salted of 17", HideSalted, make([]byte, 17), HiddenLength},
		{"salt without high bit", HideSalted, under(0x7f, 5), HiddenContent},
		{"length beyond", HideSalted, salted(16), HiddenContent},
		{"length that fits", HideSalted, salted(15), OK},
		{"empty Ascend", HideAscend, nil, HiddenLength},
		{"Ascend of 17", HideAscend, make([]byte, 17), HiddenLength},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, f := secret.Reveal(c.h, []byte("keep"), c.value, &authenticator)
			if f != c.want || (f != OK && string(got) != "keep") {
				t.Fatalf("Reveal = %q, %v; want %v", got, f, c.want)
			}
		})
	}
}

func TestSaltsOfOnePacketDiffer(t *testing.T) {
	secret := secretOf(t, "s")
	var b Builder
	b.ReplyTo(newBuffer(), AccessAccept, 1, &[16]byte{}, secret)
	b.salt = 0xFFFE // across the wrap too
	for range 40 {
		b.TunnelPassword(3, []byte("same"))
	}
	seen := map[uint16]bool{}
	for value := range parsed(t, finished(t, &b)).Each(TunnelPassword) {
		salt := binary.BigEndian.Uint16(value[1:])
		if seen[salt] || salt&saltHighBit == 0 || value[0] != 3 {
			t.Fatalf("salt %#x", salt)
		}
		seen[salt] = true
	}
	if len(seen) != 40 {
		t.Fatalf("%d salts", len(seen))
	}
}

// layeh.com/radius must read what Builder writes, and the other way round.
func TestLayehReadsOurPacketsAndWeReadIts(t *testing.T) {
	const word = "shared"
	secret := secretOf(t, word)
	var b Builder
	b.Request(newBuffer(), AccessRequest, 7, secret)
	b.PAP("alice", "wonderland")
	ours := finished(t, &b)
	theirs, err := radius.Parse(ours, []byte(word))
	if err != nil {
		t.Fatal(err)
	}
	if rfc2865.UserPassword_GetString(theirs) != "wonderland" || rfc2865.UserName_GetString(theirs) != "alice" {
		t.Errorf("read %q", rfc2865.UserPassword_GetString(theirs))
	}
	b.Reply(newBuffer(), AccessAccept, parsed(t, ours), secret)
	b.TunnelPassword(2, []byte("tunnel"))
	b.MPPEKeys(1, 6, bytes.Repeat([]byte("S"), 16), bytes.Repeat([]byte("R"), 16))
	reply := finished(t, &b)
	if !radius.IsAuthenticResponse(reply, ours, []byte(word)) {
		t.Error("our reply is not authentic to them")
	}
	theirReply, err := radius.Parse(reply, []byte(word))
	if err != nil {
		t.Fatal(err)
	}

	tag, password, err := rfc2868.TunnelPassword_LookupString(theirReply, theirs)
	if err != nil || tag != 2 || password != "tunnel" {
		t.Errorf("Tunnel-Password = %d %q %v", tag, password, err)
	}
	key, ok := parsed(t, reply).Vendor(VendorMicrosoft, MSMPPESendKey)
	if !ok {
		t.Fatal("no MS-MPPE-Send-Key")
	}
	clearKey, _, err := radius.TunnelPassword(key, []byte(word), ours[4:20])
	if err != nil || string(clearKey) != "SSSSSSSSSSSSSSSS" {
		t.Errorf("send key = %q, %v", clearKey, err)
	}
	if microsoft.MSMPPEEncryptionPolicy_Get(theirReply) != 1 {
		t.Error("encryption policy differs")
	}

	accounting := radius.New(radius.CodeAccountingRequest, []byte(word))
	if err := rfc2865.UserName_SetString(accounting, "bob"); err != nil {
		t.Fatal(err)
	}
	encoded, err := accounting.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if f := secret.Verify(parsed(t, encoded), false); f != OK {
		t.Errorf("their accounting: %v", f)
	}
	b.Request(newBuffer(), AccountingRequest, 8, secret)
	b.Accounting(1, "session")
	if p := finished(t, &b); !radius.IsAuthenticRequest(p, []byte(word)) {
		t.Error("our accounting is not authentic to them")
	} else if !bytes.Equal(p[4:20], b.Authenticator()[:]) {
		t.Error("Authenticator is not what was sent")
	}
}

func TestRequestsCarryWhatTheirMethodNeeds(t *testing.T) {
	secret := secretOf(t, "s")
	var b Builder
	b.Request(newBuffer(), AccessRequest, 1, secret)
	b.CHAP("u", 5, [16]byte{9}, []byte("challenge"))
	v := parsed(t, finished(t, &b))
	if value, _ := v.First(CHAPPassword); len(value) != 17 || value[0] != 5 || value[1] != 9 {
		t.Errorf("CHAP-Password %x", value)
	}
	if value, _ := v.First(CHAPChallenge); string(value) != "challenge" {
		t.Errorf("CHAP-Challenge %q", value)
	}
	b.Request(newBuffer(), AccessRequest, 1, secret)
	b.MSCHAP2("u", 5, [16]byte{1}, [16]byte{2}, [24]byte{3})
	v = parsed(t, finished(t, &b))
	if value, _ := v.Vendor(VendorMicrosoft, MSCHAP2Response); len(value) != 50 || value[0] != 5 || value[2] != 2 || value[26] != 3 {
		t.Errorf("MS-CHAP2-Response %x", value)
	}
	b.Request(newBuffer(), AccessRequest, 1, secret)
	b.MSCHAP("u", 5, [8]byte{1}, [24]byte{3})
	v = parsed(t, finished(t, &b))
	if value, _ := v.Vendor(VendorMicrosoft, MSCHAPResponse); len(value) != 50 || value[1] != 1 || value[26] != 3 {
		t.Errorf("MS-CHAP-Response %x", value)
	}
	if value, _ := v.Vendor(VendorMicrosoft, MSCHAPChallenge); len(value) != 8 {
		t.Errorf("MS-CHAP-Challenge %x", value)
	}
	b.Request(newBuffer(), StatusServer, 1, secret)
	if f := secret.Verify(parsed(t, finished(t, &b)), true); f != OK {
		t.Errorf("Status-Server: %v", f)
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	secret := secretOf(t, "a shared secret")
	var b Builder
	b.Request(newBuffer(), AccessRequest, 1, secret)
	b.PAP("alice", "wonderland")
	b.Attr(ProxyState, []byte("state"))
	b.VSA(9, 1, []byte("shell:priv-lvl=15"))
	b.Split(EAPMessage, make([]byte, 300))
	request := finished(t, &b)
	view, buffer, password, joined := new(View), newBuffer(), make([]byte, 0, 128), make([]byte, 0, MaxPacket)
	key := make([]byte, 16)
	attributes := 0
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"parse", func() { Parse(request, view) }},
		{"verify", func() { secret.Verify(view, true) }},
		{"reveal", func() {
			value, _ := view.First(UserPassword)
			secret.Reveal(HideUserPassword, password, value, view.Authenticator())
		}},
		{"walk", func() {
			for range view.All() {
				attributes++
			}
			for range view.EachVendor(9, StandardFormat()) {
				attributes++
			}
			view.Concat(joined, EAPMessage)
			view.VendorConcat(joined, 9, StandardFormat(), 1)
			view.Vendor(9, 1)
		}},
		{"reply", func() {
			b.Reply(buffer, AccessAccept, view, secret)
			b.Text(ReplyMessage, "hello")
			b.MPPEKeys(1, 6, key, key)
			b.TunnelPassword(1, key)
			b.ProxyStates(view)
			b.Extended(245, 1, joined[:600])
			b.Finish()
		}},
		{"request", func() {
			b.Request(buffer, AccessRequest, 1, secret)
			b.PAP("alice", "wonderland")
			b.Finish()
		}},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s allocates %v times", c.name, n)
		}
	}
}

func BenchmarkPAPExchange(bench *testing.B) {
	secret := secretOf(bench, "a shared secret")
	var b Builder
	b.Request(newBuffer(), AccessRequest, 1, secret)
	b.PAP("alice", "wonderland")
	b.Uint32(NASPort, 1)
	request := finished(bench, &b)
	view, buffer, password := new(View), newBuffer(), make([]byte, 0, 128)
	bench.ReportAllocs()
	for bench.Loop() {
		Parse(request, view)
		secret.Verify(view, true)
		value, _ := view.First(UserPassword)
		secret.Reveal(HideUserPassword, password, value, view.Authenticator())
		b.Reply(buffer, AccessAccept, view, secret)
		b.Uint32(SessionTimeout, 3600)
		b.Finish()
	}
}
