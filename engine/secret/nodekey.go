package secret

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// nodeKeyHead begins a node key file; the base64 of the X25519 private key and a line end follow.
const nodeKeyHead = "trine-node-key-1 "

// wrapInfo is bound into each wrapped key, with the key's id and the node's. It is for ever.
const wrapInfo = "trine/wrap/1"

var (
	// ErrKeyFileMode means that others than its owner may read or write the node's key file.
	ErrKeyFileMode = errors.New("the key file must be its owner's alone")
	// ErrKeyFile means that a file is not a node's key.
	ErrKeyFile = errors.New("not a node key file")
	// ErrUnwrap means that a wrapped cluster key is damaged or meant for another node, key id or node key.
	ErrUnwrap = errors.New("the wrapped cluster key does not open: it is damaged or was wrapped for another node")
)

// NodeKey is a node's own X25519 key pair, for which cluster keys are wrapped with HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, AES-256-GCM). It never leaves the node, and prints as the mark.
type NodeKey struct{ private hpke.PrivateKey }

// LoadOrCreateNodeKey reads the node's key from a file, or makes one where there is none: mode 0600, on disk before it returns.
// A file that others may read or write is refused with ErrKeyFileMode and what to do about it, another's content with ErrKeyFile.
func LoadOrCreateNodeKey(path string) (*NodeKey, error) {
	n, err := loadNodeKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	if err := createNodeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create node key: %w", err)
	}
	return loadNodeKey(path)
}

func loadNodeKey(path string) (*NodeKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open node key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at node key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read node key %s: %w: it is not a regular file", path, ErrKeyFile)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read node key %s: %w: its mode is %04o; if nobody else has read it, run: chmod 600 %s",
			path, ErrKeyFileMode, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return nil, fmt.Errorf("read node key: %w", err)
	}
	encoded, ok := strings.CutPrefix(string(content), nodeKeyHead)
	if !ok {
		return nil, fmt.Errorf("read node key %s: %w", path, ErrKeyFile)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, "\n"))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("read node key %s: %w: it is cut off or changed; restore it from a backup of this node", path, ErrKeyFile)
	}
	private, err := kem().NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("read node key %s: %w", path, ErrKeyFile)
	}
	return &NodeKey{private}, nil
}

// createNodeKey never replaces a file: the finished one is linked into place, so that a crash leaves either none or a whole one.
func createNodeKey(path string) error {
	private, err := kem().GenerateKey()
	if err != nil {
		return err
	}
	raw, err := private.Bytes()
	if err != nil {
		return err
	}
	staged, err := os.CreateTemp(filepath.Dir(path), ".node-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(staged.Name())
	defer staged.Close()
	if _, err := staged.WriteString(nodeKeyHead + base64.StdEncoding.EncodeToString(raw) + "\n"); err != nil {
		return err
	}
	if err := staged.Sync(); err != nil {
		return err
	}
	if err := os.Link(staged.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Public returns the public key, 32 bytes, for which others wrap.
func (n *NodeKey) Public() []byte { return n.private.PublicKey().Bytes() }

// Unwrap opens the cluster key with the given id that was wrapped for this node. It returns ErrUnwrap if it does not open.
func (n *NodeKey) Unwrap(id uint32, node uint64, wrapped []byte) ([]byte, error) {
	clusterKey, err := hpke.Open(n.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info(id, node), wrapped)
	if err != nil || len(clusterKey) != KeySize {
		return nil, fmt.Errorf("unwrap cluster key %d: %w", id, ErrUnwrap)
	}
	return clusterKey, nil
}

// Format shows the mark under every verb.
func (n *NodeKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mark) }

// LogValue shows the mark in logs.
func (n *NodeKey) LogValue() slog.Value { return slog.StringValue(Mark) }

// Wrap wraps the ring's cluster key with the given id for the node whose public key is given.
func (k *Keyring) Wrap(id uint32, node uint64, public []byte) ([]byte, error) {
	n := k.ring.Load().keys[id]
	if n == nil {
		return nil, fmt.Errorf("wrap cluster key %d: %w", id, ErrNoKey)
	}
	to, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("wrap cluster key %d: read node's public key: %w", id, err)
	}
	wrapped, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), info(id, node), n.cluster[:])
	if err != nil {
		return nil, fmt.Errorf("wrap cluster key %d: %w", id, err)
	}
	return wrapped, nil
}

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

func info(id uint32, node uint64) []byte {
	b := append([]byte(nil), wrapInfo...)
	b = binary.BigEndian.AppendUint32(b, id)
	return binary.BigEndian.AppendUint64(b, node)
}
