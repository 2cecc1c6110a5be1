package chap

import (
	"bytes"
	"crypto/des"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	xmd4 "golang.org/x/crypto/md4" //lint:ignore SA1019 MD4 is what MS-CHAP uses
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The worked example of RFC 2759 section 9.2, which RFC 3079 section 3.5.3
// continues.
const (
	rfcName          = "User"
	rfcPassword      = "clientPass"
	rfcAuthenticator = "5B 5D 7C 7D 7B 3F 2F 3E 3C 2C 60 21 32 26 26 28"
	rfcPeer          = "21 40 23 24 25 5E 26 2A 28 29 5F 2B 3A 33 7C 7E"
	rfcChallenge     = "D0 2E 43 86 BC E9 12 26"
	rfcHash          = "44 EB BA 8D 53 12 B8 D6 11 47 44 11 F5 69 89 AE"
	rfcHashHash      = "41 C0 0C 58 4B D2 D9 1C 40 17 A2 A1 2F A5 9F 3F"
	rfcNTResponse    = "82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33 11 4A 3D 85 D6 DF"
	rfcAuthResponse  = "S=407A5589115FD0D6209F510FE9C04566932CDA56"
	rfcMaster        = "FD EC E3 71 7A 8C 83 8C B3 88 E5 27 AE 3C DD 31"
	rfcSendKey       = "8B 7C DC 14 9B 99 3A 1B A1 18 CB 15 3F 56 DC CB"
)

func TestRFC2759Section9(t *testing.T) {
	hash, ok := NTHash([]byte(rfcPassword))
	if !ok || !bytes.Equal(hash[:], unhex(t, rfcHash)) {
		t.Fatalf("NTHash = %x, %v", hash, ok)
	}
	if got := HashOfHash(&hash); !bytes.Equal(got[:], unhex(t, rfcHashHash)) {
		t.Errorf("HashOfHash = %x", got)
	}
	authenticator, peer := unhex(t, rfcAuthenticator), unhex(t, rfcPeer)
	challenge := ChallengeHash((*[16]byte)(peer), (*[16]byte)(authenticator), []byte(rfcName))
	if !bytes.Equal(challenge[:], unhex(t, rfcChallenge)) {
		t.Errorf("ChallengeHash = %x", challenge)
	}
	response := ChallengeResponse(&hash, &challenge)
	if !bytes.Equal(response[:], unhex(t, rfcNTResponse)) {
		t.Errorf("ChallengeResponse = %x", response)
	}
	if got := AuthenticatorResponse(&hash, &response, &challenge); string(got[:]) != rfcAuthResponse {
		t.Errorf("AuthenticatorResponse = %s", got)
	}
	if !VerifyV2(&hash, authenticator, peer, []byte(rfcName), response[:]) {
		t.Error("VerifyV2 refuses the RFC's response")
	}
	for name, wrong := range map[string]func(*[24]byte, *[]byte, *[]byte, *[]byte){
		"response":      func(r *[24]byte, _, _, _ *[]byte) { r[23] ^= 1 },
		"authenticator": func(_ *[24]byte, a, _, _ *[]byte) { (*a)[0] ^= 1 },
		"peer":          func(_ *[24]byte, _, p, _ *[]byte) { (*p)[15] ^= 1 },
		"name":          func(_ *[24]byte, _, _, n *[]byte) { *n = []byte("user") },
		"short peer":    func(_ *[24]byte, _, p, _ *[]byte) { *p = (*p)[:15] },
	} {
		r, a, p, n := response, bytes.Clone(authenticator), bytes.Clone(peer), []byte(rfcName)
		wrong(&r, &a, &p, &n)
		if VerifyV2(&hash, a, p, n, r[:]) {
			t.Errorf("VerifyV2 takes a wrong %s", name)
		}
	}
	if VerifyV2(&hash, authenticator, peer, []byte(rfcName), response[:23]) {
		t.Error("VerifyV2 takes a short response")
	}
}

func TestRFC3079Section3Keys(t *testing.T) {
	hash, response := [16]byte(unhex(t, rfcHash)), [24]byte(unhex(t, rfcNTResponse))
	if got := MasterKey(&hash, &response); !bytes.Equal(got[:], unhex(t, rfcMaster)) {
		t.Errorf("MasterKey = %x", got)
	}
	send, receive := KeysV2(&hash, &response)
	if !bytes.Equal(send[:], unhex(t, rfcSendKey)) {
		t.Errorf("send key = %x", send)
	}
	if send == receive || receive == [16]byte{} {
		t.Errorf("receive key = %x", receive)
	}
}

// RFC 3079 section 2.5.3 gives the 128-bit key of MS-CHAPv1, RFC 2433 appendix B
// and RFC 3079 section 2.5 the response and the LM hash.
func TestRFC3079Section2(t *testing.T) {
	challenge := [8]byte(unhex(t, "10 2D B5 DF 08 5D 30 41"))
	hash, _ := NTHash([]byte("MyPw"))
	response := ChallengeResponse(&hash, &challenge)
	if want := unhex(t, "4E 9D 3C 8F 9C FD 38 5D 5B F4 D3 24 67 91 95 6C A4 C3 51 AB 40 9A 3D 61"); !bytes.Equal(response[:], want) {
		t.Errorf("ChallengeResponse = %x", response)
	}
	if !VerifyV1(&hash, challenge[:], response[:]) || VerifyV1(&hash, challenge[:7], response[:]) || VerifyV1(&hash, challenge[:], response[:16]) {
		t.Error("VerifyV1 is wrong")
	}
	response[0] ^= 1
	if VerifyV1(&hash, challenge[:], response[:]) {
		t.Error("VerifyV1 takes a wrong response")
	}
	hash, _ = NTHash([]byte("clientPass"))
	if got := KeyV1(&hash, &challenge); !bytes.Equal(got[:], unhex(t, "A8 94 78 50 CF C0 AC C1 D1 78 9F B6 2D DC DD B0")) {
		t.Errorf("KeyV1 = %x", got)
	}
	lm, ok := LMHash([]byte("clientPass"))
	if !ok || !bytes.Equal(lm[:8], unhex(t, "76 A1 52 93 60 96 D7 83")) {
		t.Errorf("LMHash = %x", lm)
	}
	if _, ok := LMHash([]byte("fifteen letters")); ok {
		t.Error("an LM hash of 15 characters")
	}
	if _, ok := LMHash([]byte("ä")); ok {
		t.Error("an LM hash of an umlaut")
	}
}

// The login of RFC 2865 section 7.2.
func TestCHAPOfRFC2865(t *testing.T) {
	challenge := unhex(t, "2a ee 86 f0 8d 0d 55 96 9c a5 97 8e 0d 33 67 a2")
	response := unhex(t, "e9 75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75")
	if !Verify(0x16, []byte("arctangent"), challenge, response) {
		t.Fatal("refused")
	}
	if Verify(0x17, []byte("arctangent"), challenge, response) || Verify(0x16, []byte("arctangenT"), challenge, response) ||
		Verify(0x16, []byte("arctangent"), challenge[1:], response) || Verify(0x16, []byte("arctangent"), challenge, response[:15]) {
		t.Fatal("a wrong proof was taken")
	}
	long := make([]byte, 4000)
	want := Response(1, long, long)
	if !Verify(1, long, long, want[:]) {
		t.Fatal("long input")
	}
}

func TestNTHashRefusesWhatIsNoPassword(t *testing.T) {
	for _, c := range []struct {
		name, password string
		ok             bool
	}{
		{"empty", "", true},
		{"256 letters", strings.Repeat("x", 256), true},
		{"257 letters", strings.Repeat("x", 257), false},
		{"128 surrogate pairs", strings.Repeat("😀", 128), true},
		{"129 surrogate pairs", strings.Repeat("😀", 129), false},
		{"invalid UTF-8", "a\xff", false},
		{"replacement character", "\uFFFD", true},
		{"encoded surrogate", "\xed\xa0\x80", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, ok := NTHash([]byte(c.password)); ok != c.ok {
				t.Fatalf("NTHash ok = %v", ok)
			}
		})
	}
	pair, _ := NTHash([]byte("😀ß"))
	if want := md4([]byte{0x3d, 0xd8, 0x00, 0xde, 0xdf, 0x00}); pair != want {
		t.Error("UTF-16 of a pair is wrong")
	}
}

