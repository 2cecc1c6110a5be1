package wire

import "strconv"

// Fault is the cause for which a packet or a part of it was refused. Its zero
// value, OK, means that nothing is wrong. It is small and comparable so that
// causes can be counted without formatting anything. It is an error for the
// places that report one; convert OK to a nil error with Err.
type Fault uint8

// The faults.
const (
	// OK is no fault.
	OK Fault = iota

	// HeaderShort is fewer than twelve bytes.
	HeaderShort
	// MajorVersion is another major version than 12.
	MajorVersion
	// MinorVersion is a minor version that the packet's type does not have.
	MinorVersion
	// TypeUnknown is a packet of no known type; see Refusal.
	TypeUnknown
	// SequenceZero is a packet with number 0.
	SequenceZero
	// BodyLong is a body above the caller's limit.
	BodyLong
	// SequenceUnexpected is a number that does not follow the session's latest.
	SequenceUnexpected
	// SequenceEnd is a session that has no number left.
	SequenceEnd
	// InClear is a packet outside TLS whose body is not obfuscated.
	InClear
	// Obfuscated is a packet within TLS that does not say that its body is in
	// clear.
	Obfuscated

	// BodyShort is a body that ends within its fixed part.
	BodyShort
	// LengthMismatch is a body whose parts add up to another length than its
	// header has.
	LengthMismatch
	// ActionUnknown is an unknown action of a START.
	ActionUnknown
	// AuthenTypeUnknown is an unknown authen_type.
	AuthenTypeUnknown
	// ServiceUnknown is an unknown authen_service.
	ServiceUnknown
	// MethodUnknown is an unknown authen_method.
	MethodUnknown
	// PrivLvlRange is a privilege level above 15.
	PrivLvlRange
	// StatusUnknown is an unknown status of a reply.
	StatusUnknown
	// AcctFlagsInvalid is a combination of accounting flags that has no meaning.
	AcctFlagsInvalid

	// CombinationInvalid is an action that its authen_type or authen_service
	// does not have.
	CombinationInvalid
	// VersionMismatch is a START under a minor version that its authen_type does
	// not have.
	VersionMismatch
	// UserMissing is a PAP, CHAP or MS-CHAP login without a user.
	UserMissing
	// TextUnprintable is a user, port, rem_addr or argument with characters that
	// it must not have.
	TextUnprintable
	// ChallengeLength is the data of a CHAP or MS-CHAP login that is too short,
	// or whose challenge has a wrong length.
	ChallengeLength

	// ArgumentEmpty is an argument without a name.
	ArgumentEmpty
	// SeparatorMissing is an argument without = and *.
	SeparatorMissing
	// SeparatorInName is a name of an argument under construction with = or *.
	SeparatorInName
	// ArgumentRepeated is a second service, protocol or cmd.
	ArgumentRepeated
	// ServiceMissing is an authorization REQUEST whose first argument is not
	// service.
	ServiceMissing
	// CommandMissing is an authorization REQUEST for the shell without cmd.
	CommandMissing

	// PacketFull is a packet under construction that would pass its buffer.
	PacketFull
	// FieldLong is a field longer than its length can tell.
	FieldLong
	// ArgumentsMany is a 256th argument.
	ArgumentsMany
	// Misused is a Builder that was not begun, or is given the parts of a
	// message in another order than it has.
	Misused

	faults
)

var faultText = [faults]string{
	OK:                 "ok",
	HeaderShort:        "packet shorter than a TACACS+ header",
	MajorVersion:       "major version is not 12: not TACACS+?",
	MinorVersion:       "minor version is not one of this packet type",
	TypeUnknown:        "packet type is unknown",
	SequenceZero:       "sequence number is 0",
	BodyLong:           "body is longer than the limit",
	SequenceUnexpected: "sequence number does not follow the session's latest",
	SequenceEnd:        "session has no sequence number left",
	InClear:            "body is not obfuscated: no secret on the device?",
	Obfuscated:         "packet within TLS does not have the unencrypted flag",
	BodyShort:          "body ends within its fixed part",
	LengthMismatch:     "lengths inside the body do not add up to its length",
	ActionUnknown:      "action is unknown",
	AuthenTypeUnknown:  "authentication type is unknown",
	ServiceUnknown:     "authentication service is unknown",
	MethodUnknown:      "authentication method is unknown",
	PrivLvlRange:       "privilege level is above 15",
	StatusUnknown:      "status is unknown",
	AcctFlagsInvalid:   "accounting flags are neither start, stop nor watchdog",
	CombinationInvalid: "action does not fit the authentication type or service",
	VersionMismatch:    "minor version does not fit the authentication type",
	UserMissing:        "login has no user",
	TextUnprintable:    "text has characters that it must not have",
	ChallengeLength:    "challenge has a wrong length",
	ArgumentEmpty:      "argument has no name",
	SeparatorMissing:   "argument has neither = nor *",
	SeparatorInName:    "name of an argument contains = or *",
	ArgumentRepeated:   "argument service, protocol or cmd occurs twice",
	ServiceMissing:     "first argument is not service",
	CommandMissing:     "argument cmd is missing, which service=shell needs",
	PacketFull:         "packet would exceed its buffer",
	FieldLong:          "field is longer than its length can tell",
	ArgumentsMany:      "more than 255 arguments",
	Misused:            "packet was not begun, or its parts are in the wrong order",
}

var faultName = [faults]string{
	OK:                 "ok",
	HeaderShort:        "header_short",
	MajorVersion:       "major_version",
	MinorVersion:       "minor_version",
	TypeUnknown:        "type_unknown",
	SequenceZero:       "sequence_zero",
	BodyLong:           "body_long",
	SequenceUnexpected: "sequence_unexpected",
	SequenceEnd:        "sequence_end",
	InClear:            "in_clear",
	Obfuscated:         "obfuscated",
	BodyShort:          "body_short",
	LengthMismatch:     "length_mismatch",
	ActionUnknown:      "action_unknown",
	AuthenTypeUnknown:  "authen_type_unknown",
	ServiceUnknown:     "service_unknown",
	MethodUnknown:      "method_unknown",
	PrivLvlRange:       "priv_lvl_range",
	StatusUnknown:      "status_unknown",
	AcctFlagsInvalid:   "acct_flags_invalid",
	CombinationInvalid: "combination_invalid",
	VersionMismatch:    "version_mismatch",
	UserMissing:        "user_missing",
	TextUnprintable:    "text_unprintable",
	ChallengeLength:    "challenge_length",
	ArgumentEmpty:      "argument_empty",
	SeparatorMissing:   "separator_missing",
	SeparatorInName:    "separator_in_name",
	ArgumentRepeated:   "argument_repeated",
	ServiceMissing:     "service_missing",
	CommandMissing:     "command_missing",
	PacketFull:         "packet_full",
	FieldLong:          "field_long",
	ArgumentsMany:      "arguments_many",
	Misused:            "misused",
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
