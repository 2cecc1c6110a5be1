package wire

import "strconv"

const (
	// MaxPacket is the largest RADIUS packet in bytes, RFC 2865 section 3.
	MaxPacket = 4096
	// MaxValue is the largest value of one attribute in bytes.
	MaxValue = 253
	// AuthenticatorLen is the size in bytes of a request or response
	// authenticator and of a Message-Authenticator.
	AuthenticatorLen = 16

	headerLen     = 20
	maxAttributes = (MaxPacket - headerLen) / 2
)

// Code says what a packet is, RFC 2865 section 3.
type Code uint8

// The packet codes of RFC 2865, 2866, 5176, 5997 and 7930.
const (
	AccessRequest      Code = 1
	AccessAccept       Code = 2
	AccessReject       Code = 3
	AccountingRequest  Code = 4
	AccountingResponse Code = 5
	AccessChallenge    Code = 11
	StatusServer       Code = 12
	StatusClient       Code = 13
	DisconnectRequest  Code = 40
	DisconnectACK      Code = 41
	DisconnectNAK      Code = 42
	CoARequest         Code = 43
	CoAACK             Code = 44
	CoANAK             Code = 45
	ProtocolError      Code = 52
)

// String returns the code's name in its RFC, or Code-N.
func (c Code) String() string {
	switch c {
	case AccessRequest:
		return "Access-Request"
	case AccessAccept:
		return "Access-Accept"
	case AccessReject:
		return "Access-Reject"
	case AccountingRequest:
		return "Accounting-Request"
	case AccountingResponse:
		return "Accounting-Response"
	case AccessChallenge:
		return "Access-Challenge"
	case StatusServer:
		return "Status-Server"
	case StatusClient:
		return "Status-Client"
	case DisconnectRequest:
		return "Disconnect-Request"
	case DisconnectACK:
		return "Disconnect-ACK"
	case DisconnectNAK:
		return "Disconnect-NAK"
	case CoARequest:
		return "CoA-Request"
	case CoAACK:
		return "CoA-ACK"
	case CoANAK:
		return "CoA-NAK"
	case ProtocolError:
		return "Protocol-Error"
	}
	return "Code-" + strconv.Itoa(int(c))
}

// signsRequest reports whether a request's authenticator is a keyed digest of
// the packet (RFC 2866 section 3, RFC 5176 section 2.3) and not random bytes.
func (c Code) signsRequest() bool {
	return c == AccountingRequest || c == DisconnectRequest || c == CoARequest
}

// carriesSignature reports whether a packet of this code is written with a
// Message-Authenticator in front of every other attribute.
func (c Code) carriesSignature() bool {
	switch c {
	case AccessRequest, AccessAccept, AccessReject, AccessChallenge, StatusServer, ProtocolError:
		return true
	}
	return false
}

// Type is the number of an attribute.
type Type uint8

// The attributes that the protocol itself or a server's own rules look at.
// Everything else goes by the dictionary.
const (
	UserName             Type = 1
	UserPassword         Type = 2
	CHAPPassword         Type = 3
	NASIPAddress         Type = 4
	NASPort              Type = 5
	ServiceType          Type = 6
	FramedProtocol       Type = 7
	FramedIPAddress      Type = 8
	FramedIPNetmask      Type = 9
	FilterID             Type = 11
	FramedMTU            Type = 12
	ReplyMessage         Type = 18
	State                Type = 24
	Class                Type = 25
	VendorSpecific       Type = 26
	SessionTimeout       Type = 27
	IdleTimeout          Type = 28
	TerminationAction    Type = 29
	CalledStationID      Type = 30
	CallingStationID     Type = 31
	NASIdentifier        Type = 32
	ProxyState           Type = 33
	AcctStatusType       Type = 40
	AcctDelayTime        Type = 41
	AcctInputOctets      Type = 42
	AcctOutputOctets     Type = 43
	AcctSessionID        Type = 44
	AcctAuthentic        Type = 45
	AcctSessionTime      Type = 46
	AcctInputPackets     Type = 47
	AcctOutputPackets    Type = 48
	AcctTerminateCause   Type = 49
	AcctMultiSessionID   Type = 50
	AcctLinkCount        Type = 51
	AcctInputGigawords   Type = 52
	AcctOutputGigawords  Type = 53
	EventTimestamp       Type = 55
	CHAPChallenge        Type = 60
	NASPortType          Type = 61
	TunnelType           Type = 64
	TunnelMediumType     Type = 65
	TunnelPassword       Type = 69
	ConnectInfo          Type = 77
	EAPMessage           Type = 79
	MessageAuthenticator Type = 80
	TunnelPrivateGroupID Type = 81
	AcctInterimInterval  Type = 85
	NASPortID            Type = 87
	FramedPool           Type = 88
	ChargeableUser       Type = 89
	NASIPv6Address       Type = 95
	FramedInterfaceID    Type = 96
	FramedIPv6Prefix     Type = 97
	ErrorCause           Type = 101
	DelegatedIPv6Prefix  Type = 123
	FramedIPv6Address    Type = 168
	Extended1            Type = 241
	Extended2            Type = 242
	Extended3            Type = 243
	Extended4            Type = 244
	LongExtended1        Type = 245
	LongExtended2        Type = 246
)

