package wire

import "encoding/binary"

// PAP appends User-Name and the encrypted User-Password. A password above 128
// bytes is ValueTooLong.
func (b *Builder) PAP(user, password string) {
	b.Text(UserName, user)
	b.HiddenAttr(HideUserPassword, UserPassword, []byte(password))
}

// CHAP appends User-Name, CHAP-Password and CHAP-Challenge, RFC 2865 sections
// 5.3 and 5.40. response is MD5(id, password, challenge). Without a challenge
// the request authenticator is it, and no CHAP-Challenge is sent.
func (b *Builder) CHAP(user string, id uint8, response [16]byte, challenge []byte) {
	var value [17]byte
	value[0] = id
	copy(value[1:], response[:])
	b.Text(UserName, user)
	b.Attr(CHAPPassword, value[:])
	if len(challenge) > 0 {
		b.Attr(CHAPChallenge, challenge)
	}
}

// MSCHAP appends User-Name, MS-CHAP-Challenge and MS-CHAP-Response with the NT
// response only, RFC 2548 sections 2.1.2 and 2.1.3.
func (b *Builder) MSCHAP(user string, id uint8, challenge [8]byte, ntResponse [24]byte) {
	var value [50]byte
	value[0], value[1] = id, 1 // flags: use the NT response
	copy(value[26:], ntResponse[:])
	b.Text(UserName, user)
	b.VSA(VendorMicrosoft, MSCHAPChallenge, challenge[:])
	b.VSA(VendorMicrosoft, MSCHAPResponse, value[:])
}

// MSCHAP2 appends User-Name, MS-CHAP-Challenge and MS-CHAP2-Response, RFC 2548
// sections 2.1.2 and 2.3.2.
func (b *Builder) MSCHAP2(user string, id uint8, challenge, peer [16]byte, ntResponse [24]byte) {
	var value [50]byte
	value[0] = id
	copy(value[2:], peer[:])
	copy(value[26:], ntResponse[:])
	b.Text(UserName, user)
	b.VSA(VendorMicrosoft, MSCHAPChallenge, challenge[:])
	b.VSA(VendorMicrosoft, MSCHAP2Response, value[:])
}

// Accounting appends what every Accounting-Request needs: Acct-Status-Type and
// Acct-Session-Id, RFC 2866 section 4.1.
func (b *Builder) Accounting(status uint32, session string) {
	b.Uint32(AcctStatusType, status)
	b.Text(AcctSessionID, session)
}

// MPPEKeys appends the MS-MPPE keys that RFC 2548 section 2.4 hands out with an
// MS-CHAPv2 Accept: policy (1: allowed, 2: required) and types of encryption
// (bit 1: 40, bit 2: 128 bits) in clear, the two keys hidden. send and receive
// are named as the server's side sees them.
func (b *Builder) MPPEKeys(policy, types uint32, send, receive []byte) {
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], policy)
	b.VSA(VendorMicrosoft, MSMPPEEncPolicy, word[:])
	binary.BigEndian.PutUint32(word[:], types)
	b.VSA(VendorMicrosoft, MSMPPEEncTypes, word[:])
	b.HiddenVSA(HideSalted, VendorMicrosoft, MSMPPESendKey, send)
	b.HiddenVSA(HideSalted, VendorMicrosoft, MSMPPERecvKey, receive)
}
