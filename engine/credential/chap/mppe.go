package chap

import "crypto/sha1"

const (
	magicMaster        = "This is the MPPE Master Key"
	magicClientSends   = "On the client side, this is the send key; on the server side, it is the receive key."
	magicClientReceive = "On the client side, this is the receive key; on the server side, it is the send key."
)

// MasterKey returns the key that both MPPE keys of an MS-CHAPv2 login come from,
// RFC 3079 section 3.4.
func MasterKey(hash *[16]byte, ntResponse *[24]byte) (master [16]byte) {
	hashHash := HashOfHash(hash)
	var message [16 + 24 + len(magicMaster)]byte
	copy(message[:], hashHash[:])
	copy(message[16:], ntResponse[:])
	copy(message[40:], magicMaster)
	sum := sha1.Sum(message[:])
	copy(master[:], sum[:])
	return master
}

// KeysV2 returns the 128-bit MPPE start keys after an MS-CHAPv2 login, as the
// server's side names them (RFC 3079 section 3.4): what MS-MPPE-Send-Key and
// MS-MPPE-Recv-Key carry.
func KeysV2(hash *[16]byte, ntResponse *[24]byte) (send, receive [16]byte) {
	master := MasterKey(hash, ntResponse)
	return startKey(&master, magicClientReceive), startKey(&master, magicClientSends)
}

func startKey(master *[16]byte, magic string) (key [16]byte) {
	const pad = 40
	var message [16 + pad + len(magicClientSends) + pad]byte
	copy(message[:], master[:])
	copy(message[16+pad:], magic)
	for i := range pad {
		message[16+pad+len(magicClientSends)+i] = 0xf2
	}
	sum := sha1.Sum(message[:])
	copy(key[:], sum[:])
	return key
}

// KeyV1 returns the 128-bit MPPE start key after an MS-CHAPv1 login, RFC 3079
// section 2.3. A NAS derives it itself from HashOfHash, which is what
// MS-CHAP-MPPE-Keys carries.
func KeyV1(hash *[16]byte, challenge *[8]byte) (key [16]byte) {
	hashHash := HashOfHash(hash)
	var message [16 + 16 + 8]byte
	copy(message[:], hashHash[:])
	copy(message[16:], hashHash[:])
	copy(message[32:], challenge[:])
	sum := sha1.Sum(message[:])
	copy(key[:], sum[:])
	return key
}
