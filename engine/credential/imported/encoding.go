package imported

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds in bytes of what a hash consists of.
const (
	maxSalt          = 128
	minHash, maxHash = 16, 64
)

// reader turns a part of a text into bytes.
type reader func(part string) ([]byte, error)

// readText takes a part as the bytes that it is written with.
func readText(part string) ([]byte, error) { return []byte(part), nil }

// readStandard reads base64 (RFC 4648 section 4), with padding or without.
func readStandard(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, errBase64
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(part, "="))
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// readAdapted reads base64 in which a dot stands for the plus sign, as passlib and directories write it.
func readAdapted(part string) ([]byte, error) {
	return readStandard(strings.ReplaceAll(part, ".", "+"))
}

var errBase64 = errors.New("what should be base64 is not")

// readSalt reads a salt of 1 to maxSalt bytes.
func readSalt(part string, read reader) ([]byte, error) {
	salt, err := read(part)
	if err != nil {
		return nil, fmt.Errorf("read its salt: %w", err)
	}
	if len(salt) < 1 || len(salt) > maxSalt {
		return nil, fmt.Errorf("its salt has %d bytes, not 1 to %d", len(salt), maxSalt)
	}
	return salt, nil
}

// readHash reads the hash proper, of minHash to maxHash bytes.
func readHash(part string, read reader) ([]byte, error) {
	hash, err := read(part)
	if err != nil {
		return nil, fmt.Errorf("read what the password is compared with: %w", err)
	}
	if len(hash) < minHash || len(hash) > maxHash {
		return nil, fmt.Errorf("what the password is compared with has %d bytes, not %d to %d", len(hash), minHash, maxHash)
	}
	return hash, nil
}

// readNumber reads a decimal number without sign or leading zero.
func readNumber(part string, most uint64) (uint64, bool) {
	n, err := strconv.ParseUint(part, 10, 64)
	return n, err == nil && n <= most && (part[0] != '0' || part == "0")
}

// readCosts reads "a=1,b=2": numbers under the given names, in that order.
func readCosts(part string, names ...string) ([]uint64, error) {
	costs := strings.Split(part, ",")
	if len(costs) != len(names) {
		return nil, fmt.Errorf("its cost must read %s=... and nothing else", strings.Join(names, "=...,"))
	}
	out := make([]uint64, len(names))
	for i, name := range names {
		digits, found := strings.CutPrefix(costs[i], name+"=")
		n, ok := readNumber(digits, 1<<32-1)
		if !found || !ok {
			return nil, fmt.Errorf("its cost must read %s=..., with numbers that fit into 32 bits", strings.Join(names, "=...,"))
		}
		out[i] = n
	}
	return out, nil
}

// boundMemory refuses what fills too much memory at once, or altogether.
func boundMemory(bytes, times uint64) error {
	switch {
	case bytes > MaxMemory:
		return fmt.Errorf("it takes %d MiB of memory to verify; at most %d MiB are allowed", bytes>>20, MaxMemory>>20)
	case times == 0 || bytes > MaxTraffic/times:
		return fmt.Errorf("it fills %d KiB of memory %d times to verify; at most %d MiB altogether are allowed", bytes>>10, times, MaxTraffic>>20)
	}
	return nil
}

// crypt64 is the alphabet of crypt(3), in the order of its digits.
const crypt64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// isCrypt64 reports whether the text consists of that alphabet alone.
func isCrypt64(text string) bool { return strings.Trim(text, crypt64) == "" }

// cryptNumber reads a number whose lowest digit comes first; text has at most five of them.
func cryptNumber(text string) (n uint64, ok bool) {
	for i := len(text) - 1; i >= 0; i-- {
		digit := strings.IndexByte(crypt64, text[i])
		if digit < 0 {
			return 0, false
		}
		n = n<<6 | uint64(digit)
	}
	return n, true
}
