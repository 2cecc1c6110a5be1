package state_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"trine/engine/event"
	"trine/engine/state"
)

// TestAttributesAreReadInEveryWayAlike writes users whose attributes have names with symbols of one, two and three bytes, values of any length
// and number, and other fields between them, and reads them by name, all together and as a document.
func TestAttributesAreReadInEveryWayAlike(t *testing.T) {
	l := newLog(t)
	var many event.UserSpec
	for i := range 17_000 { // so that symbols get long
		many.Groups = append(many.Groups, fmt.Sprintf("g%d", i))
	}
	names := []string{"a", "b"}
	put := func(name string, spec ...proto.Message) {
		var encoded []byte
		for _, part := range spec {
			more, err := proto.Marshal(part)
			if err != nil {
				t.Fatal(err)
			}
			encoded = append(encoded, more...)
		}
		l.must(&event.DocumentPut{Kind: "User", Name: name, Spec: encoded, By: "admin", Claims: []string{"login/" + name}})
	}
	attribute := func(name string, values ...string) *event.UserSpec {
		return &event.UserSpec{Attributes: []*event.UserSpec_Attribute{{Name: name, Values: values}}}
	}
	put("first", attribute("a"), attribute("b"))
	for i, text := range []int{100, 200, 17_000} {
		put(fmt.Sprint("groups", i), &event.UserSpec{Groups: many.Groups[:text]})
		for n := range 3 {
			name := fmt.Sprintf("%s%d", strings.Repeat("c", i+1), n)
			names = append(names, name)
			put("named "+name, attribute(name))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		own := rapid.Permutation(names).Draw(rt, "names")[:rapid.IntRange(0, len(names)).Draw(rt, "attributes")]
		value := rapid.OneOf(rapid.StringN(0, 5, 5), rapid.SampledFrom([]string{strings.Repeat("x", 126), strings.Repeat("y", 127), strings.Repeat("z", 300)}))
		want := map[string][]string{}
		var spec []proto.Message
		for _, name := range own {
			want[name] = rapid.SliceOfN(value, 0, 3).Draw(rt, "values of "+name)
			spec = append(spec, attribute(name, want[name]...))
			if rapid.IntRange(0, 5).Draw(rt, "another field") == 0 {
				spec = append(spec, &event.UserSpec{FirstName: "First", Roles: []*event.UserSpec_Grant{{Role: "r@s"}}})
			}
		}
		put("alice", spec...)
		asked := map[string]uint32{}
		for _, name := range names {
			if rapid.Bool().Draw(rt, "ask for "+name) {
				asked[name] = uint32(len(asked) + 1)
			}
		}
		table := state.NewSymbolTable(func(text []byte) uint32 {
			if n := asked[string(text)]; n != 0 {
				return n
			}
			return 1 << 31
		})
		var u, made state.User
		if !l.UserNamed(&u, "alice") {
			rt.Fatal("no alice")
		}
		var list []state.Attribute
		for _, name := range own {
			var values [][]byte
			for _, v := range want[name] {
				values = append(values, []byte(v))
			}
			list = append(list, state.Attribute{Name: []byte(name), Values: values})
		}
		made.SetAttributes(list)
		for what, u := range map[string]*state.User{"row": &u, "made": &made} {
			if got := strings.Join(texts(u.AppendAttributeNames(nil)), " "); got != strings.Join(own, " ") {
				rt.Errorf("%s: names %q, want %q", what, got, own)
			}
			for _, name := range names {
				if got := texts(u.AppendAttribute(nil, name)); !slices.Equal(got, want[name]) {
					rt.Errorf("%s: %s is %q, want %q", what, name, got, want[name])
				}
			}
			for range 2 { // numbers are found, then known
				spans := make([]state.Span, len(asked))
				values := u.AppendAttributes([][]byte{[]byte("before")}, spans, 7, table)
				for name, n := range asked {
					s := spans[n-1]
					if has := slices.Contains(own, name); (s.Mark == 7) != has || !slices.Equal(texts(values[s.From:s.To]), want[name]) {
						rt.Errorf("%s: %s stands at %+v of %q, want %q", what, name, s, values, want[name])
					}
				}
			}
		}
		d, _ := l.Document("User", "alice")
		var whole event.UserSpec
		if err := proto.Unmarshal(d.Spec, &whole); err != nil {
			rt.Fatal(err)
		}
		var document []string
		for _, a := range whole.Attributes {
			if document = append(document, a.Name); !slices.Equal(a.Values, want[a.Name]) {
				rt.Errorf("document: %s is %q, want %q", a.Name, a.Values, want[a.Name])
			}
		}
		if !slices.Equal(document, own) {
			rt.Errorf("document: names %q, want %q", document, own)
		}
	})
}

