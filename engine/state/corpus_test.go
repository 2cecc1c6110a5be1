package state_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/state"
)

// corpusOrder is the frozen examples in an order in which they can happen.
var corpusOrder = []event.Type{
	event.TypeNodeStarted, event.TypeClusterKeyAdded, event.TypeAPIKeyCreated, event.TypeDocumentPut, event.TypePasswordSet, event.TypeSessionReserved,
	event.TypeDecided, event.TypeAccounted, event.TypeConsumed, event.TypeDecisionsMissing, event.TypeSessionsExpired, event.TypeSessionClosed,
	event.TypeStaged, event.TypeStageCommitted, event.TypeStageAbandoned,
	event.TypeTombstonesSwept, event.TypePasswordRemoved, event.TypeDocumentDeleted, event.TypeAPIKeyRevoked,
	event.TypeLoginFailed, event.TypeFailuresCleared,
}

// corpusDigests are the digests after the record that sets the most rows, and after all of them. They change only if what a record
// means has changed, which must never happen: nodes of two releases would part.
var corpusDigests = map[event.Type]string{
	event.TypeStaged:        "37a3b247f24de6f83e0c80587fac4891",
	event.TypeAPIKeyRevoked: "3b0dfe62fd78fc26bf9ddc5bccd1739d",
	event.TypeLoginFailed:   "591dc05af6a5b8a6168ef5cf009e5bce",
}

// corpusFactors is what came with factors beside the password: a user with one, the digest then, and without him.
var corpusFactors = []event.Type{
	event.TypeDocumentPut, event.TypeFactorPut, event.TypeFactorUsed, event.TypeLoginRemembered, event.TypeFactorRemoved, event.TypeDocumentDeleted,
}

var corpusFactorsDigests = map[event.Type]string{
	event.TypeLoginRemembered: "4d37fc8cb435cef4870feaabd1941de6",
	event.TypeDocumentDeleted: "7b871914daddab035dfda9f05105cb2c",
}

// corpusPushes is what came with push challenges.
var corpusPushes = []event.Type{event.TypeDocumentPut, event.TypeFactorPut, event.TypePushAnswered, event.TypeDocumentDeleted}

var corpusPushesDigests = map[event.Type]string{
	event.TypePushAnswered:    "80f586393d4f471d11cf27dc6b65064f",
	event.TypeDocumentDeleted: "b548a7a8193dd6d01ec5c861ad482417",
}

// corpusCluster is what came with clusters.
var corpusCluster = []event.Type{
	event.TypeClusterKeyAdded, event.TypeClusterFounded, event.TypeJoinTokenMade, event.TypeNodeJoined, event.TypeJoinTokenRevoked, event.TypeNodeChanged, event.TypeNodeRemoved,
}

var corpusClusterDigests = map[event.Type]string{
	event.TypeJoinTokenMade: "163f799c154b03f3878e42b6e5a0852f",
	event.TypeNodeChanged:   "888f1353eb3a85af66b87585a3221c87",
	event.TypeNodeRemoved:   "1c02bdb71bb130c75057e5d60b71250c",
}

// corpusSSO is what came with single sign-on: a session that begins, is used and ends, and a trusted device.
var corpusSSO = []event.Type{
	event.TypeDocumentPut, event.TypeSSOStarted, event.TypeDeviceTrusted, event.TypeSSOUsed, event.TypeSSOEnded, event.TypeDeviceDistrusted, event.TypeDocumentDeleted,
}

var corpusSSODigests = map[event.Type]string{
	event.TypeSSOUsed:         "8fab454e15121066533cda30ffdbc23a",
	event.TypeDocumentDeleted: "622d41c53711771b3b97d02708c653d6",
}

// corpusGrants is what came with OpenID Connect: consent, a grant that is refreshed and ends, what is revoked, and signing keys.
var corpusGrants = []event.Type{
	event.TypeDocumentPut, event.TypeConsentGiven, event.TypeGrantStarted, event.TypeGrantRefreshed, event.TypeTokenRevoked, event.TypeSigningKeysMade, event.TypeGrantsEnded,
	event.TypeConsentRevoked, event.TypeTokensVoided, event.TypeGrantsSwept, event.TypeDocumentDeleted,
}

var corpusGrantsDigests = map[event.Type]string{
	event.TypeSigningKeysMade: "c7975738c1d3341f7cc726013361b432",
	event.TypeDocumentDeleted: "731c87ff7540a677176cf50ae5318189",
}

func TestEveryReleaseFoldsTheCorpusAlike(t *testing.T) {
	folded := map[event.Type]bool{}
	for name, c := range map[string]struct {
		order   []event.Type
		digests map[event.Type]string
	}{
		"first release":  {corpusOrder, corpusDigests},
		"factors":        {corpusFactors, corpusFactorsDigests},
		"push":           {corpusPushes, corpusPushesDigests},
		"cluster":        {corpusCluster, corpusClusterDigests},
		"single sign-on": {corpusSSO, corpusSSODigests},
		"OpenID Connect": {corpusGrants, corpusGrantsDigests},
	} {
		t.Run(name, func(t *testing.T) {
			for _, typ := range c.order {
				folded[typ] = true
			}
			foldCorpus(t, c.order, c.digests)
		})
	}
	if len(folded) != len(event.Types()) {
		t.Fatalf("%d examples are folded, %d types exist", len(folded), len(event.Types()))
	}
}

func foldCorpus(t *testing.T, order []event.Type, digests map[event.Type]string) {
	s := state.New()
	at := state.Stamp{Index: 1, Time: start}
	for _, typ := range order {
		text, err := os.ReadFile(filepath.Join("..", "event", "testdata", "corpus", typ.String()+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		digits, _, _ := strings.Cut(string(text), "\n\n")
		data, err := hex.DecodeString(strings.ReplaceAll(digits, "\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		s.ApplyFact(at, data)
		at.Index++
		at.Time = at.Time.Add(time.Second)
		digest := s.Digest()
		if want, ok := digests[typ]; ok && hex.EncodeToString(digest[:]) != want {
			t.Errorf("digest after %s is %x, want %s; rows %s", typ, digest, want, dump(s))
		}
	}
}
