package login

import (
	"encoding/binary"
	"fmt"

	"trine/engine/credential/otp"
	"trine/engine/credential/push"
	"trine/engine/credential/webauthn"
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

// FIDOFactor is a WebAuthn credential of a person, with the handle by which authenticators know him.
type FIDOFactor struct {
	Handle     []byte // see SealHandle
	Credential webauthn.Credential
}

// SealFIDO returns the stored form of a credential. It is sealed so that nobody who can write to the log puts another key in its place.
func SealFIDO(keys *secret.Keyring, user, id string, f FIDOFactor) ([]byte, error) {
	plain := append([]byte{byte(len(f.Handle))}, f.Handle...)
	sealed, err := keys.Seal(nil, f.Credential.Append(plain), FactorContext(nil, user, id))
	if err != nil {
		return nil, fmt.Errorf("seal a WebAuthn credential: %w", err)
	}
	return sealed, nil
}

// OpenFIDO opens what SealFIDO made for the same user and id. Errors are those of secret.Keyring.Open and webauthn.ErrForm.
func OpenFIDO(keys *secret.Keyring, user, id string, stored []byte) (f FIDOFactor, err error) {
	plain, err := keys.Open(nil, stored, FactorContext(nil, user, id))
	if err != nil {
		return f, err
	}
	if len(plain) == 0 || len(plain) < 1+int(plain[0]) {
		return f, webauthn.ErrForm
	}
	end := 1 + int(plain[0])
	f.Handle = plain[1:end]
	f.Credential, err = webauthn.ParseCredential(plain[end:])
	return f, err
}

// handleContext is what user handles are bound to. It is for ever, since authenticators keep them.
const handleContext = "trine/webauthn/handle/1"

// SealHandle makes a WebAuthn user handle for the user of an id: 41 bytes, by which this cluster finds him and nobody else.
func SealHandle(keys *secret.Keyring, user uint64) ([]byte, error) {
	return keys.Seal(nil, binary.BigEndian.AppendUint64(nil, user), []byte(handleContext))
}

// OpenHandle returns the id of the user for whom SealHandle made a handle; the error is ErrForeign.
func OpenHandle(keys *secret.Keyring, handle []byte) (user uint64, err error) {
	plain, err := keys.Open(nil, handle, []byte(handleContext))
	if err != nil || len(plain) != 8 {
		return 0, ErrForeign
	}
	return binary.BigEndian.Uint64(plain), nil
}
