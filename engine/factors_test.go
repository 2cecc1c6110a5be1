package engine

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/credential/pin"
	"trine/engine/credential/recovery"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/login/geo"
	"trine/engine/message"
	"trine/engine/script"
	"trine/engine/state"
	"trine/engine/trace"
)

// twoFactors is an identity provider that asks for a one-time password, and a second one that lets a PIN do.
const twoFactors = `
kind: IdentityProvider
name: local
spec:
  type: local
  publicID: home
  authentication: {matrix: [{first: Password, second: OTP}]}
  profiles: {radius: {enabled: true, mschapv1: true}}
`

// device enrols a one-time password device and returns it.
func (r *rig) device(user, id string) *otp.Secret {
	r.t.Helper()
	s, err := otp.New(otp.DefaultParams())
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := login.SealOTP(r.ring, user, id, &s)
	if err != nil {
		r.t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: user, Id: id, Kind: uint32(login.OTP), Label: "telephone", Data: sealed})
	return &s
}

func (r *rig) code(s *otp.Secret) string { return s.Code(s.Counter(r.clock.Now())) }

// challenged has a login decided that is asked for another factor, and returns the state that the device has to send back.
func (r *rig) challenged(q *Request) []byte {
	r.t.Helper()
	q.Continues = true
	if d := r.decide(q); d.Verdict != event.Challenge || d.Reason != trace.FactorNeeded || d.Message == "" {
		r.t.Fatalf("%s %s: %q", d.Verdict, d.Reason, d.Message)
	}
	return append([]byte(nil), q.Decision.State...)
}

// answering returns the request that answers a challenge.
func (r *rig) answering(name, typed string, state []byte) *Request {
	q := r.request(name, typed)
	q.State, q.Continues = state, true
	return q
}

func factorRig(t *testing.T) (*rig, *otp.Secret) {
	t.Helper()
	r := newRig(t, nil)
	r.engine.config.Keyring = r.ring
	r.apply(twoFactors)
	return r, r.device("Alice", "f1")
}

func TestPasswordThenOneTimePasswordIsAccepted(t *testing.T) {
	r, s := factorRig(t)
	state := r.challenged(r.request("alice", "wonderland"))
	d := r.accept(r.answering("alice", r.code(s), state))
	if string(d.User) != "Alice" || len(d.Replies) == 0 || len(d.Released) == 0 {
		t.Errorf("the accept lacks what a password alone would give: %+v", d)
	}
}

func TestChallengeComesFromAnyMethod(t *testing.T) {
	r, s := factorRig(t)
	for _, m := range []credential.Method{credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2} {
		state := r.challenged(prove(t, r.request("alice", ""), m, "wonderland"))
		r.accept(r.answering("alice", r.code(s), state))
		r.clock.move(30 * time.Second)
	}
}

func TestWrongPasswordIsNeverChallenged(t *testing.T) {
	r, _ := factorRig(t)
	q := r.request("alice", "looking-glass")
	q.Continues = true
	r.deny(q, event.Reject, trace.PasswordWrong)
	q = r.request("nobody", "wonderland")
	q.Continues = true
	r.deny(q, event.Reject, trace.UserUnknown)
}

func TestChallengeIsAnsweredOnceRightOrWrong(t *testing.T) {
	r, s := factorRig(t)
	state := r.challenged(r.request("alice", "wonderland"))
	r.deny(r.answering("alice", "000000", state), event.Reject, trace.OTPWrong)
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.ChallengeUsed)

	state = r.challenged(r.request("alice", "wonderland"))
	r.accept(r.answering("alice", r.code(s), state))
	r.clock.move(30 * time.Second)
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.ChallengeUsed)
}

