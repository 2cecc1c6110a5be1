package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"trine/raftstore/transport"
)

// JoiningFile is the name in the data directory of what a node that has not joined yet asks with: so that it asks for the same again
// when an answer was lost, or the node was stopped meanwhile.
const JoiningFile = "joining.json"

// joinWithin bounds one conversation, askAgain is how long a joining node waits between two.
const (
	joinWithin = 15 * time.Second
	askAgain   = 2 * time.Second
)

// request is what a joining node says.
type request struct {
	Token   string `json:"token"`  // id
	Secret  []byte `json:"secret"` // of the token
	Node    uint64 `json:"node"`   // the number that it chose
	Name    string `json:"name"`
	Address string `json:"address"` // where others reach it
	Public  []byte `json:"public"`  // X25519 key for which cluster keys are wrapped
	Request []byte `json:"request"` // for a certificate, PKCS #10
	Version string `json:"version"`
}

// reply is what a member answers.
type reply struct {
	Certificate []byte `json:"certificate,omitempty"` // DER
	Refused     string `json:"refused,omitempty"`     // why not; asking again does not help
	Later       string `json:"later,omitempty"`       // why not now
}

// RefusedError means that the cluster does not take the node, whatever is asked again.
type RefusedError struct{ Reason string }

// Error implements error.
func (e *RefusedError) Error() string { return "the cluster refuses this node: " + e.Reason }

// Joining is a node on its way into a cluster.
type Joining struct {
	Token   *Token
	Node    uint64 // its number
	Name    string
	Address string // where others will reach it
	Public  []byte // of the node's own key
	Version string
	Clock   func() time.Time
	Logger  *slog.Logger

	key *ecdsa.PrivateKey
}

// joining is the file.
type joining struct {
	Token string `json:"token"`
	Node  uint64 `json:"node,string"`
	Key   []byte `json:"key"` // PKCS #8
}

// Prepare makes an empty data directory one of a node that will join by a token when it is started.
func Prepare(data, token string) error {
	if _, err := ParseToken(token); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if i, err := ReadIdentity(data); err != nil {
		return err
	} else if i != nil {
		return fmt.Errorf("%s is that of node %016x of cluster %s already; a node joins with an empty data directory", data, i.Node, i.Cluster)
	}
	_, err := prepare(data, token)
	return err
}

// prepare reads what the directory asks with, or makes it. A token that is given takes the place of another one, which may have expired.
func prepare(data, token string) (*joining, error) {
	path := filepath.Join(data, JoiningFile)
	var j joining
	switch text, err := os.ReadFile(path); {
	case err == nil:
		if err := json.Unmarshal(text, &j); err != nil || j.Node == 0 {
			return nil, fmt.Errorf("%s does not read; remove it and join with a new token", path)
		}
		if token == "" || token == j.Token {
			return &j, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read what this node joins with: %w", err)
	case token == "":
		return nil, nil
	}
	// A node that may have been taken in by the other token is not known by this one: it is another node.
	key, _, err := NewKey()
	if err != nil {
		return nil, err
	}
	j = joining{Token: token}
	if j.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, fmt.Errorf("encode the node's key: %w", err)
	}
	for j.Node == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		j.Node = binary.BigEndian.Uint64(b[:])
	}
	text, err := json.Marshal(&j)
	if err != nil {
		return nil, fmt.Errorf("encode what this node joins with: %w", err)
	}
	if err := writeFile(path, text); err != nil {
		return nil, fmt.Errorf("write what this node joins with: %w", err)
	}
	return &j, nil
}

// NewJoining returns what a data directory asks a cluster with, and makes it for a token that is not empty; nil if the node is not to join.
func NewJoining(data, token string) (*Joining, error) {
	kept, err := prepare(data, token)
	if err != nil || kept == nil {
		return nil, err
	}
	t, err := ParseToken(kept.Token)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(kept.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: read the node's key: %w", filepath.Join(data, JoiningFile), err)
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: the node's key is of another kind", filepath.Join(data, JoiningFile))
	}
	return &Joining{Token: t, Node: kept.Node, Clock: time.Now, Logger: slog.New(slog.DiscardHandler), key: own}, nil
}

// Join asks the members that the token names, one after the other and again, until one has taken the node in, and writes down what it got. It ends with the context,
// or with a *RefusedError.
func (j *Joining) Join(ctx context.Context, data string) (*Identity, error) {
	for turn := 0; ; turn++ {
		address := j.Token.Addresses[turn%len(j.Token.Addresses)]
		i, err := j.ask(ctx, address)
		if err == nil {
			if err = i.Write(data); err == nil {
				err = os.Remove(filepath.Join(data, JoiningFile))
			}
			return i, err
		}
		var refused *RefusedError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("join cluster %s: %w", j.Token.Cluster, err)
		}
		j.Logger.Warn("the cluster has not taken this node in yet; it asks again", "cluster", j.Token.Cluster, "address", address, "error", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("join cluster %s: %w", j.Token.Cluster, context.Cause(ctx))
		case <-time.After(askAgain):
		}
	}
}

// ask has one conversation.
func (j *Joining) ask(ctx context.Context, address string) (*Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	asked, err := requestFor(j.key)
	if err != nil {
		return nil, err
	}
	stream, authority, err := transport.DialStranger(ctx, address, j.Token.Cluster, j.Token.Key, j.Clock())
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := writeMessage(stream, &request{
		Token: j.Token.ID, Secret: j.Token.secret[:], Node: j.Node, Name: j.Name, Address: j.Address, Public: j.Public, Request: asked, Version: j.Version,
	}); err != nil {
		return nil, err
	}
	var r reply
	if err := readMessage(stream, &r); err != nil {
		return nil, err
	}
	switch {
	case r.Refused != "":
		return nil, &RefusedError{r.Refused}
	case r.Later != "":
		return nil, errors.New(r.Later)
	}
	own, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read the certificate that came: %w", err)
	}
	i, err := NewIdentity(j.key, own, authority)
	if err == nil && (i.Cluster != j.Token.Cluster || i.Node != j.Node) {
		err = fmt.Errorf("the certificate that came is that of node %016x of cluster %s", i.Node, i.Cluster)
	}
	return i, err
}

// checkAddress reports what is wrong with an address that others are to dial.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || port == "0" || len(address) > 255 {
		return fmt.Errorf("%.80q is no address that others can dial, such as node1.example.org:1445 or 192.0.2.1:1445", address)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%s stands for every address of a node, and nobody can dial it; set cluster-address", address)
	}
	return nil
}

// checkName reports what is wrong with a node's name.
func checkName(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("%.80q is no name for a node: it has 1 to 64 characters", name)
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f {
			return fmt.Errorf("%q is no name for a node: it has spaces or control characters", name)
		}
	}
	return nil
}
