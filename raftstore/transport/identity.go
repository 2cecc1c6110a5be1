package transport

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// uriScheme begins the URI by which a node's certificate names it: trine://CLUSTER/NODE, the node in 16 hexadecimal digits.
const uriScheme = "trine"

// Errors of who is at the other end of a stream.
var (
	// ErrRemoved means that the other end says that this node was removed from the cluster.
	ErrRemoved = errors.New("this node was removed from the cluster")
	// ErrRefused means that the other end takes no streams of that service now.
	ErrRefused = errors.New("the other node takes no such streams now")
	// ErrIdentity means that a certificate is not that of the node that was expected, or of no node of this cluster.
	ErrIdentity = errors.New("the certificate is of somebody else")
)

// NodeURI returns the URI that stands in the certificate of a node.
func NodeURI(cluster string, node uint64) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: cluster, Path: fmt.Sprintf("/%016x", node)}
}

// NodeOf returns which node of which cluster a certificate names.
func NodeOf(c *x509.Certificate) (cluster string, node uint64, err error) {
	if len(c.URIs) != 1 {
		return "", 0, fmt.Errorf("%w: it names %d URIs, and a node's names one", ErrIdentity, len(c.URIs))
	}
	u := c.URIs[0]
	digits := strings.TrimPrefix(u.Path, "/")
	node, err = strconv.ParseUint(digits, 16, 64)
	if err != nil || u.Scheme != uriScheme || u.Host == "" || len(digits) != 16 || node == 0 || u.String() != NodeURI(u.Host, node).String() {
		return "", 0, fmt.Errorf("%w: %q names no node", ErrIdentity, u)
	}
	return u.Host, node, nil
}

// KeyHash returns the SHA-256 of a certificate's public key (its SubjectPublicKeyInfo), by which a token names the cluster's authority.
func KeyHash(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// proven returns which node of the cluster a chain of certificates proves, to one who trusts the authority.
func proven(chain []*x509.Certificate, authority *x509.Certificate, cluster string, usage x509.ExtKeyUsage, now time.Time) (uint64, error) {
	if len(chain) == 0 {
		return 0, fmt.Errorf("%w: there is none", ErrIdentity)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return 0, fmt.Errorf("verify the other node's certificate: %w", err)
	}
	of, node, err := NodeOf(chain[0])
	if err != nil {
		return 0, err
	}
	if of != cluster {
		return 0, fmt.Errorf("%w: it is of cluster %s, and this is %s", ErrIdentity, of, cluster)
	}
	return node, nil
}
