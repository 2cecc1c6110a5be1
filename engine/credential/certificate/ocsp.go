package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// nonceSize is the number of octets of a nonce: what RFC 9654 recommends, and RFC 8954 allows.
const nonceSize = 32

// undatedFor is how long an answer counts whose responder does not say when there will be newer information.
const undatedFor = 5 * time.Minute

var oidNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}

// fetchOCSP asks a source's responder by POST (RFC 6960 appendix A.1). It returns an error for an answer that does not count.
func (r *Revocations) fetchOCSP(ctx context.Context, s *source) (answer, error) {
	var nonce []byte
	if s.policy.Nonce {
		nonce = make([]byte, nonceSize)
		rand.Read(nonce)
	}
	request, err := ocspRequest(s.subject, s.issuer, nonce)
	if err != nil {
		return answer{}, err
	}
	body, err := r.fetcher.Fetch(ctx, FetchRequest{URL: s.url, Body: request, ContentType: "application/ocsp-request", Limit: maxAnswer})
	if err != nil {
		return answer{}, err
	}
	if len(body) > maxAnswer {
		return answer{}, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	a := parseOCSP(body, s.subject, s.issuer, s.policy, nonce, time.Now())
	if a.status == unavailable {
		return answer{}, a.err
	}
	return a, nil
}

// ocspRequest returns a request about one certificate. Its CertID is of SHA-1, which every responder knows and which protects nothing here.
func ocspRequest(subject, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	der, err := ocsp.CreateRequest(subject, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		return nil, fmt.Errorf("make an OCSP request: %w", err)
	}
	if nonce == nil {
		return der, nil
	}
	// OCSPRequest ::= SEQUENCE { TBSRequest ::= SEQUENCE { ..., requestExtensions [2] EXPLICIT Extensions } }
	var outer, tbs cryptobyte.String
	if input := cryptobyte.String(der); !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, errors.New("make an OCSP request: cannot add a nonce")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidNonce)
						b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
					})
				})
			})
		})
	})
	return b.Bytes()
}

// parseOCSP reads a response about one certificate, as of a time: signature, who may sign, what it is about, freshness, and the nonce if one was sent. The
// answer is unavailable, with an error, if any of it does not hold.
func parseOCSP(der []byte, subject, issuer *x509.Certificate, policy *Policy, nonce []byte, at time.Time) answer {
	// With a certificate in it, this verifies the signature by that; whose it is comes below. Without one, nothing is verified here.
	response, err := ocsp.ParseResponseForCert(der, subject, nil)
	if err != nil {
		return answer{err: fmt.Errorf("no OCSP answer: %w", err)}
	}
	if err := signedByRight(response, issuer, policy, at); err != nil {
		return answer{err: err}
	}
	if err := checkResponseData(response.TBSResponseData, subject.SerialNumber, issuer, nonce); err != nil {
		return answer{err: err}
	}
	until := response.NextUpdate
	if until.IsZero() {
		until = response.ThisUpdate.Add(undatedFor)
	}
	switch {
	case at.Before(response.ThisUpdate.Add(-skew)):
		return answer{err: fmt.Errorf("an OCSP answer of the future (%s)", response.ThisUpdate.UTC().Format(time.RFC3339))}
	case !at.Before(until):
		return answer{err: fmt.Errorf("a stale OCSP answer (good until %s)", until.UTC().Format(time.RFC3339))}
	}
	a := answer{from: response.ThisUpdate, until: until}
	switch response.Status {
	case ocsp.Good:
		a.status = good
	case ocsp.Revoked:
		a.status, a.err = revoked, fmt.Errorf("on %s, %s", response.RevokedAt.UTC().Format(time.RFC3339), reasonText(response.RevocationReason))
	default:
		a.status, a.err = notKnown, errors.New("it does not know the certificate")
	}
	return a
}

// signedByRight returns nil if the response was signed by somebody who may (RFC 6960 section 4.2.2.2): the authority itself, a responder that the
// policy trusts, or one to which the authority has given a certificate for it.
func signedByRight(response *ocsp.Response, issuer *x509.Certificate, policy *Policy, at time.Time) error {
	signer := response.Certificate
	if signer == nil {
		for _, candidate := range append([]*x509.Certificate{issuer}, policy.Responders...) {
			if response.CheckSignatureFrom(candidate) == nil {
				return withinValidity(candidate, at)
			}
		}
		return errors.New("an OCSP answer that neither the authority nor a trusted responder has signed")
	}
	if signer.Equal(issuer) || slices.ContainsFunc(policy.Responders, signer.Equal) {
		return withinValidity(signer, at)
	}
	if issuer.CheckSignature(signer.SignatureAlgorithm, signer.RawTBSCertificate, signer.Signature) != nil {
		return fmt.Errorf("an OCSP answer signed by %s, whose certificate is not of the authority", describe(signer))
	}
	if !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return fmt.Errorf("an OCSP answer signed by %s, whose certificate is not meant for OCSP (id-kp-OCSPSigning)", describe(signer))
	}
	if signer.KeyUsage != 0 && signer.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("an OCSP answer signed by %s, whose key is not meant for signatures", describe(signer))
	}
	return withinValidity(signer, at)
}

