package radius

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/event"
	factors "trine/engine/login"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/radius/dictionary"
)

func standard(t testing.TB) *dictionary.Dictionary {
	t.Helper()
	d, err := dictionary.Standard()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// attempt returns an attempt of alice's from the house's device, changed.
func (h *house) attempt(change func(*Attempt)) *Attempt {
	cache := h.Policies.Holder().Load()
	q := &Attempt{
		Cache: cache, Client: cache.ClientFor(protocol, h.from.Addr()), Source: h.from.Addr(), Time: h.port.now,
		User: "alice", Method: credential.PAP, Password: "wonderland",
	}
	if change != nil {
		change(q)
	}
	return q
}

func (h *house) try(c engine.Circumstances, q *Attempt) (*Answer, error) {
	if c.Verifier == nil {
		c.Verifier = h.Verifier.Aside()
	}
	if c.Clock == nil {
		c.Clock = func() time.Time { return h.port.now }
	}
	return NewSimulator(standard(h.t), "test", h.Keys).Try(context.Background(), h.Engine.Simulate(c), q)
}

// toldOf returns the attributes of an answer as text, without those that differ from one answer to the next.
func toldOf(pairs []dictionary.Pair) []string {
	var lines []string
	for _, p := range pairs {
		switch p.Name {
		case "Class", "Message-Authenticator":
		case "MS-CHAP-Error", "MS-CHAP2-Success", "State": // hold challenges and what is made of them
			lines = append(lines, p.Name)
		default:
			lines = append(lines, p.String())
		}
	}
	return lines
}

// comparable returns a record without what differs between two decisions of the same login.
func comparable(d *event.Decided) *event.Decided {
	d = proto.CloneOf(d)
	d.Id, d.TookMicros = 0, 0
	for _, s := range d.Steps {
		s.TookNanos = 0
	}
	return d
}

func TestAttemptThatNoDeviceCanSendIsRefused(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name   string
		change func(*Attempt)
		want   string
	}{
		{"unknown attribute", func(q *Attempt) { q.Attributes = []string{"NAS-Port = 1", "No-Such = 1"} }, `attribute 2: unknown attribute "No-Such"`},
		{"value that is none", func(q *Attempt) { q.Attributes = []string{"NAS-Port = many"} }, "attribute 1: not a value of the attribute: NAS-Port"},
		{"no value", func(q *Attempt) { q.Attributes = []string{"NAS-Port"} }, "attribute 1: expected"},
		{"name among the attributes", func(q *Attempt) { q.Attributes = []string{"User-Name = bob"} }, "User-Name is made of"},
		{"proof among the attributes", func(q *Attempt) { q.Attributes = []string{"MS-CHAP-Challenge = 0x00"} }, "MS-CHAP-Challenge is made of"},
		{"long name", func(q *Attempt) { q.User = strings.Repeat("a", 254) }, "at most 253 bytes"},
		{"long password", func(q *Attempt) { q.Password = strings.Repeat("a", 129) }, "at most 128"},
		{"password that is no text", func(q *Attempt) { q.Method, q.Password = credential.MSCHAPv2, "\xff" }, "has no NT hash"},
		{"change of the password", func(q *Attempt) { q.Method = credential.MSCHAPCPW }, "mschap-cpw cannot be tried out"},
		{"client without a wire", func(q *Attempt) { q.Client = &policy.Client{Name: "odd"} }, "odd cannot be asked over RADIUS"},
		{"too much", func(q *Attempt) {
			for range 20 {
				q.Attributes = append(q.Attributes, "Reply-Message += "+strings.Repeat("a", 250))
			}
		}, "a packet has room for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.try(engine.Circumstances{}, h.attempt(c.change))
			if !errors.Is(err, ErrAttempt) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSimulatedChallengeCannotBeAnswered keeps whoever may simulate from going on from a password that he only assumed.
func TestSimulatedChallengeCannotBeAnswered(t *testing.T) {
	h := newHouse(t)
	h.Put("kind: IdentityProvider\nname: local\nspec: {type: local, authentication: {matrix: [{first: Password, second: OTP}]}, profiles: {radius: {enabled: true}}}")
	device, err := otp.New(otp.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := factors.SealOTP(h.Keys, "alice", "token", &device)
	if err != nil {
		t.Fatal(err)
	}
	var b event.Builder
	if err := b.Add(event.TypeFactorPut, event.ClassIdentity, nil, &event.FactorPut{User: "alice", Id: "token", Kind: uint32(factors.OTP), Data: sealed}); err != nil {
		t.Fatal(err)
	}
	if r := h.Commit(b.Bytes()); r.Code != 0 {
		t.Fatalf("void: %s", r.Detail)
	}
	answer, err := h.try(engine.Circumstances{Verifier: h.Verifier.Assuming(true)}, h.attempt(nil))
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, p := range answer.Attributes {
		shown = append(shown, p.String())
	}
	if want := []string{"Reply-Message = Enter the one-time password of your token", "State = " + secret.Mark}; answer.Code != "Access-Challenge" || !slices.Equal(shown, want) {
		t.Errorf("%s %q", answer.Code, shown)
	}
	if _, err := h.try(engine.Circumstances{}, h.attempt(func(q *Attempt) { q.Attributes = []string{"State = 0x00"} })); !errors.Is(err, ErrAttempt) {
		t.Errorf("%v", err)
	}
}

func TestSimulationNeedsASecretThatIsGoodThen(t *testing.T) {
	h := newHouse(t)
	h.Put("kind: ServiceProvider\nname: core\nspec: {type: radius, radius: {sourceIPs: [192.0.2.0/24], secrets: [{value: testing123, notAfter: 2030-01-01T00:00:00Z}]}}")
	for year, want := range map[int]error{2029: nil, 2030: ErrSecret} {
		if _, err := h.try(engine.Circumstances{}, h.attempt(func(q *Attempt) { q.Time = time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) })); !errors.Is(err, want) {
			t.Errorf("%d: %v", year, err)
		}
	}
}

func TestSimulationWaitsForSlowVerificationUntilItsContextEnds(t *testing.T) {
	h := newHouse(t)
	h.Put("kind: UserType\nname: default\nspec: {password: {keep: [argon2id]}}")
	release := make(chan struct{})
	var err error
	if h.Verifier, err = credential.New(credential.Config{Keyring: h.Keys, Hasher: hasherFunc(func(j *credential.Job) {
		<-release
		j.Match = string(j.Password) == "wonderland"
		j.Done.Hashed(j)
	})}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sim := NewSimulator(standard(t), "test", h.Keys)
	q := h.attempt(func(q *Attempt) { q.User = "nobody" }) // whose decoy is slow
	c := engine.Circumstances{Verifier: h.Verifier.Aside(), Clock: func() time.Time { return time.Unix(0, 0) }}
	if _, err := sim.Try(ctx, h.Engine.Simulate(c), q); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	answer, err := sim.Try(context.Background(), h.Engine.Simulate(c), q)
	if err != nil || answer.Decided.Reason != string(trace.UserUnknown) {
		t.Errorf("%v, %v", answer, err)
	}
}

type hasherFunc func(j *credential.Job)

func (f hasherFunc) Submit(j *credential.Job) error {
	go f(j)
	return nil
}

func TestMethodsHaveTheirNames(t *testing.T) {
	for _, m := range []credential.Method{credential.PAP, credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2, credential.NoProof} {
		if got, err := ParseMethod(strings.ToUpper(m.String())); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMethod("eap"); !errors.Is(err, ErrAttempt) {
		t.Errorf("%v", err)
	}
}
