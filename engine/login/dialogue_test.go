package login

import (
	"strings"
	"testing"
	"time"
)

func TestSealedDialogueIsAsLongForNobodyAsForAPerson(t *testing.T) {
	keys := ring(t)
	until := time.Unix(1_800_000_000, 0)
	for _, class := range []string{"", "a", strings.Repeat("b", 200)} {
		d := Dialogue{Issuer: "home", Client: "shop", Demand: Demand{Classes: []string{class}}, Asked: Email, Sent: 1 << 63, Code: make([]byte, 37), NotAfter: until, Index: 77}
		lengths := map[int]bool{}
		for _, of := range []Dialogue{{}, {User: "nobody", Nobody: true}, {User: "alice", UserID: 1, Version: 1, ID: 5}, {User: strings.Repeat("a", 253), UserID: 1 << 63, Version: 1 << 63, ID: 1 << 63, Failures: 3, Index: 1 << 63}} {
			d.User, d.UserID, d.Version, d.Nobody, d.ID, d.Failures, d.Index = of.User, of.UserID, of.Version, of.Nobody, of.ID, of.Failures, of.Index
			sealed, err := d.Seal(keys)
			if err != nil {
				t.Fatal(err)
			}
			lengths[len(sealed)] = true
			if back, err := OpenDialogue(sealed, keys); err != nil || back.User != d.User || back.UserID != d.UserID || back.Nobody != d.Nobody {
				t.Fatalf("%+v %v", back, err)
			}
		}
		if len(lengths) != 1 {
			t.Errorf("lengths %v", lengths)
		}
	}
}
