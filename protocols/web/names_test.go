package web

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine/credential/otp"
	"trine/engine/credential/pin"
	"trine/engine/credential/push"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/message"
	"trine/engine/trace"
)

// crowd are people of every sort, with names of one length: who has every factor, who has none, who has another policy, and who is switched off. Nobody is called nobdy.
const crowd = `{kind: UserType, name: default, spec: {password: {keep: [keyed, nt], minLength: 8, lockout: {attempts: 3, total: 7, window: 15m, duration: 10m}}}}
---
{kind: UserType, name: careful, spec: {password: {keep: [keyed, nt], minLength: 8, lockout: {attempts: 1, total: 2, window: 15m, duration: 10h}}}}
---
{kind: UserType, name: careless, spec: {password: {keep: [keyed, nt], minLength: 8}}}
---
{kind: User, name: alice, spec: {mail: alice@example.org, mobile: "+34600000001"}}
---
{kind: User, name: bob, spec: {}}
---
{kind: User, name: blank, spec: {}}
---
{kind: User, name: carey, spec: {userType: careful, mail: carey@example.org}}
---
{kind: User, name: loose, spec: {userType: careless}}
---
{kind: User, name: ghost, spec: {active: false}}
---
{kind: User, name: a-very-long-name-that-is-somebodys, spec: {aliases: [alias]}}
---
{kind: IdentityProvider, name: home, spec: {type: local, name: Home, network: {hostName: localhost, ports: [{port: PORT, reverseProxy: {incomingAddresses: [127.0.0.0/8]}}]}, profiles: {radius: {enabled: true}},
  authentication: {matrix: [{first: FACTOR, second: SECOND}]}}}
---
{kind: ServiceProvider, name: shop, spec: {type: radius, name: The Shop, identityProvider: home, radius: {sourceIPs: [192.0.2.1], secret: abcdefgh}}}
`

// post takes every message and keeps none.
type post struct{}

// Submit implements message.Messenger.
func (post) Submit(m *message.Message) error { go m.Done.Delivered(m); return nil }

// Check implements message.Messenger.
func (post) Check(*message.Message) error { return nil }

// newCrowd serves the crowd with one way to log in.
func newCrowd(t *testing.T, first, second string) *rig {
	t.Helper()
	r := newRig(t, strings.NewReplacer("FACTOR", first, "SECOND", second).Replace(crowd))
	for _, name := range []string{"carey", "loose", "ghost", "a-very-long-name-that-is-somebodys"} {
		r.house.Password(name, "wonderland")
	}
	r.enrol("alice")
	enrol := func(kind login.Factor, data func(user, id string) ([]byte, error)) {
		put := &event.FactorPut{User: "alice", Id: kind.String(), Kind: uint32(kind), Label: "x"}
		var err error
		if put.Data, err = data(put.User, put.Id); err == nil {
			err = r.house.Engine.EnrolFactor(t.Context(), put)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	enrol(login.Push, func(user, id string) ([]byte, error) {
		return login.SealPush(r.house.Keys, user, id, login.PushDevice{Key: push.Ed25519Key(public), Address: "device"})
	})
	enrol(login.PIN, func(user, id string) ([]byte, error) {
		return pin.DefaultPolicy().Keep([]byte("271828"), r.house.Keys, login.FactorContext(nil, user, id))
	})
	return r
}

var secrets = []*regexp.Regexp{
	regexp.MustCompile(`name="flow" value="([^"]*)"`), regexp.MustCompile(`id="reference">([^<]*)<`), regexp.MustCompile(`id="number"[^>]*>([^<]*)<`),
}

// told is all that a browser learns of an answer, with the length of what differs each time.
func told(b *browser, name string) string {
	body := b.body
	for _, pattern := range secrets {
		body = pattern.ReplaceAllStringFunc(body, func(s string) string {
			value := pattern.FindStringSubmatch(s)[1]
			return strings.Replace(s, value, fmt.Sprint("(", len(value), ")"), 1)
		})
	}
	var header []string
	for field, values := range b.header {
		for _, v := range values {
			switch field {
			case "Date":
				continue
			case "Set-Cookie":
				cookie, rest, _ := strings.Cut(v, ";")
				kind, value, _ := strings.Cut(cookie, "=")
				v = fmt.Sprint(kind, "=(", len(value), ")", rest)
			}
			header = append(header, field+": "+v)
		}
	}
	slices.Sort(header)
	return strings.ReplaceAll(fmt.Sprintf("%d %s\n%s\n%s", b.status, b.at.Path, strings.Join(header, "\n"), body), name, "NAME")
}

// TestNamesThatNobodyHasLookLikeAllOthers has strangers try wrong proofs under names of every sort, until there are locks, and beyond: nothing of the answers may tell the names apart.
func TestNamesThatNobodyHasLookLikeAllOthers(t *testing.T) {
	for _, way := range [][2]string{{"Password", ""}, {"Password", "OTP"}, {"OTP", ""}, {"PIN", "Password"}, {"Email", ""}, {"SMS", "Password"}, {"Push", ""}} {
		t.Run(way[0]+" "+way[1], func(t *testing.T) {
			r := newCrowd(t, way[0], way[1])
			transcript := func(name string) (list []string) {
				try := func(b *browser) {
					switch way[0] {
					case "Email", "SMS", "Push":
						path, form := b.form(0)
						form.Set("name", name)
						form.Set("choose", way[0])
						list = append(list, told(b.post(path, form), name))
						b.fill("secret", "123456")
					default:
						b.fill("name", name, "secret", "123456")
					}
					list = append(list, told(b, name))
				}
				for i := range 11 { // a new browser each time, at three places
					try(r.at(fmt.Sprint("192.0.2.", i/4+1)).get("/go?sp=shop"))
				}
				b := r.at("192.0.2.9").get("/go?sp=shop")
				for range 4 {
					try(b)
				}
				return list
			}
			want := transcript("nobdy")
			for _, name := range []string{"alice", "blank", "carey", "loose", "ghost", "alias", "nobd2"} {
				got := transcript(name)
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("answer %d: %s", i, difference(got[i], want[i], name))
					}
				}
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			locked := map[trace.Reason]int{}
			for _, s := range r.steps {
				locked[s.Reason]++
			}
			if way[0] == "Password" && (locked[trace.UserLocked] == 0 || locked[trace.UserLockedSource] == 0) {
				t.Errorf("the answers are of %v: there were no locks", locked)
			}
		})
	}
}

// difference returns the lines that two texts differ in.
func difference(got, want, name string) (text string) {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "", ""
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			text += fmt.Sprintf("\n%s: %s\nnobody: %s", name, x, y)
		}
	}
	return text
}

