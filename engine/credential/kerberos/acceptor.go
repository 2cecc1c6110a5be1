package kerberos

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"trine/engine/trace"
)

// The bounds of Config.Skew.
const (
	DefaultSkew = 5 * time.Minute
	MaxSkew     = 15 * time.Minute
)

// Config says what an acceptor accepts.
type Config struct {
	Keytab  *Keytab
	Mapping Mapping
	// Skew is how far the clocks of clients and KDC may be from this node's; 0: DefaultSkew; at most MaxSkew. As long is each ticket's use remembered.
	Skew time.Duration
	// RC4 accepts arcfour-hmac (RFC 8429 says not to), for KDCs that know nothing better.
	RC4 bool
	// RequireBinding refuses clients that do not bind their ticket to the TLS connection.
	RequireBinding bool
	// Replays is how many uses of tickets are remembered, some 100 bytes each; 0: 1,000,000.
	Replays int
}

// Acceptor accepts tickets. It is safe for concurrent use, and does nothing that takes long: some 150 microseconds a ticket.
type Acceptor struct {
	keytab         *Keytab
	mapping        Mapping
	skew           time.Duration
	rc4            bool
	requireBinding bool
	replays        replays
}

// NewAcceptor returns an acceptor. It returns an error for a config without a keytab, or with one that has only keys of encryption types that are
// not accepted.
func NewAcceptor(c Config) (*Acceptor, error) {
	if c.Keytab == nil {
		return nil, errors.New("kerberos: there is no keytab")
	}
	if c.Skew == 0 {
		c.Skew = DefaultSkew
	}
	if c.Skew < 0 || c.Skew > MaxSkew {
		return nil, fmt.Errorf("kerberos: a clock skew of %v; it must be between 0 and %v", c.Skew, MaxSkew)
	}
	if c.Replays <= 0 {
		c.Replays = 1_000_000
	}
	a := &Acceptor{
		keytab: c.Keytab, mapping: c.Mapping, skew: c.Skew, rc4: c.RC4, requireBinding: c.RequireBinding,
		replays: replays{limit: c.Replays, seen: map[[32]byte]time.Time{}},
	}
	for _, e := range c.Keytab.entries {
		if a.accepts(e.enctype) {
			return a, nil
		}
	}
	return nil, errors.New("kerberos: the keytab has no key of an encryption type that is accepted (AES)")
}

// accepts reports whether an encryption type is accepted at all.
func (a *Acceptor) accepts(enctype int32) bool {
	_, known := keySize(enctype)
	return known && (enctype != rc4HMAC || a.rc4)
}

// Outcome is what came of one token.
type Outcome struct {
	Reason    trace.Reason // OK if the ticket is accepted and names a user
	Err       error        // what was wrong, for people; nil for OK
	User      string       // the name to look up; empty unless OK
	Principal string       // whose ticket it is, with the realm; empty if it could not be read
	Service   string       // whom it was for
	Reply     []byte       // the token to send back with the answer (see ToHeader); empty unless OK
	Bound     bool         // the client has bound the ticket to the TLS connection
	AuthAt    time.Time    // when the person authenticated to the KDC
	Ends      time.Time    // when the ticket ends
	// Once identifies this use of the ticket. This node takes it no more; a cluster must consume it once before the login counts, and remember it
	// until OnceUntil.
	Once      [32]byte
	OnceUntil time.Time
}

// Record adds the outcome to a trace.
func (o *Outcome) Record(t *trace.Trace) {
	if o.Principal != "" {
		t.Add(trace.TicketCame, o.Principal, o.Service)
	}
	if o.Reason == trace.OK {
		t.Add(trace.PrincipalMapped, o.User, o.Principal)
	} else {
		t.Add(trace.TicketRefused, o.Err.Error(), "")
	}
}

// Unread returns the outcome of an error of [FromHeader].
func Unread(err error) Outcome {
	reason := trace.KerberosMalformed
	switch {
	case errors.Is(err, ErrMissing):
		reason = trace.KerberosMissing
	case errors.Is(err, ErrOther):
		reason = trace.KerberosNotUsed
	}
	return Outcome{Reason: reason, Err: err}
}

