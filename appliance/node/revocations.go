package node

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// revocations are what authorities say of certificates that they have taken back (RFC 5280 section 5). With them, every certificate of a chain but that of
// the root must be one of which a list that is in force says nothing. The zero value knows no list, so that nothing passes.
type revocations struct {
	lists []revocationList
	clock func() time.Time
}

type revocationList struct {
	*x509.RevocationList
	serials map[string]bool // the magnitudes of the numbers of those that are revoked
}

// readRevocations reads a file with lists: any number in PEM, or one in DER.
func readRevocations(file string, clock func() time.Time) (*revocations, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("load the revocations of devices: %w", err)
	}
	r := &revocations{clock: clock}
	add := func(der []byte) error {
		l, err := x509.ParseRevocationList(der)
		if err == nil {
			err = whole(l)
		}
		if err != nil {
			return fmt.Errorf("load the revocations of devices: list %d of %s: %w", len(r.lists)+1, file, err)
		}
		serials := make(map[string]bool, len(l.RevokedCertificateEntries))
		for i := range l.RevokedCertificateEntries {
			serials[string(l.RevokedCertificateEntries[i].SerialNumber.Bytes())] = true
		}
		r.lists = append(r.lists, revocationList{l, serials})
		return nil
	}
	found := false
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if found = true; block.Type != "X509 CRL" {
			return nil, fmt.Errorf("load the revocations of devices: %s has a %s in it, where lists are X509 CRL", file, block.Type)
		}
		if err := add(block.Bytes); err != nil {
			return nil, err
		}
	}
	if !found {
		if err := add(text); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// whole reports lists that tell of a part of an authority's certificates, or of another's, and so of some that nothing here would know.
func whole(l *x509.RevocationList) error {
	reasonCode := asn1.ObjectIdentifier{2, 5, 29, 21}
	for _, e := range l.Extensions {
		if e.Critical {
			return fmt.Errorf("it has the extension %v, with which it does not tell of all certificates of its authority", e.Id)
		}
	}
	for i := range l.RevokedCertificateEntries {
		for _, e := range l.RevokedCertificateEntries[i].Extensions {
			if e.Critical && !e.Id.Equal(reasonCode) {
				return fmt.Errorf("an entry has the extension %v, which nothing here understands", e.Id)
			}
		}
	}
	return nil
}

// verify refuses the certificates of a handshake unless one of their chains has none that is revoked.
func (r *revocations) verify(state tls.ConnectionState) error {
	err := errors.New("there is no chain of certificates")
	for _, chain := range state.VerifiedChains {
		if err = r.chain(chain); err == nil {
			return nil
		}
	}
	return err
}

func (r *revocations) chain(chain []*x509.Certificate) error {
	for i, c := range chain[:len(chain)-1] {
		if err := r.certificate(c, chain[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *revocations) certificate(c, issuer *x509.Certificate) error {
	now := r.clock()
	told, due := false, time.Time{}
	for i := range r.lists {
		l := &r.lists[i]
		if !bytes.Equal(l.RawIssuer, c.RawIssuer) || l.CheckSignatureFrom(issuer) != nil {
			continue
		}
		if l.serials[string(c.SerialNumber.Bytes())] { // also by a list that should have been replaced
			return fmt.Errorf("the certificate %q with the number %x is revoked", c.Subject, c.SerialNumber)
		}
		told = told || l.NextUpdate.IsZero() || now.Before(l.NextUpdate)
		if l.NextUpdate.After(due) {
			due = l.NextUpdate
		}
	}
	switch {
	case told:
		return nil
	case !due.IsZero():
		return fmt.Errorf("the list of what %q has revoked was to be replaced by %s", issuer.Subject, due.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("there is no list of what %q has revoked", issuer.Subject)
}
