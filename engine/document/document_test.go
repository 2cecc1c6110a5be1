package document

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/secret"
)

// parse reads documents that must be sound.
func parse(t testing.TB, text string) []*Document {
	t.Helper()
	docs, err := Parse("in.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// parseOne reads one document that must be sound.
func parseOne(t testing.TB, text string) *Document {
	t.Helper()
	docs := parse(t, text)
	if len(docs) != 1 {
		t.Fatalf("%d documents", len(docs))
	}
	return docs[0]
}

func radius(t testing.TB, name, fields string) *Document {
	t.Helper()
	return parseOne(t, fmt.Sprintf("{kind: ServiceProvider, name: %s, spec: {type: radius, radius: {%s}}}", name, fields))
}

// seal seals every secret, as the administration does on the way in.
func seal(t testing.TB, d *Document) *Document {
	t.Helper()
	k := keyring(t)
	d.EachSecret(func(path string, text *secret.Text) {
		sealed, err := text.Seal(k, d.SecretContext())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		*text = sealed
	})
	return d
}

func keyring(t testing.TB) *secret.Keyring {
	t.Helper()
	k := secret.NewKeyring()
	if err := k.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestFieldsThatAreNotGivenHaveTheirDefaults(t *testing.T) {
	sp := radius(t, "core", "sourceIPs: [192.0.2.1], secret: s").Spec.(*ServiceProvider)
	r := sp.Radius
	if !r.RequireMessageAuthenticator || !r.LimitProxyState || r.RejectDelay != time.Second || r.InterimInterval != 10*time.Minute || r.StaleIntervals != 3 || sp.Audit != "after" {
		t.Errorf("%+v", r)
	}
	if r.StaleAfter() != 30*time.Minute {
		t.Error(r.StaleAfter())
	}
	if !r.Secret.IsZero() || len(r.Secrets) != 1 {
		t.Error("secret is not brought into secrets")
	}
	u := parseOne(t, "{kind: User, name: alice}").Spec.(*User)
	if !u.Active {
		t.Error("a user is not active by default")
	}
	if p := DefaultUserType().Password; !p.Keeps(FormArgon2id) || p.Keeps(FormNT) || p.Argon2.MemoryKiB != 19456 {
		t.Errorf("%+v", p)
	}
	// A default is each document's own: a list that is written to must not reach the next one.
	one := DefaultUserType()
	one.Password.Keep[0] = FormClear
	if !DefaultUserType().Password.Keeps(FormArgon2id) {
		t.Error("defaults are shared")
	}
}

func TestWhatIsGivenIsRead(t *testing.T) {
	r := radius(t, "core", `sourceIPs: [10.0.0.0/8], secrets: [{value: a, notAfter: 2027-01-01}, {value: b, notBefore: "2026-12-01T10:00:00+02:00"}],
  rejectDelay: 0, interimInterval: 1h30m, requireMessageAuthenticator: false, realms: [{name: EXAMPLE, strip: false}]`).Spec.(*ServiceProvider).Radius
	if r.RejectDelay != 0 || r.InterimInterval != 90*time.Minute || r.RequireMessageAuthenticator || r.Realms[0].Strip {
		t.Errorf("%+v", r)
	}
	if want := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC); !r.Secrets[1].NotBefore.Equal(want) {
		t.Error(r.Secrets[1].NotBefore)
	}
	at := time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC)
	if !r.Secrets[0].Active(at) || !r.Secrets[1].Active(at) || r.Secrets[0].Active(r.Secrets[0].NotAfter) || r.Secrets[1].Active(r.Secrets[1].NotBefore.Add(-1)) {
		t.Error("validity of the secrets")
	}
}

func TestYAMLAndJSONMeanTheSame(t *testing.T) {
	yaml := parse(t, "kind: User\nname: alice\nspec:\n  attributes: {a: x, b: [y, z]}\n  fullName: \"\U0001F600\"\n---\nkind: Group\nname: staff\n")
	forms := map[string]string{
		"array":  `[{"kind":"User","name":"alice","spec":{"attributes":{"a":"x","b":["y","z"]},"fullName":"\ud83d\ude00"}},{"kind":"Group","name":"staff"}]`,
		"stream": `{"kind":"User","name":"alice","spec":{"attributes":{"a":["x"],"b":["y","z"]},"fullName":"\ud83d\ude00"}}` + "\n" + `{"kind":"Group","name":"staff","spec":null}`,
	}
	for name, text := range forms {
		docs, err := Parse("", strings.NewReader(text)) // the first byte tells
		if err != nil || len(docs) != len(yaml) {
			t.Fatal(name, err, docs)
		}
		for i := range docs {
			if c := Diff(yaml[i], docs[i]); len(c) > 0 || docs[i].Key() != yaml[i].Key() {
				t.Error(name, c)
			}
		}
	}
}

func TestEveryProblemComesAtOnceAndSoundDocumentsToo(t *testing.T) {
	docs, err := Parse("in.yaml", strings.NewReader("{kind: User, name: a, spec: {x: 1, y: 2}}\n---\n{kind: User, name: b}\n---\n{kind: User, name: c, spec: {z: 1}}\n"))
	var p Problems
	if !errors.As(err, &p) || len(p) != 3 || len(docs) != 1 || docs[0].Name != "b" {
		t.Error(docs, err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	_, err := Parse("in.yaml", strings.NewReader(strings.Repeat("---\n{kind: User}\n", 5000)))
	var p Problems
	if !errors.As(err, &p) || len(p) != maxProblems+1 {
		t.Error(len(p))
	}
}

func TestErrorOfTheReaderIsNoProblemOfTheDocuments(t *testing.T) {
	broken := errors.New("broken pipe")
	_, err := Parse("in.yaml", &failingReader{text: "kind: User\n", err: broken})
	var p Problems
	if !errors.Is(err, broken) || errors.As(err, &p) {
		t.Error(err)
	}
}

type failingReader struct {
	text string
	err  error
}

func (f *failingReader) Read(p []byte) (int, error) {
	if f.text == "" {
		return 0, f.err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

func TestSizeIsBounded(t *testing.T) {
	b := &boundedReader{r: strings.NewReader("0123456789"), left: 4}
	buf := make([]byte, 64)
	n, _ := b.Read(buf)
	if _, err := b.Read(buf); n != 5 || b.left >= 0 || err == nil {
		t.Error(n, b.left, err)
	}
}

func TestUsersPasswordIsNotStored(t *testing.T) {
	d := parseOne(t, "{kind: User, name: alice, spec: {password: hunter2, passwordMustChange: true, fullName: A}}")
	b, err := d.Stored()
	if err != nil || strings.Contains(string(b), "hunter2") {
		t.Fatal(err)
	}
	back, err := FromStored(KindUser, "alice", b)
	if err != nil {
		t.Fatal(err)
	}
	if u := back.Spec.(*User); !u.Password.IsZero() || u.PasswordMustChange || u.FullName != "A" || !u.Active {
		t.Errorf("%+v", u)
	}
	if c := Diff(back, d); len(c) != 2 || c[0] != (Change{Path: "spec.password", New: "(changed)"}) {
		t.Error(c)
	}
}

func TestPlainSecretIsNeverStoredNorShown(t *testing.T) {
	d := radius(t, "core", "sourceIPs: [192.0.2.1], secret: hunter2")
	if _, err := d.Stored(); !errors.Is(err, secret.ErrNotSealed) {
		t.Error(err)
	}
	y, _ := d.YAML()
	j, _ := d.MarshalJSON()
	if s := string(y) + string(j) + fmt.Sprintf("%+v %#v", d.Spec, d.Spec.(*ServiceProvider).Radius) + fmt.Sprint(Diff(nil, d)); strings.Contains(s, "hunter2") {
		t.Error(s)
	}
	seal(t, d)
	b, err := d.Stored()
	if err != nil || strings.Contains(string(b), "hunter2") || !strings.Contains(string(b), "sealed:") {
		t.Errorf("%v %s", err, b)
	}
}

func TestStoredIsCanonicalAndReadsBack(t *testing.T) {
	for _, text := range []string{
		"{kind: Group, name: g, spec: {reply: ['A = b'], sessions: {limit: 2}}}",
		"{kind: UserType, name: t, spec: {password: {keep: [nt, clear], lockout: {}}}}",
		"{kind: IdentityProvider, name: i, spec: {type: local, profiles: {radius: {}, saml2ECP: {signResponses: always, localityAddress: x}}, network: {ports: [{port: 443}, {}]}}}",
		"{kind: ServiceProvider, name: s, spec: {type: radius, radius: {secret: x, sourceIPs: ['::ffff:192.0.2.1', 192.0.2.7-192.0.2.9]}}}",
		"{kind: AttributePolicy, name: p, spec: {condition: {AND: [{NOT: ANY}, {principalName: {regex: a.*, ignoreCase: true}}, {requesterEntityAttribute: {name: n, value: v}}]}}}",
		"{kind: AttributeDefinition, name: a, spec: {radiusID: Filter-Id, scoped: true}}",
		"{kind: EntityGroup, name: e, spec: {metadataURL: 'https://x'}}",
	} {
		d := seal(t, parseOne(t, text))
		b, err := d.Stored()
		if err != nil {
			t.Fatal(err)
		}
		back, err := FromStored(d.Kind, d.Name, b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		again, err := back.Stored()
		if err != nil || string(again) != string(b) {
			t.Errorf("%v\n%s\n%s", err, b, again)
		}
		if c := Diff(d, back); len(c) > 0 {
			t.Error(c)
		}
		roundTrip(t, d)
	}
}

func TestRefsAndClaimsAreNamedOnceAndSorted(t *testing.T) {
	for _, c := range []struct{ name, text, refs, claims string }{
		{"user", "{kind: User, name: Alice, spec: {aliases: [AL], userType: t, primaryGroup: a, groups: [b, a]}}", "[Group/a Group/b UserType/t]", "[login/al login/alice]"},
		{"group", "{kind: Group, name: a, spec: {parent: b}}", "[Group/b]", "[]"},
		{
			"service provider", "{kind: ServiceProvider, name: a, spec: {type: radius, publicID: x, entityGroup: e, identityProvider: i, radius: {secret: s, sourceIPs: [10.0.0.0/8, 10.0.0.1-10.0.0.2, '2001:DB8::/32']}}}",
			"[EntityGroup/e IdentityProvider/i]", "[prefix/radius/10.0.0.0/8 prefix/radius/10.0.0.1/32 prefix/radius/10.0.0.2/32 prefix/radius/2001:db8::/32 publicID/x]",
		},
		{"identity provider", "{kind: IdentityProvider, name: a, spec: {type: local, parent: b, advanced: {selfRegister: {primaryGroup: g}}}}", "[Group/g IdentityProvider/b]", "[publicID/a]"},
		{"attribute", "{kind: AttributeDefinition, name: a, spec: {radiusID: Filter-Id, oid: 'urn:oid:2.5.4.3', casName: c}}", "[]", "[casName/c oid/2.5.4.3 radiusID/filter-id]"},
		{
			"policy", "{kind: AttributePolicy, name: a, spec: {condition: {or: [{attributeIssuerInGroup: e}, {attributeValue: {attribute: v, value: x}}]}, attributes: [{attribute: u, condition: {not: {attributeRequesterInGroup: f}}}]}}",
			"[AttributeDefinition/u AttributeDefinition/v EntityGroup/e EntityGroup/f]", "[]",
		},
	} {
		d := parseOne(t, c.text)
		if refs, claims := fmt.Sprint(d.Refs()), fmt.Sprint(d.Claims()); refs != c.refs || claims != c.claims {
			t.Errorf("%s: %s %s", c.name, refs, claims)
		}
	}
}

func TestKindsAreFoundByTheirWords(t *testing.T) {
	for _, word := range []string{"User", "users", "user", "U"} {
		if k, ok := KindNamed(word); !ok || k.Name != KindUser || k.Class != event.ClassIdentity {
			t.Error(word, k)
		}
	}
	words := map[string]string{}
	for _, k := range Kinds() {
		for _, w := range append([]string{strings.ToLower(k.Name), k.Plural}, k.Aliases...) {
			if other, twice := words[w]; twice && other != k.Name {
				t.Errorf("%s means %s and %s", w, other, k.Name)
			}
			words[w] = k.Name
		}
		if got := New(k.Name, "x").Spec.kind(); got != k.Name {
			t.Error(got)
		}
	}
	if New("Nothing", "x") != nil {
		t.Error("a kind that does not exist")
	}
}

func TestWarningsNameWhatTakesEffectLater(t *testing.T) {
	d := parseOne(t, "kind: IdentityProvider\nname: i\nspec:\n  type: local\n  advanced:\n    recoverPassword: true\n  profiles:\n    cas: {enabled: true}\n    radius: {enabled: true}\n")
	w := d.Warnings()
	if len(w) != 2 {
		t.Fatal(w)
	}
	if got, want := w[0].String(), "in.yaml:6:22: IdentityProvider i: spec.advanced.recoverPassword: the field takes effect with recovery of passwords, which this release does not have yet"; got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	if w[1].Field != "spec.profiles.cas.enabled" {
		t.Error(w[1])
	}
}

func TestPasswordPolicyChecksNewPasswords(t *testing.T) {
	p := PasswordPolicy{MinLength: 6, Classes: 3}
	for _, c := range []struct {
		password string
		good     bool
	}{{"aB3aB3", true}, {"aB3aB", false}, {"aaaBBB", false}, {"aa BB!", true}, {"äÖ3äÖ3", true}, {"", false}} {
		if got := p.Check([]byte(c.password)) == ""; got != c.good {
			t.Errorf("%q: %v", c.password, got)
		}
	}
}
