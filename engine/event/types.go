package event

import (
	"encoding/binary"
	"strings"

	"github.com/zeebo/xxh3"
)

// Type numbers an event type. Numbers are never reused.
type Type uint32

// The event types.
const (
	TypeDocumentPut      Type = 1
	TypeDocumentDeleted  Type = 2
	TypePasswordSet      Type = 10
	TypePasswordRemoved  Type = 11
	TypeSessionReserved  Type = 20
	TypeSessionsExpired  Type = 21
	TypeTombstonesSwept  Type = 22
	TypeSessionClosed    Type = 23
	TypeConsumed         Type = 24
	TypeAccounted        Type = 30
	TypeDecided          Type = 40
	TypeDecisionsMissing Type = 41
	TypeClusterKeyAdded  Type = 50
	TypeAPIKeyCreated    Type = 51
	TypeAPIKeyRevoked    Type = 52
	TypeStaged           Type = 53
	TypeStageCommitted   Type = 54
	TypeStageAbandoned   Type = 55
	TypeNodeStarted      Type = 56
	TypeLoginFailed      Type = 60
	TypeFailuresCleared  Type = 61
	TypeFactorPut        Type = 70
	TypeFactorRemoved    Type = 71
	TypeFactorUsed       Type = 72
	TypeLoginRemembered  Type = 73
	TypePushAnswered     Type = 74
	TypeClusterFounded   Type = 80
	TypeJoinTokenMade    Type = 81
	TypeJoinTokenRevoked Type = 82
	TypeNodeJoined       Type = 83
	TypeNodeChanged      Type = 84
	TypeNodeRemoved      Type = 85
	TypeSSOStarted       Type = 90
	TypeSSOUsed          Type = 91
	TypeSSOEnded         Type = 92
	TypeDeviceTrusted    Type = 93
	TypeDeviceDistrusted Type = 94
	TypeGrantStarted     Type = 100
	TypeGrantRefreshed   Type = 101
	TypeGrantsEnded      Type = 102
	TypeTokenRevoked     Type = 103
	TypeTokensVoided     Type = 104
	TypeConsentGiven     Type = 105
	TypeConsentRevoked   Type = 106
	TypeSigningKeysMade  Type = 107
	TypeGrantsSwept      Type = 108
)

// Class sorts events for retention. The numbers are raftstore's classes.
type Class uint32

// The classes.
const (
	ClassConfig     Class = 1 // configuration documents
	ClassIdentity   Class = 2 // users, groups, roles, accounts, endpoints, passwords
	ClassSession    Class = 3 // reservations, expiries
	ClassAccounting Class = 4 // accounting records of NASes
	ClassDecision   Class = 5 // login decisions
	ClassSystem     Class = 6 // keys, stages, nodes
)

// classNames holds the name of each class at its number.
var classNames = [...]string{ClassConfig: "config", ClassIdentity: "identity", ClassSession: "session", ClassAccounting: "accounting", ClassDecision: "decision", ClassSystem: "system"}

// String returns the class's name as commands and the API use it.
func (c Class) String() string {
	if int(c) < len(classNames) && classNames[c] != "" {
		return classNames[c]
	}
	return "unknown"
}

// ParseClass returns the class with the given name.
func ParseClass(name string) (Class, bool) {
	for c, n := range classNames {
		if n != "" && strings.EqualFold(n, name) {
			return Class(c), true
		}
	}
	return 0, false
}

// ClassOf returns the class in which documents of a kind are recorded.
func ClassOf(kind string) Class {
	switch kind {
	case "User", "Group", "Role", "Account", "Endpoint":
		return ClassIdentity
	}
	return ClassConfig
}

// Verdict says how a login request was decided.
type Verdict uint32

// The verdicts.
const (
	Accept    Verdict = 1
	Reject    Verdict = 2
	Challenge Verdict = 3
	Discard   Verdict = 4 // no answer, so that the device tries another node
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	case Challenge:
		return "challenge"
	case Discard:
		return "discard"
	}
	return "unknown"
}

// PushOutcome is what came of a push challenge. It is recorded.
type PushOutcome uint32