func TestCodeIsAcceptedOnceInTheCluster(t *testing.T) {
	r, s := factorRig(t)
	first, second := r.challenged(r.request("alice", "wonderland")), r.challenged(r.request("ally", "wonderland"))
	code := r.code(s)
	// Both are verified before either is committed, as on two nodes.
	a, b := r.answering("alice", code, first), r.answering("alice", code, second)
	r.log.set(func(l *memoryLog) { l.hold = true })
	if r.lane.Authenticate(a) || r.lane.Authenticate(b) {
		t.Fatal("a code was accepted without a commit")
	}
	r.log.set(func(l *memoryLog) { l.hold = false })
	r.log.release()
	if a.Decision.Verdict != event.Accept || b.Decision.Verdict != event.Reject || b.Decision.Reason != trace.OTPReplayed {
		t.Errorf("found %s %s and %s %s", a.Decision.Verdict, a.Decision.Reason, b.Decision.Verdict, b.Decision.Reason)
	}
	r.deny(r.answering("alice", code, r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.OTPReplayed)
}

func TestChallengeIsGoodForItsUserDeviceAndTimeOnly(t *testing.T) {
	r, s := factorRig(t)
	r.device("bob", "f9")
	r.apply(`
kind: ServiceProvider
name: vpn
spec: {type: radius, radius: {sourceIPs: [192.0.2.0/24], secret: two}}
`)
	state := r.challenged(r.request("alice", "wonderland"))
	for name, c := range map[string]struct {
		change func(q *Request)
		reason trace.Reason
	}{
		"another user":             {func(q *Request) { q.Name = []byte("bob") }, trace.ChallengeInvalid},
		"nobody":                   {func(q *Request) { q.Name = []byte("nobody") }, trace.ChallengeInvalid},
		"another service provider": {func(q *Request) { q.Client = q.Cache.Client("vpn") }, trace.ChallengeInvalid},
		"a state that was changed": {func(q *Request) { q.State = append([]byte{}, state...); q.State[9] ^= 1 }, trace.ChallengeInvalid},
		"a state of strangers":     {func(q *Request) { q.State = []byte("whatever the device had") }, trace.ChallengeInvalid},
		"no answer in clear text":  {func(q *Request) { prove(t, q, credential.CHAP, "wonderland") }, trace.ChallengeInvalid},
	} {
		q := r.answering("alice", r.code(s), state)
		c.change(q)
		if d := r.decide(q); d.Verdict != event.Reject || d.Reason != c.reason {
			t.Errorf("%s: %s %s, want %s", name, d.Verdict, d.Reason, c.reason)
		}
	}
	r.clock.move(challengeLife + 2*time.Second)
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.ChallengeExpired)
}

func TestChangeOfPasswordVoidsChallenges(t *testing.T) {
	r, s := factorRig(t)
	state := r.challenged(r.request("alice", "wonderland"))
	r.password("Alice", "looking-glass", all())
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.ChallengeExpired)
}

func TestWhoIsSwitchedOffMeanwhileIsNotLetIn(t *testing.T) {
	r, s := factorRig(t)
	state := r.challenged(r.request("alice", "wonderland"))
	r.apply("kind: User\nname: Alice\nspec: {active: false}")
	r.deny(r.answering("alice", r.code(s), state), event.Reject, trace.UserInactive)
}

func TestNodeThatIsBehindLeavesTheAnswerToOthers(t *testing.T) {
	r, s := factorRig(t)
	c := login.Challenge{ID: 7, User: 1, Index: r.people.AppliedIndex() + 1, NotAfter: r.clock.Now().Add(time.Minute), Asked: login.SetOf(login.OTP)}
	state, err := c.Seal(nil, r.ring)
	if err != nil {
		t.Fatal(err)
	}
	r.deny(r.answering("alice", r.code(s), state), event.Discard, trace.LogBehind)
}

func TestSecondFactorThatCannotBeHadIsARefusal(t *testing.T) {
	r, _ := factorRig(t)
	q := r.request("bob", "builder")
	q.Continues = true
	r.deny(q, event.Reject, trace.FactorNotEnrolled)
	r.deny(r.request("alice", "wonderland"), event.Reject, trace.FactorNeeded) // the device cannot be challenged
	r.apply("kind: IdentityProvider\nname: local\nspec: {type: local, authentication: {matrix: [{first: FIDO}]}, profiles: {radius: {enabled: true}}}")
	q = r.request("alice", "wonderland")
	q.Continues = true
	r.deny(q, event.Reject, trace.FactorRefused)
}

