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
	event.TypeStaged:        "0472a6f43bb81a9f4d04d84d21153a94",
	event.TypeAPIKeyRevoked: "07dcf30f46e32fcdce9634506e3a65a0",
	event.TypeLoginFailed:   "25ecb507400fec4d25874dc3a2074dd1",
}

func TestEveryReleaseFoldsTheCorpusAlike(t *testing.T) {
	if len(corpusOrder) != len(event.Types()) {
		t.Fatalf("%d examples are folded, %d types exist", len(corpusOrder), len(event.Types()))
	}
	s := state.New()
	at := state.Stamp{Index: 1, Time: start}
	for _, typ := range corpusOrder {
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
		if want, ok := corpusDigests[typ]; ok && hex.EncodeToString(digest[:]) != want {
			t.Errorf("digest after %s is %x, want %s; rows %s", typ, digest, want, dump(s))
		}
	}
}