func withinValidity(signer *x509.Certificate, at time.Time) error {
	if at.Before(signer.NotBefore) || at.After(signer.NotAfter) {
		return fmt.Errorf("an OCSP answer signed by %s, whose certificate is not valid at the time", describe(signer))
	}
	return nil
}

// checkResponseData checks what package ocsp does not look at: that the answer is about this authority's certificate and not another's with
// the same serial number, the nonce, and extensions that must be understood.
//
//	ResponseData ::= SEQUENCE { version [0] EXPLICIT OPTIONAL, responderID, producedAt, responses SEQUENCE OF SingleResponse,
//	    responseExtensions [1] EXPLICIT OPTIONAL }
//	SingleResponse ::= SEQUENCE { certID SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber }, ... }
func checkResponseData(der []byte, serialNumber *big.Int, issuer *x509.Certificate, nonce []byte) error {
	malformed := errors.New("an OCSP answer that cannot be read")
	var data, ignored, responses cryptobyte.String
	var tag cbasn1.Tag
	input := cryptobyte.String(der)
	if !input.ReadASN1(&data, cbasn1.SEQUENCE) ||
		!data.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!data.ReadAnyASN1(&ignored, &tag) ||
		!data.SkipASN1(cbasn1.GeneralizedTime) ||
		!data.ReadASN1(&responses, cbasn1.SEQUENCE) {
		return malformed
	}
	about := false
	for !responses.Empty() && !about {
		var response, id, algorithm, nameHash, keyHash cryptobyte.String
		var oid asn1.ObjectIdentifier
		serial := new(big.Int)
		if !responses.ReadASN1(&response, cbasn1.SEQUENCE) ||
			!response.ReadASN1(&id, cbasn1.SEQUENCE) ||
			!id.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
			!algorithm.ReadASN1ObjectIdentifier(&oid) ||
			!id.ReadASN1(&nameHash, cbasn1.OCTET_STRING) ||
			!id.ReadASN1(&keyHash, cbasn1.OCTET_STRING) ||
			!id.ReadASN1Integer(serial) {
			return malformed
		}
		if serial.Cmp(serialNumber) != 0 {
			continue
		}
		// The first with the serial number is the one that package ocsp has taken.
		about = true
		name, key, ok := issuerHashes(issuer, oid)
		if !ok || !bytes.Equal(nameHash, name) || !bytes.Equal(keyHash, key) {
			return errors.New("an OCSP answer about a certificate of another authority")
		}
	}
	if !about {
		return errors.New("an OCSP answer about another certificate")
	}
	var extensions, list cryptobyte.String
	var present bool
	if !data.ReadOptionalASN1(&extensions, &present, cbasn1.Tag(1).ContextSpecific().Constructed()) ||
		present && !extensions.ReadASN1(&list, cbasn1.SEQUENCE) {
		return malformed
	}
	nonced := false
	for !list.Empty() {
		var extension, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		critical := false
		if !list.ReadASN1(&extension, cbasn1.SEQUENCE) ||
			!extension.ReadASN1ObjectIdentifier(&oid) ||
			extension.PeekASN1Tag(cbasn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) ||
			!extension.ReadASN1(&value, cbasn1.OCTET_STRING) {
			return malformed
		}
		switch {
		case oid.Equal(oidNonce) && nonce != nil:
			var theirs cryptobyte.String
			if !value.ReadASN1(&theirs, cbasn1.OCTET_STRING) || !bytes.Equal(theirs, nonce) {
				return errors.New("an OCSP answer with another nonce than was sent")
			}
			nonced = true
		case critical && !oid.Equal(oidNonce):
			return fmt.Errorf("an OCSP answer with a critical extension (%s) that is not understood", oid)
		}
	}
	if nonce != nil && !nonced {
		return errors.New("an OCSP answer without the nonce that was sent")
	}
	return nil
}

// issuerHashes returns the hashes by which a CertID names an authority (RFC 6960 section 4.1.1).
func issuerHashes(issuer *x509.Certificate, algorithm asn1.ObjectIdentifier) (name, key []byte, ok bool) {
	var hash crypto.Hash
	switch algorithm.String() {
	case "1.3.14.3.2.26":
		hash = crypto.SHA1
	case "2.16.840.1.101.3.4.2.1":
		hash = crypto.SHA256
	case "2.16.840.1.101.3.4.2.2":
		hash = crypto.SHA384
	case "2.16.840.1.101.3.4.2.3":
		hash = crypto.SHA512
	default:
		return nil, nil, false
	}
	var info, bits cryptobyte.String
	var unused uint8
	if input := cryptobyte.String(issuer.RawSubjectPublicKeyInfo); !input.ReadASN1(&info, cbasn1.SEQUENCE) ||
		!info.SkipASN1(cbasn1.SEQUENCE) || !info.ReadASN1(&bits, cbasn1.BIT_STRING) || !bits.ReadUint8(&unused) {
		return nil, nil, false
	}
	h := hash.New()
	h.Write(issuer.RawSubject)
	name = h.Sum(nil)
	h.Reset()
	h.Write(bits)
	return name, h.Sum(nil), true
}