func TestAppendedCodeIsTakenOffThePassword(t *testing.T) {
	r, s := factorRig(t)
	q := r.request("alice", "wonderland"+r.code(s))
	q.Appends = true
	r.accept(q)
	q = r.request("alice", "wonderland"+r.code(s))
	q.Appends = true
	r.deny(q, event.Reject, trace.OTPReplayed)
	r.clock.move(30 * time.Second)
	q = r.request("alice", "looking-glass"+r.code(s))
	q.Appends = true
	r.deny(q, event.Reject, trace.PasswordWrong)
	q = r.request("alice", "wonderland000000")
	q.Appends = true
	r.deny(q, event.Reject, trace.OTPWrong)
	q = r.request("alice", "wonderland")
	q.Appends = true
	r.deny(q, event.Reject, trace.FactorNeeded)
}

func TestAppendedCodeIsSoughtOnlyWhereOneIsNeeded(t *testing.T) {
	r, _ := factorRig(t)
	r.apply("kind: IdentityProvider\nname: local\nspec: {type: local, profiles: {radius: {enabled: true}}}")
	r.password("Alice", "wonderland123456", all())
	q := r.request("alice", "wonderland123456")
	q.Appends = true
	r.accept(q)
}

func TestEitherWayOfTheMatrixIsEnough(t *testing.T) {
	r, _ := factorRig(t)
	r.apply("kind: IdentityProvider\nname: local\nspec: {type: local, authentication: {matrix: [{first: Password, second: OTP}, {first: Password}]}, profiles: {radius: {enabled: true}}}")
	r.accept(r.request("alice", "wonderland"))
	r.accept(r.request("bob", "builder"))
}

func TestFactorOfAnotherUserDoesNotOpen(t *testing.T) {
	r, s := factorRig(t)
	sealed, err := login.SealOTP(r.ring, "Alice", "f1", s)
	if err != nil {
		t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: "bob", Id: "f1", Kind: uint32(login.OTP), Data: sealed})
	state := r.challenged(r.request("bob", "builder"))
	r.deny(r.answering("bob", r.code(s), state), event.Reject, trace.FactorUnreadable)
}

func TestLimitOfSessionsHoldsBehindASecondFactor(t *testing.T) {
	r, s := factorRig(t)
	r.apply("kind: UserType\nname: default\nspec: {sessions: {limit: 1}}")
	r.accept(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))))
	r.clock.move(30 * time.Second)
	r.deny(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.SessionLimit)
}

func TestRecoveryCodeStandsInForADevice(t *testing.T) {
	r, s := factorRig(t)
	codes, kept, err := recovery.New(2, r.ring, login.FactorContext(nil, "Alice", "r1"))
	if err != nil {
		t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: "Alice", Id: "r1", Kind: state.RecoveryCodes, Data: kept})
	r.accept(r.answering("alice", codes[1], r.challenged(r.request("alice", "wonderland"))))
	r.deny(r.answering("alice", codes[1], r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.RecoveryUsed)
	r.deny(r.answering("alice", "0000-0000-0000", r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.RecoveryWrong)
	r.accept(r.answering("alice", strings.ToLower(codes[0]), r.challenged(r.request("alice", "wonderland"))))
	r.accept(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))))
}

func TestRecoveryCodeIsAcceptedOnceInTheCluster(t *testing.T) {
	r, _ := factorRig(t)
	codes, kept, err := recovery.New(2, r.ring, login.FactorContext(nil, "Alice", "r1"))
	if err != nil {
		t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: "Alice", Id: "r1", Kind: state.RecoveryCodes, Data: kept})
	a := r.answering("alice", codes[0], r.challenged(r.request("alice", "wonderland")))
	b := r.answering("alice", codes[0], r.challenged(r.request("alice", "wonderland")))
	r.log.set(func(l *memoryLog) { l.hold = true })
	r.lane.Authenticate(a)
	r.lane.Authenticate(b)
	r.log.set(func(l *memoryLog) { l.hold = false })
	r.log.release()
	if a.Decision.Verdict != event.Accept || b.Decision.Reason != trace.RecoveryUsed {
		t.Errorf("found %s %s and %s %s", a.Decision.Verdict, a.Decision.Reason, b.Decision.Verdict, b.Decision.Reason)
	}
}