// VendorMicrosoft is the vendor number of the attributes of RFC 2548.
const VendorMicrosoft uint32 = 311

// The Microsoft attributes of RFC 2548 that MS-CHAP needs.
const (
	MSCHAPResponse    uint8 = 1
	MSCHAPError       uint8 = 2
	MSCHAPCPW1        uint8 = 3
	MSCHAPCPW2        uint8 = 4
	MSCHAPNTEncPW     uint8 = 6
	MSMPPEEncPolicy   uint8 = 7
	MSMPPEEncTypes    uint8 = 8
	MSCHAPDomain      uint8 = 10
	MSCHAPChallenge   uint8 = 11
	MSCHAPMPPEKeys    uint8 = 12
	MSMPPESendKey     uint8 = 16
	MSMPPERecvKey     uint8 = 17
	MSCHAP2Response   uint8 = 25
	MSCHAP2Success    uint8 = 26
	MSCHAP2CPW        uint8 = 27
	msVendorTypeBytes       = 6 // vendor number, type and length in front of a value
)

// Fault is the cause for which a packet or a part of it was refused. Its zero
// value, OK, means that nothing is wrong. It is small and comparable so that
// causes can be counted without formatting anything. It is an error for the
// places that report one; convert OK to a nil error with Err.
type Fault uint8

// The faults.
const (
	// OK is no fault.
	OK Fault = iota
	// TooShort is a datagram of fewer than 20 bytes.
	TooShort
	// TooLong is a Length field above 4,096.
	TooLong
	// LengthField is a Length field below 20 or beyond the datagram.
	LengthField
	// AttributeLength is an attribute whose length is below 2.
	AttributeLength
	// AttributeOverrun is an attribute that ends beyond the packet.
	AttributeOverrun
	// SignatureMissing is a packet without a Message-Authenticator.
	SignatureMissing
	// SignatureMalformed is a Message-Authenticator of another size than 16
	// bytes, or a second one.
	SignatureMalformed
	// SignatureMismatch is a Message-Authenticator that does not verify.
	SignatureMismatch
	// AuthenticatorMismatch is a request or response authenticator that does
	// not verify.
	AuthenticatorMismatch
	// HiddenLength is an encrypted value of an impossible length.
	HiddenLength
	// HiddenContent is an encrypted value that makes no sense once decrypted,
	// or whose salt lacks its high bit.
	HiddenContent
	// ReplyUnexpected is a reply whose code or identifier does not answer the
	// request.
	ReplyUnexpected
	// PacketFull is a packet under construction that would pass 4,096 bytes or
	// its buffer.
	PacketFull
	// ValueTooLong is a value that does not fit into one attribute.
	ValueTooLong
	// NotBegun is a Builder used before Reply or Request.
	NotBegun

	faults
)

var faultText = [faults]string{
	OK:                    "ok",
	TooShort:              "datagram shorter than a RADIUS header",
	TooLong:               "Length field above 4096",
	LengthField:           "Length field does not fit the datagram",
	AttributeLength:       "attribute length below 2",
	AttributeOverrun:      "attribute ends beyond the packet",
	SignatureMissing:      "Message-Authenticator is missing",
	SignatureMalformed:    "Message-Authenticator has a wrong length or occurs twice",
	SignatureMismatch:     "Message-Authenticator does not verify: secret differs?",
	AuthenticatorMismatch: "authenticator does not verify: secret differs?",
	HiddenLength:          "encrypted value has an impossible length",
	HiddenContent:         "encrypted value does not decrypt: secret differs?",
	ReplyUnexpected:       "reply does not belong to the request",
	PacketFull:            "packet would exceed 4096 bytes",
	ValueTooLong:          "value does not fit into an attribute",
	NotBegun:              "packet was not begun",
}

var faultName = [faults]string{
	OK:                    "ok",
	TooShort:              "too_short",
	TooLong:               "too_long",
	LengthField:           "length_field",
	AttributeLength:       "attribute_length",
	AttributeOverrun:      "attribute_overrun",
	SignatureMissing:      "signature_missing",
	SignatureMalformed:    "signature_malformed",
	SignatureMismatch:     "signature_mismatch",
	AuthenticatorMismatch: "authenticator_mismatch",
	HiddenLength:          "hidden_length",
	HiddenContent:         "hidden_content",
	ReplyUnexpected:       "reply_unexpected",
	PacketFull:            "packet_full",
	ValueTooLong:          "value_too_long",
	NotBegun:              "not_begun",
}

// Faults is the number of faults, OK included: the size of an array of
// counters indexed by Fault.
const Faults = int(faults)

// Error returns the fault in words.
func (f Fault) Error() string {
	if f < faults {
		return faultText[f]
	}
	return "fault " + strconv.Itoa(int(f))
}

// Name returns a short snake_case name, fit for a metric's label.
func (f Fault) Name() string {
	if f < faults {
		return faultName[f]
	}
	return "fault_" + strconv.Itoa(int(f))
}

// Err returns nil for OK and f otherwise.
func (f Fault) Err() error {
	if f == OK {
		return nil
	}
	return f
}
