package certificate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// list is a CRL as it is kept: 21 bytes a revoked certificate.
type list struct {
	thisUpdate time.Time
	nextUpdate time.Time
	scope      scope
	revoked    []revocation // sorted by serial
}

// revocation is one revoked certificate.
type revocation struct {
	serial [20]byte // right-aligned; RFC 5280 section 4.1.2.2 allows 20 octets
	reason uint8    // RFC 5280 section 5.3.1
}

// scope is what the issuing distribution point of a CRL restricts it to (RFC 5280 section 5.2.5).
type scope struct {
	urls  []string // of the distribution point; nil: any
	users bool     // only certificates of end entities
	cas   bool     // only certificates of authorities
}

// covers reports whether the list counts at a time. One that does not say when the next is due never does.
func (l *list) covers(at time.Time) bool {
	return !at.Before(l.thisUpdate.Add(-skew)) && at.Before(l.nextUpdate)
}

// judge says what the list says about the source's certificate.
func (l *list) judge(s *source, at time.Time) answer {
	if err := l.scope.includes(s); err != nil {
		return answer{err: err}
	}
	key, ok := serialKey(s.subject.SerialNumber.Bytes())
	if !ok {
		return answer{err: errors.New("the certificate's serial number is longer than 20 octets")}
	}
	i, found := slices.BinarySearchFunc(l.revoked, key, func(r revocation, key [20]byte) int { return bytes.Compare(r.serial[:], key[:]) })
	if !found {
		return answer{status: good, from: l.thisUpdate, until: l.nextUpdate}
	}
	return answer{status: revoked, err: errors.New(reasonText(int(l.revoked[i].reason))), from: l.thisUpdate, until: l.nextUpdate}
}

// includes returns nil if the source's certificate is in the scope (RFC 5280 section 6.3.3 b 2).
func (c *scope) includes(s *source) error {
	switch {
	case c.users && s.subject.IsCA:
		return errors.New("the list is for end entities only, and the certificate is an authority's")
	case c.cas && !s.subject.IsCA:
		return errors.New("the list is for authorities only, and the certificate is an end entity's")
	}
	if c.urls == nil {
		return nil
	}
	points := s.subject.CRLDistributionPoints
	if len(points) == 0 {
		points = []string{s.url}
	}
	for _, u := range c.urls {
		if slices.Contains(points, u) {
			return nil
		}
	}
	return errors.New("the list is of another distribution point than the certificate's")
}

// serialKey returns the magnitude of a serial number in the form in which lists are sorted; false if it is too long.
func serialKey(magnitude []byte) ([20]byte, bool) {
	var key [20]byte
	if len(magnitude) > len(key) {
		return key, false
	}
	copy(key[len(key)-len(magnitude):], magnitude)
	return key, true
}

// fetchCRL gets a source's CRL and reads it.
func (r *Revocations) fetchCRL(ctx context.Context, s *source) (*list, error) {
	body, err := r.fetcher.Fetch(ctx, FetchRequest{URL: s.url, Limit: r.limits.CRLSize})
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > r.limits.CRLSize {
		return nil, fmt.Errorf("a list of more than %d bytes", r.limits.CRLSize)
	}
	r.parsing.Lock()
	defer r.parsing.Unlock()
	l, err := parseCRL(body, s.issuer)
	if err != nil {
		return nil, err
	}
	if !l.covers(time.Now()) {
		return nil, fmt.Errorf("a list of %s that was to be replaced by %s", l.thisUpdate.UTC().Format(time.RFC3339), l.nextUpdate.UTC().Format(time.RFC3339))
	}
	return l, nil
}

var (
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidReasonCode               = asn1.ObjectIdentifier{2, 5, 29, 21}
)

