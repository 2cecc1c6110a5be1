package push

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine/secret"
	"trine/engine/trace"
)

// device is the other side.
type device struct {
	t      testing.TB
	signer crypto.Signer
	form   []byte
}

func newEd25519(t testing.TB) device {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return device{t, private, append([]byte{1}, public...)}
}

func newP256(t testing.TB) device {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return device{t, private, append([]byte{2}, point...)}
}

func (d device) sign(message []byte) []byte {
	d.t.Helper()
	digest, hash := message, crypto.Hash(0)
	if d.form[0] == 2 {
		sum := sha256.Sum256(message)
		digest, hash = sum[:], crypto.SHA256
	}
	signature, err := d.signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		d.t.Fatal(err)
	}
	return signature
}

func (d device) key() Key {
	d.t.Helper()
	k, err := ParseKey(d.form)
	if err != nil {
		d.t.Fatal(err)
	}
	return k
}

// answer answers what came over the wire, as a device does.
func (d device) answer(wire []byte, approve bool, number uint8) Answer {
	d.t.Helper()
	c, err := ParseChallenge(wire)
	if err != nil {
		d.t.Fatal(err)
	}
	return Answer{Approve: approve, Number: number, Signature: d.sign(c.Message(approve, number))}
}

func keyring(t testing.TB) *secret.Keyring {
	t.Helper()
	k := secret.NewKeyring()
	if err := k.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAnswerOfTheDeviceDecides(t *testing.T) {
	now := time.Unix(1e9, 0)
	for kind, d := range map[string]device{"Ed25519": newEd25519(t), "P-256": newP256(t)} {
		c, number, err := New(Policy{Choices: 3, Valid: time.Minute}, 7, "alice", "VPN from 192.0.2.1", now)
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := New(Policy{Choices: 3, Valid: time.Minute}, 7, "alice", "VPN from 192.0.2.1", now)
		if err != nil {
			t.Fatal(err)
		}
		wrong := c.Choices[0]
		if wrong == number {
			wrong = c.Choices[1]
		}
		wire := c.Append(nil)
		good := d.answer(wire, true, number)
		tampered := bytes.Clone(good.Signature)
		tampered[10] ^= 1
		for name, x := range map[string]struct {
			answer Answer
			key    Key
			after  time.Duration
			want   trace.Reason
		}{
			"approved":                        {good, d.key(), 0, trace.OK},
			"approved at the last moment":     {good, d.key(), time.Minute - 1, trace.OK},
			"approved too late":               {good, d.key(), time.Minute, trace.PushExpired},
			"denied":                          {d.answer(wire, false, 0), d.key(), 0, trace.PushDenied},
			"denied too late":                 {d.answer(wire, false, 0), d.key(), time.Hour, trace.PushDenied},
			"denied with the number":          {d.answer(wire, false, number), d.key(), 0, trace.PushDenied},
			"approved with another number":    {d.answer(wire, true, wrong), d.key(), 0, trace.PushNumber},
			"approved without a number":       {d.answer(wire, true, 0), d.key(), 0, trace.PushNumber},
			"another number, too late":        {d.answer(wire, true, wrong), d.key(), time.Hour, trace.PushExpired},
			"another challenge's answer":      {d.answer(other.Append(nil), true, number), d.key(), 0, trace.PushSignature},
			"a denial turned into approval":   {Answer{true, 0, d.answer(wire, false, 0).Signature}, d.key(), 0, trace.PushSignature},
			"an approval turned into denial":  {Answer{false, number, good.Signature}, d.key(), 0, trace.PushSignature},
			"another number put in":           {Answer{true, number, d.answer(wire, true, wrong).Signature}, d.key(), 0, trace.PushSignature},
			"another device of the same kind": {good, map[string]func(testing.TB) device{"Ed25519": newEd25519, "P-256": newP256}[kind](t).key(), 0, trace.PushSignature},
			"the zero key":                    {good, Key{}, 0, trace.PushSignature},
			"a signature with a wrong bit":    {Answer{true, number, tampered}, d.key(), 0, trace.PushSignature},
			"a signature cut off":             {Answer{true, number, good.Signature[:20]}, d.key(), 0, trace.PushSignature},
			"no signature":                    {Answer{true, number, nil}, d.key(), 0, trace.PushSignature},
		} {
			if reason := c.Verify(x.answer, x.key, number, now.Add(x.after)); reason != x.want {
				t.Errorf("%s, %s: %s, want %s", kind, name, reason, x.want)
			}
		}
		if reason := c.Verify(d.answer(wire, true, 0), d.key(), 0, now); reason != trace.PushNumber {
			t.Errorf("%s: no number to match: %s", kind, reason)
		}
	}
}

// TestAnswerCoversEveryByteOfTheChallenge: whatever a device is shown, it is what it signed.
func TestAnswerCoversEveryByteOfTheChallenge(t *testing.T) {
	d, now := newEd25519(t), time.Unix(1e9, 0)
	c, number, err := New(Policy{Choices: 2, Valid: time.Minute}, 7, "alice", "VPN", now)
	if err != nil {
		t.Fatal(err)
	}
	a := d.answer(c.Append(nil), true, number)
	for name, change := range map[string]func(*Challenge){
		"id":                                func(c *Challenge) { c.ID++ },
		"nonce":                             func(c *Challenge) { c.Nonce[31]++ },
		"not after":                         func(c *Challenge) { c.NotAfter = c.NotAfter.Add(time.Second) },
		"user":                              func(c *Challenge) { c.User = "alicf" },
		"purpose":                           func(c *Challenge) { c.Purpose = "WiF" },
		"choices":                           func(c *Challenge) { c.Choices = []byte{10} },
		"a byte moved from user to purpose": func(c *Challenge) { c.User, c.Purpose = "alic", "eVPN" },
	} {
		changed := c
		change(&changed)
		if reason := changed.Verify(a, d.key(), number, now); reason != trace.PushSignature {
			t.Errorf("%s: %s", name, reason)
		}
	}
}

func TestNumberIsOneOfTheChoicesAndNotToldToTheDevice(t *testing.T) {
	places, typed := map[int]bool{}, map[uint8]bool{}
	for range 2000 {
		c, number, err := New(Policy{Choices: 3, Valid: time.Minute}, 1, "alice", "VPN", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Choices) != 3 || !slices.IsSorted(c.Choices) || len(slices.Compact(slices.Clone(c.Choices))) != 3 {
			t.Fatalf("choices %v", c.Choices)
		}
		place := slices.Index(c.Choices, number)
		if place < 0 {
			t.Fatalf("%d is none of %v", number, c.Choices)
		}
		places[place] = true
		c, number, err = New(DefaultPolicy(), 1, "alice", "VPN", time.Now())
		if err != nil || len(c.Choices) != 0 || number < 10 || number > 99 {
			t.Fatalf("typed: %d of %v, %v", number, c.Choices, err)
		}
		typed[number] = true
	}
	if len(places) != 3 || len(typed) != 90 { // a number is left out once in 10^8 times
		t.Errorf("the number stands at %v, and %d numbers are typed", places, len(typed))
	}
}

func TestChallengeOutOfBoundsIsRefused(t *testing.T) {
	for name, x := range map[string]struct {
		policy        Policy
		user, purpose string
		want          error
	}{
		"one choice":       {Policy{Choices: 1, Valid: time.Minute}, "alice", "VPN", ErrPolicy},
		"many choices":     {Policy{Choices: 7, Valid: time.Minute}, "alice", "VPN", ErrPolicy},
		"negative choices": {Policy{Choices: -1, Valid: time.Minute}, "alice", "VPN", ErrPolicy},
		"too short":        {Policy{Valid: 19 * time.Second}, "alice", "VPN", ErrPolicy},
		"too long":         {Policy{Valid: 11 * time.Minute}, "alice", "VPN", ErrPolicy},
		"no user":          {DefaultPolicy(), "", "VPN", ErrText},
		"long user":        {DefaultPolicy(), strings.Repeat("a", 256), "VPN", ErrText},
		"no purpose":       {DefaultPolicy(), "alice", "", ErrText},
		"long purpose":     {DefaultPolicy(), "alice", strings.Repeat("a", 1025), ErrText},
		"not UTF-8":        {DefaultPolicy(), "alice", "\xff", ErrText},
		"a second line":    {DefaultPolicy(), "alice", "VPN\napproved", ErrText},
	} {
		if _, _, err := New(x.policy, 1, x.user, x.purpose, time.Now()); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFormsAreForEver: devices in the field sign these bytes.
func TestFormsAreForEver(t *testing.T) {
	c := Challenge{ID: 0x0102030405060708, NotAfter: time.Unix(1e9, 0), User: "alice", Purpose: "VPN", Choices: []byte{12, 34}}
	for i := range c.Nonce {
		c.Nonce[i] = byte(i)
	}
	const wire = "01" + "0102030405060708" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" + "000000003b9aca00" + "020c22" + "05616c696365" + "000356504e"
	if got := hex.EncodeToString(c.Append(nil)); got != wire {
		t.Errorf("the challenge is %s", got)
	}
	if got, want := hex.EncodeToString(c.Message(true, 34)), hex.EncodeToString([]byte("trine/push/answer/1\x00"))+wire+"0122"; got != want {
		t.Errorf("approval signs %s", got)
	}
	if got, want := hex.EncodeToString(c.Message(false, 0)), hex.EncodeToString([]byte("trine/push/answer/1\x00"))+wire+"0000"; got != want {
		t.Errorf("denial signs %s", got)
	}
	if got, want := string(EnrolmentMessage("TOKEN", []byte("\x01key"))), "trine/push/enrolment/1\x00\x00\x05TOKEN\x01key"; got != want {
		t.Errorf("enrolment signs %q", got)
	}
}

func TestDeviceIsEnrolledWithTokenAndKey(t *testing.T) {
	k, owner, now := keyring(t), []byte("User/alice"), time.Unix(1e9, 0)
	token, e, err := NewEnrolment(now, 10*time.Minute, k, owner)
	if err != nil {
		t.Fatal(err)
	}
	for kind, d := range map[string]device{"Ed25519": newEd25519(t), "P-256": newP256(t)} {
		thief := newEd25519(t)
		offCurve := bytes.Clone(newP256(t).form)
		offCurve[65] ^= 1
		proof := func(token string, key []byte, by device) Proof {
			return Proof{token, key, by.sign(EnrolmentMessage(token, key))}
		}
		good := proof(token, d.form, d)
		for name, x := range map[string]struct {
			proof Proof
			after time.Duration
			ring  *secret.Keyring
			owner string
			want  trace.Reason
		}{
			"good":                      {good, 0, k, "User/alice", trace.OK},
			"too late":                  {good, 10 * time.Minute, k, "User/alice", trace.PushExpired},
			"another token":             {proof(token[1:]+"A", d.form, d), 0, k, "User/alice", trace.PushEnrolment},
			"no token":                  {proof("", d.form, d), 0, k, "User/alice", trace.PushEnrolment},
			"an endless token":          {proof(strings.Repeat("A", 1<<15), d.form, d), 0, k, "User/alice", trace.PushEnrolment},
			"another person":            {good, 0, k, "User/bob", trace.PushEnrolment},
			"another key's signature":   {proof(token, d.form, thief), 0, k, "User/alice", trace.PushSignature},
			"another key put in":        {Proof{token, thief.form, good.Signature}, 0, k, "User/alice", trace.PushSignature},
			"no signature":              {Proof{token, d.form, nil}, 0, k, "User/alice", trace.PushSignature},
			"no key":                    {proof(token, nil, d), 0, k, "User/alice", trace.PushEnrolment},
			"a key of another kind":     {proof(token, append([]byte{3}, d.form[1:]...), d), 0, k, "User/alice", trace.PushEnrolment},
			"a point off the curve":     {proof(token, offCurve, d), 0, k, "User/alice", trace.PushEnrolment},
			"the cluster key is absent": {good, 0, secret.NewKeyring(), "User/alice", trace.FactorUnreadable},
		} {
			key, reason := e.Verify(x.proof, now.Add(x.after), x.ring, []byte(x.owner))
			if reason != x.want {
				t.Errorf("%s, %s: %s, want %s", kind, name, reason, x.want)
			}
			if want := (reason == trace.OK); want != bytes.Equal(key.Append(nil), d.form) {
				t.Errorf("%s, %s: key %x", kind, name, key.Append(nil))
			}
		}
	}
	for _, valid := range []time.Duration{0, time.Second, 2 * time.Hour} {
		if _, _, err := NewEnrolment(now, valid, k, owner); !errors.Is(err, ErrPolicy) {
			t.Errorf("valid for %v: %v", valid, err)
		}
	}
	if _, _, err := NewEnrolment(now, time.Hour, secret.NewKeyring(), owner); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

func TestTraceSaysWhatTheDeviceDid(t *testing.T) {
	var tr trace.Trace
	tr.Start(time.Now())
	for i, want := range []struct {
		reason trace.Reason
		words  string
	}{
		{trace.OK, "The device phone approved."},
		{trace.PushDenied, "The device phone denied."},
		{trace.PushExpired, "What the device phone said does not count: it came too late."},
		{trace.PushNumber, "What the device phone said does not count: the number is another one."},
		{trace.PushSignature, "What the device phone said does not count: its signature does not hold."},
		{trace.PushEnrolment, "What the device phone said does not count: its token or its key is none."},
		{trace.FactorUnreadable, "What is stored of the factor phone cannot be opened."},
	} {
		Record(&tr, want.reason, "phone")
		step := tr.Step(i)
		if got := step.Code.Words(string(step.Subject), string(step.Detail)); got != want.words {
			t.Errorf("%s: %s", want.reason, got)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	for _, choices := range []int{0, 3} {
		c, _, err := New(Policy{Choices: choices, Valid: time.Minute}, 1, "alice", "VPN from 192.0.2.1", time.Unix(1e9, 0))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChallenge(b)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(c.Append(nil), b) {
			t.Fatalf("%x is not what Append makes", b)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(newEd25519(f).form)
	f.Add(newP256(f).form)
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(k.Append(nil), b) || k.verifies(nil, nil) {
			t.Fatalf("%x", b)
		}
	})
}
