package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"trine/engine/trace"
)

// Trust says whom a verifier trusts, for what, and whom certificates name.
type Trust struct {
	Roots         []*x509.Certificate // at least one: those of the system are trusted for servers, not for people
	Intermediates []*x509.Certificate // which clients and proxies leave out
	Policy        Policy
	Mapping       Mapping
}

// maxPaths is the number of paths to a root that are looked at.
const maxPaths = 4

// Verifier verifies client certificates. It is immutable and safe for concurrent use.
type Verifier struct {
	roots         *x509.CertPool
	intermediates []*x509.Certificate
	policy        Policy
	signers       [32]byte
	mapping       Mapping
	revocations   *Revocations
}

// NewVerifier returns a verifier. Revocations may be nil if the policy's method is Off. It returns an error for a trust without roots, a root
// that is no authority, and a policy or mapping that cannot work.
func NewVerifier(trust Trust, revocations *Revocations) (*Verifier, error) {
	if len(trust.Roots) == 0 {
		return nil, errors.New("client certificates: no root is trusted; name at least one")
	}
	for _, root := range trust.Roots {
		if root.BasicConstraintsValid && !root.IsCA {
			return nil, fmt.Errorf("client certificates: %s is no certificate of an authority", describe(root))
		}
	}
	policy, err := trust.Policy.validate()
	if err != nil {
		return nil, err
	}
	if policy.Method != Off && revocations == nil {
		return nil, errors.New("client certificates: revocation is to be checked, and there is nothing to check it with")
	}
	switch m := trust.Mapping; {
	case m.Part > Expression:
		return nil, fmt.Errorf("client certificates: %d is no part of a certificate", m.Part)
	case m.Part == Attribute && !isAttribute(m.Attribute):
		return nil, fmt.Errorf("client certificates: %q is no attribute of a subject", m.Attribute)
	case m.Part == Expression && m.Expression == nil:
		return nil, errors.New("client certificates: mapped by an expression, and there is none")
	}
	v := &Verifier{
		roots: x509.NewCertPool(), intermediates: trust.Intermediates,
		policy: policy, signers: policy.signers(), mapping: trust.Mapping, revocations: revocations,
	}
	for _, root := range trust.Roots {
		v.roots.AddCert(root)
	}
	return v, nil
}

// Outcome is what came of one certificate.
type Outcome struct {
	Reason trace.Reason        // OK if it is accepted and names a user
	Err    error               // what was wrong, for people; nil for OK
	User   string              // the name to look up; empty unless OK
	Leaf   *x509.Certificate   // nil if none could be read
	Chain  []*x509.Certificate // from the leaf to the root that it was found to lead to; nil if to none
	// Revocation says what told about revocation, such as "OCSP http://ocsp.example/"; empty if nothing was asked.
	Revocation string
	// Excused is why revocation could not be found out, where the policy accepts that; nil otherwise.
	Excused error
	mapping Mapping
}

// Record adds the outcome to a trace.
func (o *Outcome) Record(t *trace.Trace) {
	if o.Leaf != nil {
		t.Add(trace.CertificateCame, describe(o.Leaf), serial(o.Leaf))
	}
	if o.Chain != nil {
		t.Add(trace.CertificateChained, describe(o.Chain[len(o.Chain)-1]), "")
	}
	switch {
	case o.Reason == trace.CertificateRevocationUnknown:
		t.Add(trace.RevocationUnknown, o.Err.Error(), "")
		return
	case o.Excused != nil:
		t.Add(trace.RevocationExcused, o.Excused.Error(), "")
	case o.Revocation != "" && o.Reason != trace.CertificateRevoked:
		t.Add(trace.RevocationChecked, o.Revocation, "")
	}
	if o.Reason == trace.OK {
		t.Add(trace.CertificateMapped, o.User, o.mapping.String())
	} else {
		t.Add(trace.CertificateRefused, o.Err.Error(), "")
	}
}