// parseCRL reads a complete CRL as DER or PEM and checks that the issuer has signed it. Delta and indirect lists, and lists of some reasons only, are refused: each
// says less than whether a certificate was revoked.
func parseCRL(body []byte, issuer *x509.Certificate) (*list, error) {
	der, err := undressCRL(body)
	if err != nil {
		return nil, err
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("no CRL: %w", err)
	}
	if !bytes.Equal(crl.RawIssuer, issuer.RawSubject) {
		return nil, errors.New("a list of another authority")
	}
	if err := crl.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("the list's signature: %w", err)
	}
	l := &list{thisUpdate: crl.ThisUpdate, nextUpdate: crl.NextUpdate, revoked: make([]revocation, 0, len(crl.RevokedCertificateEntries))}
	for _, extension := range crl.Extensions {
		switch {
		case extension.Id.Equal(oidIssuingDistributionPoint):
			if l.scope, err = parseScope(extension.Value); err != nil {
				return nil, err
			}
		case extension.Critical:
			return nil, fmt.Errorf("a list with a critical extension (%s) that is not understood, such as a delta list's", extension.Id)
		}
	}
	for _, entry := range crl.RevokedCertificateEntries {
		for _, extension := range entry.Extensions {
			if extension.Critical && !extension.Id.Equal(oidReasonCode) {
				return nil, fmt.Errorf("an entry with a critical extension (%s) that is not understood, such as an indirect list's", extension.Id)
			}
		}
		key, ok := serialKey(entry.SerialNumber.Bytes())
		if !ok {
			return nil, errors.New("an entry whose serial number is longer than 20 octets")
		}
		l.revoked = append(l.revoked, revocation{key, uint8(min(max(entry.ReasonCode, 0), 255))})
	}
	slices.SortFunc(l.revoked, func(a, b revocation) int {
		return cmp.Or(bytes.Compare(a.serial[:], b.serial[:]), cmp.Compare(a.reason, b.reason))
	})
	return l, nil
}

// parseScope reads IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0], onlyContainsUserCerts [1], onlyContainsCACerts [2],
// onlySomeReasons [3], indirectCRL [4], onlyContainsAttributeCerts [5] }, all optional.
func parseScope(der []byte) (scope, error) {
	malformed := errors.New("a list with an issuing distribution point that cannot be read")
	var c scope
	var body cryptobyte.String
	if input := cryptobyte.String(der); !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() {
		return c, malformed
	}
	for !body.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !body.ReadAnyASN1(&value, &tag) {
			return c, malformed
		}
		set := len(value) == 1 && value[0] != 0 // of a BOOLEAN
		switch tag {
		case cbasn1.Tag(0).ContextSpecific().Constructed():
			// DistributionPointName ::= CHOICE { fullName [0] GeneralNames, nameRelativeToCRLIssuer [1] }
			var names cryptobyte.String
			if !value.ReadASN1(&names, cbasn1.Tag(0).ContextSpecific().Constructed()) {
				return c, errors.New("a list whose distribution point is named relative to its issuer, which is not supported")
			}
			c.urls = []string{}
			for !names.Empty() {
				var name cryptobyte.String
				if !names.ReadAnyASN1(&name, &tag) {
					return c, malformed
				}
				if tag == cbasn1.Tag(6).ContextSpecific() {
					c.urls = append(c.urls, string(name))
				}
			}
		case cbasn1.Tag(1).ContextSpecific():
			c.users = set
		case cbasn1.Tag(2).ContextSpecific():
			c.cas = set
		case cbasn1.Tag(3).ContextSpecific():
			return c, errors.New("a list of some reasons only, which is not supported")
		case cbasn1.Tag(4).ContextSpecific(), cbasn1.Tag(5).ContextSpecific():
			if set {
				return c, errors.New("an indirect list, or one of attribute certificates, which is not supported")
			}
		default:
			return c, malformed
		}
	}
	return c, nil
}

// reasonText names a reason of RFC 5280 section 5.3.1.
func reasonText(reason int) string {
	switch reason {
	case 1:
		return "key compromise"
	case 2:
		return "compromise of the authority"
	case 3:
		return "affiliation changed"
	case 4:
		return "superseded"
	case 5:
		return "cessation of operation"
	case 6:
		return "on hold"
	case 9:
		return "privilege withdrawn"
	case 10:
		return "compromise of the attribute authority"
	}
	return "no reason given"
}

// undressCRL returns the DER of a CRL that came as PEM, which some servers send although RFC 5280 section 4.2.1.13 asks for DER.
func undressCRL(body []byte) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte("-----BEGIN")) {
		return body, nil
	}
	block, _ := pem.Decode(body)
	if block == nil || block.Type != "X509 CRL" {
		return nil, errors.New("no CRL: PEM of something else")
	}
	return block.Bytes, nil
}
