package imported

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	shacrypt "github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"trine/engine/credential/chap"
)

// function is a hash function that others are made of.
type function struct {
	size int
	make func() hash.Hash
}

var (
	sha1Function   = function{sha1.Size, sha1.New}
	sha256Function = function{sha256.Size, sha256.New}
	sha512Function = function{sha512.Size, sha512.New}
)

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// argon2Hash is Argon2id or Argon2i (RFC 9106).
type argon2Hash struct {
	derive            func(password, salt []byte, passes, memoryKiB uint32, lanes uint8, size uint32) []byte
	memoryKiB, passes uint32
	lanes             uint8
	salt, hash        []byte
}

// parseArgon2 reads what follows $argon2id$ in a PHC string: v=19$m=65536,t=3,p=4$salt$hash.
func parseArgon2(derive func([]byte, []byte, uint32, uint32, uint8, uint32) []byte, text string) (kind, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 4 || parts[0] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, fmt.Errorf("argon2 must read $argon2id$v=%d$m=...,t=...,p=...$salt$hash", argon2.Version)
	}
	costs, err := readCosts(parts[1], "m", "t", "p")
	if err != nil {
		return nil, fmt.Errorf("argon2: %w", err)
	}
	memory, passes, lanes := costs[0], costs[1], costs[2]
	switch {
	case passes < 1 || lanes < 1 || lanes > 255:
		return nil, errors.New("argon2: it must have at least one pass, and 1 to 255 lanes")
	case memory < 8*lanes:
		return nil, errors.New("argon2: it must fill at least 8 KiB a lane")
	}
	if err := boundMemory(memory<<10, passes); err != nil {
		return nil, fmt.Errorf("argon2: %w", err)
	}
	h := &argon2Hash{derive: derive, memoryKiB: uint32(memory), passes: uint32(passes), lanes: uint8(lanes)}
	if h.salt, err = readSalt(parts[2], readStandard); err != nil {
		return nil, fmt.Errorf("argon2: %w", err)
	}
	if h.hash, err = readHash(parts[3], readStandard); err != nil {
		return nil, fmt.Errorf("argon2: %w", err)
	}
	return h, nil
}

func (h *argon2Hash) matches(password []byte) bool {
	return equal(h.derive(password, h.salt, h.passes, h.memoryKiB, h.lanes, uint32(len(h.hash))), h.hash)
}

// bcryptHash is bcrypt as it is written. It looks at the first 72 bytes of a password only, here as everywhere.
type bcryptHash []byte

const bcryptLength = len("$2b$12$") + 22 + 31

func parseBcrypt(text string) (kind, error) {
	cost, known := readNumber(strings.TrimPrefix(text[min(len(text), 4):min(len(text), 6)], "0"), 31)
	switch {
	case len(text) != bcryptLength || text[6] != '$' || !isCrypt64(text[7:]) || !known || cost < uint64(bcrypt.MinCost):
		return nil, errors.New("bcrypt must read $2b$cost$ with a cost of two digits, 04 or more, and 53 characters of salt and hash")
	case cost > MaxBcryptCost:
		return nil, fmt.Errorf("bcrypt: its cost is %d; at most %d is allowed", cost, MaxBcryptCost)
	}
	return bcryptHash(text), nil
}

func (h bcryptHash) matches(password []byte) bool {
	return bcrypt.CompareHashAndPassword(h, password) == nil
}

// scryptHash is scrypt (RFC 7914).
type scryptHash struct {
	n, r, p    int
	salt, hash []byte
}

// parseScrypt reads what follows $scrypt$ in a PHC string, which passlib writes too: ln=16,r=8,p=1$salt$hash.
func parseScrypt(text string) (kind, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 3 {
		return nil, errors.New("scrypt must read $scrypt$ln=...,r=...,p=...$salt$hash")
	}
	costs, err := readCosts(parts[0], "ln", "r", "p")
	if err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	h, err := newScrypt(costs[0], costs[1], costs[2])
	if err != nil {
		return nil, err
	}
	if h.salt, err = readSalt(parts[1], readStandard); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	if h.hash, err = readHash(parts[2], readStandard); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	return h, nil
}

