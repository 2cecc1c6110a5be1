package login

// Policy is which factors an identity provider asks for: a matrix, and rules that choose another one. It is immutable.
type Policy struct {
	Default *Matrix
	Rules   []Rule
}

// Trivial reports whether a password is enough whatever the circumstances, so that nothing need be asked of them.
func (p *Policy) Trivial() bool {
	return p == nil || len(p.Rules) == 0 && p.Default.Satisfied(SetOf(Password))
}

// Choose evaluates the rules in their order, from the one of a number on. It returns the number of the first whose condition is true, so that its
// matrix holds; len(Rules) where there is none, so that the default does. A condition that is a script is not evaluated: Choose returns the number of
// that rule, and scripted. Whoever decides has the script run and, if it yields false, asks anew from the rule behind. Where a rule fails, it is that
// one's number, and err says why.
func (p *Policy) Choose(f *Facts, from int) (rule int, scripted bool, err error) {
	for i := from; i < len(p.Rules); i++ {
		r := &p.Rules[i]
		if r.Scripted() {
			return i, true, nil
		}
		if holds, err := r.Holds(f); holds || err != nil {
			return i, false, err
		}
	}
	return len(p.Rules), false, nil
}

// Matrix returns the matrix of the rule of a number; the default one for len(Rules).
func (p *Policy) Matrix(rule int) *Matrix {
	if rule < len(p.Rules) {
		return p.Rules[rule].Matrix
	}
	return p.Default
}
