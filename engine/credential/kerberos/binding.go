package kerberos

import (
	"crypto"
	"crypto/x509"
)

// ServerEndPoint returns the channel binding tls-server-end-point (RFC 5929 section 4) of the certificate that this node has shown: it holds wherever
// TLS ends at a holder of the same certificate, and so behind a proxy that has it, too.
func ServerEndPoint(shown *x509.Certificate) []byte {
	hash := crypto.SHA256 // also for MD5 and SHA-1, says the RFC; and for what signs without a hash of its own
	switch shown.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(shown.Raw)
	return h.Sum([]byte("tls-server-end-point:"))
}