// parseScryptCrypt reads what follows $7$ in a hash of crypt(3): one digit for the logarithm of N, five for r, five for p, all in the
// alphabet of crypt with the lowest first, a salt that is used as it is written, and the hash.
func parseScryptCrypt(text string) (kind, error) {
	const costs, digits = 1 + 5 + 5, 43
	head, hash, ok := strings.Cut(text, "$")
	if !ok || len(head) < costs || len(hash) != digits || !isCrypt64(hash) {
		return nil, errors.New("scrypt as crypt writes it must read $7$, 11 characters of cost, a salt, $ and 43 characters of hash")
	}
	ln, known := cryptNumber(head[:1])
	r, knownR := cryptNumber(head[1:6])
	p, knownP := cryptNumber(head[6:11])
	if !known || !knownR || !knownP {
		return nil, errors.New("scrypt: the characters of its cost are not of the alphabet of crypt")
	}
	h, err := newScrypt(ln, r, p)
	if err != nil {
		return nil, err
	}
	if h.salt, err = readSalt(head[costs:], readText); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	return &scryptCryptHash{*h, []byte(hash)}, nil
}

// parseDjangoScrypt reads what follows scrypt$ in Django's form: N$salt$r$p$hash.
func parseDjangoScrypt(text string) (kind, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return nil, errors.New("scrypt as Django writes it must read scrypt$N$salt$r$p$hash")
	}
	n, known := readNumber(parts[0], MaxMemory)
	r, knownR := readNumber(parts[2], MaxMemory)
	p, knownP := readNumber(parts[3], MaxMemory)
	ln := uint64(0)
	for ln < 63 && 1<<ln < n {
		ln++
	}
	if !known || !knownR || !knownP || 1<<ln != n {
		return nil, errors.New("scrypt: N must be a power of two, and r and p numbers")
	}
	h, err := newScrypt(ln, r, p)
	if err != nil {
		return nil, err
	}
	if h.salt, err = readSalt(parts[1], readText); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	if h.hash, err = readHash(parts[4], readStandard); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	return h, nil
}

func newScrypt(ln, r, p uint64) (*scryptHash, error) {
	const most = MaxMemory / 128 // of each, so that their product fits
	if ln < 1 || r < 1 || r > most || p < 1 || p > most || ln > 30 {
		return nil, errors.New("scrypt: N, r or p is out of bounds")
	}
	if err := boundMemory(128*r<<ln, p); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	// p blocks are there at once beside the memory that each fills in turn.
	if err := boundMemory(128*r*p, 1); err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	return &scryptHash{n: 1 << ln, r: int(r), p: int(p)}, nil
}

func (h *scryptHash) derive(password []byte, size int) []byte {
	key, err := scrypt.Key(password, h.salt, h.n, h.r, h.p, size)
	if err != nil {
		return nil // the parameters were checked
	}
	return key
}

func (h *scryptHash) matches(password []byte) bool {
	return equal(h.derive(password, len(h.hash)), h.hash)
}

// scryptCryptHash is scrypt of 32 bytes, compared as crypt(3) writes it.
type scryptCryptHash struct {
	scryptHash
	text []byte
}

func (h *scryptCryptHash) matches(password []byte) bool {
	return equal(yescrypt.Encode64(h.derive(password, 32)), h.text)
}

// yescryptHash is yescrypt as crypt(3) writes it.
type yescryptHash []byte

// parseYescrypt reads $y$j9T$salt$hash. The j says that all is as yescrypt's author recommends, the next two characters give the
// logarithm of N and r, each less one. crypt(3) makes no others.
func parseYescrypt(text string) (kind, error) {
	parts := strings.Split(text, "$") // the first is empty, the second "y"
	if len(parts) != 5 || len(parts[2]) != 3 || parts[2][0] != 'j' || len(parts[4]) != 43 || !isCrypt64(parts[4]) {
		return nil, errors.New("yescrypt must read $y$j, two characters of cost, $salt$ and 43 characters of hash")
	}
	if salt := yescrypt.Decode64([]byte(parts[3])); len(salt) < 1 || len(salt) > maxSalt {
		return nil, fmt.Errorf("yescrypt: its salt is not 1 to %d bytes in the alphabet of crypt", maxSalt)
	}
	ln, known := cryptNumber(parts[2][1:2])
	r, knownR := cryptNumber(parts[2][2:3])
	ln, r = ln+1, r+1
	if !known || !knownR || ln < 10 || ln > 18 || r > 32 {
		return nil, errors.New("yescrypt: its cost is not one that crypt makes: N of 2^10 to 2^18, r of 1 to 32")
	}
	if err := boundMemory(128*r<<ln, 1); err != nil {
		return nil, fmt.Errorf("yescrypt: %w", err)
	}
	return yescryptHash(text), nil
}

func (h yescryptHash) matches(password []byte) bool {
	got, err := yescrypt.Hash(password, h)
	return err == nil && equal(got, h)
}

