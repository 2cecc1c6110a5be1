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

// Choose returns the matrix that holds, and the rule that chose it, or nil for the default. Where a rule fails, rule is that one and
// err says why.
func (p *Policy) Choose(f *Facts) (m *Matrix, rule *Rule, err error) {
	for i := range p.Rules {
		r := &p.Rules[i]
		holds, err := r.Holds(f)
		if err != nil {
			return nil, r, err
		}
		if holds {
			return r.Matrix, r, nil
		}
	}
	return p.Default, nil, nil
}
