package event

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// String returns the name of the type's message.
func (t Type) String() string {
	if m := t.message(); m != nil {
		return string(m.ProtoReflect().Descriptor().Name())
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Types returns all event types in the order of their numbers.
func Types() []Type {
	return []Type{
		TypeDocumentPut, TypeDocumentDeleted, TypePasswordSet, TypePasswordRemoved, TypeSessionReserved, TypeSessionsExpired,
		TypeTombstonesSwept, TypeSessionClosed, TypeConsumed, TypeAccounted, TypeDecided, TypeDecisionsMissing,
		TypeClusterKeyAdded, TypeAPIKeyCreated, TypeAPIKeyRevoked, TypeStaged, TypeStageCommitted, TypeStageAbandoned,
		TypeNodeStarted, TypeLoginFailed, TypeFailuresCleared, TypeFactorPut, TypeFactorRemoved, TypeFactorUsed, TypeLoginRemembered,
		TypePushAnswered, TypeClusterFounded, TypeJoinTokenMade, TypeJoinTokenRevoked, TypeNodeJoined, TypeNodeChanged, TypeNodeRemoved,
		TypeSSOStarted, TypeSSOUsed, TypeSSOEnded, TypeDeviceTrusted, TypeDeviceDistrusted,
		TypeGrantStarted, TypeGrantRefreshed, TypeGrantsEnded, TypeTokenRevoked, TypeTokensVoided, TypeConsentGiven, TypeConsentRevoked,
		TypeSigningKeysMade, TypeGrantsSwept,
	}
}

// TypeOf returns the event type whose body m is, or 0 if it is none.
func TypeOf(m proto.Message) Type {
	switch m.(type) {
	case *DocumentPut:
		return TypeDocumentPut
	case *DocumentDeleted:
		return TypeDocumentDeleted
	case *PasswordSet:
		return TypePasswordSet
	case *PasswordRemoved:
		return TypePasswordRemoved
	case *SessionReserved:
		return TypeSessionReserved
	case *SessionsExpired:
		return TypeSessionsExpired
	case *TombstonesSwept:
		return TypeTombstonesSwept
	case *SessionClosed:
		return TypeSessionClosed
	case *Consumed:
		return TypeConsumed
	case *Accounted:
		return TypeAccounted
	case *Decided:
		return TypeDecided
	case *DecisionsMissing:
		return TypeDecisionsMissing
	case *ClusterKeyAdded:
		return TypeClusterKeyAdded
	case *ApiKeyCreated:
		return TypeAPIKeyCreated
	case *ApiKeyRevoked:
		return TypeAPIKeyRevoked
	case *Staged:
		return TypeStaged
	case *StageCommitted:
		return TypeStageCommitted
	case *StageAbandoned:
		return TypeStageAbandoned
	case *NodeStarted:
		return TypeNodeStarted
	case *LoginFailed:
		return TypeLoginFailed
	case *FailuresCleared:
		return TypeFailuresCleared
	case *FactorPut:
		return TypeFactorPut
	case *FactorRemoved:
		return TypeFactorRemoved
	case *FactorUsed:
		return TypeFactorUsed
	case *LoginRemembered:
		return TypeLoginRemembered
	case *PushAnswered:
		return TypePushAnswered
	case *ClusterFounded:
		return TypeClusterFounded
	case *JoinTokenMade:
		return TypeJoinTokenMade
	case *JoinTokenRevoked:
		return TypeJoinTokenRevoked
	case *NodeJoined:
		return TypeNodeJoined
	case *NodeChanged:
		return TypeNodeChanged
	case *NodeRemoved:
		return TypeNodeRemoved
	case *SsoStarted:
		return TypeSSOStarted
	case *SsoUsed:
		return TypeSSOUsed
	case *SsoEnded:
		return TypeSSOEnded
	case *DeviceTrusted:
		return TypeDeviceTrusted
	case *DeviceDistrusted:
		return TypeDeviceDistrusted
	case *GrantStarted:
		return TypeGrantStarted
	case *GrantRefreshed:
		return TypeGrantRefreshed
	case *GrantsEnded:
		return TypeGrantsEnded
	case *TokenRevoked:
		return TypeTokenRevoked
	case *TokensVoided:
		return TypeTokensVoided
	case *ConsentGiven:
		return TypeConsentGiven
	case *ConsentRevoked:
		return TypeConsentRevoked
	case *SigningKeysMade:
		return TypeSigningKeysMade
	case *GrantsSwept:
		return TypeGrantsSwept
	}
	return 0
}

// message returns an empty message of the type, or nil if the type is unknown.
func (t Type) message() proto.Message {
	switch t {
	case TypeDocumentPut:
		return &DocumentPut{}
	case TypeDocumentDeleted:
		return &DocumentDeleted{}
	case TypePasswordSet:
		return &PasswordSet{}
	case TypePasswordRemoved:
		return &PasswordRemoved{}
	case TypeSessionReserved:
		return &SessionReserved{}
	case TypeSessionsExpired:
		return &SessionsExpired{}
	case TypeTombstonesSwept:
		return &TombstonesSwept{}
	case TypeSessionClosed:
		return &SessionClosed{}
	case TypeConsumed:
		return &Consumed{}
	case TypeAccounted:
		return &Accounted{}
	case TypeDecided:
		return &Decided{}
	case TypeDecisionsMissing:
		return &DecisionsMissing{}
	case TypeClusterKeyAdded:
		return &ClusterKeyAdded{}
	case TypeAPIKeyCreated:
		return &ApiKeyCreated{}
	case TypeAPIKeyRevoked:
		return &ApiKeyRevoked{}
	case TypeStaged:
		return &Staged{}
	case TypeStageCommitted:
		return &StageCommitted{}
	case TypeStageAbandoned:
		return &StageAbandoned{}
	case TypeNodeStarted:
		return &NodeStarted{}
	case TypeLoginFailed:
		return &LoginFailed{}
	case TypeFailuresCleared:
		return &FailuresCleared{}
	case TypeFactorPut:
		return &FactorPut{}
	case TypeFactorRemoved:
		return &FactorRemoved{}
	case TypeFactorUsed:
		return &FactorUsed{}
	case TypeLoginRemembered:
		return &LoginRemembered{}
	case TypePushAnswered:
		return &PushAnswered{}
	case TypeClusterFounded:
		return &ClusterFounded{}
	case TypeJoinTokenMade:
		return &JoinTokenMade{}
	case TypeJoinTokenRevoked:
		return &JoinTokenRevoked{}
	case TypeNodeJoined:
		return &NodeJoined{}
	case TypeNodeChanged:
		return &NodeChanged{}
	case TypeNodeRemoved:
		return &NodeRemoved{}
	case TypeSSOStarted:
		return &SsoStarted{}
	case TypeSSOUsed:
		return &SsoUsed{}
	case TypeSSOEnded:
		return &SsoEnded{}
	case TypeDeviceTrusted:
		return &DeviceTrusted{}
	case TypeDeviceDistrusted:
		return &DeviceDistrusted{}
	case TypeGrantStarted:
		return &GrantStarted{}
	case TypeGrantRefreshed:
		return &GrantRefreshed{}
	case TypeGrantsEnded:
		return &GrantsEnded{}
	case TypeTokenRevoked:
		return &TokenRevoked{}
	case TypeTokensVoided:
		return &TokensVoided{}
	case TypeConsentGiven:
		return &ConsentGiven{}
	case TypeConsentRevoked:
		return &ConsentRevoked{}
	case TypeSigningKeysMade:
		return &SigningKeysMade{}
	case TypeGrantsSwept:
		return &GrantsSwept{}
	}
	return nil
}

// Decode reads an encoded event, envelope included, as readers of history need it. It returns ErrFormat for an unknown type and
// for a field that this release does not know.
func Decode(data []byte) (Type, proto.Message, error) {
	e, err := ParseEvent(data)
	if err != nil {
		return 0, nil, err
	}
	m, err := e.Message()
	return e.Type, m, err
}

// Message decodes the event's body. Its errors are those of [Decode].
func (e *Envelope) Message() (proto.Message, error) {
	m := e.Type.message()
	if m == nil {
		return nil, fmt.Errorf("read event of type %d: %w", uint32(e.Type), ErrFormat)
	}
	if err := proto.Unmarshal(e.Body, m); err != nil {
		return nil, fmt.Errorf("read %s: %w: %v", e.Type, ErrFormat, err)
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return nil, fmt.Errorf("read %s with a field of a later release: %w", e.Type, ErrFormat)
	}
	return m, nil
}