// The outcomes.
const (
	PushApproved    PushOutcome = 1 // with the number that the login shows
	PushDenied      PushOutcome = 2
	PushOtherNumber PushOutcome = 3 // approved with another number
	PushLate        PushOutcome = 4 // approved, too late by the record's time; in no event, but what Apply makes of one
)

// NodeRole is what a node is in its cluster. It is recorded.
type NodeRole uint32

// The roles.
const (
	RoleVoter   NodeRole = 1 // takes part in elections and in what a quorum must have on disk, once it has caught up
	RoleReplica NodeRole = 2 // has everything and answers, and never votes
)

// String returns the role's name as commands and the API use it.
func (r NodeRole) String() string {
	switch r {
	case RoleVoter:
		return "voter"
	case RoleReplica:
		return "replica"
	}
	return "unknown"
}

// ParseNodeRole returns the role with the given name.
func ParseNodeRole(name string) (NodeRole, bool) {
	for _, r := range []NodeRole{RoleVoter, RoleReplica} {
		if r.String() == name {
			return r, true
		}
	}
	return 0, false
}

// SSOEnd says why a session of single sign-on ended. It is recorded.
type SSOEnd uint32

// The ends.
const (
	SSOLive       SSOEnd = 0 // it has not ended
	SSOLoggedOut  SSOEnd = 1 // by its person, from wherever
	SSOClosed     SSOEnd = 2 // by an administrator
	SSOExpired    SSOEnd = 3 // it was not used, or has lasted for as long as it may
	SSOPersonGone SSOEnd = 4 // its person was deleted, or switched off; in no event, but what Apply makes of one
	SSOLocked     SSOEnd = 5 // its person's name was locked everywhere; in no event either
	SSOCrowdedOut SSOEnd = 6 // its person has too many others; in no event either
)

// String returns why, as commands and the API use it.
func (c SSOEnd) String() string {
	switch c {
	case SSOLive:
		return "live"
	case SSOLoggedOut:
		return "logout"
	case SSOClosed:
		return "administrator"
	case SSOExpired:
		return "expired"
	case SSOPersonGone:
		return "person-gone"
	case SSOLocked:
		return "person-locked"
	case SSOCrowdedOut:
		return "crowded-out"
	}
	return "unknown"
}

// LogsOut reports whether somebody wanted the session to end, so that what it let service providers have ends with it.
func (c SSOEnd) LogsOut() bool { return c == SSOLoggedOut || c == SSOClosed }

// GrantEnd says why a grant ended. It is recorded.
type GrantEnd uint32

// The ends.
const (
	GrantLive          GrantEnd = 0  // it has not ended
	GrantRevoked       GrantEnd = 1  // by its client
	GrantWithdrawn     GrantEnd = 2  // by its person
	GrantClosed        GrantEnd = 3  // by an administrator
	GrantCodeReused    GrantEnd = 4  // the code that it came of was presented once more
	GrantTokenReused   GrantEnd = 5  // a refresh token that was used up was presented once more
	GrantLoggedOut     GrantEnd = 6  // its person logged out; in no event, but what Apply makes of one
	GrantConsentTaken  GrantEnd = 7  // the consent that it rests on was revoked; in no event either
	GrantOverLifetime  GrantEnd = 8  // nobody refreshed it in time; in no event, but what a look at the clock says
	GrantTokensVoided  GrantEnd = 9  // everything that was issued to its client, or for its person, was made void; in no event either
	GrantSessionClosed GrantEnd = 10 // an administrator ended its session; in no event either
)

// String returns why, as commands and the API use it.
func (c GrantEnd) String() string {
	switch c {
	case GrantLive:
		return "live"
	case GrantRevoked:
		return "client"
	case GrantWithdrawn:
		return "person"
	case GrantClosed:
		return "administrator"
	case GrantCodeReused:
		return "code-reused"
	case GrantTokenReused:
		return "token-reused"
	case GrantLoggedOut:
		return "logout"
	case GrantConsentTaken:
		return "consent-revoked"
	case GrantOverLifetime:
		return "expired"
	case GrantTokensVoided:
		return "voided"
	case GrantSessionClosed:
		return "session-closed"
	}
	return "unknown"
}