// Accept verifies a client's first token at a time, by the node's clock. Binding is the channel binding of the TLS connection on which the token
// came (see ServerEndPoint), nil if it is not known: behind a proxy, or without TLS.
func (a *Acceptor) Accept(token, binding []byte, at time.Time) Outcome {
	offered, err := parseToken(token)
	if err != nil {
		return Unread(err)
	}
	q, err := parseRequest(offered.request)
	if err != nil {
		return Unread(fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	o := Outcome{Service: q.service.String()}
	refuse := func(reason trace.Reason, format string, args ...any) Outcome {
		o.Reason, o.Err = reason, fmt.Errorf(format, args...)
		return o
	}
	if q.options&flag(1) != 0 {
		return refuse(trace.KerberosMalformed, "%w: encrypted for a user's ticket, not for a service (use-session-key)", ErrMalformed)
	}
	if !a.accepts(q.ticket.enctype) {
		return refuse(trace.KerberosWeak, "the ticket is encrypted with %s, which is not accepted", enctypeName(q.ticket.enctype))
	}

	keys := a.keytab.find(&q.service, q.ticket.version, q.ticket.enctype)
	if len(keys) == 0 {
		return refuse(trace.KerberosNoKey, "the keytab has no key for %s, version %d, %s", q.service, q.ticket.version, enctypeName(q.ticket.enctype))
	}
	var plain []byte
	for _, k := range keys {
		if plain, err = decrypt(k.enctype, k.key, usageTicket, q.ticket.cipher); err == nil {
			break
		}
	}
	if err != nil {
		return refuse(trace.KerberosWrongKey, "the key of %s, version %d, does not open the ticket", q.service, q.ticket.version)
	}
	t, err := parseTicket(plain)
	if err != nil {
		return refuse(trace.KerberosMalformed, "%w: %w", ErrMalformed, err)
	}
	o.Principal, o.AuthAt, o.Ends = t.client.String(), t.authAt, t.ends
	if !a.accepts(t.enctype) {
		return refuse(trace.KerberosWeak, "the session's key is of %s, which is not accepted", enctypeName(t.enctype))
	}

	// Only who has the session's key can have made the authenticator.
	if plain, err = decrypt(t.enctype, t.key, usageAuthenticator, q.authenticator.cipher); err != nil || q.authenticator.enctype != t.enctype {
		return refuse(trace.KerberosWrongKey, "the session's key does not open the authenticator: the ticket is not the client's")
	}
	proof, err := parseAuthenticator(plain)
	if err != nil {
		return refuse(trace.KerberosMalformed, "%w: %w", ErrMalformed, err)
	}
	if !proof.client.equal(&t.client) {
		return refuse(trace.KerberosWrongKey, "the authenticator is of %s, and the ticket of %s", proof.client, t.client)
	}
	if reason, err := a.inTime(&t, &proof, at); err != nil {
		return refuse(reason, "%w", err)
	}
	// A ticket that crossed realms must have been looked at by the KDC of this one (RFC 4120 section 2.7): nobody here knows the path.
	if t.client.realm != q.service.realm && t.flags&flag(12) == 0 {
		return refuse(trace.KerberosRealm, "%w: %s, and the KDC has not checked by which realms the ticket came", ErrRealm, t.client.realm)
	}
	if t.flags&flag(16) != 0 {
		return refuse(trace.KerberosUnmapped, "%w: the ticket is anonymous", ErrUnmapped)
	}

	mutual := q.options&flag(2) != 0
	if reason, err := a.bound(&o, &proof, binding); err != nil {
		return refuse(reason, "%w", err)
	}
	user, err := a.mapping.user(&t.client)
	switch {
	case errors.Is(err, ErrRealm):
		return refuse(trace.KerberosRealm, "%w", err)
	case err != nil:
		return refuse(trace.KerberosUnmapped, "%w", err)
	}

	var sent []byte
	if mutual {
		var sequence [4]byte
		rand.Read(sequence[:])
		if sent, err = reply(&t, &proof, binary.BigEndian.Uint32(sequence[:])>>2); err != nil {
			return refuse(trace.KerberosMalformed, "%w: %w", ErrMalformed, err)
		}
	}
	if sent, err = offered.answer(sent); err != nil {
		return refuse(trace.KerberosMalformed, "%w: %w", ErrMalformed, err)
	}

	// Last, so that what is refused is not remembered. An authenticator's ciphertext is as good as its content: whoever cannot decrypt it
	// cannot write the same in another way, because the checksum in it covers everything.
	o.Once = sha256.Sum256(q.authenticator.cipher)
	o.OnceUntil = proof.at.Add(a.skew)
	fresh, err := a.replays.add(o.Once, o.OnceUntil, at)
	switch {
	case err != nil:
		return refuse(trace.KerberosReplayFull, "%w", err)
	case !fresh:
		return refuse(trace.KerberosReplayed, "the same token was accepted before")
	}
	o.Reason, o.User, o.Reply = trace.OK, user, sent
	return o
}

// inTime checks the ticket's validity and the client's clock.
func (a *Acceptor) inTime(t *ticket, proof *authenticator, at time.Time) (trace.Reason, error) {
	switch {
	case t.flags&flag(7) != 0:
		return trace.KerberosNotYetValid, errors.New("the ticket is postdated and was not validated")
	case at.Before(t.starts.Add(-a.skew)):
		return trace.KerberosNotYetValid, fmt.Errorf("the ticket begins at %s", stamp(t.starts))
	case at.After(t.ends.Add(a.skew)):
		return trace.KerberosExpired, fmt.Errorf("the ticket ended at %s", stamp(t.ends))
	}
	if off := at.Sub(proof.at); off > a.skew || off < -a.skew {
		return trace.KerberosSkew, fmt.Errorf("the client's clock said %s, which is more than %v from this node's", stamp(proof.at), a.skew)
	}
	return trace.OK, nil
}

// bound checks what GSS-API has put into the authenticator's checksum (RFC 4121 section 4.1.1): 16 as 32 bits, the hash of the channel binding, flags.
func (a *Acceptor) bound(o *Outcome, proof *authenticator, binding []byte) (trace.Reason, error) {
	if len(proof.checksum) < 24 || binary.LittleEndian.Uint32(proof.checksum) != 16 {
		return trace.KerberosMalformed, fmt.Errorf("%w: no checksum of the GSS-API in the authenticator", ErrMalformed)
	}
	theirs := [16]byte(proof.checksum[4:20])
	switch {
	case theirs == [16]byte{}: // the client has bound it to nothing
	case binding == nil: // and we do not know to what it should be
	default:
		if ours := bindingHash(binding); subtle.ConstantTimeCompare(theirs[:], ours[:]) != 1 {
			return trace.KerberosBinding, errors.New("the ticket is bound to another TLS connection: somebody is between the client and this node, or a proxy ends TLS")
		}
		o.Bound = true
	}
	if a.requireBinding && !o.Bound {
		return trace.KerberosBinding, errors.New("the ticket is not bound to the TLS connection, which is required")
	}
	return trace.OK, nil
}

// bindingHash returns the MD5 of a channel binding without addresses (RFC 4121 section 4.1.1.2), which the protocol prescribes.
func bindingHash(binding []byte) [16]byte {
	b := make([]byte, 20, 20+len(binding))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(binding)))
	return md5.Sum(append(b, binding...))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