func TestPINIsASecondFactor(t *testing.T) {
	r := newRig(t, nil)
	r.engine.config.Keyring = r.ring
	r.apply(strings.ReplaceAll(twoFactors, "second: OTP", "second: PIN"))
	kept, err := pin.DefaultPolicy().Keep([]byte("739152"), r.ring, login.FactorContext(nil, "Alice", "p1"))
	if err != nil {
		t.Fatal(err)
	}
	r.propose(&event.FactorPut{User: "Alice", Id: "p1", Kind: uint32(login.PIN), Data: kept})
	r.deny(r.answering("alice", "739153", r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.PINWrong)
	r.accept(r.answering("alice", "739152", r.challenged(r.request("alice", "wonderland"))))
}

func TestGuessesAtASecondFactorAreBoundedAlsoWithoutALockout(t *testing.T) {
	r, s := factorRig(t)
	for range secondLockout().Attempts {
		r.deny(r.answering("alice", "000000", r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.OTPWrong)
	}
	r.deny(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))), event.Reject, trace.UserLockedSource)
	q := r.request("alice", "wonderland"+r.code(s))
	q.Appends = true
	r.deny(q, event.Reject, trace.UserLockedSource)
	r.clock.move(secondLockout().Duration + time.Second)
	r.accept(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))))
}

// adaptive is an identity provider whose rules the cases fill in; a password is enough where none holds.
func (r *rig) adaptive(rules string) {
	r.t.Helper()
	r.apply("kind: IdentityProvider\nname: local\nspec:\n  type: local\n  publicID: home\n  profiles: {radius: {enabled: true, mschapv1: true}}\n  authentication:\n    matrix: [{first: Password}]\n    adaptiveRules:\n" + rules)
}

func rule(name, expression, ways string) string {
	return "    - {description: " + name + ", expression: '" + expression + "', matrix: [" + ways + "]}\n"
}

func TestFirstRuleThatIsTrueDecides(t *testing.T) {
	r, _ := factorRig(t)
	for _, c := range []struct {
		name, rules string
		verdict     event.Verdict
		reason      trace.Reason
	}{
		{"none holds", rule("night", "hour < 6", "{first: Password, second: OTP}"), event.Accept, trace.OK},
		{"one holds", rule("noon", "hour == 12 && dayOfWeek == 1", "{first: Password, second: OTP}"), event.Challenge, trace.FactorNeeded},
		{
			"the first counts", rule("noon", "minute == 0", "{first: Password}") + rule("always", "true", "{first: Password, second: OTP}"),
			event.Accept, trace.OK,
		},
		{"no way at all", rule("closed", `serviceProvider == "wlan"`, ""), event.Reject, trace.FactorRefused},
		{"what the user has", rule("enrolled", "hasTotp && !hasHotp && hasToken && !hasPin", "{first: Password, second: OTP}"), event.Challenge, trace.FactorNeeded},
		{"a rule that fails", rule("broken", "1 / (hour - 12) > 0", "{first: Password}"), event.Reject, trace.RuleBroken},
		{"the address", rule("outside", `!ipAddress.startsWith("10.")`, "{first: Password, second: OTP}"), event.Accept, trace.OK},
		{"the device's name", rule("device", `remoteHost == "AA-BB-CC-DD-EE-FF" && user == "Alice" && identityProvider == "home"`, "{first: Password, second: OTP}"), event.Challenge, trace.FactorNeeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			r.adaptive(c.rules)
			q := r.request("alice", "wonderland")
			q.Continues = true
			if d := r.decide(q); d.Verdict != c.verdict || d.Reason != c.reason {
				t.Errorf("%s %s, want %s %s", d.Verdict, d.Reason, c.verdict, c.reason)
			}
		})
	}
}

func TestNewDeviceIsAskedForMoreOnce(t *testing.T) {
	r, s := factorRig(t)
	r.adaptive(rule("new device", "newDevice", "{first: Password, second: OTP}"))
	r.accept(r.answering("alice", r.code(s), r.challenged(r.request("alice", "wonderland"))))
	r.accept(r.request("alice", "wonderland"))
	other := r.request("alice", "wonderland")
	other.Calling = []byte("00-11-22-33-44-55")
	r.challenged(other)
	r.accept(r.request("ally", "wonderland"))
	r.apply("kind: User\nname: carol")
	r.password("carol", "secret-word", all())
	r.device("carol", "f7")
	r.challenged(r.request("carol", "secret-word"))
}