// Unread returns the outcome of an error of [FromTLS] or [FromHeader].
func Unread(err error) Outcome {
	if errors.Is(err, ErrMissing) {
		return Outcome{Reason: trace.CertificateMissing, Err: err}
	}
	return Outcome{Reason: trace.CertificateMalformed, Err: err}
}

// Verify verifies a certificate at a time, which must not be zero. It may wait for the network, until the context is done or the policy's
// timeout has passed, and so must not run on an event loop: see [Verifier.Known].
func (v *Verifier) Verify(ctx context.Context, p Presented, at time.Time) Outcome {
	if v.policy.Method != Off {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, v.policy.Timeout)
		defer cancel()
	}
	o, _ := v.verify(ctx, p, at, true)
	return o
}

// Known is Verify by what the node knows already, so it never waits for the network. False means that something has to be fetched: call Verify
// on a goroutine that may wait. A source that has just failed counts as asked.
func (v *Verifier) Known(p Presented, at time.Time) (Outcome, bool) {
	return v.verify(context.Background(), p, at, false)
}

// verify returns false if something would have to be fetched and may not be.
func (v *Verifier) verify(ctx context.Context, p Presented, at time.Time, fetch bool) (Outcome, bool) {
	if p.Leaf == nil {
		return Unread(ErrMissing), true
	}
	o := Outcome{Leaf: p.Leaf, mapping: v.mapping}
	chains, err := v.chains(p, at)
	if err != nil {
		o.Reason, o.Err = whyUntrusted(p.Leaf, at, err), err
		return o, true
	}
	o.Chain = chains[0]
	if v.policy.Method != Off {
		for i, chain := range chains[:min(len(chains), maxPaths)] {
			verdict, known := v.checkChain(ctx, chain, p.Stapled, at, fetch)
			if !known {
				return Outcome{}, false
			}
			if i == 0 || verdict.reason == trace.OK {
				o.Chain, o.Reason, o.Err, o.Revocation, o.Excused = chain, verdict.reason, verdict.err, verdict.source, verdict.excused
			}
			if verdict.reason == trace.OK {
				break
			}
		}
		if o.Reason != trace.OK {
			return o, true
		}
	}
	fields, err := FieldsOf(p.Leaf)
	if err != nil {
		o.Reason, o.Err = trace.CertificateMalformed, err
		return o, true
	}
	if o.User, err = v.mapping.User(&fields); err != nil {
		o.Reason, o.Err = trace.CertificateUnmapped, err
		return o, true
	}
	o.Reason = trace.OK
	return o, true
}

// chains returns the paths from the certificate to a root (RFC 5280 section 6): signatures, validity, basic constraints, name constraints and
// the extended key usage clientAuth in all of each path.
func (v *Verifier) chains(p Presented, at time.Time) ([][]*x509.Certificate, error) {
	if at.IsZero() {
		return nil, errors.New("verified at no time") // for which x509 would take the clock's
	}
	pool := x509.NewCertPool()
	for _, c := range v.intermediates {
		pool.AddCert(c)
	}
	for _, c := range p.Chain {
		pool.AddCert(c)
	}
	return p.Leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// whyUntrusted returns the reason of an error of x509.
func whyUntrusted(leaf *x509.Certificate, at time.Time, err error) trace.Reason {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) {
		return trace.CertificateUntrusted
	}
	switch invalid.Reason {
	case x509.Expired:
		if c := invalid.Cert; c != nil && at.Before(c.NotBefore) || at.Before(leaf.NotBefore) {
			return trace.CertificateNotYetValid
		}
		return trace.CertificateExpired
	case x509.IncompatibleUsage:
		return trace.CertificateUsage
	}
	return trace.CertificateUntrusted
}

// describe names a certificate for people.
func describe(c *x509.Certificate) string {
	if name, err := nameOf(c.RawSubject); err == nil && name.DN != "" {
		return name.DN
	}
	return "serial number " + serial(c)
}
