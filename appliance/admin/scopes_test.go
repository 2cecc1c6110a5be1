package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"trine/appliance/admin/api"
)

// TestNoOperationIsOpenAndNoReaderWrites goes through all operations that there are, also those that come later: none answers a
// stranger but that for devices, which prove themselves by what they send, and none that changes something answers a key that only reads.
func TestNoOperationIsOpenAndNoReaderWrites(t *testing.T) {
	n, c := start(t)
	mustApply(t, c, site)
	data, err := n.Admin.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	h := n.Admin.Handler()
	stranger, reader := wire{t, h, ""}, wire{t, h, key(t, c, "read", "events", "metrics").Secret}
	before, writes := n.Last(), 0
	for path, operations := range s.Paths {
		target := parameter.ReplaceAllStringFunc(path, func(name string) string {
			switch {
			case name == "{kind}":
				return "Group"
			case strings.HasPrefix(path, "/api/v1/users"):
				return "alice"
			}
			return "staff"
		})
		for verb, op := range operations {
			method := strings.ToUpper(verb)
			t.Run(op.OperationID, func(t *testing.T) {
				if op.OperationID == "answerPush" {
					problem(t, stranger.do(method, target, `{"challenge": "AA==", "ticket": "AA==", "approve": true, "signature": "AA=="}`), http.StatusForbidden, api.ReasonPushRefused)
					return
				}
				problem(t, stranger.do(method, target, "{}"), http.StatusUnauthorized, api.ReasonUnauthorized)
				if method == http.MethodGet {
					return
				}
				writes++
				problem(t, reader.do(method, target, "{}"), http.StatusForbidden, api.ReasonForbidden)
			})
		}
	}
	if writes < 9 {
		t.Errorf("only %d operations change something: is the list whole?", writes)
	}
	if after := n.Last(); after != before {
		t.Errorf("the log grew from %v to %v", before, after)
	}
}
