package radius

import (
	"bytes"
	"strings"
	"testing"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/radius/wire"
)

func filled(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

func TestCHAPChallengeIsTheAttributeOrTheAuthenticator(t *testing.T) {
	r := newRig(t)
	for _, challenge := range [][]byte{nil, []byte("0123456789abcdef0123")} {
		var response [16]byte
		copy(response[:], filled(16, 9))
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.CHAP("alice", 77, response, challenge) })
		want := challenge
		if want == nil {
			want = bytes.Clone(p[4:20])
		}
		r.lane.decide = func(q *engine.Request) bool {
			pr := &q.Proof
			if pr.Method != credential.CHAP || pr.Identifier != 77 || !bytes.Equal(pr.Response, response[:]) || !bytes.Equal(pr.Challenge, want) {
				t.Errorf("proof is %+v", pr)
			}
			q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
			return true
		}
		r.give(r.auth, p)
		if v := r.answer(p); v.Has(wire.VendorSpecific) {
			t.Error("a CHAP accept carries MS-CHAP attributes")
		}
	}
}

// microsoftValue returns the first of Microsoft's attributes of a type.
func microsoftValue(v *wire.View, kind uint8) string {
	value, _ := v.Vendor(wire.VendorMicrosoft, kind)
	return string(value)
}

func TestMSCHAP2AcceptCarriesSuccessAndKeys(t *testing.T) {
	r := newRig(t)
	var challenge, peer [16]byte
	var response [24]byte
	copy(challenge[:], filled(16, 1))
	copy(peer[:], filled(16, 2))
	copy(response[:], filled(24, 3))
	p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP2(`CORP\alice`, 5, challenge, peer, response) })
	r.lane.decide = func(q *engine.Request) bool {
		pr := &q.Proof
		if pr.Method != credential.MSCHAPv2 || pr.Identifier != 5 || !bytes.Equal(pr.Challenge, challenge[:]) ||
			!bytes.Equal(pr.PeerChallenge, peer[:]) || !bytes.Equal(pr.Response, response[:]) || string(pr.HashName) != "alice" {
			t.Errorf("proof is %+v", pr)
		}
		if string(q.Name) != `CORP\alice` {
			t.Errorf("name is %q", q.Name)
		}
		copy(pr.AuthenticatorResponse[:], "S=0123456789012345678901234567890123456789")
		pr.HasKeys = true
		copy(pr.SendKey[:], filled(16, 0xaa))
		copy(pr.RecvKey[:], filled(16, 0xbb))
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		return true
	}
	r.give(r.auth, p)
	v := r.answer(p)
	if got := microsoftValue(v, wire.MSCHAP2Success); got != "\x05S=0123456789012345678901234567890123456789" {
		t.Errorf("MS-CHAP2-Success is %q", got)
	}
	if got := microsoftValue(v, wire.MSMPPEEncPolicy); got != "\x00\x00\x00\x01" {
		t.Errorf("policy is %x", got)
	}
	if got := microsoftValue(v, wire.MSMPPEEncTypes); got != "\x00\x00\x00\x06" {
		t.Errorf("types are %x", got)
	}
	for kind, want := range map[uint8]byte{wire.MSMPPESendKey: 0xaa, wire.MSMPPERecvKey: 0xbb} {
		key, fault := r.key.Reveal(wire.HideSalted, nil, []byte(microsoftValue(v, kind)), (*[16]byte)(p[4:20]))
		if fault != wire.OK || !bytes.Equal(key, filled(16, want)) {
			t.Errorf("key %d is %x, %v", kind, key, fault)
		}
	}
}

func TestMSCHAP1AcceptCarriesKeys(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP("alice", 5, [8]byte{1}, [24]byte{2}) })
	r.lane.decide = func(q *engine.Request) bool {
		pr := &q.Proof
		if pr.Method != credential.MSCHAPv1 || len(pr.Challenge) != 8 || len(pr.Response) != 24 || pr.Response[0] != 2 {
			t.Errorf("proof is %+v", pr)
		}
		pr.HasKeys = true
		copy(pr.LMKey[:], filled(8, 0xaa))
		copy(pr.NTKey[:], filled(16, 0xbb))
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		return true
	}
	r.give(r.auth, p)
	v := r.answer(p)
	hidden := []byte(microsoftValue(v, wire.MSCHAPMPPEKeys))
	keys, fault := r.key.Reveal(wire.HideUserPassword, nil, hidden, (*[16]byte)(p[4:20]))
	if len(hidden) != 32 || fault != wire.OK || !bytes.Equal(keys, append(filled(8, 0xaa), filled(16, 0xbb)...)) {
		t.Errorf("MS-CHAP-MPPE-Keys of %d bytes holds %x, %v", len(hidden), keys, fault)
	}
}

