package admin_test

import (
	"testing"

	"trine/appliance/admin/client"
)

// TestEventsSayFromWhereTheyAreComplete reads events of a node that misses some, and of one that misses none.
func TestEventsSayFromWhereTheyAreComplete(t *testing.T) {
	node, c := start(t)
	for missing, want := range map[uint64]uint64{0: 0, 1: 0, 7: 7} {
		node.CompleteFrom = missing
		list, err := c.Events(t.Context(), client.EventQuery{})
		if err != nil || list.CompleteFrom != want {
			t.Errorf("complete from %d: the answer says %d, expected %d (%v)", missing, list.CompleteFrom, want, err)
		}
	}
}
