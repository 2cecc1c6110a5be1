package engine

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/event"
	"trine/engine/state"
)

// The algorithms (RFC 7518 section 3.1, RFC 8037) for which keys are made. An RSA key signs PS256 and others too.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
)

// The terms of signing keys.
const (
	// KeyOverlap is how long a new key is published before it signs, so that whoever keeps the published ones knows it by then.
	KeyOverlap = time.Hour
	// KeyAfterlife is how long a key is published at least after it has signed last, so that what it signed can be verified.
	KeyAfterlife = 25 * time.Hour

	rsaBits = 2048
)

// Key is a key that an identity provider signs with, ready for use.
type Key struct {
	ID        string // kid: the thumbprint of the public key (RFC 7638)
	Algorithm string // ES256, RS256, EdDSA
	Public    crypto.PublicKey
	Active    time.Time // from then on it signs, until another of its algorithm does
	Gone      time.Time // from then on it is not published; zero: it is not known yet

	signer crypto.Signer
}

// Signer signs with the key. It may be used by many goroutines at a time.
func (k *Key) Signer() crypto.Signer { return k.signer }

// KeySet is the keys of an identity provider, prepared once for each change of them. It is immutable.
type KeySet struct {
	Issuer string
	Serial uint64 // one more with each change
	Keys   []*Key // in the order in which they were made
}

// At returns the key of an algorithm that signs at a time: the one that became active last, or else the first that will; nil if there is none.
func (s *KeySet) At(algorithm string, now time.Time) *Key {
	var found *Key
	for _, k := range s.Keys {
		switch {
		case k.Algorithm != algorithm || !k.published(now):
		case found == nil, !k.Active.After(now) && (found.Active.After(now) || !k.Active.Before(found.Active)), found.Active.After(now) && k.Active.Before(found.Active):
			found = k
		}
	}
	return found
}

// Published returns the keys that are published at a time, in the order in which they were made: those that sign, those that will, and those by which something may be signed that is
// still good.
func (s *KeySet) Published(now time.Time) []*Key {
	var out []*Key
	for _, k := range s.Keys {
		if k.published(now) {
			out = append(out, k)
		}
	}
	return out
}

// Find returns the key of that id, where it is published at a time; nil if there is none.
func (s *KeySet) Find(id string, now time.Time) *Key {
	for _, k := range s.Keys {
		if k.ID == id && k.published(now) {
			return k
		}
	}
	return nil
}

func (k *Key) published(now time.Time) bool { return k.Gone.IsZero() || now.Before(k.Gone) }

// keyRing holds what key sets were prepared, by identity provider.
type keyRing struct {
	sets   sync.Map // name -> *keptKeys
	making sync.Map // name -> *sync.Mutex, so that a node makes keys of one identity provider once
}

// keptKeys is a key set, and the count of changes at which it was known to be current.
type keptKeys struct {
	set  *KeySet
	seen atomic.Uint64
}

