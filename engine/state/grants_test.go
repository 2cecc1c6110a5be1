package state_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trine/engine/event"
	"trine/engine/state"
)

func provider(name string) *event.DocumentPut {
	return &event.DocumentPut{Kind: "ServiceProvider", Name: name, Spec: []byte("{}")}
}

// grant returns the event with which a grant of a user begins, by a code, for an hour.
func grant(l *log, number uint64, user, client string) *event.GrantStarted {
	return &event.GrantStarted{
		Grant: number, CodeNotAfterUnix: l.at.Time.Unix() + 60, User: user, Client: client, IdentityProvider: "home", Scopes: []string{"openid", "profile"},
		NotAfterUnix: l.at.Time.Unix() + 3600, Refresh: generation(number, 0), Factors: 2, AuthenticatedUnix: l.at.Time.Unix(), Login: 5,
	}
}

// generation is the hash of a refresh token of a grant.
func generation(number uint64, n uint32) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", number, n))
	return sum[:]
}

func refreshed(l *log, number uint64, n uint32) *event.GrantRefreshed {
	return &event.GrantRefreshed{
		Grant: number, Generation: n, Replaces: generation(number, n-1), Refresh: generation(number, n), NotAfterUnix: l.at.Time.Unix() + 3600, Token: 1, Decision: 2,
	}
}

// grantLog returns a log with two people and two service providers.
func grantLog(t failer) *log {
	l := newLog(t)
	l.must(user("Alice"), user("bob"), provider("wiki"), provider("shop"))
	return l
}

func (l *log) grantEnd(number uint64, want event.GrantEnd) {
	l.t.Helper()
	g, ok := l.Grant(number)
	if !ok || g.Why(l.at.Time.Unix()) != want {
		l.t.Fatalf("grant %d: %+v, %v, want %s", number, g, ok, want)
	}
}

func TestGrantBeginsOnceAndItsRefreshTokenIsTheNewest(t *testing.T) {
	l := grantLog(t)
	l.must(grant(l, 1, "alice", "wiki"))
	l.void(event.CodeConflict, "has begun already", grant(l, 1, "alice", "wiki"))
	l.void(event.CodeMissing, "service provider nowhere does not exist", grant(l, 2, "alice", "nowhere"))
	l.void(event.CodeMissing, "user nobody does not exist", grant(l, 2, "nobody", "wiki"))
	late := grant(l, 2, "alice", "wiki")
	late.CodeNotAfterUnix = l.at.Time.Unix()
	l.void(event.CodeConflict, "the time of its code is over", late)
	l.must(refreshed(l, 1, 1))
	l.void(event.CodeConflict, "another refresh token by now", refreshed(l, 1, 1))
	l.must(refreshed(l, 1, 2))
	l.must(inactive("Alice"))
	l.void(event.CodeConflict, "is not active", refreshed(l, 1, 3))
	l.must(user("Alice"))
	l.must(&event.GrantsEnded{Grants: []uint64{1, 99}, Cause: uint32(event.GrantClosed), By: "admin"})
	l.grantEnd(1, event.GrantClosed)
	l.void(event.CodeMissing, "is over", refreshed(l, 1, 3))
	l.void(event.CodeMissing, "none of the grants is live", &event.GrantsEnded{Grants: []uint64{1}})
	if g, _ := l.Grant(1); g.EndedBy != "admin" || g.HasRefresh {
		t.Errorf("%+v", g)
	}
}