func TestRulesKnowTheLoginBefore(t *testing.T) {
	r, _ := factorRig(t)
	r.adaptive(rule("long gone", "daysSinceLastLogon > 30 || daysSinceLastLogonFromSameHost > 30", "{first: Password, second: OTP}") +
		rule("by method", "daysSinceLastLogonByMethod >= 10", ""))
	r.accept(r.request("alice", "wonderland"))
	r.clock.move(9 * 24 * time.Hour)
	r.accept(r.request("alice", "wonderland"))
	r.clock.move(10 * 24 * time.Hour)
	r.deny(r.request("alice", "wonderland"), event.Reject, trace.FactorRefused)
	r.clock.move(25 * 24 * time.Hour)
	r.challenged(r.request("alice", "wonderland"))
}

// placesRig knows where three addresses are.
func placesRig(t *testing.T) *rig {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City"})
	if err != nil {
		t.Fatal(err)
	}
	for network, at := range map[string]struct {
		country, city       string
		latitude, longitude float64
	}{
		"81.2.69.0/24": {"GB", "London", 51.5142, -0.0931}, "89.160.20.0/24": {"SE", "Stockholm", 59.33, 18.06}, "2a02:d000::/32": {"GB", "Oxford", 51.752, -1.2577},
	} {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, mmdbtype.Map{
			"country": mmdbtype.Map{"iso_code": mmdbtype.String(at.country)}, "city": mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(at.city)}},
			"location": mmdbtype.Map{"latitude": mmdbtype.Float64(at.latitude), "longitude": mmdbtype.Float64(at.longitude)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	d, err := geo.New(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := factorRig(t)
	r.engine.config.Places = new(geo.Holder)
	r.engine.config.Places.Store(d)
	return r
}

func TestRulesKnowWhereLoginsComeFrom(t *testing.T) {
	r := placesRig(t)
	from := func(calling string) *Request {
		q := r.request("alice", "wonderland")
		q.Calling = []byte(calling)
		return q
	}
	r.adaptive(rule("abroad", `sourceCountry == "SE" && geoInformation == "Stockholm, SE" && !sameCountry`, "{first: Password, second: OTP}") +
		rule("too fast", "displacementSpeed > 50.0", "") +
		rule("moved", "displacement > 84.0 && displacement < 86.0", "{first: Password, second: OTP}"))
	r.accept(from("81.2.69.7"))
	r.challenged(from("89.160.20.1")) // which is not remembered before it is answered
	r.clock.move(time.Hour)
	r.deny(from("2a02:d000::1"), event.Reject, trace.FactorRefused) // 85 km in an hour
	r.clock.move(time.Hour)
	r.challenged(from("2a02:d000::1"))
	r.accept(from("81.2.69.8"))
	r.accept(from("AA-BB-CC-DD-EE-FF")) // nobody knows where
	r.accept(from("2a02:d000::1"))      // nor how far that is from here
	r.engine.config.Places.Store(nil)
	r.accept(from("89.160.20.1"))
}

func TestRulesKnowFailures(t *testing.T) {
	r, _ := factorRig(t)
	r.adaptive(rule("guesses", "failuresForSameIp >= 2 || failuresForSameUser >= 2", "{first: Password, second: OTP}") +
		rule("just failed", "secondsSinceLastFail >= 0 && secondsSinceLastFail < 10 && failuresRatio > 0.4", ""))
	r.accept(r.request("alice", "wonderland"))
	r.deny(r.request("alice", "looking-glass"), event.Reject, trace.PasswordWrong)
	r.deny(r.request("alice", "wonderland"), event.Reject, trace.FactorRefused)
	r.challenged(r.request("alice", "wonderland"))
	r.clock.move(time.Hour)
	r.accept(r.request("alice", "wonderland"))
}

func TestRuleThatDoesNotCompileIsNamed(t *testing.T) {
	r, _ := factorRig(t)
	docs, err := document.Parse("test.yaml", strings.NewReader("kind: IdentityProvider\nname: local\nspec:\n  type: local\n  authentication: {adaptiveRules: [{expression: newDevise, matrix: []}]}\n  profiles: {radius: {enabled: true}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	problems := r.compiler.Draft(docs, nil).Problems
	if len(problems) == 0 || !strings.Contains(problems.Error(), "adaptiveRules[0].expression") || !strings.Contains(problems.Error(), "newDevise") {
		t.Errorf("found %v", problems)
	}
}

// postman takes messages, or refuses them.
type postman struct {
	taken []*message.Message
	err   error
}

func (p *postman) Check(*message.Message) error { return p.err }

func (p *postman) Submit(m *message.Message) error {
	if p.err == nil {
		p.taken = append(p.taken, m)
	}
	return p.err
}

func sendingRig(t *testing.T, factor string) (*rig, *postman) {
	t.Helper()
	r, p := newRig(t, nil), &postman{}
	r.engine.config.Keyring, r.engine.config.Messenger = r.ring, p
	r.apply(strings.ReplaceAll(twoFactors, "second: OTP", "second: "+factor))
	return r, p
}

func TestCodeThatIsSentIsASecondFactor(t *testing.T) {
	for factor, channel := range map[string]message.Channel{"Email": message.Mail, "SMS": message.SMS} {
		t.Run(factor, func(t *testing.T) {
			r, p := sendingRig(t, factor)
			r.apply(`
kind: User
name: Alice
spec: {mail: alice, mailDomain: example.org, mobile: "+34600000001", aliases: [ally]}
`)
			state := r.challenged(r.request("alice", "wonderland"))
			if len(p.taken) != 1 {
				t.Fatalf("%d messages", len(p.taken))
			}
			m := p.taken[0]
			if want := map[message.Channel]string{message.Mail: "alice@example.org", message.SMS: "+34600000001"}[channel]; m.To != want || m.Channel != channel || m.Kind != message.Code || m.Values.Service != "wlan" {
				t.Errorf("sent to %s by %s: %+v", m.To, m.Channel, m)
			}
			for _, d := range r.log.decisions(t) {
				for _, s := range d.Steps {
					if strings.Contains(string(s.Subject)+string(s.Detail), m.Values.Code) {
						t.Errorf("the trace shows the code: %s %s", s.Subject, s.Detail)
					}
				}
			}
			r.accept(r.answering("ally", m.Values.Code, state))
			r.deny(r.answering("alice", m.Values.Code, state), event.Reject, trace.ChallengeUsed)
			again := r.challenged(r.request("alice", "wonderland"))
			r.deny(r.answering("alice", m.Values.Code, again), event.Reject, trace.CodeWrong)
			late := r.challenged(r.request("alice", "wonderland"))
			r.clock.move(6 * time.Minute)
			r.deny(r.answering("alice", p.taken[2].Values.Code, late), event.Reject, trace.ChallengeExpired)
		})
	}
}

func TestCodeThatCannotBeSentIsARefusal(t *testing.T) {
	r, p := sendingRig(t, "Email")
	q := r.request("bob", "builder") // who has no address
	q.Continues = true
	r.deny(q, event.Reject, trace.FactorNotEnrolled)
	for err, reason := range map[error]trace.Reason{
		message.ErrUnconfigured: trace.DeliveryUnconfigured, message.ErrLimited: trace.DeliveryLimited, message.ErrFull: trace.DeliveryFull,
	} {
		p.err = err
		q := r.request("alice", "wonderland")
		q.Continues = true
		r.deny(q, event.Reject, reason)
	}
	r.engine.config.Messenger = nil
	q = r.request("alice", "wonderland")
	q.Continues = true
	r.deny(q, event.Reject, trace.FactorNotEnrolled)
}

func TestConditionsSeeTheStrongestOfWhatWasProved(t *testing.T) {
	for want, proved := range map[string][]login.Set{
		"":  {0},
		"P": {login.SetOf(login.Password)},
		"PO": {
			login.SetOf(login.Password, login.OTP), login.SetOf(login.Password, login.Email), login.SetOf(login.Password, login.SMS),
			login.SetOf(login.Password, login.PIN), login.SetOf(login.Password, login.Push), login.SetOf(login.Password, login.OTP, login.PIN),
			login.SetOf(login.Password, login.ExternalIdP, login.OTP),
		},
		"PC": {login.SetOf(login.Password, login.Certificate), login.SetOf(login.Password, login.FIDO), login.SetOf(login.Password, login.OTP, login.FIDO)},
		"PE": {login.SetOf(login.Password, login.ExternalIdP)},
		"K":  {login.SetOf(login.Kerberos), login.SetOf(login.Kerberos, login.Password)},
		"KO": {login.SetOf(login.Kerberos, login.OTP)},
		"KC": {login.SetOf(login.Kerberos, login.FIDO)},
		"KE": {login.SetOf(login.Kerberos, login.ExternalIdP)},
		"E":  {login.SetOf(login.ExternalIdP)},
		"EO": {login.SetOf(login.ExternalIdP, login.Push)},
		"EC": {login.SetOf(login.ExternalIdP, login.Certificate)},
		"O":  {login.SetOf(login.OTP), login.SetOf(login.PIN, login.SMS)},
		"OC": {login.SetOf(login.OTP, login.Certificate), login.SetOf(login.FIDO, login.PIN)},
		"C":  {login.SetOf(login.Certificate), login.SetOf(login.FIDO), login.SetOf(login.FIDO, login.Certificate)},
	} {
		for _, s := range proved {
			if got := authentication(s).Code(); got != want {
				t.Errorf("%s: found %q, expected %q", s, got, want)
			}
		}
	}
}

func TestLoginWaitsForTheScriptOfARule(t *testing.T) {
	r, s := factorRig(t)
	b := &scriptBench{host: script.NewHost(), hold: true}
	r.engine.config.Scripts = b
	r.adaptive("    - {script: return newDevice && user == \"Alice\", matrix: [{first: Password, second: OTP}]}\n")
	q := r.request("alice", "wonderland")
	q.Continues = true
	if r.lane.Authenticate(q) || r.inbox.decided(q) != 0 {
		t.Fatal("it was decided without the script")
	}
	b.work()
	if r.inbox.decided(q) != 1 || q.Decision.Verdict != event.Challenge {
		t.Fatalf("%s %s", q.Decision.Verdict, q.Decision.Reason)
	}
	b.hold = false
	if d := r.accept(r.answering("alice", r.code(s), q.Decision.State)); b.runs != 1 {
		t.Errorf("the answer has run scripts again: %d, %s", b.runs, d.Reason)
	}
	r.accept(r.request("alice", "wonderland")) // by the device that is known now
}

// TestAppendedCodeWaitsForTheScriptOfARule: only then it is known that there is one behind the password.
func TestAppendedCodeWaitsForTheScriptOfARule(t *testing.T) {
	r, s := factorRig(t)
	r.engine.config.Scripts = &scriptBench{host: script.NewHost()}
	r.adaptive("    - {script: return true, matrix: [{first: Password, second: OTP}]}\n")
	q := r.request("alice", "wonderland"+r.code(s))
	q.Appends = true
	r.accept(q)
}

func TestRuleWhoseScriptYieldsNothingRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		verdict event.Verdict
		reason  trace.Reason
	}{
		{"took too long", &script.Error{Cause: script.ErrTimeout}, event.Reject, trace.ScriptTimeout},
		{"was not run in time", &script.Error{Cause: script.ErrDeadline}, event.Discard, trace.OverloadDeadline},
		{"worker died", &script.Error{Cause: script.ErrUnavailable}, event.Discard, trace.WorkerFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := factorRig(t)
			r.engine.config.Scripts = unscripted{c.err}
			r.adaptive("    - {description: odd, script: return true, matrix: [{first: Password}]}\n")
			if text := told(r.deny(r.request("alice", "wonderland"), c.verdict, c.reason)); !strings.Contains(text, "The adaptive rule odd could not be evaluated") {
				t.Error(text)
			}
			r.deny(r.request("nobody", "wonderland"), c.verdict, c.reason)
		})
	}
	for _, c := range []struct {
		name   string
		refuse error
		reason trace.Reason
	}{{"no room", script.ErrQueueFull, trace.OverloadQueueFull}, {"no worker", nil, trace.WorkerFailed}} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := factorRig(t)
			if c.refuse != nil {
				r.engine.config.Scripts = &scriptBench{refuse: c.refuse}
			}
			r.adaptive("    - {description: odd, script: return true, matrix: [{first: Password}]}\n")
			r.deny(r.request("alice", "wonderland"), event.Discard, c.reason)
		})
	}
}

// unscripted runs no script.
type unscripted struct{ err error }

func (f unscripted) Submit(j *script.Job) error {
	j.Err = f.err
	j.Done.ScriptDone(j)
	return nil
}
