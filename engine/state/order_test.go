package state

import (
	"slices"
	"testing"
)

func TestNameListTakesTheLastNoteOnAName(t *testing.T) {
	all := []string{"b", "d", "a"}
	var o order
	page := func() []string {
		return o.page("", 10, func(yield func([]byte)) {
			for _, name := range all {
				yield([]byte(name))
			}
		})
	}
	if got := page(); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Fatalf("first list %v", got)
	}
	all = nil // it must not be asked for again
	o.note([]byte("c"), false)
	o.note([]byte("a"), true)
	o.note([]byte("e"), false)
	o.note([]byte("e"), true)
	o.note([]byte("b"), true)
	o.note([]byte("b"), false)
	if got := page(); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Fatalf("second list %v", got)
	}
	if got := o.page("b", 1, nil); !slices.Equal(got, []string{"c"}) {
		t.Fatalf("page behind b is %v", got)
	}
}