func TestGrantIsBounded(t *testing.T) {
	l := grantLog(t)
	for what, change := range map[string]func(g *event.GrantStarted){
		"scopes":                 func(g *event.GrantStarted) { g.Scopes = slices.Repeat([]string{"scope"}, state.MaxGrantScopes/6+1) },
		"detail":                 func(g *event.GrantStarted) { g.Detail = make([]byte, state.MaxGrantDetail+1) },
		"authentication context": func(g *event.GrantStarted) { g.Class = strings.Repeat("x", 513) },
		"refresh token's hash":   func(g *event.GrantStarted) { g.Refresh = make([]byte, 33) },
	} {
		g := grant(l, 1, "alice", "wiki")
		change(g)
		l.void(event.CodeLimit, what, g)
	}
	g := grant(l, 1, "alice", "wiki")
	g.Scopes = []string{"two words"}
	l.void(event.CodeConflict, "which is none", g)
	c := &event.ConsentGiven{User: "alice", Client: "wiki", Scopes: []string{strings.Repeat("x", state.MaxConsentText+1)}}
	l.void(event.CodeLimit, "are the most", c)
	k := &event.SigningKeysMade{IdentityProvider: "home"}
	l.void(event.CodeMissing, "does not exist", k)
	l.must(&event.DocumentPut{Kind: "IdentityProvider", Name: "home", Spec: []byte("{}")})
	for i := range state.MaxSigningKeys {
		l.must(&event.SigningKeysMade{IdentityProvider: "home", Serial: uint64(i), Keys: []*event.SigningKeysMade_Key{{
			Id: fmt.Sprint(i), Algorithm: "ES256", Private: []byte("p"), Public: []byte("q"), ActiveUnix: 1, FormerUnix: l.at.Time.Unix() + 1e6,
		}}})
	}
	more := &event.SigningKeysMade{IdentityProvider: "home", Serial: state.MaxSigningKeys, Keys: []*event.SigningKeysMade_Key{{Id: "x", Algorithm: "RS256", FormerUnix: 1}}}
	l.void(event.CodeLimit, "are the most", more)
	more.Serial--
	l.void(event.CodeConflict, "other signing keys by now", more)
}

func TestGrantsOfAPersonAreBoundedAndTheOnesWorthLeastGo(t *testing.T) {
	l := grantLog(t)
	keep := grant(l, 1, "bob", "wiki") // another person's
	l.must(keep)
	for i := range state.MaxGrants {
		g := grant(l, uint64(i+2), "alice", "wiki")
		if i%2 == 0 {
			g.Refresh = nil
		}
		g.NotAfterUnix += 1e6
		l.must(g)
		l.at.Time = l.at.Time.Add(time.Second)
	}
	l.must(&event.GrantsEnded{Grants: []uint64{401}, Cause: uint32(event.GrantRevoked)})
	next := grant(l, 100000, "alice", "wiki")
	l.must(next)
	all := l.GrantsOf("alice")
	if len(all) > state.MaxGrants || len(all) < state.MaxGrants/2 || all[0].Number != 100000 {
		t.Fatalf("%d grants, the first %d", len(all), all[0].Number)
	}
	if _, ok := l.Grant(401); ok {
		t.Error("one that has ended outlives those that count")
	}
	if _, ok := l.Grant(3); !ok {
		t.Error("one that can be refreshed went before those that cannot")
	}
	if _, ok := l.Grant(2); ok {
		t.Error("the oldest that cannot be refreshed is there still")
	}
	l.grantEnd(1, event.GrantLive)
	for i := range uint64(3 * state.MaxGrants) {
		l.must(grant(l, 200000+i, "alice", "wiki"))
		l.at.Time = l.at.Time.Add(time.Second)
		if n := len(l.GrantsOf("alice")); n > state.MaxGrants {
			t.Fatalf("%d grants are kept", n)
		}
	}
}

// A code is good for a minute and redeemed once, however many others are redeemed meanwhile.
func TestGrantsThatHaveJustBegunStay(t *testing.T) {
	l := grantLog(t)
	began := l.at.Time
	for i := range state.MaxGrants + 10 {
		l.at.Time = began
		l.must(grant(l, uint64(i+1), "alice", "wiki"))
	}
	l.must(&event.GrantsEnded{Grants: []uint64{1}, Cause: uint32(event.GrantRevoked)})
	l.must(grant(l, 100000, "alice", "wiki"))
	if _, ok := l.Grant(1); !ok || len(l.GrantsOf("alice")) != state.MaxGrants+11 {
		t.Errorf("%d grants are left, the first among them: %v", len(l.GrantsOf("alice")), ok)
	}
}