// pbkdf2Hash is PBKDF2 (RFC 8018 section 5.2).
type pbkdf2Hash struct {
	of         function
	rounds     int
	salt, hash []byte
}

// parsePBKDF2 reads rounds$salt$hash.
func parsePBKDF2(of function, text string, readItsSalt, readItsHash reader) (kind, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 3 {
		return nil, errors.New("PBKDF2 must read rounds$salt$hash after its name")
	}
	hash, err := readHash(parts[2], readItsHash)
	if err != nil {
		return nil, fmt.Errorf("PBKDF2: %w", err)
	}
	salt, err := readSalt(parts[1], readItsSalt)
	if err != nil {
		return nil, fmt.Errorf("PBKDF2: %w", err)
	}
	blocks := uint64((len(hash) + of.size - 1) / of.size)
	rounds, known := readNumber(parts[0], 1<<32-1)
	if !known || rounds < 1 || rounds*blocks > MaxPBKDF2Rounds {
		return nil, fmt.Errorf("PBKDF2: its rounds must be a number of 1 to %d", MaxPBKDF2Rounds/blocks)
	}
	return &pbkdf2Hash{of: of, rounds: int(rounds), salt: salt, hash: hash}, nil
}

func (h *pbkdf2Hash) matches(password []byte) bool {
	got, err := pbkdf2.Key(h.of.make, string(password), h.salt, h.rounds, len(h.hash))
	return err == nil && equal(got, h.hash)
}

// shaCryptHash is what crypt(3) makes of SHA-256 ($5$) and SHA-512 ($6$).
type shaCryptHash struct {
	of     function
	rounds int
	salt   []byte
	text   []byte
}

// parseSHACrypt reads [rounds=N$]salt$hash. N is 5000 where it is left out.
func parseSHACrypt(of function, text string) (kind, error) {
	const leastRounds, maxCryptSalt = 1000, 16
	h := &shaCryptHash{of: of, rounds: 5000}
	if costs, rest, ok := strings.Cut(text, "$"); ok && strings.HasPrefix(costs, "rounds=") {
		rounds, known := readNumber(costs[len("rounds="):], 1<<32-1)
		if !known || rounds < leastRounds || rounds > MaxSHACryptRounds {
			return nil, fmt.Errorf("crypt: its rounds must be a number of %d to %d", leastRounds, MaxSHACryptRounds)
		}
		h.rounds, text = int(rounds), rest
	}
	salt, hash, ok := strings.Cut(text, "$")
	digits := (8*of.size + 5) / 6
	if !ok || len(salt) > maxCryptSalt || len(hash) != digits || !isCrypt64(hash) {
		return nil, fmt.Errorf("crypt must have a salt of at most %d characters and %d characters of hash", maxCryptSalt, digits)
	}
	h.salt, h.text = []byte(salt), []byte(hash)
	return h, nil
}

func (h *shaCryptHash) matches(password []byte) bool {
	return equal(shacrypt.KeySHACrypt(h.of.make, password, h.salt, h.rounds), h.text)
}

// digestHash is one round of a hash function over the password and what may follow it as a salt.
type digestHash struct {
	of         function
	salt, hash []byte
}

// parseDigest reads base64 of a digest, and of the salt behind it.
func parseDigest(of function, text string, salted bool) (kind, error) {
	b, err := readStandard(text)
	if err != nil {
		return nil, err
	}
	switch {
	case salted && (len(b) <= of.size || len(b) > of.size+maxSalt):
		return nil, fmt.Errorf("a salted digest must have %d bytes and a salt of 1 to %d", of.size, maxSalt)
	case !salted && len(b) != of.size:
		return nil, fmt.Errorf("a digest without a salt must have %d bytes", of.size)
	}
	return &digestHash{of: of, hash: b[:of.size], salt: b[of.size:]}, nil
}

func (h *digestHash) matches(password []byte) bool {
	d := h.of.make()
	d.Write(password)
	d.Write(h.salt)
	return equal(d.Sum(nil), h.hash)
}

// ntHash is the NT hash (RFC 2759 section 8.3): MD4 of the password in UTF-16LE.
type ntHash [16]byte

func parseNT(text string) (kind, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(ntHash{}) {
		return nil, errors.New("an NT hash has 32 hexadecimal digits")
	}
	return ntHash(b), nil
}

func (h ntHash) matches(password []byte) bool {
	got, ok := chap.NTHash(password)
	return ok && equal(got[:], h[:])
}
