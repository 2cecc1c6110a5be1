package login

import (
	"fmt"

	"trine/engine/credential/otp"
	"trine/engine/credential/push"
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

// PushDevice is a device that takes push challenges.
type PushDevice struct {
	Key     push.Key
	Address string // by which the message gateway finds it, see message.ValidDevice
}

// SealPush returns the stored form of a device. It is sealed so that nobody who can write to the log puts another key in its place.
func SealPush(keys *secret.Keyring, user, id string, d PushDevice) ([]byte, error) {
	key := d.Key.Append(nil)
	plain := append(append([]byte{byte(len(key))}, key...), d.Address...)
	sealed, err := keys.Seal(nil, plain, FactorContext(nil, user, id))
	if err != nil {
		return nil, fmt.Errorf("seal a device's key: %w", err)
	}
	return sealed, nil
}

// OpenPush opens what SealPush made for the same user and id. Errors are those of secret.Keyring.Open and push.ParseKey.
func OpenPush(keys *secret.Keyring, user, id string, stored []byte) (d PushDevice, err error) {
	plain, err := keys.Open(nil, stored, FactorContext(nil, user, id))
	if err != nil {
		return d, err
	}
	if len(plain) == 0 || len(plain) < 1+int(plain[0]) {
		return d, push.ErrKey
	}
	end := 1 + int(plain[0])
	d.Key, err = push.ParseKey(plain[1:end])
	d.Address = string(plain[end:])
	return d, err
}
