package login

import (
	"testing"
	"time"

	"trine/engine/trace"
)

func TestStepUpAsksOnlyForWhatIsMissing(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(f Factor, by time.Duration) Proven { return Proven{Factor: f, At: now.Add(-by)} }
	list := func(p ...Proven) []Proven { return p }
	all := ^Set(0)
	plain, both := []Way{{First: Password}}, []Way{{Password, OTP}}
	choice := []Way{{Password, OTP}, {Password, SMS}, {FIDO, NoFactor}}
	for _, c := range []struct {
		name     string
		ways     []Way
		trusting bool
		demand   Demand
		session  []Proven
		now      []Proven
		possible Set
		device   bool
		way      Set // satisfied by
		next     Set
		reason   trace.Reason
		class    string
		stands   Factor
	}{
		{name: "no session", ways: plain, next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "session that has it", ways: plain, session: list(ago(Password, time.Hour)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "the first factor comes before the second", ways: both, next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "session of a weaker identity provider", ways: both, session: list(ago(Password, time.Hour)), next: SetOf(OTP), reason: trace.FactorNeeded},
		{name: "session that has only the second factor", ways: both, session: list(ago(OTP, time.Hour)), next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "session and what was proved since", ways: both, session: list(ago(Password, time.Hour)), now: list(ago(OTP, 0)), way: SetOf(Password, OTP), reason: trace.OK, class: ClassTimeSync},
		{name: "choice", ways: choice, session: list(ago(Password, time.Hour)), next: SetOf(OTP, SMS, FIDO), reason: trace.FactorNeeded},
		{name: "choice of what he has", ways: choice, session: list(ago(Password, time.Hour)), possible: SetOf(Password, SMS), next: SetOf(SMS), reason: trace.FactorNeeded},
		{name: "nothing that he has", ways: both, session: list(ago(Password, time.Hour)), possible: SetOf(Password, SMS), reason: trace.FactorNotEnrolled},
		{name: "a way whose second factor he lacks is no way to begin", ways: both, possible: SetOf(Password), reason: trace.FactorNotEnrolled},
		{name: "matrix without a way", reason: trace.FactorRefused},

		{name: "max_age not over", ways: plain, demand: Demand{Bounded: true, MaxAge: time.Hour}, session: list(ago(Password, time.Hour)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "max_age over", ways: plain, demand: Demand{Bounded: true, MaxAge: time.Minute}, session: list(ago(Password, time.Hour)), next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "max_age over for one of two", ways: both, demand: Demand{Bounded: true, MaxAge: time.Minute}, session: list(ago(Password, time.Hour), ago(OTP, time.Second)), next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "max_age of nothing", ways: plain, demand: Demand{Bounded: true}, session: list(ago(Password, time.Second)), next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "max_age of nothing, proved since", ways: plain, demand: Demand{Bounded: true}, now: list(ago(Password, time.Second)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "forced", ways: plain, demand: Demand{Force: true}, session: list(ago(Password, 0)), next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "forced, and done", ways: plain, demand: Demand{Force: true}, session: list(ago(Password, time.Hour)), now: list(ago(Password, 0)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "passive without a session", ways: plain, demand: Demand{Passive: true}, reason: trace.LoginRequired},
		{name: "passive with a session that is enough", ways: plain, demand: Demand{Passive: true}, session: list(ago(Password, time.Hour)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "passive with a session that is not", ways: both, demand: Demand{Passive: true}, session: list(ago(Password, time.Hour)), reason: trace.StepUpRequired},
		{name: "passive and forced", ways: plain, demand: Demand{Passive: true, Force: true}, session: list(ago(Password, time.Hour)), reason: trace.LoginRequired},

		{name: "class that the matrix gives", ways: both, demand: Demand{Classes: []string{ClassTimeSync}}, session: list(ago(Password, 0)), next: SetOf(OTP), reason: trace.FactorNeeded},
		{name: "class above the matrix", ways: plain, demand: Demand{Classes: []string{ClassX509}}, session: list(ago(Password, 0)), next: SetOf(Certificate, FIDO), reason: trace.FactorNeeded},
		{name: "class above the matrix, reached", ways: plain, demand: Demand{Classes: []string{ClassX509}}, session: list(ago(Password, 0), ago(FIDO, 0)), way: SetOf(Password, FIDO), reason: trace.OK, class: ClassX509},
		{name: "exactly, where more was proved", ways: plain, demand: Demand{Classes: []string{ClassPassword}}, session: list(ago(Password, 0), ago(OTP, 0)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "at least", ways: plain, demand: Demand{Classes: []string{ClassKerberos}, Comparison: Minimum}, session: list(ago(Password, 0), ago(OTP, 0)), way: SetOf(Password, OTP), reason: trace.OK, class: ClassTimeSync},
		{name: "better", ways: []Way{{First: Password}, {Password, OTP}}, demand: Demand{Classes: []string{ClassPassword}, Comparison: Better}, session: list(ago(Password, 0)), possible: SetOf(OTP), next: SetOf(OTP), reason: trace.FactorNeeded},
		{name: "no stronger than", ways: []Way{{Password, OTP}, {First: Password}}, demand: Demand{Classes: []string{ClassPassword}, Comparison: Maximum}, session: list(ago(Password, 0)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "no stronger than what the matrix asks for at least", ways: both, demand: Demand{Classes: []string{ClassPassword}, Comparison: Maximum}, reason: trace.ContextUnmet},
		{name: "class that nobody knows", ways: plain, demand: Demand{Classes: []string{"phr"}}, session: list(ago(Password, 0)), reason: trace.ContextUnmet},
		{name: "class that nobody knows, voluntary", ways: plain, demand: Demand{Classes: []string{"phr"}, Voluntary: true}, session: list(ago(Password, 0)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "a previous session", ways: plain, demand: Demand{Classes: []string{ClassPrevious}}, session: list(ago(Password, 0)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "a password over TLS is a password", ways: plain, demand: Demand{Classes: []string{samlClass + "Password"}}, session: list(ago(Password, 0)), way: SetOf(Password), reason: trace.OK, class: ClassPassword},

		{name: "trusted device", ways: both, trusting: true, device: true, session: list(ago(Password, 0)), way: SetOf(Password, OTP), reason: trace.OK, class: ClassTimeSync, stands: OTP},
		{name: "trusted device of somebody without the factor", ways: both, trusting: true, device: true, possible: SetOf(Password), next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "trusted device before the first factor", ways: both, trusting: true, device: true, next: SetOf(Password), reason: trace.FactorNeeded},
		{name: "trusted device where the matrix does not say so", ways: both, device: true, session: list(ago(Password, 0)), next: SetOf(OTP), reason: trace.FactorNeeded},
		{name: "what a device has stood for", ways: both, trusting: true, session: list(ago(Password, 0), Proven{Factor: OTP, At: now, Device: true}), way: SetOf(Password, OTP), reason: trace.OK, class: ClassTimeSync},
		{name: "what a device has stood for, elsewhere", ways: both, session: list(ago(Password, 0), Proven{Factor: OTP, At: now, Device: true}), next: SetOf(OTP), reason: trace.FactorNeeded},
		{name: "what a device has stood for, and a way without", ways: plain, session: list(ago(Password, 0), Proven{Factor: OTP, At: now, Device: true}), way: SetOf(Password), reason: trace.OK, class: ClassPassword},
		{name: "matrix that says so, and no device", ways: both, trusting: true, session: list(ago(Password, 0)), next: SetOf(OTP), reason: trace.FactorNeeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMatrix(c.ways...)
			if c.trusting {
				m.Trust(c.ways[0])
			}
			if c.possible == 0 {
				c.possible = all
			}
			s := c.demand.Weigh(&Circumstance{Matrix: m, Session: c.session, Now: c.now, Possible: c.possible, Trusted: c.device, At: now})
			if s.Satisfied != (c.way != 0) || s.Way != c.way || s.Next != c.next || s.Reason != c.reason || s.Class != c.class || s.Device != c.stands {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestTimeOfALoginIsThatOfItsOldestFactor(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first, second := Proven{Factor: Password, At: now.Add(-time.Hour)}, Proven{Factor: OTP, At: now}
	d := Demand{}
	s := d.Weigh(&Circumstance{Matrix: NewMatrix(Way{Password, OTP}), Session: []Proven{first}, Now: []Proven{second}, Possible: ^Set(0), At: now})
	if !s.Since.Equal(first.At) || s.Fresh {
		t.Errorf("%+v", s)
	}
	s = d.Weigh(&Circumstance{Matrix: NewMatrix(Way{First: OTP}), Session: []Proven{first}, Now: []Proven{second}, Possible: ^Set(0), At: now})
	if !s.Since.Equal(now) || !s.Fresh || len(s.Proofs) != 2 {
		t.Errorf("what the session has beside it is lost, or counts: %+v", s)
	}
}