func TestGrantsAreForgottenOnceTheyAreOver(t *testing.T) {
	l := grantLog(t)
	l.must(grant(l, 1, "alice", "wiki"))
	l.must(grant(l, 2, "alice", "wiki"))
	long := grant(l, 3, "alice", "wiki")
	long.NotAfterUnix += 1e7
	l.must(long)
	l.must(&event.GrantsEnded{Grants: []uint64{2}, Cause: uint32(event.GrantRevoked)})
	l.must(&event.TokenRevoked{Token: 9, NotAfterUnix: l.at.Time.Unix() + 60, Client: "wiki"})
	if l.Over(l.at.Time.Unix(), 10) != nil {
		t.Error("something is over at once")
	}
	l.must(&event.GrantsSwept{Grants: []uint64{1, 2, 3}, Tokens: []uint64{9}}) // that names what is not over changes nothing
	if len(l.GrantsOf("alice")) != 3 || !l.TokenRevoked(9) {
		t.Fatal("what is not over is forgotten")
	}
	l.at.Time = l.at.Time.Add(2 * time.Hour)
	m := l.Over(l.at.Time.Unix(), 10)
	if m == nil || len(m.Grants) != 2 || len(m.Tokens) != 1 || slices.Contains(m.Grants, 3) {
		t.Fatalf("over are %v", m)
	}
	if some := l.Over(l.at.Time.Unix(), 1); len(some.Grants)+len(some.Tokens) != 1 {
		t.Errorf("more than one is told: %v", some)
	}
	l.must(m)
	if l.TokenRevoked(9) || len(l.GrantsOf("alice")) != 1 {
		t.Error("what is over is there still")
	}
}

func TestGrantsAndConsentsGoWithTheirUser(t *testing.T) {
	l := grantLog(t)
	l.must(grant(l, 1, "alice", "wiki"))
	l.must(grant(l, 2, "bob", "wiki"))
	for _, name := range []string{"alice", "bob"} {
		l.must(&event.ConsentGiven{User: name, Client: "wiki", Scopes: []string{"openid"}})
	}
	l.must(&event.DocumentDeleted{Kind: "User", Name: "Alice"})
	if _, ok := l.Grant(1); ok || l.Counts().Consents != 1 || l.Counts().Grants != 1 {
		t.Errorf("%+v", l.Counts())
	}
	l.must(user("Alice"))
	if len(l.GrantsOf("alice")) != 0 {
		t.Error("another of the name has them")
	}
}

func TestGrantRowsAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 rows")
	}
	const n = 100_000
	l := newLog(t)
	l.must(provider("wiki"))
	before := heap()
	s := state.New()
	var b event.Builder
	for i := range n {
		g := grant(l, uint64(i+1), fmt.Sprintf("user%06d", i), "wiki")
		g.Class, g.Session = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", uint64(i+1)<<20
		b.Reset()
		if err := b.Add(event.TypeGrantStarted, event.ClassSession, nil, g); err != nil {
			t.Fatal(err)
		}
		_, data, _, err := event.NextPart(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		s.ApplyFact(l.at, data)
	}
	perRow := (heap() - before) / n
	t.Logf("%d bytes a grant, %d by its own count", perRow, s.Counts().Bytes/n)
	if perRow > 384 || s.Counts().Grants != n {
		t.Errorf("%d bytes for each of %d grants, want at most 384", perRow, s.Counts().Grants)
	}
}

// plainGrant is a grant as a model has it.
type plainGrant struct {
	user, client string
	generation   uint32
	notAfter     int64
	ended        bool
}

// What is counted of a person with many grants follows from the rows: a node that was started again makes room for the same ones.
func TestGrantsThatMakeRoomAreTheSameAfterAStart(t *testing.T) {
	l := grantLog(t)
	random := rand.New(rand.NewPCG(1, 2))
	var again *state.State
	for i := range uint64(3 * state.MaxGrants) {
		if i%331 == 330 {
			again = l.reloaded()
		}
		at := l.at
		at.Time = at.Time.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		l.at = at
		if g := grant(l, i+1, "alice", "wiki"); i%5 == 4 {
			l.propose(&event.GrantsEnded{Grants: []uint64{random.Uint64N(i) + 1}, Cause: uint32(event.GrantRevoked)})
		} else {
			l.must(g)
		}
		if again == nil {
			continue
		}
		if again.Apply(at, l.b.Bytes()); again.Digest() != l.Digest() {
			t.Fatalf("after %d grants, rows differ from those of a state that was loaded", i)
		}
	}
	if n := len(l.GrantsOf("alice")); n > state.MaxGrants+state.MaxGrants/8 {
		t.Errorf("%d grants are kept", n)
	}
}