func TestChangeOfPasswordRoundTrips(t *testing.T) {
	oldHash, _ := NTHash([]byte("old"))
	for _, password := range []string{"", "new password", "pässwörd 😀", strings.Repeat("x", 256)} {
		encrypted, err := EncryptNewPassword(&oldHash, []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecryptNewPassword(&oldHash, encrypted[:])
		if err != nil || string(got) != password {
			t.Fatalf("DecryptNewPassword = %q, %v; want %q", got, err, password)
		}
		newHash, _ := NTHash(got)
		proof := EncryptOldHash(&oldHash, &newHash)
		if !VerifyOldHash(&oldHash, &newHash, proof[:]) {
			t.Error("VerifyOldHash refuses")
		}
		if VerifyOldHash(&newHash, &newHash, proof[:]) || VerifyOldHash(&oldHash, &newHash, proof[:15]) {
			t.Error("VerifyOldHash takes a wrong one")
		}
	}
	if _, err := EncryptNewPassword(&oldHash, []byte("\xff")); !errors.Is(err, ErrPassword) {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

func TestWrongOldPasswordDoesNotDecrypt(t *testing.T) {
	oldHash := [16]byte{1}
	encrypted, err := EncryptNewPassword(&oldHash, []byte("new"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecryptNewPassword(&[16]byte{2}, encrypted[:]); !errors.Is(err, ErrEncryptedPassword) {
		t.Errorf("wrong hash: %v", err)
	}
	if _, err := DecryptNewPassword(&oldHash, encrypted[:515]); !errors.Is(err, ErrEncryptedPassword) {
		t.Errorf("short: %v", err)
	}
	for name, plain := range map[string]func(b []byte){
		"odd length":       func(b []byte) { b[512] = 3 },
		"length of 514":    func(b []byte) { b[512], b[513] = 2, 2 },
		"huge length":      func(b []byte) { b[515] = 0xff },
		"lone surrogate":   func(b []byte) { b[512] = 2; b[511] = 0xd8 },
		"low before high":  func(b []byte) { b[512] = 4; b[509], b[511] = 0xdc, 0xd8 },
		"surrogate + text": func(b []byte) { b[512] = 4; b[509], b[510] = 0xd8, 'x' },
	} {
		var block, encrypted [EncryptedPasswordLen]byte
		plain(block[:])
		if err := applyRC4(&oldHash, encrypted[:], block[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := DecryptNewPassword(&oldHash, encrypted[:]); !errors.Is(err, ErrEncryptedPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutDomain(t *testing.T) {
	for in, want := range map[string]string{"user": "user", `DOM\user`: "user", `a\b\c`: "c", `x\`: "", "": ""} {
		if got := WithoutDomain([]byte(in)); string(got) != want {
			t.Errorf("WithoutDomain(%q) = %q", in, got)
		}
	}
}

func TestMD4AgreesWithAnotherImplementation(t *testing.T) {
	message := make([]byte, 300)
	for i := range message {
		message[i] = byte(i * 11)
	}
	for n := range message {
		h := xmd4.New()
		h.Write(message[:n])
		if got := md4(message[:n]); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Fatalf("md4 of %d bytes = %x", n, got)
		}
	}
}

func TestDESAgreesWithTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var key [7]byte
		var block, got, want [8]byte
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		for i := range block {
			block[i] = byte(r.Uint32())
		}
		var k uint64
		for _, b := range key {
			k = k<<8 | uint64(b)
		}
		var withParity [8]byte
		for i := range withParity {
			withParity[i] = byte(k>>(49-7*i)) << 1
		}
		c, err := des.NewCipher(withParity[:])
		if err != nil {
			t.Fatal(err)
		}
		c.Encrypt(want[:], block[:])
		desTables().encrypt(got[:], block[:], key[:])
		if got != want {
			t.Fatalf("key %x block %x: %x, want %x", key, block, got, want)
		}
	}
}

func TestVerifyingAllocatesNothing(t *testing.T) {
	password, name := []byte("clientPass"), []byte(rfcName)
	authenticator, peer, response := unhex(t, rfcAuthenticator), unhex(t, rfcPeer), unhex(t, rfcNTResponse)
	good := true
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"CHAP", func() { good = good && !Verify(1, password, authenticator, peer) }},
		{"MS-CHAPv1", func() {
			hash, _ := NTHash(password)
			good = good && !VerifyV1(&hash, peer[:8], response)
		}},
		{"MS-CHAPv2 with keys", func() {
			hash, _ := NTHash(password)
			good = good && VerifyV2(&hash, authenticator, peer, name, response)
			challenge := ChallengeHash((*[16]byte)(peer), (*[16]byte)(authenticator), name)
			AuthenticatorResponse(&hash, (*[24]byte)(response), &challenge)
			KeysV2(&hash, (*[24]byte)(response))
		}},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s allocates %v times", c.name, n)
		}
	}
	if !good {
		t.Error("a verification went wrong")
	}
}

func FuzzDecryptNewPassword(f *testing.F) {
	oldHash := [16]byte{7}
	encrypted, err := EncryptNewPassword(&oldHash, []byte("new"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encrypted[:])
	f.Fuzz(func(t *testing.T, encrypted []byte) {
		password, err := DecryptNewPassword(&oldHash, encrypted)
		if err != nil {
			return
		}
		if _, ok := NTHash(password); !ok {
			t.Fatalf("%q has no NT hash", password)
		}
	})
}

func BenchmarkMSCHAPv2(b *testing.B) {
	hash := [16]byte(unhex(b, rfcHash))
	authenticator, peer, response := unhex(b, rfcAuthenticator), unhex(b, rfcPeer), unhex(b, rfcNTResponse)
	b.ReportAllocs()
	for b.Loop() {
		VerifyV2(&hash, authenticator, peer, []byte(rfcName), response)
	}
}
