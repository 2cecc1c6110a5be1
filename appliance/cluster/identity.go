package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"trine/raftstore/transport"
)

// IdentityFile is the name in the data directory of what a node of a cluster proves itself by: in PEM its private key, its certificate and the authority's.
// One file, so that they change together.
const IdentityFile = "cluster.pem"

// Identity is which node of which cluster this is, and its proof. It is immutable.
type Identity struct {
	Cluster   string
	Node      uint64
	Own       *x509.Certificate
	Authority *x509.Certificate
	key       *ecdsa.PrivateKey
	pair      tls.Certificate
}

// NewKey makes a node's key, and the request by which its certificate is asked for.
func NewKey() (key *ecdsa.PrivateKey, request []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		request, err = requestFor(key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make the node's key: %w", err)
	}
	return key, request, nil
}

func requestFor(key *ecdsa.PrivateKey) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// NewIdentity puts a key and the certificates for it together, and checks that they belong together.
func NewIdentity(key *ecdsa.PrivateKey, own, authority *x509.Certificate) (*Identity, error) {
	if !key.PublicKey.Equal(own.PublicKey) {
		return nil, errors.New("the certificate is not for the node's key")
	}
	if err := own.CheckSignatureFrom(authority); err != nil {
		return nil, fmt.Errorf("the certificate is not of the cluster's authority: %w", err)
	}
	cluster, node, err := transport.NodeOf(own)
	if err != nil {
		return nil, err
	}
	return &Identity{
		Cluster: cluster, Node: node, Own: own, Authority: authority, key: key,
		pair: tls.Certificate{Certificate: [][]byte{own.Raw, authority.Raw}, PrivateKey: key, Leaf: own},
	}, nil
}

// Certificate returns the node's certificate with its key, the authority's behind it.
func (i *Identity) Certificate() *tls.Certificate { return &i.pair }

// Due reports whether the certificate is to be renewed: a third of its time is left.
func (i *Identity) Due(now time.Time) bool {
	whole := i.Own.NotAfter.Sub(i.Own.NotBefore)
	return now.After(i.Own.NotAfter.Add(-whole / 3))
}

// Renewed returns the identity with a fresh key and certificate.
func (i *Identity) Renewed(a *Authority, now time.Time) (*Identity, error) {
	key, request, err := NewKey()
	if err != nil {
		return nil, err
	}
	own, err := a.Certify(i.Node, i.Own.Subject.CommonName, request, now)
	if err != nil {
		return nil, err
	}
	return NewIdentity(key, own, a.Certificate)
}

// ReadIdentity reads the identity in a data directory; nil if the node is of no cluster.
func ReadIdentity(data string) (*Identity, error) {
	path := filepath.Join(data, IdentityFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what this node proves itself by: %w", err)
	}
	i, err := parseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore it from a backup of this node, or remove the node from the cluster and let it join anew with an empty data directory", path, err)
	}
	return i, nil
}

func parseIdentity(text []byte) (*Identity, error) {
	var key *ecdsa.PrivateKey
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read the private key: %w", err)
			}
			key, _ = k.(*ecdsa.PrivateKey)
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read a certificate: %w", err)
			}
			chain = append(chain, c)
		}
	}
	if key == nil || len(chain) != 2 {
		return nil, errors.New("expected a private key and two certificates, the node's and the authority's")
	}
	return NewIdentity(key, chain[0], chain[1])
}

// Write puts the identity into a data directory; it is on disk when it returns, whole or not at all.
func (i *Identity) Write(data string) error {
	plain, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return fmt.Errorf("encode the node's key: %w", err)
	}
	var b bytes.Buffer
	for _, block := range []pem.Block{{Type: "PRIVATE KEY", Bytes: plain}, {Type: "CERTIFICATE", Bytes: i.Own.Raw}, {Type: "CERTIFICATE", Bytes: i.Authority.Raw}} {
		if err := pem.Encode(&b, &block); err != nil {
			return fmt.Errorf("encode what the node proves itself by: %w", err)
		}
	}
	if err := writeFile(filepath.Join(data, IdentityFile), b.Bytes()); err != nil {
		return fmt.Errorf("write what the node proves itself by: %w", err)
	}
	return nil
}

// writeFile replaces a file by one that only its owner reads, at once and on disk.
func writeFile(path string, text []byte) error {
	staged := path + ".new"
	f, err := os.OpenFile(staged, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(staged, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(staged))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