// Keys returns the keys of an identity provider. Where it has none yet, or none of one of the algorithms, they are made and recorded first; of several nodes that do so at once, the keys
// of one become those of all. With no algorithm named it has ES256 and RS256. Unless there is anything to make it takes no time and does not allocate.
func (e *Engine) Keys(ctx context.Context, issuer string, algorithms ...string) (*KeySet, error) {
	for range 3 {
		set, err := e.preparedKeys(issuer)
		if err != nil {
			return nil, err
		}
		missing := lacking(set, algorithms, e.clock())
		if len(missing) == 0 {
			return set, nil
		}
		if err := e.makeKeys(ctx, issuer, missing); err != nil && !errors.Is(err, errKeysChanged) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("make signing keys of %s: %w", issuer, errKeysChanged)
}

// lacking returns the algorithms that a set has no key of.
func lacking(set *KeySet, algorithms []string, now time.Time) (missing []string) {
	if len(algorithms) == 0 {
		algorithms = usualAlgorithms[:]
	}
	for _, a := range algorithms {
		if set == nil || set.At(a, now) == nil {
			missing = append(missing, a)
		}
	}
	return missing
}

var usualAlgorithms = [...]string{ES256, RS256}

// preparedKeys returns the keys that there are; nil if there are none.
func (e *Engine) preparedKeys(issuer string) (*KeySet, error) {
	changes := e.config.People.SigningChanges()
	value, _ := e.pages.keys.sets.Load(issuer)
	kept, _ := value.(*keptKeys)
	if kept != nil && kept.seen.Load() == changes {
		return kept.set, nil
	}
	rows, ok := e.config.People.SigningKeys(issuer)
	if !ok {
		e.pages.keys.sets.Delete(issuer)
		return nil, nil
	}
	if kept != nil && kept.set.Serial == rows.Serial && slices.EqualFunc(kept.set.Keys, rows.Keys, func(a *Key, b state.SigningKey) bool { return a.ID == b.ID }) {
		kept.seen.Store(changes)
		return kept.set, nil
	}
	set, err := e.prepare(&rows)
	if err != nil {
		return nil, err
	}
	kept = &keptKeys{set: set}
	kept.seen.Store(changes)
	e.pages.keys.sets.Store(issuer, kept)
	return set, nil
}

// prepare opens keys.
func (e *Engine) prepare(rows *state.SigningKeys) (*KeySet, error) {
	set := &KeySet{Issuer: rows.Issuer, Serial: rows.Serial}
	for _, row := range rows.Keys {
		plain, err := e.config.Keyring.Open(nil, row.Private, keyContext(rows.Issuer, row.ID))
		if err != nil {
			return nil, fmt.Errorf("open the signing key %s of %s: %w", row.ID, rows.Issuer, err)
		}
		private, err := x509.ParsePKCS8PrivateKey(plain)
		clear(plain)
		if err != nil {
			return nil, fmt.Errorf("read the signing key %s of %s: %w", row.ID, rows.Issuer, err)
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("read the signing key %s of %s: a %T signs nothing", row.ID, rows.Issuer, private)
		}
		k := &Key{ID: row.ID, Algorithm: row.Algorithm, Public: signer.Public(), Active: time.Unix(row.Active, 0), signer: signer}
		if row.Gone != 0 {
			k.Gone = time.Unix(row.Gone, 0)
		}
		set.Keys = append(set.Keys, k)
	}
	return set, nil
}

// keyContext is what sealed keys are bound to. It is for ever.
func keyContext(issuer, id string) []byte { return []byte("trine/signing/1/" + issuer + "/" + id) }

// errKeysChanged means that somebody else has changed the keys meanwhile.
var errKeysChanged = errors.New("engine: the signing keys were changed by another node meanwhile")

// makeKeys makes the keys that an identity provider lacks.
func (e *Engine) makeKeys(ctx context.Context, issuer string, algorithms []string) error {
	value, _ := e.pages.keys.making.LoadOrStore(issuer, new(sync.Mutex))
	making := value.(*sync.Mutex)
	making.Lock()
	defer making.Unlock()
	rows, _ := e.config.People.SigningKeys(issuer)
	if set, err := e.preparedKeys(issuer); err == nil { // somebody made them while this one waited
		if algorithms = lacking(set, algorithms, e.clock()); len(algorithms) == 0 {
			return nil
		}
	}
	return e.proposeKeys(ctx, issuer, rows.Serial, algorithms, "", e.now(), time.Time{})
}

// proposeKeys makes a key of each algorithm, active from a time, and has the keys recorded. Former ones of the algorithms stay published until then, where that is not zero.
func (e *Engine) proposeKeys(ctx context.Context, issuer string, serial uint64, algorithms []string, by string, active, former time.Time) error {
	m := &event.SigningKeysMade{IdentityProvider: issuer, Serial: serial, By: by}
	for _, a := range algorithms {
		k, err := e.newKey(issuer, a)
		if err != nil {
			return err
		}
		k.ActiveUnix, k.FormerUnix = active.Unix(), unix(former)
		m.Keys = append(m.Keys, k)
	}
	var b event.Builder
	streams := []uint64{event.StreamKey(event.StreamDocument, event.Key("IdentityProvider", issuer))}
	if err := b.Add(event.TypeSigningKeysMade, event.ClassSystem, streams, m); err != nil {
		return err
	}
	o, err := e.pages.calls.propose(ctx, b.Bytes())
	switch {
	case err != nil:
		return err
	case o.Code == event.CodeConflict:
		return fmt.Errorf("%w: %s", errKeysChanged, o.Detail)
	case o.Code != 0:
		return fmt.Errorf("%w: %s", ErrDenied, o.Detail)
	}
	return o.Err
}

// newKey makes a key.
func (e *Engine) newKey(issuer, algorithm string) (*event.SigningKeysMade_Key, error) {
	var signer crypto.Signer
	var err error
	switch algorithm {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("make a signing key: expected %s, %s or %s, found %q", ES256, RS256, EdDSA, algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("make a signing key for %s: %w", algorithm, err)
	}
	k := &event.SigningKeysMade_Key{Algorithm: algorithm}
	if k.Id, err = thumbprint(signer.Public()); err != nil {
		return nil, err
	}
	if k.Public, err = x509.MarshalPKIXPublicKey(signer.Public()); err != nil {
		return nil, fmt.Errorf("encode a public key: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("encode a signing key: %w", err)
	}
	defer clear(plain)
	if k.Private, err = e.config.Keyring.Seal(nil, plain, keyContext(issuer, k.Id)); err != nil {
		return nil, fmt.Errorf("seal a signing key: %w", err)
	}
	return k, nil
}

// thumbprint returns the thumbprint of a public key (RFC 7638 section 3, RFC 8037 section 2).
func thumbprint(public crypto.PublicKey) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	var text string
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil || len(point) != 65 {
			return "", fmt.Errorf("encode a public key: %w", err)
		}
		text = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, encode(point[1:33]), encode(point[33:]))
	case *rsa.PublicKey:
		text = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, encode(big.NewInt(int64(k.E)).Bytes()), encode(k.N.Bytes()))
	case ed25519.PublicKey:
		text = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode(k))
	default:
		return "", fmt.Errorf("encode a public key: a %T is none that signs", public)
	}
	sum := sha256.Sum256([]byte(text))
	return encode(sum[:]), nil
}