// Codes of Apply's results other than 0 (applied). A proposal with one of them is void.
const (
	CodeConflict  uint32 = 1 // an expectation or claim does not hold
	CodeDuplicate uint32 = 2 // an accounting record that was recorded before: void but acknowledged
	CodeMissing   uint32 = 3 // the object that an event changes does not exist
	CodeLimit     uint32 = 4 // the simultaneous-use limit is reached
	CodeStage     uint32 = 5 // a staged proposal lacks pieces, or is unknown
)

// The stream namespaces. A stream is a namespace and a name, such as "user" and "alice".
const (
	StreamDocument = "document" // "Kind/name"
	StreamUser     = "user"     // user name, folded
	StreamSession  = "session"  // session id, 16 hexadecimal digits
	StreamClient   = "client"   // service provider name
	StreamDecision = "decision" // decision id, as FormatID prints it
	StreamNAS      = "nas"      // NAS identifier or address, as text
	StreamMAC      = "mac"      // calling station, as it came, folded
	StreamStage    = "stage"    // stage id, as FormatID prints it
	StreamNode     = "node"     // node number, 16 hexadecimal digits
	StreamSSO      = "sso"      // number of a session of single sign-on, as FormatID prints it
	StreamGrant    = "grant"    // number of a grant, as FormatID prints it
)

// StreamKey hashes a stream's namespace and name. The hash is XXH3-64 of namespace, '/', name and is for ever.
func StreamKey[T ~string | ~[]byte](namespace string, name T) uint64 {
	var buf [96]byte
	b := append(buf[:0], namespace...)
	b = append(b, '/')
	b = append(b, name...)
	return xxh3.Hash(b)
}

// FoldName returns the form in which user names and login names are compared: ASCII and Unicode lower case.
func FoldName(name string) string { return strings.ToLower(name) }

// CanonicalName returns the form in which names of documents of a kind are compared: users' folded, endpoints' as MAC
// prints, all others as they are. A name of an endpoint that is no MAC address stays what it is.
func CanonicalName(kind, name string) string {
	switch kind {
	case "User":
		return FoldName(name)
	case "Endpoint":
		if mac, ok := ParseMAC(name); ok {
			return mac.String()
		}
	}
	return name
}

// Key names an object in expectations, references and claims: "Kind/name", the name in its canonical form.
func Key(kind, name string) string { return kind + "/" + CanonicalName(kind, name) }

// SessionID returns the id of the network session that a NAS names by Acct-Session-Id. The NAS is the service provider and
// the NAS's own identifier, so that equal session ids of two NASes behind one prefix stay apart.
func SessionID[T ~string | ~[]byte](client T, nas, acctSessionID []byte) uint64 {
	var buf [768]byte
	b := appendField(buf[:0], client)
	b = appendField(b, nas)
	b = appendField(b, acctSessionID)
	return xxh3.Hash(b)
}

// AccountingKey returns the idempotence key of an accounting record: NAS, Acct-Session-Id, status, and Event-Timestamp where
// the packet has one (hasEvent), else session time and counters. Acct-Delay-Time, Identifier and authenticators have no part. Over TACACS+ it is the
// whole body instead, since a device that tries again sends the same and says of few records when they happened.
// It does not allocate for fields that fit a RADIUS attribute.
func AccountingKey(a *AccountedView, hasEvent bool) uint64 {
	var buf [1024]byte
	b := appendField(buf[:0], a.Client)
	b = appendField(b, a.NAS)
	b = appendField(b, a.SessionID)
	b = binary.BigEndian.AppendUint32(b, a.Status)
	if len(a.Protocol) > 0 {
		b = binary.BigEndian.AppendUint64(append(b, 2), xxh3.Hash(a.Raw))
	} else if hasEvent {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint64(b, uint64(a.EventUnix))
	} else {
		b = append(b, 0)
		b = binary.BigEndian.AppendUint32(b, a.SessionTime)
		b = binary.BigEndian.AppendUint64(b, a.InputOctets)
		b = binary.BigEndian.AppendUint64(b, a.OutputOctets)
		b = binary.BigEndian.AppendUint64(b, a.InputPackets)
		b = binary.BigEndian.AppendUint64(b, a.OutputPackets)
	}
	return xxh3.Hash(b)
}

func appendField[T ~string | ~[]byte](b []byte, part T) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}