func TestWhoIsLockedOutLearnsItWhereHeIsKnown(t *testing.T) {
	r := newRig(t, watched)
	own := r.at("198.51.100.7").signIn("alice", "wonderland")
	own.get("/bye").get("/go?sp=shop")
	for range 3 {
		own.fill("name", "alice", "secret", "wrong").says("You could not be signed in")
	}
	own.fill("name", "alice", "secret", "wonderland").says("There were too many attempts")
	// Others are not told that of her, nor is her browser told it of others.
	stranger := r.at("192.0.2.66").get("/go?sp=shop")
	for range 4 {
		stranger.fill("name", "alice", "secret", "wrong").says("You could not be signed in").says("After too many attempts you have to wait")
	}
	own.get("/go?sp=shop")
	for range 4 {
		own.fill("name", "bob", "secret", "wrong").says("You could not be signed in")
	}
	// Whoever has proved his password may be told that his codes are locked.
	device := r.enrol("bob")
	r.move(20 * time.Minute)
	b := r.at("203.0.113.1").get("/strict/go?sp=bank&id=1").fill("name", "bob", "secret", "builder-bob").says("authenticator app")
	for range 3 {
		b.fill("secret", "000000").says("You could not be signed in")
	}
	b.fill("secret", r.code(device)).says("There were too many attempts")
}

func TestNameOfADeviceOutlivesAWrongCode(t *testing.T) {
	r := newRig(t, house)
	b := r.browser().signIn("alice", "wonderland").get("/protected")
	b.post("/protected/factors", url.Values{"token": {b.token()}, "do": {"otp"}}).says("Scan this")
	b.fill("do", "otp-confirm", "label", `Pocket "1" <b>`, "secret", "000000").says("The code is wrong")
	_, form := b.form(0)
	if got := form.Get("label"); got != `Pocket "1" <b>` {
		t.Fatalf("the name is %q after a wrong code", got)
	}
	key := regexp.MustCompile(`id="key">([^<]*)<`).FindStringSubmatch(b.body)[1]
	device, err := otp.ImportBase32(otp.DefaultParams(), key)
	if err != nil {
		t.Fatal(err)
	}
	b.fill("do", "otp-confirm", "secret", r.code(&device)).says("It was added").says(`Pocket "1" <b>`)
	// So does that of a security key.
	b.post("/protected/factors", url.Values{"token": {b.token()}, "do": {"key"}})
	b.fill("label", "Blue key", "assertion", "{}").says("was not accepted")
	if _, form := b.form(0); form.Get("label") != "Blue key" {
		t.Fatalf("the name of the key is %q", form.Get("label"))
	}
}
