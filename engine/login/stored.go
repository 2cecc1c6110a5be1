package login

import (
	"fmt"

	"trine/engine/credential/otp"
	"trine/engine/event"
	"trine/engine/secret"
)

// FactorContext appends what the stored form of a factor is bound to, so that one that is copied to another user or another factor does
// not open: "User/alice/factor/ID", the user's name folded.
func FactorContext(dst []byte, user string, id string) []byte {
	dst = append(dst, event.Key("User", user)...)
	dst = append(dst, "/factor/"...)
	return append(dst, id...)
}

// SealOTP returns the stored form of a device's secret.
func SealOTP(keys *secret.Keyring, user, id string, s *otp.Secret) ([]byte, error) {
	plain := s.Append(nil)
	defer clear(plain)
	sealed, err := keys.Seal(nil, plain, FactorContext(nil, user, id))
	if err != nil {
		return nil, fmt.Errorf("seal a device's secret: %w", err)
	}
	return sealed, nil
}

// OpenOTP opens what SealOTP made for the same user and id. Errors are those of secret.Keyring.Open and otp.Parse.
func OpenOTP(keys *secret.Keyring, user, id string, stored []byte) (otp.Secret, error) {
	var room [128]byte
	defer clear(room[:])
	plain, err := keys.Open(room[:0], stored, FactorContext(nil, user, id))
	if err != nil {
		return otp.Secret{}, err
	}
	return otp.Parse(plain)
}
