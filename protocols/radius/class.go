package radius

import (
	"encoding/binary"
	"encoding/hex"

	"trine/engine/secret"
	"trine/protocols/radius/wire"
)

// The Class attribute (RFC 2865 section 5.25) ties accounting to its login: a format byte, a mark of the cluster so that a
// Class of somebody else is not taken for ours, and the decision's id. Where the device is told another user name than that of
// the login, which it then accounts for, the user's name follows.
const (
	classFormat = 'T'
	classLen    = 1 + 4 + 8
	maxClass    = 253
)

// classMark is a cluster's mark.
type classMark [4]byte

// append appends the value for a login. A user's name that has no room is left out.
func (m classMark) append(dst []byte, login uint64, user []byte) []byte {
	dst = append(append(dst, classFormat), m[:]...)
	dst = binary.BigEndian.AppendUint64(dst, login)
	if classLen+len(user) > maxClass {
		return dst
	}
	return append(dst, user...)
}

// login returns what the first Class in the packet that is ours says: the decision's id, or 0, and the user's name, or nothing.
func (m classMark) login(v *wire.View) (login uint64, user []byte) {
	for value := range v.Each(wire.Class) {
		if len(value) >= classLen && value[0] == classFormat && classMark(value[1:5]) == m {
			return binary.BigEndian.Uint64(value[5:classLen]), value[classLen:]
		}
	}
	return 0, nil
}

// chargeableContext names what the keyed form of a user's id is for. It is for ever: who changes it changes every identity.
const chargeableContext = "radius/chargeable-user-identity"

// appendChargeable appends the Chargeable-User-Identity (RFC 4372) of a user: the same for every login of one person, and
// meaningless to whoever lacks the cluster's key.
func appendChargeable(dst []byte, keys *secret.Keyring, user uint64) ([]byte, error) {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], user)
	var mac [64]byte
	sum, err := keys.MAC(mac[:0], []byte(chargeableContext), id[:])
	if err != nil {
		return dst, err
	}
	return hex.AppendEncode(dst, sum), nil
}