// Rotation is how keys are rotated.
type Rotation struct {
	Issuer     string   // name of the identity provider
	Algorithms []string // empty: all that it has keys of
	// AtOnce has the new keys sign at once and the present ones go at once, as where one was stolen: what they signed is good no longer.
	AtOnce bool
	By     string // the administrator; empty: by age
}

// RotateKeys gives an identity provider new keys and returns once that is committed. They are published at once and sign after KeyOverlap; those before them stay published from
// then on for as long as a token that they signed may be good, and for KeyAfterlife.
func (e *Engine) RotateKeys(ctx context.Context, x *Rotation) (*KeySet, error) {
	set, err := e.Keys(ctx, x.Issuer)
	if err != nil {
		return nil, err
	}
	algorithms := slices.Clone(x.Algorithms)
	if len(algorithms) == 0 {
		for _, k := range set.Keys {
			if !slices.Contains(algorithms, k.Algorithm) {
				algorithms = append(algorithms, k.Algorithm)
			}
		}
	}
	slices.Sort(algorithms)
	now := e.now()
	active, former := now.Add(KeyOverlap), now.Add(KeyOverlap+e.keyAfterlife(x.Issuer))
	if x.AtOnce {
		active, former = now, time.Time{}
	}
	if err := e.proposeKeys(ctx, x.Issuer, set.Serial, slices.Compact(algorithms), x.By, active, former); err != nil {
		return nil, fmt.Errorf("rotate the signing keys of %s (%s): %w", x.Issuer, strings.Join(algorithms, ", "), err)
	}
	return e.preparedKeys(x.Issuer)
}

// keyAfterlife returns how long a key of an identity provider is published after it has signed last: an hour longer than the longest access token of its clients.
func (e *Engine) keyAfterlife(issuer string) time.Duration {
	cache, after := e.config.Policies.Load(), KeyAfterlife
	if i, err := cache.Issuer(issuer); err == nil && i.SSO != nil {
		after = max(after, i.SSO.OAuth+time.Hour)
	}
	for client := range cache.OpenIDClients() {
		if client.Issuer != nil && client.Issuer.Name == issuer && client.Spec.OIDC != nil {
			after = max(after, client.Spec.OIDC.OAuthTimeout+time.Hour)
		}
	}
	return after
}

// KeysDue returns the algorithms of which the newest key of an identity provider is older than its profile wants it to become. There are none where OpenID Connect is switched off,
// or keys are rotated by administrators alone.
func (e *Engine) KeysDue(keys *state.SigningKeys, now time.Time) (algorithms []string) {
	issuer, err := e.config.Policies.Load().Issuer(keys.Issuer)
	if err != nil || issuer.Spec.Profiles.OpenID == nil || !issuer.Spec.Profiles.OpenID.Enabled || issuer.Spec.Profiles.OpenID.KeyRotation <= 0 {
		return nil
	}
	newest := map[string]int64{}
	for _, k := range keys.Keys {
		newest[k.Algorithm] = max(newest[k.Algorithm], k.Created)
	}
	for algorithm, created := range newest {
		if now.Sub(time.Unix(created, 0)) >= issuer.Spec.Profiles.OpenID.KeyRotation {
			algorithms = append(algorithms, algorithm)
		}
	}
	slices.Sort(algorithms)
	return algorithms
}
