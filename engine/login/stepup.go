package login

import (
	"slices"
	"time"

	"trine/engine/trace"
)

// Proven is a factor that was proved at some time, or for which a trusted device stood.
type Proven struct {
	Factor Factor
	At     time.Time
	Login  uint64 // the decision by which it counts
	Device bool   // a trusted device stood for it
}

// Demand is what a service provider or one of its requests asks of a login beside the matrix (OpenID Connect Core 1.0 section 3.1.2.1; SAML 2.0 Core
// section 3.4.1). The zero Demand asks for nothing.
type Demand struct {
	// Classes are authentication contexts (acr_values, RequestedAuthnContext), of which one has to be met as Comparison says; none: any will do.
	Classes    []string
	Comparison Comparison
	// Voluntary lets a login go on that can meet no class (acr_values that are no essential claim).
	Voluntary bool
	// Bounded says that no factor counts that was proved longer ago than MaxAge (max_age).
	Bounded bool
	MaxAge  time.Duration
	// Force lets no factor count that was proved before the request (prompt=login, ForceAuthn).
	Force bool
	// Passive says that the person must not be asked for anything (prompt=none, IsPassive).
	Passive bool
}

// Circumstance is what a demand is weighed by.
type Circumstance struct {
	Matrix   *Matrix
	Session  []Proven // what the session brings
	Now      []Proven // what was proved since the request
	Possible Set      // what the person can be asked for
	Trusted  bool     // he has a trusted device with him
	At       time.Time
}

// Standing is what a demand comes to.
type Standing struct {
	Satisfied bool
	Way       Set      // the factors that satisfy it
	Device    Factor   // of them, the one for which the trusted device has to stand now; NoFactor if none
	Fresh     bool     // all of them were proved since the request
	Class     string   // the authentication context that they are; that of the demand where it asks for one
	Proofs    []Proven // all that count, each factor once
	Since     time.Time

	// Where it is not satisfied: the factors of which one is wanted next, or why there are none.
	Next    Set
	Missing Set // the factors that would be wanted next, could the person be asked for them
	Reason  trace.Reason
}

// Weigh says whether what was proved is enough, and else what is to be asked for next: only what is missing of a way, and its first factor before its
// second.
func (d *Demand) Weigh(c *Circumstance) (s Standing) {
	s.Proofs = d.counted(c)
	var proved, stood Set
	for _, p := range s.Proofs {
		if p.Device {
			stood |= SetOf(p.Factor)
		} else {
			proved |= SetOf(p.Factor)
		}
	}
	var wanted, open, unmet Set
	for _, w := range d.wanted(c.Matrix) {
		left := w.all &^ proved
		if w.trusting { // what a device has stood for counts where a device may stand
			left &^= stood & SetOf(w.Second)
		}
		device := NoFactor
		if left != 0 && w.trusting && c.Trusted && left.Has(w.Second) && w.Second != NoFactor {
			left, device = left&^SetOf(w.Second), w.Second
		}
		if left == 0 {
			s.satisfy(d, c, w, device)
			return s
		}
		next := left
		if left.Has(w.First) {
			next = SetOf(w.First)
		} else if left.Has(w.Second) {
			next = SetOf(w.Second)
		}
		if wanted |= next; left&^c.Possible == 0 {
			open |= next
		} else {
			unmet |= left &^ c.Possible
		}
	}
	s.Next, s.Missing = open, wanted
	switch {
	case wanted == 0 && len(d.Classes) > 0 && len(c.Matrix.cells) > 0:
		s.Reason = trace.ContextUnmet
	case wanted == 0:
		s.Reason = trace.FactorRefused
	case d.Passive && proved|stood == 0:
		s.Next, s.Reason = 0, trace.LoginRequired
	case d.Passive:
		s.Next, s.Reason = 0, trace.StepUpRequired
	case open == 0:
		s.Missing, s.Reason = unmet, trace.FactorNotEnrolled
	default:
		s.Reason = trace.FactorNeeded
	}
	return s
}

// satisfy fills in a standing by the way that is satisfied.
func (s *Standing) satisfy(d *Demand, c *Circumstance, w want, device Factor) {
	s.Satisfied, s.Way, s.Device, s.Reason = true, w.all, device, trace.OK
	s.Fresh = true
	if device != NoFactor {
		s.Proofs = append(s.Proofs, Proven{Factor: device, At: c.At, Device: true})
	}
	var all Set
	for _, p := range s.Proofs {
		if !p.Device || w.all.Has(p.Factor) {
			all |= SetOf(p.Factor)
		}
		if !w.all.Has(p.Factor) {
			continue
		}
		if s.Since.IsZero() || p.At.Before(s.Since) {
			s.Since = p.At
		}
		fresh := p.Factor == device || slices.ContainsFunc(c.Now, func(n Proven) bool { return n.Factor == p.Factor })
		s.Fresh = s.Fresh && fresh
	}
	if s.Class = ClassOf(all); len(d.Classes) > 0 && !d.meets(all) && d.meets(w.all) { // more was proved than may be told
		s.Class = ClassOf(w.all)
	}
}

