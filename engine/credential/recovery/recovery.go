package recovery

import (
	"crypto/rand"
	"fmt"
	"math/bits"

	"trine/engine/secret"
	"trine/engine/trace"
)

// Of a set and its codes.
const (
	Characters = 12             // of a code, without hyphens
	Bits       = 5 * Characters // of entropy
	Count      = 10             // codes in a set, where nothing else is asked for
	MaxCount   = 32             // codes in a set at most
)

// alphabet is Crockford's base 32: no I, L, O, U, so that a code can be read off paper and over a telephone.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ErrCount means that a set would have no code or more than MaxCount.
var ErrCount = fmt.Errorf("a set of recovery codes has 1 to %d of them", MaxCount)

// New makes a set of codes for owner, who is named as the keyring's contexts name things, such as "User/alice" with the name folded.
// It returns the codes, which are shown once ("7K3M-Q9TX-0WZE"), and what is kept of them: 37 bytes each, useless without a cluster
// key. Errors are ErrCount and secret.ErrNoKey.
func New(count int, keyring *secret.Keyring, owner []byte) (codes []string, kept []byte, err error) {
	if count < 1 || count > MaxCount {
		return nil, nil, ErrCount
	}
	context := appendContext(nil, owner)
	for range count {
		var code [Characters]byte
		rand.Read(code[:])
		for i, b := range code {
			code[i] = alphabet[b%byte(len(alphabet))] // 32 divides 256: no letter is likelier than another
		}
		if kept, err = keyring.MAC(kept, context, code[:]); err != nil {
			return nil, nil, fmt.Errorf("key recovery code: %w", err)
		}
		codes = append(codes, string(code[:4])+"-"+string(code[4:8])+"-"+string(code[8:]))
	}
	return codes, kept, nil
}

// Verify verifies a code of owner's set, of which used has a bit set for each code that was used before. With [trace.OK] it returns
// the bit of the code: whoever records that it is used makes sure that it was not set yet. Otherwise the bit is 0, with
//
//   - [trace.RecoveryWrong]: the code is none of the set;
//   - [trace.RecoveryUsed]: it is, and was used;
//   - [trace.FactorUnreadable]: what is kept is damaged, or the cluster key is not known.
//
// Codes are read in either case, with spaces and hyphens anywhere, and O, I and L as the digits that they look like. Every code of the
// set is compared, each in constant time.
func Verify(code, kept []byte, used uint32, keyring *secret.Keyring, owner []byte) (bit uint32, reason trace.Reason) {
	n := len(kept) / secret.MACSize
	if n == 0 || n > MaxCount || len(kept)%secret.MACSize != 0 {
		return 0, trace.FactorUnreadable
	}
	plain, ok := normalise(code)
	if !ok {
		return 0, trace.RecoveryWrong
	}
	var room [288]byte
	context := appendContext(room[:0], owner)
	for i := range n {
		fits, err := keyring.CheckMAC(kept[i*secret.MACSize:(i+1)*secret.MACSize], context, plain[:])
		if err != nil {
			return 0, trace.FactorUnreadable
		}
		if fits {
			bit |= 1 << i
		}
	}
	switch {
	case bit == 0:
		return 0, trace.RecoveryWrong
	case bit&used != 0:
		return 0, trace.RecoveryUsed
	}
	return bit, trace.OK
}

// Left returns how many codes of a set were not used yet.
func Left(kept []byte, used uint32) int {
	n := len(kept) / secret.MACSize
	return n - bits.OnesCount32(used&(1<<n-1))
}

// Record adds to a trace what Verify found; left is how many codes are left after it.
func Record(t *trace.Trace, reason trace.Reason, left int) {
	switch reason {
	case trace.OK:
		t.AddNumber(trace.RecoveryChecked, "", uint64(max(left, 0)))
	case trace.RecoveryUsed:
		t.Add(trace.RecoverySpent, "", "")
	case trace.FactorUnreadable:
		t.Add(trace.FactorIsBad, "recovery codes", "")
	default:
		t.Add(trace.RecoveryDiffers, "", "")
	}
}

// normalise reads a code as people write it.
func normalise(code []byte) (plain [Characters]byte, ok bool) {
	n := 0
	for _, c := range code {
		switch {
		case c == ' ' || c == '-':
			continue
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		switch c {
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if n == Characters || !known(c) {
			return plain, false
		}
		plain[n] = c
		n++
	}
	return plain, n == Characters
}

func known(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' && c != 'U' }

// appendContext appends what a code is bound to: "User/alice/recovery".
func appendContext(dst, owner []byte) []byte {
	return append(append(dst, owner...), "/recovery"...)
}
