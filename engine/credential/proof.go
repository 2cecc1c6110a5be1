package credential

// Method is the way in which a login proves its password.
type Method uint8

// The methods. The numbers are recorded and never change.
const (
	NoProof   Method = 0
	PAP       Method = 1 // clear text
	CHAP      Method = 2 // RFC 1994
	MSCHAPv1  Method = 3 // RFC 2433, NT response only
	MSCHAPv2  Method = 4 // RFC 2759
	MSCHAPCPW Method = 5 // RFC 2759 section 8.9 to 8.12: change password
	MAC       Method = 6 // none: the login name is the MAC address of a device
	ASCII     Method = 7 // clear text that was asked for in a round of its own (RFC 8907 section 5.4.2.1)
	Page      Method = 8 // clear text that a page sent
)

// Clear reports whether the method brings the password as clear text.
func (m Method) Clear() bool { return m == PAP || m == ASCII || m == Page }

// String returns the method's name as metrics and traces use it.
func (m Method) String() string {
	switch m {
	case PAP:
		return "pap"
	case CHAP:
		return "chap"
	case MSCHAPv1:
		return "mschapv1"
	case MSCHAPv2:
		return "mschapv2"
	case MSCHAPCPW:
		return "mschap-cpw"
	case MAC:
		return "mac"
	case ASCII:
		return "ascii"
	case Page:
		return "page"
	}
	return "none"
}

// Proof is what a login brings to prove its password, and what verifying it yields for the reply. Its slices belong to the
// caller until the decision is delivered.
type Proof struct {
	Method Method

	Password []byte // PAP, ASCII and Page
	// NewPassword is what the password is to be changed to: with PAP and ASCII as it came, nil if it is not to be changed; with MSCHAPCPW what a good
	// proof revealed.
	NewPassword []byte

	// CHAP: Identifier, Challenge (1 to 255 bytes), Response (16 bytes).
	// MSCHAPv1: Challenge (8 bytes), Response: the NT response (24 bytes).
	// MSCHAPv2: Challenge: the authenticator's (16 bytes), PeerChallenge (16 bytes), Response: the NT response (24 bytes),
	// HashName: the user name that the peer hashed, without its domain (RFC 2759 section 4), Identifier: its Ident byte.
	// MSCHAPCPW: as MSCHAPv2, with EncryptedHash (16 bytes) and EncryptedPassword (516 bytes).
	Identifier        byte
	Challenge         []byte
	PeerChallenge     []byte
	Response          []byte
	HashName          []byte
	EncryptedHash     []byte
	EncryptedPassword []byte

	// After a good MSCHAPv1 or v2: the keys of RFC 3079 (v1 keys: section 2; v2 keys: section 3, 128-bit), and for v2 the
	// authenticator response "S=" and 40 hexadecimal digits (RFC 2759 section 8.7).
	HasKeys               bool
	SendKey, RecvKey      [16]byte
	LMKey                 [8]byte
	NTKey                 [16]byte
	AuthenticatorResponse [42]byte
}

// Changes reports whether the proof asks for a new password.
func (p *Proof) Changes() bool { return p.Method == MSCHAPCPW || p.NewPassword != nil }
