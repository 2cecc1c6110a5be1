package admin_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"trine/appliance/admin"
)

// TestOneOfManyCreates has several callers create a document of one name at the same time, each only if there is none.
func TestOneOfManyCreates(t *testing.T) {
	node, c := start(t)
	w := &wire{t, node.Admin.Handler(), key(t, c, admin.ScopeAll).Secret}
	for i := range 60 {
		var made atomic.Int32
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				answer := w.do(http.MethodPut, fmt.Sprintf("/api/v1/documents/Group/g%d", i), `{"spec":{}}`, "If-None-Match", "*")
				switch answer.Code {
				case http.StatusOK, http.StatusCreated:
					made.Add(1)
				case http.StatusPreconditionFailed, http.StatusConflict:
				default:
					t.Errorf("status %d: %s", answer.Code, answer.Body)
				}
			})
		}
		callers.Wait()
		if n := made.Load(); n != 1 {
			t.Fatalf("group %d was created by %d callers", i, n)
		}
	}
}
