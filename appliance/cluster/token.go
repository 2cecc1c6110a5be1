package cluster

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"trine/engine/secret"
)

// How long a token's text can be, and how many addresses it names.
const (
	MaxToken     = 1024
	maxAddresses = 7
)

// tokenHead begins a token's text; what follows is base64 without padding (RFC 4648 section 5).
const tokenHead = "trine-join-1."

// The parts of a token before its addresses: cluster, key of the authority, id, secret.
const (
	clusterBytes = 8
	idBytes      = 8
	secretBytes  = 16
	sumBytes     = 4
)

// ErrToken means that a text is no token.
var ErrToken = errors.New("not a join token: it is one word that begins with " + tokenHead + ", as `trine cluster token` shows it")

// Token is what a node needs to join: where the cluster is, how it is known, and that it may. It prints as the mark; [Token.Text] is what people pass on.
type Token struct {
	Cluster   string
	Addresses []string          // of members, HOST:PORT
	Key       [sha256.Size]byte // hash of the authority's public key
	ID        string            // 16 hexadecimal digits
	secret    [secretBytes]byte
}

// NewToken makes a token with a fresh id and secret.
func NewToken(cluster string, key [sha256.Size]byte, addresses []string) *Token {
	t := &Token{Cluster: cluster, Key: key, Addresses: addresses[:min(len(addresses), maxAddresses)]}
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // it never fails
	_, _ = rand.Read(t.secret[:])
	t.ID = hex.EncodeToString(id[:])
	return t
}

// Hash returns the hash of the secret, which is all that the cluster keeps of it.
func (t *Token) Hash() []byte {
	sum := sha256.Sum256(t.secret[:])
	return sum[:]
}

// matches reports whether a secret has a hash, in constant time.
func matches(secret, hash []byte) bool {
	sum := sha256.Sum256(secret)
	return subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// Text returns the token as one word. It fails where addresses make it longer than MaxToken.
func (t *Token) Text() (string, error) {
	cluster, err := hex.DecodeString(t.Cluster)
	id, err2 := hex.DecodeString(t.ID)
	if err != nil || err2 != nil || len(cluster) != clusterBytes || len(id) != idBytes {
		return "", fmt.Errorf("make a token: cluster %q and id %q are not 16 hexadecimal digits", t.Cluster, t.ID)
	}
	b := append(cluster, t.Key[:]...)
	b = append(b, id...)
	b = append(b, t.secret[:]...)
	for _, address := range t.Addresses {
		if len(address) > 255 {
			return "", fmt.Errorf("make a token: address %.40q is longer than 255 characters", address)
		}
		b = append(b, byte(len(address)))
		b = append(b, address...)
	}
	sum := sha256.Sum256(b)
	text := tokenHead + base64.RawURLEncoding.EncodeToString(append(b, sum[:sumBytes]...))
	if len(text) > MaxToken {
		return "", fmt.Errorf("make a token: the addresses of the members make it %d characters long, %d are allowed", len(text), MaxToken)
	}
	return text, nil
}

// ParseToken reads what Text made. Errors wrap ErrToken.
func ParseToken(text string) (*Token, error) {
	text = strings.TrimSpace(text)
	encoded, ok := strings.CutPrefix(text, tokenHead)
	if !ok || len(text) > MaxToken {
		return nil, ErrToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	const fixed = clusterBytes + sha256.Size + idBytes + secretBytes
	if err != nil || len(b) < fixed+sumBytes {
		return nil, fmt.Errorf("%w: it is cut off or changed", ErrToken)
	}
	b, sum := b[:len(b)-sumBytes], b[len(b)-sumBytes:]
	if want := sha256.Sum256(b); string(want[:sumBytes]) != string(sum) {
		return nil, fmt.Errorf("%w: it is cut off or changed", ErrToken)
	}
	t := &Token{Cluster: hex.EncodeToString(b[:clusterBytes]), ID: hex.EncodeToString(b[clusterBytes+sha256.Size:][:idBytes])}
	copy(t.Key[:], b[clusterBytes:])
	copy(t.secret[:], b[clusterBytes+sha256.Size+idBytes:])
	for b = b[fixed:]; len(b) > 0; {
		n := int(b[0])
		if len(b) < 1+n || len(t.Addresses) == maxAddresses {
			return nil, fmt.Errorf("%w: its addresses do not read", ErrToken)
		}
		address := string(b[1 : 1+n])
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("%w: %q is no address", ErrToken, address)
		}
		t.Addresses, b = append(t.Addresses, address), b[1+n:]
	}
	if len(t.Addresses) == 0 {
		return nil, fmt.Errorf("%w: it names no address", ErrToken)
	}
	return t, nil
}

// Format shows the mark under every verb.
func (t *Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Mark) }

// LogValue shows the mark in logs.
func (t *Token) LogValue() slog.Value { return slog.StringValue(secret.Mark) }