func TestPersonCannotBeginMoreGrantsAtOnceThanAreKeptAtOnce(t *testing.T) {
	l := grantLog(t)
	began := l.at.Time
	next := uint64(0)
	begin := func(user string) *event.GrantStarted {
		next++
		return grant(l, next, user, "wiki")
	}
	for i := range state.MaxGrantsAtOnce {
		if l.at.Time = began.Add(30 * time.Second); i < 10 {
			l.at.Time = began
		}
		l.must(begin("alice"))
	}
	for _, after := range []time.Duration{30, 89} {
		l.at.Time = began.Add(after * time.Second)
		l.void(event.CodeLimit, "no more may begin at once", begin("Alice"))
		l.must(begin("bob"))
	}
	l.at.Time = began.Add(90 * time.Second)
	l.must(begin("alice"))
	if n := len(l.GrantsOf("alice")); n != state.MaxGrantsAtOnce-10+1 {
		t.Errorf("%d grants are left; those that had just begun no more were to go", n)
	}
	for range 9 {
		l.must(begin("alice"))
	}
	l.void(event.CodeLimit, "no more may begin at once", begin("alice"))
	l.at.Time = began.Add(time.Hour)
	l.must(begin("alice"))
	if n := len(l.GrantsOf("alice")); n > state.MaxGrants {
		t.Errorf("%d grants are kept", n)
	}
}

func TestGrantsAndConsentsEqualAPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := grantLog(t)
		grants := map[uint64]*plainGrant{}
		consents := map[[2]string][]string{}
		name := func(t *rapid.T) string { return rapid.SampledFrom([]string{"Alice", "alice", "bob"}).Draw(t, "user") }
		client := func(t *rapid.T) string { return rapid.SampledFrom([]string{"wiki", "shop"}).Draw(t, "client") }
		number := func(t *rapid.T) uint64 { return rapid.Uint64Range(1, 6).Draw(t, "grant") }
		live := func(n uint64) bool {
			g := grants[n]
			return g != nil && !g.ended && l.at.Time.Unix() < g.notAfter
		}
		took := func(t *rapid.T, want bool, parts ...any) bool {
			r := l.propose(parts...)
			if (r.Code == 0) != want {
				t.Fatalf("%v: code %d, %s", parts, r.Code, r.Detail)
			}
			return want
		}
		end := func(chosen func(*plainGrant) bool) {
			for _, g := range grants {
				g.ended = g.ended || chosen(g)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				n, g := number(t), &plainGrant{user: strings.ToLower(name(t)), client: client(t)}
				e := grant(l, n, g.user, g.client)
				if g.notAfter = e.NotAfterUnix; took(t, grants[n] == nil, e) {
					grants[n] = g
				}
			},
			"refresh": func(t *rapid.T) {
				n := number(t)
				var have uint32
				if grants[n] != nil {
					have = grants[n].generation
				}
				e := refreshed(l, n, max(1, have+rapid.Uint32Range(0, 2).Draw(t, "generation")))
				if took(t, live(n) && e.Generation == have+1, e) {
					grants[n].generation, grants[n].notAfter = e.Generation, e.NotAfterUnix
				}
			},
			"end": func(t *rapid.T) {
				n := number(t)
				if took(t, grants[n] != nil && !grants[n].ended, &event.GrantsEnded{Grants: []uint64{n}, Cause: uint32(event.GrantRevoked)}) {
					grants[n].ended = true
				}
			},
			"void": func(t *rapid.T) {
				e := &event.TokensVoided{Client: client(t)}
				if rapid.Bool().Draw(t, "user") {
					e = &event.TokensVoided{User: name(t)}
				}
				took(t, true, e)
				end(func(g *plainGrant) bool { return g.client == e.Client || g.user == strings.ToLower(e.User) })
				maps.DeleteFunc(consents, func(k [2]string, _ []string) bool { return k[1] == e.Client })
			},
			"consent": func(t *rapid.T) {
				k := [2]string{strings.ToLower(name(t)), client(t)}
				scope := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "scope")
				took(t, true, &event.ConsentGiven{User: k[0], Client: k[1], Scopes: []string{scope}})
				if !slices.Contains(consents[k], scope) {
					consents[k] = append(consents[k], scope)
				}
			},
			"take back": func(t *rapid.T) {
				k := [2]string{strings.ToLower(name(t)), client(t)}
				if took(t, consents[k] != nil, &event.ConsentRevoked{User: k[0], Client: k[1]}) {
					delete(consents, k)
					end(func(g *plainGrant) bool { return g.user == k[0] && g.client == k[1] })
				}
			},
			"wait": func(t *rapid.T) {
				l.at.Time = l.at.Time.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "seconds")) * time.Second)
			},
			"sweep": func(t *rapid.T) {
				if m := l.Over(l.at.Time.Unix(), 100); m != nil {
					took(t, true, m)
					for _, n := range m.Grants {
						if live(n) {
							t.Fatalf("grant %d counts and is forgotten", n)
						}
						delete(grants, n)
					}
				}
			},
			"delete": func(t *rapid.T) {
				took(t, true, &event.DocumentDeleted{Kind: "User", Name: "bob"})
				took(t, true, user("bob"))
				maps.DeleteFunc(grants, func(_ uint64, g *plainGrant) bool { return g.user == "bob" })
				maps.DeleteFunc(consents, func(k [2]string, _ []string) bool { return k[0] == "bob" })
			},
			"": func(t *rapid.T) {
				loaded := reloaded(t, l.State)
				if loaded.Digest() != l.Digest() {
					t.Fatal("loading gives other rows")
				}
				for _, s := range []*state.State{l.State, loaded} {
					count := map[string]int{}
					for n := uint64(1); n <= 6; n++ {
						g, ok := s.Grant(n)
						if ok != (grants[n] != nil) || ok && (g.Live(l.at.Time.Unix()) != live(n) || g.Generation != grants[n].generation || g.Client != grants[n].client) {
							t.Fatalf("grant %d: %+v, want %+v", n, g, grants[n])
						}
						if ok {
							count[grants[n].user]++
						}
					}
					for _, name := range []string{"alice", "bob"} {
						if len(s.GrantsOf(name)) != count[name] {
							t.Fatalf("%d grants of %s, want %d", len(s.GrantsOf(name)), name, count[name])
						}
						var u state.User
						s.User(&u, []byte(name))
						for _, client := range []string{"wiki", "shop"} {
							want := slices.Sorted(slices.Values(consents[[2]string{name, client}]))
							c, ok := s.Consent(u.ID, client)
							if ok != (want != nil) || !slices.Equal(c.Scopes, want) {
								t.Fatalf("%s lets %s know %v, want %v", name, client, c.Scopes, want)
							}
						}
					}
				}
			},
		})
	})
}

func TestLoadedSigningKeysAreTheSame(t *testing.T) {
	l := newLog(t)
	l.must(&event.DocumentPut{Kind: "IdentityProvider", Name: "home", Spec: []byte("{}")})
	l.must(&event.SigningKeysMade{IdentityProvider: "home", By: "admin", Keys: []*event.SigningKeysMade_Key{
		{Id: "k1", Algorithm: "ES256", Private: bytes.Repeat([]byte{1}, 150), Public: bytes.Repeat([]byte{2}, 91), ActiveUnix: 5},
	}})
	changes := l.SigningChanges()
	loaded := reloaded(t, l.State)
	keys, ok := loaded.SigningKeys("home")
	if !ok || keys.Serial != 1 || len(keys.Keys) != 1 || keys.Keys[0].ID != "k1" || keys.Keys[0].CreatedBy != "admin" || len(keys.Keys[0].Private) != 150 || keys.Keys[0].Active != 5 {
		t.Errorf("%+v", keys)
	}
	l.must(&event.DocumentDeleted{Kind: "IdentityProvider", Name: "home"})
	if _, ok := l.SigningKeys("home"); ok || l.SigningChanges() == changes {
		t.Error("the keys outlive their identity provider")
	}
}
