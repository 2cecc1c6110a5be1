package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// KeySize is the length of a cluster key in bytes, MACSize that of a keyed form.
const (
	KeySize = 32
	MACSize = headSize + sha256.Size
)

// Both forms begin with a format byte and the id of the cluster key, big endian.
const (
	sealedFormat   = 1
	macFormat      = 1
	headSize       = 1 + 4
	nonceSize      = 12
	tagSize        = 16
	sealedOverhead = headSize + nonceSize + tagSize
)

// What the keys derived from a cluster key are for. These texts are for ever.
const (
	sealingInfo = "trine/seal/1"
	macInfo     = "trine/keyed/1"
)

var (
	// ErrNoKey means that the keyring has no key yet, or not the one that something was sealed or keyed with.
	ErrNoKey = errors.New("the cluster key is not known to this node")
	// ErrOpen means that something sealed does not open: it is damaged, or was sealed for another context.
	ErrOpen = errors.New("the sealed secret does not open: it is damaged or belongs elsewhere")
	// ErrForm means that bytes are not what Seal or MAC made.
	ErrForm = errors.New("not a sealed or keyed form of this release")
	// ErrKeyConflict means that another key has the same id.
	ErrKeyConflict = errors.New("another cluster key has this id")
)

// Keyring holds the cluster keys. The key with the highest id seals and keys; all of them open and check. It is safe for
// concurrent use; adding a key swaps the whole ring at once and disturbs no reader. It prints as the mark.
type Keyring struct {
	adding sync.Mutex
	ring   atomic.Pointer[ring]
}

// ring is immutable.
type ring struct {
	newest *key
	keys   map[uint32]*key
}

// key is immutable. AES-GCM with random nonces of 96 bits is sound for 2^32 seals under one key (NIST SP 800-38D section 8.3).
type key struct {
	id      uint32
	cluster [KeySize]byte
	aead    cipher.AEAD
	mac     [sha256.Size]byte
}

// NewKeyring returns a ring without keys.
func NewKeyring() *Keyring {
	k := new(Keyring)
	k.ring.Store(&ring{keys: map[uint32]*key{}})
	return k
}

// NewClusterKey makes a cluster key of KeySize random bytes.
func NewClusterKey() []byte {
	b := make([]byte, KeySize)
	rand.Read(b)
	return b
}

// Add takes a cluster key of KeySize bytes, which it copies. Adding the same key again does nothing; another key under an id
// that is taken is refused with ErrKeyConflict.
func (k *Keyring) Add(id uint32, clusterKey []byte) error {
	added, err := newKey(id, clusterKey)
	if err != nil {
		return fmt.Errorf("add cluster key %d: %w", id, err)
	}
	k.adding.Lock()
	defer k.adding.Unlock()
	old := k.ring.Load()
	if same := old.keys[id]; same != nil {
		if subtle.ConstantTimeCompare(same.cluster[:], added.cluster[:]) != 1 {
			return fmt.Errorf("add cluster key %d: %w", id, ErrKeyConflict)
		}
		return nil
	}
	next := &ring{newest: old.newest, keys: maps.Clone(old.keys)}
	next.keys[id] = added
	if next.newest == nil || id > next.newest.id {
		next.newest = added
	}
	k.ring.Store(next)
	return nil
}

func newKey(id uint32, clusterKey []byte) (*key, error) {
	if len(clusterKey) != KeySize {
		return nil, fmt.Errorf("a cluster key has %d bytes, not %d", KeySize, len(clusterKey))
	}
	n := &key{id: id}
	copy(n.cluster[:], clusterKey)
	sealing, err := hkdf.Key(sha256.New, clusterKey, nil, sealingInfo, 32)
	if err != nil {
		return nil, err
	}
	mac, err := hkdf.Key(sha256.New, clusterKey, nil, macInfo, len(n.mac))
	if err != nil {
		return nil, err
	}
	copy(n.mac[:], mac)
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, err
	}
	n.aead, err = cipher.NewGCM(block)
	return n, err
}

// Newest returns the id of the key that seals; false if there is none.
func (k *Keyring) Newest() (id uint32, ok bool) {
	if n := k.ring.Load().newest; n != nil {
		return n.id, true
	}
	return 0, false
}

// IDs returns the ids of all keys, in order.
func (k *Keyring) IDs() []uint32 { return slices.Sorted(maps.Keys(k.ring.Load().keys)) }