func texts(list [][]byte) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// TestNumbersOfSymbolsAreFoundOnce counts how often a text is looked at.
func TestNumbersOfSymbolsAreFoundOnce(t *testing.T) {
	looked := map[string]int{}
	table := state.NewSymbolTable(func(text []byte) uint32 {
		looked[string(text)]++
		return uint32(len(text)) + 1
	})
	l := newLog(t)
	l.must(group("staff"), group("night"), user("alice", "staff"))
	drafted, err := proto.Marshal(&event.UserSpec{Groups: []string{"staff"}})
	if err != nil {
		t.Fatal(err)
	}
	var b event.Builder
	if err := b.Add(event.TypeDocumentPut, event.ClassIdentity, nil, &event.DocumentPut{Kind: "User", Name: "bob", Spec: drafted, Claims: []string{"login/bob"}}); err != nil {
		t.Fatal(err)
	}
	var fact []byte
	state.Facts(b.Bytes(), func(_ uint8, _ []uint64, data []byte) { fact = slices.Clone(data) })
	draft := l.Draft([]state.Drafted{{Document: fact}})
	number := func(people interface {
		User(dst *state.User, login []byte) bool
	}, name string,
	) uint32 {
		t.Helper()
		var u state.User
		if !people.User(&u, []byte(name)) {
			t.Fatalf("no %s", name)
		}
		n, _ := u.Groups.At(0)
		return table.Of(u.Symbols).At(n)
	}
	for range 3 {
		if got := number(draft, "bob"); got != 6 { // who has symbols of his own must not leave his numbers to others
			t.Errorf("bob's group is %d", got)
		}
	}
	looked = map[string]int{}
	for range 3 {
		if got := number(l, "alice"); got != 6 {
			t.Errorf("alice's group is %d", got)
		}
	}
	if looked["staff"] != 1 {
		t.Errorf("staff was looked at %d times", looked["staff"])
	}
	for i := range 500 { // more symbols than there is room for
		l.must(user(fmt.Sprintf("user%d", i), "night"), group(fmt.Sprintf("group-%d", i)))
	}
	for range 3 {
		number(l, "alice")
		number(l, "user7")
	}
	if looked["staff"] != 1 || looked["night"] != 1 {
		t.Errorf("looked at %v", looked)
	}
	if got := table.Of(nil).Known(); len(got) != 0 {
		t.Errorf("%d numbers of no symbols", len(got))
	}
}

// TestNumbersOfSymbolsAreTheSameForAll has readers find numbers while symbols are added. It is for the race detector.
func TestNumbersOfSymbolsAreTheSameForAll(t *testing.T) {
	l := newLog(t)
	l.must(user("alice"))
	table := state.NewSymbolTable(func(text []byte) uint32 { return uint32(len(text)) + 1 })
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var u state.User
			for {
				select {
				case <-stop:
					return
				default:
				}
				l.UserNamed(&u, "alice")
				numbers := table.Of(u.Symbols)
				for n := range uint32(u.Symbols.Len()) {
					if got := numbers.At(n); got != uint32(len(u.Symbols.Text(n)))+1 {
						t.Errorf("symbol %d has %d", n, got)
						return
					}
				}
			}
		})
	}
	for i := range 300 {
		l.must(&event.DocumentPut{Kind: "Group", Name: fmt.Sprintf("group-%d", i), Spec: []byte(`{}`), By: strings.Repeat("x", i)})
	}
	close(stop)
	readers.Wait()
}