func TestMSCHAPRejectCarriesItsError(t *testing.T) {
	for _, tc := range []struct {
		reason trace.Reason
		retry  bool
		change bool
		want   string
	}{
		{trace.PasswordWrong, false, false, "E=691 R=0 C="},
		{trace.PasswordWrong, true, false, "E=691 R=1 C="},
		{trace.UserUnknown, false, false, "E=691 R=0 C="},
		{trace.UserInactive, false, false, "E=691 R=0 C="},
		{trace.PasswordMustChange, false, true, "E=648 R=0 C="},
		{trace.PasswordExpired, false, true, "E=648 R=0 C="},
		{trace.PasswordMustChange, false, false, "E=691 R=0 C="},
		{trace.PasswordExpired, false, false, "E=691 R=0 C="},
	} {
		r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
		r.lane.decide = func(q *engine.Request) bool {
			q.Decision.Verdict, q.Decision.Reason, q.Decision.Retry, q.Decision.MustChangePassword = event.Reject, tc.reason, tc.retry, tc.change
			return true
		}
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.MSCHAP2("alice", 5, [16]byte{}, [16]byte{}, [24]byte{}) })
		r.give(r.auth, p)
		v := r.answer(p)
		got := microsoftValue(v, wire.MSCHAPError)
		rest, ok := strings.CutPrefix(got, "\x05"+tc.want)
		if v.Code() != wire.AccessReject || !ok || len(rest) < 32 || !strings.HasPrefix(rest[32:], " V=3 M=") {
			t.Errorf("%s: %v with %q", tc.reason, v.Code(), got)
		}
		if v.Len() != 2 {
			t.Errorf("%d attributes", v.Len())
		}
	}
}

func TestPasswordChangeIsPutTogether(t *testing.T) {
	change := append([]byte{7, 9}, filled(66, 0)...)
	copy(change[2:18], filled(16, 1))
	copy(change[18:34], filled(16, 2))
	copy(change[42:66], filled(24, 3))
	pieces := func(order ...int) func(b *wire.Builder) {
		return func(b *wire.Builder) {
			b.Text(wire.UserName, "alice")
			b.VSA(wire.VendorMicrosoft, wire.MSCHAPChallenge, filled(16, 4))
			b.VSA(wire.VendorMicrosoft, wire.MSCHAP2CPW, change)
			for _, n := range order {
				size := 240
				if n == 3 {
					size = 36
				}
				b.VSA(wire.VendorMicrosoft, wire.MSCHAPNTEncPW, append([]byte{6, 9, 0, byte(n)}, filled(size, byte(n))...))
			}
		}
	}
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		pr := &q.Proof
		want := append(append(filled(240, 1), filled(240, 2)...), filled(36, 3)...)
		if pr.Method != credential.MSCHAPCPW || pr.Identifier != 9 || !bytes.Equal(pr.EncryptedPassword, want) ||
			!bytes.Equal(pr.EncryptedHash, filled(16, 1)) || !bytes.Equal(pr.PeerChallenge, filled(16, 2)) || !bytes.Equal(pr.Response, filled(24, 3)) {
			t.Errorf("proof is %+v", pr)
		}
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		return true
	}
	p := r.request(wire.AccessRequest, pieces(1, 2, 3))
	r.give(r.auth, p)
	r.answer(p)
	for _, order := range [][]int{nil, {1, 2}, {2, 1, 3}, {1, 2, 3, 4}, {1, 1, 2}} {
		r := newRig(t)
		p := r.request(wire.AccessRequest, pieces(order...))
		r.give(r.auth, p)
		if len(r.lane.refused) != 1 || r.lane.refused[0] != trace.ProofMalformed {
			t.Errorf("pieces %v: refused for %v", order, r.lane.refused)
		}
	}
}
