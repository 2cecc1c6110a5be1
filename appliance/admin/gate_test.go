package admin

import "testing"

func TestScopesAreListedForPeople(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scopes []string
		want   string
	}{
		{"one", []string{"events"}, "events"},
		{"of one kind", []string{"read", "documents:User"}, "read or documents:User"},
		{"of every kind", []string{"write", "users", "documents:User", "documents:Group"}, "write or users or documents:KIND"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := anyOf(tc.scopes); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