// counted returns the factors that count, each with the time at which it was proved last, in the order of the factors.
func (d *Demand) counted(c *Circumstance) (list []Proven) {
	add := func(p Proven) {
		i := slices.IndexFunc(list, func(o Proven) bool { return o.Factor == p.Factor })
		switch {
		case i < 0:
			list = append(list, p)
		case list[i].Device && !p.Device, p.Device == list[i].Device && p.At.After(list[i].At): // a device does not take the place of a proof
			list[i] = p
		}
	}
	for _, p := range c.Session {
		if !d.Force && (!d.Bounded || c.At.Sub(p.At) <= d.MaxAge) {
			add(p)
		}
	}
	for _, p := range c.Now {
		add(p)
	}
	slices.SortFunc(list, func(a, b Proven) int { return int(a.Factor) - int(b.Factor) })
	return list
}

// want is the factors that are wanted for a way.
type want struct {
	cell
	all Set
}

// wanted returns the ways that meet the demand. A way of the matrix that does not is wanted with one more factor where that helps.
func (d *Demand) wanted(m *Matrix) (list []want) {
	for _, w := range m.cells {
		if all := w.Set(); len(d.Classes) == 0 || d.meets(all) {
			list = append(list, want{w, all})
		}
	}
	if len(d.Classes) == 0 {
		return list
	}
	for _, w := range m.cells {
		if d.meets(w.Set()) {
			continue
		}
		for f := Factor(1); f < factors; f++ {
			if all := w.Set() | SetOf(f); d.meets(all) && !slices.ContainsFunc(list, func(o want) bool { return all&o.all == o.all }) {
				list = append(list, want{w, all})
			}
		}
	}
	if len(list) == 0 && d.Voluntary {
		for _, w := range m.cells {
			list = append(list, want{w, w.Set()})
		}
	}
	return list
}

// Comparison says how authentication contexts are compared (SAML 2.0 Core section 3.3.2.2.1).
type Comparison uint8

// The comparisons.
const (
	Exact   Comparison = iota // one of those that are named
	Minimum                   // as strong as one of them at least
	Better                    // stronger than all of them
	Maximum                   // no stronger than one of them
)

const samlClass = "urn:oasis:names:tc:SAML:2.0:ac:classes:"

// The authentication contexts that logins can have, the weakest first (SAML 2.0 Authentication Context section 3.4). PreviousSession is any of them.
const (
	ClassUnspecified = samlClass + "unspecified"
	ClassPassword    = samlClass + "PasswordProtectedTransport"
	ClassKerberos    = samlClass + "Kerberos"
	ClassTimeSync    = samlClass + "TimeSyncToken"
	ClassX509        = samlClass + "X509"
	ClassPrevious    = samlClass + "PreviousSession"
)

// strengths returns the classes from the weakest to the strongest.
func strengths() [5]string {
	return [...]string{ClassUnspecified, ClassPassword, ClassKerberos, ClassTimeSync, ClassX509}
}

// ClassOf returns the class of the strongest of some factors; empty for none. What is sent or shown for one login counts as a one-time password, as a PIN
// does, and FIDO as a certificate.
func ClassOf(s Set) string {
	switch {
	case s&SetOf(Certificate, FIDO) != 0:
		return ClassX509
	case s&SetOf(OTP, Email, SMS, PIN, Push) != 0:
		return ClassTimeSync
	case s.Has(Kerberos):
		return ClassKerberos
	case s.Has(Password):
		return ClassPassword
	case s.Has(ExternalIdP):
		return ClassUnspecified
	}
	return ""
}

// strength returns how strong a class is; -1 for one that no login has. A password always comes over TLS, and a client certificate by way of it.
func strength(class string) int {
	switch class {
	case samlClass + "Password":
		class = ClassPassword
	case samlClass + "TLSClient":
		class = ClassX509
	case ClassPrevious:
		return 0
	}
	all := strengths()
	return slices.Index(all[:], class)
}

// meets reports whether factors are of a class that is asked for.
func (d *Demand) meets(s Set) bool {
	have := strength(ClassOf(s))
	best, known := -1, false
	for _, class := range d.Classes {
		n := strength(class)
		if n < 0 {
			continue
		}
		best, known = max(best, n), true
		switch {
		case class == ClassPrevious && d.Comparison != Better,
			d.Comparison == Exact && have == n,
			d.Comparison == Minimum && have >= n,
			d.Comparison == Maximum && have <= n:
			return true
		}
	}
	return known && d.Comparison == Better && have > best
}
