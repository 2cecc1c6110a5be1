package engine

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"trine/engine/event"
)

func TestKeysAreMadeByNeedOnceInACluster(t *testing.T) {
	r := grantRig(t)
	b := &browser{rig: r}
	other := b.node(r.log.join(0, true))
	sets := make([]*KeySet, 16)
	errs := make([]error, len(sets))
	var wait sync.WaitGroup
	for i := range sets {
		at := r
		if i%2 == 1 {
			at = other.rig
		}
		wait.Go(func() { sets[i], errs[i] = at.engine.Keys(soon(t), "local") })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, set := range sets {
		if len(set.Keys) != 2 || set.Keys[0].ID != sets[0].Keys[0].ID || set.Keys[1].ID != sets[0].Keys[1].ID {
			t.Fatalf("%d. set has other keys", i)
		}
	}
	if again, err := r.engine.Keys(soon(t), "local"); err != nil || again != mustKeys(t, r, "local") {
		t.Errorf("keys are prepared anew: %v", err)
	}
	if n := len(r.log.facts(t, event.TypeSigningKeysMade)); n != 1 {
		t.Errorf("keys were made %d times", n)
	}
	sum := sha256.Sum256([]byte("text"))
	for algorithm, verify := range map[string]func(k *Key, signature []byte) bool{
		ES256: func(k *Key, s []byte) bool { return ecdsa.VerifyASN1(k.Public.(*ecdsa.PublicKey), sum[:], s) },
		RS256: func(k *Key, s []byte) bool {
			return rsa.VerifyPKCS1v15(k.Public.(*rsa.PublicKey), crypto.SHA256, sum[:], s) == nil
		},
	} {
		signed, err := sets[0].At(algorithm, r.clock.Now()).Signer().Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil || !verify(sets[1].At(algorithm, r.clock.Now()), signed) { // what one node signs, the other verifies
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	if mustKeys(t, r, "local", EdDSA).At(EdDSA, r.clock.Now()) == nil || len(mustKeys(t, r, "local").Keys) != 3 {
		t.Error("a key for EdDSA that was asked for is not there")
	}
	if _, err := r.engine.Keys(soon(t), "nowhere"); !errors.Is(err, ErrDenied) {
		t.Errorf("keys for an identity provider that is not there: %v", err)
	}
}

func mustKeys(t *testing.T, r *rig, issuer string, algorithms ...string) *KeySet {
	t.Helper()
	set, err := r.engine.Keys(soon(t), issuer, algorithms...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestNewKeyIsPublishedBeforeItSignsAndTheOldOneAfter(t *testing.T) {
	r := grantRig(t)
	old := mustKeys(t, r, "local").At(ES256, r.clock.Now())
	set, err := r.engine.RotateKeys(soon(t), &Rotation{Issuer: "local", Algorithms: []string{ES256}, By: "admin"})
	if err != nil || len(set.Keys) != 3 {
		t.Fatalf("%+v, %v", set, err)
	}
	fresh := set.Keys[2]
	if keys, _ := r.people.SigningKeys("local"); keys.Keys[2].CreatedBy != "admin" || keys.Keys[2].ID != fresh.ID {
		t.Errorf("%+v", keys.Keys[2])
	}
	for _, c := range []struct {
		after     time.Duration
		signs     *Key
		published int // of two for ES256
	}{
		{0, old, 2}, {KeyOverlap - time.Second, old, 2}, {KeyOverlap, fresh, 2}, {KeyOverlap + KeyAfterlife - time.Second, fresh, 2}, {KeyOverlap + KeyAfterlife, fresh, 1},
	} {
		now := r.clock.Now().Add(c.after)
		set := mustKeys(t, r, "local")
		if k := set.At(ES256, now); k.ID != c.signs.ID || len(set.Published(now)) != c.published+1 || (set.Find(old.ID, now) != nil) != (c.published == 2) {
			t.Errorf("after %s: %d are published", c.after, len(set.Published(now)))
		}
	}
	// Sweeping forgets it, and not before.
	r.clock.move(KeyOverlap + KeyAfterlife - time.Second)
	if m := r.people.Over(r.clock.Now().Unix(), 100); m != nil {
		t.Errorf("%v would be forgotten", m)
	}
	r.clock.move(time.Second)
	m := r.people.Over(r.clock.Now().Unix(), 100)
	if m == nil || len(m.Keys) != 1 {
		t.Fatalf("%v", m)
	}
	r.propose(m)
	if set := mustKeys(t, r, "local"); len(set.Keys) != 2 || set.At(ES256, r.clock.Now()).ID != fresh.ID {
		t.Errorf("%d keys are left", len(set.Keys))
	}
}

func TestStolenKeyGoesAtOnce(t *testing.T) {
	r := grantRig(t)
	old := mustKeys(t, r, "local").At(RS256, r.clock.Now())
	set, err := r.engine.RotateKeys(soon(t), &Rotation{Issuer: "local", AtOnce: true, By: "admin"})
	now := r.clock.Now()
	if err != nil || len(set.Published(now)) != 2 || set.Find(old.ID, now) != nil || set.At(RS256, now).ID == old.ID {
		t.Fatalf("%+v, %v", set, err)
	}
}

func TestKeysAreDueByAge(t *testing.T) {
	r := grantRig(t)
	r.apply("{kind: IdentityProvider, name: local, spec: {type: local, publicID: home, profiles: {radius: {enabled: true, mschapv1: true}}}}")
	mustKeys(t, r, "local")
	keys, _ := r.people.SigningKeys("local")
	if due := r.engine.KeysDue(&keys, r.clock.Now().Add(1e5*time.Hour)); due != nil {
		t.Errorf("without OpenID Connect %v are due", due)
	}
	r.apply("{kind: IdentityProvider, name: local, spec: {type: local, publicID: home, profiles: {openid: {enabled: true, keyRotation: 720h}}}}")
	due := func(after time.Duration) string {
		keys, _ := r.people.SigningKeys("local")
		return strings.Join(r.engine.KeysDue(&keys, r.clock.Now().Add(after)), " ")
	}
	if due(720*time.Hour-time.Second) != "" || due(720*time.Hour) != "ES256 RS256" {
		t.Errorf("due are %q, and a second later %q", due(720*time.Hour-time.Second), due(720*time.Hour))
	}
	// One algorithm was rotated by hand, so that the other alone is due.
	r.clock.move(360 * time.Hour)
	if _, err := r.engine.RotateKeys(soon(t), &Rotation{Issuer: "local", Algorithms: []string{ES256}, By: "admin"}); err != nil {
		t.Fatal(err)
	}
	r.clock.move(360 * time.Hour)
	if due(0) != RS256 {
		t.Fatalf("due are %q", due(0))
	}
	before := mustKeys(t, r, "local").At(RS256, r.clock.Now())
	set, err := r.engine.RotateKeys(soon(t), &Rotation{Issuer: "local", Algorithms: []string{RS256}})
	if err != nil || due(0) != "" {
		t.Fatalf("%v; due are %q", err, due(0))
	}
	if set.At(RS256, r.clock.Now()).ID != before.ID || set.At(RS256, r.clock.Now().Add(KeyOverlap)).ID == before.ID || set.Find(before.ID, r.clock.Now().Add(KeyOverlap)) == nil {
		t.Error("the key before does not sign until the new one is known")
	}
	r.apply("{kind: IdentityProvider, name: local, spec: {type: local, publicID: home, profiles: {openid: {enabled: true, keyRotation: 0}}}}")
	if due(1e5*time.Hour) != "" {
		t.Errorf("where administrators rotate keys %q are due", due(1e5*time.Hour))
	}
}

func TestSigningKeysGoWithTheirIdentityProviderAndAreNeverInTheClear(t *testing.T) {
	r := grantRig(t)
	r.apply("{kind: IdentityProvider, name: other, spec: {type: local, publicID: other}}")
	first := mustKeys(t, r, "other").Keys[0].ID
	for _, f := range r.log.facts(t, event.TypeSigningKeysMade) {
		m, err := f.Message()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range m.(*event.SigningKeysMade).Keys {
			if bytes.Contains(k.Private, k.Public[len(k.Public)-32:]) || len(k.Private) < 100 {
				t.Errorf("the key %s is not sealed", k.Id)
			}
		}
	}
	r.delete("IdentityProvider", "other")
	if _, ok := r.people.SigningKeys("other"); ok {
		t.Error("the keys are there still")
	}
	r.apply("{kind: IdentityProvider, name: other, spec: {type: local, publicID: other}}")
	if again := mustKeys(t, r, "other").Keys[0].ID; again == first {
		t.Error("another identity provider of that name has the keys of the one before")
	}
}

func TestKeyIsPublishedForAsLongAsTokensLast(t *testing.T) {
	r := grantRig(t)
	r.apply("kind: IdentityProvider\nname: local\nspec: {type: local, session: {oauthTimeout: 1000h}}\n")
	old := mustKeys(t, r, "local").At(ES256, r.clock.Now())
	set, err := r.engine.RotateKeys(soon(t), &Rotation{Issuer: "local", Algorithms: []string{ES256}, By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	for after, found := range map[time.Duration]bool{KeyOverlap + 1000*time.Hour: true, KeyOverlap + 1001*time.Hour: false} {
		if got := set.Find(old.ID, r.clock.Now().Add(after)) != nil; got != found {
			t.Errorf("after %s the key that signed before is published: %v", after, got)
		}
	}
}