// Seal appends the sealed form of plain to dst: format, key id, nonce, AES-256-GCM ciphertext with context as additional data.
// It is 33 bytes longer than plain. ErrNoKey means that there is no key.
func (k *Keyring) Seal(dst, plain, context []byte) ([]byte, error) {
	n := k.ring.Load().newest
	if n == nil {
		return dst, ErrNoKey
	}
	dst = append(dst, sealedFormat)
	dst = binary.BigEndian.AppendUint32(dst, n.id)
	start := len(dst)
	dst = append(dst, make([]byte, nonceSize)...)
	rand.Read(dst[start:])
	return n.aead.Seal(dst, dst[start:start+nonceSize], plain, context), nil
}

// Open appends to dst what was sealed for the same context. It does not allocate where dst has room. Errors are ErrForm,
// ErrNoKey and ErrOpen; dst is then returned as it came.
func (k *Keyring) Open(dst, sealed, context []byte) ([]byte, error) {
	if len(sealed) < sealedOverhead || sealed[0] != sealedFormat {
		return dst, ErrForm
	}
	n := k.ring.Load().keys[binary.BigEndian.Uint32(sealed[1:])]
	if n == nil {
		return dst, ErrNoKey
	}
	out, err := n.aead.Open(dst, sealed[headSize:headSize+nonceSize], sealed[headSize+nonceSize:], context)
	if err != nil {
		return dst, ErrOpen
	}
	return out, nil
}

// MAC appends the keyed form of message to dst: format, key id, HMAC-SHA-256 of context and message under a key derived from
// the newest cluster key; 37 bytes. ErrNoKey means that there is no key.
func (k *Keyring) MAC(dst, context, message []byte) ([]byte, error) {
	n := k.ring.Load().newest
	if n == nil {
		return dst, ErrNoKey
	}
	dst = append(dst, macFormat)
	dst = binary.BigEndian.AppendUint32(dst, n.id)
	sum := HMAC(&n.mac, context, message)
	return append(dst, sum[:]...), nil
}

// Derive returns a key of 32 bytes for a purpose, derived from the first cluster key: it is the same on every node and for ever, so what it is used for must bear
// that. ErrNoKey means that there is no key.
func (k *Keyring) Derive(purpose string) ([]byte, error) {
	ring := k.ring.Load()
	if len(ring.keys) == 0 {
		return nil, ErrNoKey
	}
	first := ring.keys[slices.Min(slices.Collect(maps.Keys(ring.keys)))]
	return hkdf.Key(sha256.New, first.cluster[:], nil, "trine/derived/"+purpose, 32)
}

// CheckMAC reports, in constant time and without allocation for messages of usual length, whether mac is a keyed form of message for the context.
// Errors are ErrForm and ErrNoKey.
func (k *Keyring) CheckMAC(mac, context, message []byte) (bool, error) {
	if len(mac) != MACSize || mac[0] != macFormat {
		return false, ErrForm
	}
	n := k.ring.Load().keys[binary.BigEndian.Uint32(mac[1:])]
	if n == nil {
		return false, ErrNoKey
	}
	sum := HMAC(&n.mac, context, message)
	return subtle.ConstantTimeCompare(sum[:], mac[headSize:]) == 1, nil
}

// Format shows the mark under every verb.
func (k *Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mark) }

// LogValue shows the mark in logs.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(Mark) }

// HMAC returns the HMAC-SHA-256 (RFC 2104) of context and message under a key of 32 bytes, each preceded by its length as 4
// bytes, so that no two pairs look alike. It does not allocate for pairs of up to 448 bytes, which crypto/hmac cannot do.
func HMAC(key *[32]byte, context, message []byte) [sha256.Size]byte {
	var room [sha256.BlockSize + 8 + 448]byte
	inner := append(room[:0], key[:]...)
	inner = inner[:sha256.BlockSize]
	for i := range inner {
		inner[i] ^= 0x36
	}
	inner = binary.BigEndian.AppendUint32(inner, uint32(len(context)))
	inner = append(inner, context...)
	inner = binary.BigEndian.AppendUint32(inner, uint32(len(message)))
	inner = append(inner, message...)
	sum := sha256.Sum256(inner)
	clear(inner)

	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], key[:])
	for i := range outer[:sha256.BlockSize] {
		outer[i] ^= 0x5c
	}
	copy(outer[sha256.BlockSize:], sum[:])
	return sha256.Sum256(outer[:])
}
