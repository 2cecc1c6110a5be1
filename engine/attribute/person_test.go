package attribute

import (
	"testing"

	"trine/engine/state"
)

func TestAUserIsASubject(t *testing.T) {
	u := &state.User{
		Name: []byte("alice"), ShortName: []byte("al"), FirstName: []byte("Alice"), LastName: []byte("Liddell"), Mail: []byte("alice"),
		MailDomain: []byte("example.org"), Mobile: []byte("+44"), DirectoryDN: []byte("cn=alice"), UserType: []byte("staff"),
		PrimaryGroup: []byte("it"), Groups: state.NewSymbolList(1, 0), Symbols: state.NewSymbols("it", "vpn"), Aliases: texts("al@x", "a2"),
	}
	u.SetAttributes([]state.Attribute{{Name: []byte("room"), Values: texts("A1", "B2")}, {Name: []byte("badge"), Values: texts("7")}})
	for i, test := range []struct{ name, want string }{
		{"uid", "alice"},
		{"shortName", "al"},
		{"fullName", "Alice Liddell"},
		{"givenName", "Alice"},
		{"surname", "Liddell"},
		{"email", "alice@example.org"},
		{"phone", "+44"},
		{"directoryDN", "cn=alice"},
		{"userType", "staff"},
		{"primaryGroup", "it"},
		{"groups", "it|vpn"},
		{"aliases", "al@x|a2"},
		{"room", "A1|B2"},
		{"badge", "7"},
		{"nothing", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := Facts{Subject: OfUser(u)}
			if got := joinValues(f.Values(definition(test.name, i))); got != test.want {
				t.Errorf("values %q, want %q", got, test.want)
			}
		})
	}
}
