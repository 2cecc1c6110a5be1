package radius

import (
	"encoding/binary"
	"encoding/hex"

	"trine/engine/secret"
	"trine/protocols/radius/wire"
)

// The Class attribute (RFC 2865 section 5.25) ties accounting to its login: a format byte, a mark of the cluster so that a
// Class of somebody else is not taken for ours, and the decision's id.
const (
	classFormat = 'T'
	classLen    = 1 + 4 + 8
)

// classMark is a cluster's mark.
type classMark [4]byte

func (m classMark) encode(login uint64) (value [classLen]byte) {
	value[0] = classFormat
	copy(value[1:], m[:])
	binary.BigEndian.PutUint64(value[5:], login)
	return value
}

// login returns the decision's id of the first Class in the packet that is ours, or 0.
func (m classMark) login(v *wire.View) uint64 {
	for value := range v.Each(wire.Class) {
		if len(value) == classLen && value[0] == classFormat && classMark(value[1:5]) == m {
			return binary.BigEndian.Uint64(value[5:])
		}
	}
	return 0
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
