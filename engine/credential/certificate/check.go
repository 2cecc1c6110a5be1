package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"trine/engine/trace"
)

// skew is how far the clocks of authorities may be ahead.
const skew = 5 * time.Minute

// maxSources is the number of URLs of one kind that are tried of those that a certificate names.
const maxSources = 3

// verdict is what is known about the revocation of a chain, or of one certificate of it.
type verdict struct {
	reason  trace.Reason
	source  string
	err     error
	excused error
}

// checkChain checks the certificates of a chain but its root. False means that something would have to be fetched.
func (v *Verifier) checkChain(ctx context.Context, chain []*x509.Certificate, stapled []byte, at time.Time, fetch bool) (verdict, bool) {
	subjects := chain[:len(chain)-1]
	if v.policy.LeafOnly {
		subjects = subjects[:min(len(subjects), 1)]
	}
	whole := verdict{reason: trace.OK}
	allKnown := true
	for i, subject := range subjects {
		staple := stapled
		if i > 0 {
			staple = nil
		}
		one, known := v.checkOne(budget(ctx, len(subjects)-i), subject, chain[i+1], staple, at, fetch)
		switch {
		case !known:
			allKnown = false // go on: another may be known to be revoked
			continue
		case one.reason != trace.OK && (whole.reason == trace.OK || one.reason == trace.CertificateRevoked):
			whole = one
		case whole.reason == trace.OK && one.excused != nil:
			whole.excused = one.excused
		case whole.reason == trace.OK && whole.source == "":
			whole.source = one.source
		}
		if one.reason == trace.CertificateRevoked {
			return whole, true
		}
	}
	return whole, allKnown
}

// checkOne checks one certificate: a stapled answer first, then what is known, then what can be fetched. OCSP goes before CRLs, because an
// answer is smaller and newer.
func (v *Verifier) checkOne(share shareFunc, subject, issuer *x509.Certificate, stapled []byte, at time.Time, fetch bool) (verdict, bool) {
	sources := v.sources(subject, issuer)
	var failures []error
	unknown := false // a responder has said that it does not know the certificate
	judge := func(a answer, source string) (verdict, bool) {
		switch a.status {
		case good:
			return verdict{reason: trace.OK, source: source}, true
		case revoked:
			return verdict{reason: trace.CertificateRevoked, source: source, err: fmt.Errorf("%s says that %s was revoked: %w", source, describe(subject), a.err)}, true
		case notKnown:
			unknown = true
		}
		failures = append(failures, fmt.Errorf("%s: %w", source, a.err))
		return verdict{}, false
	}
	if len(stapled) > 0 && (v.policy.Method == OCSP || v.policy.Method == Either) {
		// A stapled answer cannot have this connection's nonce.
		a := parseOCSP(stapled, subject, issuer, &v.policy, nil, at)
		if v.policy.Nonce && a.status == good {
			a = answer{err: errors.New("it has no nonce of ours")}
		}
		if verdict, done := judge(a, "the stapled OCSP answer"); done {
			return verdict, true
		}
	}
	var open []source
	for _, s := range sources {
		a, known := v.revocations.known(&s, at)
		if !known {
			open = append(open, s)
			continue
		}
		if verdict, done := judge(a, s.String()); done {
			return verdict, true
		}
	}
	if !fetch && len(open) > 0 {
		return verdict{}, false
	}
	for i, s := range open {
		ctx, cancel := share(len(open) - i)
		a := v.revocations.fetch(ctx, &s, at)
		cancel()
		if verdict, done := judge(a, s.String()); done {
			return verdict, true
		}
	}
	if len(sources) == 0 && len(failures) == 0 {
		failures = append(failures, fmt.Errorf("it names no way (%s) to ask, and none is configured", v.policy.Method))
	}
	err := fmt.Errorf("nothing tells whether %s was revoked: %w", describe(subject), errors.Join(failures...))
	if v.policy.AcceptUnavailable && !unknown {
		return verdict{reason: trace.OK, excused: err}, true
	}
	return verdict{reason: trace.CertificateRevocationUnknown, err: err}, true
}

// shareFunc returns a context that ends after an equal share of what time is left, for the first of n that still need some.
type shareFunc func(n int) (context.Context, context.CancelFunc)

// budget shares the time of a context among n certificates, and then among the sources of each, so that one that hangs leaves some for the
// next.
func budget(ctx context.Context, n int) shareFunc {
	end := time.Now().Add(MaxTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	end = time.Now().Add(time.Until(end) / time.Duration(n))
	return func(n int) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
	}
}

// source is one way to learn about one certificate.
type source struct {
	url     string
	ocsp    bool // otherwise a CRL
	subject *x509.Certificate
	issuer  *x509.Certificate
	policy  *Policy
	key     [32]byte // equal where one answer serves
}

// String names the source for people.
func (s *source) String() string {
	if s.ocsp {
		return "OCSP " + s.url
	}
	return "CRL " + s.url
}

// sources lists whom to ask about a certificate.
func (v *Verifier) sources(subject, issuer *x509.Certificate) []source {
	var all []source
	add := func(urls []string, ocsp bool) {
		for _, u := range urls {
			s := source{url: u, ocsp: ocsp, subject: subject, issuer: issuer, policy: &v.policy}
			h := sha256.New()
			// What signs an answer is part of its key: an answer that one verifier trusts is not handed to another that would not.
			for _, part := range [][]byte{[]byte(u), issuer.RawSubject, issuer.RawSubjectPublicKeyInfo} {
				sum := sha256.Sum256(part)
				h.Write(sum[:])
			}
			if ocsp {
				h.Write(v.signers[:])
				h.Write(subject.SerialNumber.Bytes())
			}
			s.key = [32]byte(h.Sum(nil))
			all = append(all, s)
		}
	}
	if v.policy.Method == OCSP || v.policy.Method == Either {
		if v.policy.Responder != "" {
			add([]string{v.policy.Responder}, true)
		} else {
			add(named(subject.OCSPServer), true)
		}
	}
	if v.policy.Method == CRL || v.policy.Method == Either {
		if len(v.policy.CRLs) > 0 {
			add(v.policy.CRLs, false)
		} else {
			add(named(subject.CRLDistributionPoints), false)
		}
	}
	return all
}

// named returns those URLs of a certificate that may be fetched, at most maxSources. Others, such as those of directories, are passed over.
func named(urls []string) []string {
	var some []string
	for _, u := range urls {
		if fetchable(u) && len(some) < maxSources {
			some = append(some, u)
		}
	}
	return some
}

// status is what an answer says.
type status uint8

const (
	unavailable status = iota // there is no answer that counts
	notKnown                  // the responder does not know the certificate
	good
	revoked
)

// answer is what a source says about one certificate.
type answer struct {
	status status
	err    error // why there is none, or when and why it was revoked; nil for good
	from   time.Time
	until  time.Time // the answer counts from and until
}
