package attribute

import (
	"math/bits"
	"slices"
	"strings"

	"trine/engine/trace"
)

// Definition is a compiled attribute definition. It is immutable and shared by all caches between two changes of its document.
type Definition struct {
	Name       string
	ShortName  string
	OID        string
	OpenIDName string
	RadiusID   string
	ClaimURI   string
	CASName    string
	Wire       any   // what the packet protocol made of RadiusID; nil if it has none
	Broken     error // why the definition could not be compiled; it is then released to nobody

	source      Source
	custom      string       // the name of the custom attribute
	computation *Computation // what makes the values instead; nil if nothing does
	slot        int          // its place in Facts.spans: no two definitions of a set have the same, unless they have the same values
}

// Source returns where the definition's values come from.
func (d *Definition) Source() Source { return d.source }

// Rule is one attribute of a sharing policy.
type Rule struct {
	Attribute *Definition
	Allow     bool
	Condition *Condition // not evaluated where Allow is false
}

// Policy is a compiled sharing policy. It is immutable.
type Policy struct {
	Name      string
	Condition *Condition
	Rules     []Rule
	// Broken says why the policy could not be compiled. Its attributes are then hidden from everybody, since it may have been
	// meant to hide them; Rules has one rule for each that exists, with Allow false.
	Broken error
}

// Released is an attribute with the values that a service provider may see, at least one.
type Released struct {
	Attribute *Definition
	Values    [][]byte
}

// View is a set of policies as one requester and one issuer meet them: what depends on these two alone is decided already. It
// is immutable.
type View struct {
	attributes []*Definition // what can be released at all, by name; an attribute's place here is its bit
	slots      []int         // of these
	room       int           // no slot is as large
	words      int
	allow      []uint64 // released whatever the request, unless hidden
	settled    []ruling // what is released or hidden whatever the request, for the trace
	policies   []viewPolicy
}

// ruling is what a policy says of an attribute.
type ruling struct {
	step              trace.StepCode
	attribute, policy string
}

// viewPolicy is a policy whose condition, or that of one of its rules, depends on the request.
type viewPolicy struct {
	policy    *Policy
	condition *Condition
	allow     []uint64 // released where the condition holds
	deny      []uint64 // hidden where the condition holds; nil if none
	rules     []viewRule
}

// viewRule allows one attribute under a condition of its own.
type viewRule struct {
	bit       int
	condition *Condition
}

// NewView compiles the view of policies that a requester and an issuer have. With sent, only attributes for which it is true
// are considered.
func NewView(policies []*Policy, requester, issuer *Party, sent func(*Definition) bool) *View {
	applicable := make([]viewPolicy, 0, len(policies))
	hidden := map[*Definition]bool{} // whatever the request
	v := new(View)
	for _, p := range policies {
		o, condition := p.Condition.reduce(requester, issuer)
		if p.Broken != nil {
			o, condition = always, nil
		}
		if o == never {
			continue
		}
		applicable = append(applicable, viewPolicy{policy: p, condition: condition})
		for _, r := range p.Rules {
			switch {
			case !r.Allow && condition == nil:
				hidden[r.Attribute] = true
				v.settled = append(v.settled, ruling{trace.AttributeDenied, r.Attribute.Name, p.Name})
			case r.Allow && r.Attribute.Broken == nil && (sent == nil || sent(r.Attribute)):
				v.attributes = append(v.attributes, r.Attribute)
			}
		}
	}
	slices.SortFunc(v.attributes, func(a, b *Definition) int { return strings.Compare(a.Name, b.Name) })
	v.attributes = slices.DeleteFunc(slices.Compact(v.attributes), func(d *Definition) bool { return hidden[d] })
	for _, d := range v.attributes {
		v.slots = append(v.slots, d.slot)
		v.room = max(v.room, d.slot+1)
	}
	v.words = (len(v.attributes) + 63) / 64
	v.allow = make([]uint64, v.words)
	for _, vp := range applicable {
		v.add(vp, requester, issuer)
	}
	v.policies = slices.DeleteFunc(v.policies, v.settles)
	// Policies that hide come first: what they hide needs no further condition.
	slices.SortStableFunc(v.policies, func(a, b viewPolicy) int { return hides(b) - hides(a) })
	return v
}

// settles reports whether all that a policy could release is released without it, and it hides nothing.
func (v *View) settles(p viewPolicy) bool {
	if p.deny != nil {
		return false
	}
	for w, allow := range p.allow {
		if allow&^v.allow[w] != 0 {
			return false
		}
	}
	for _, r := range p.rules {
		if v.allow[r.bit/64]&(1<<(r.bit%64)) == 0 {
			return false
		}
	}
	return true
}

func hides(p viewPolicy) int {
	if p.deny != nil {
		return 1
	}
	return 0
}

// add compiles one policy that applies, or may apply, into the view.
func (v *View) add(vp viewPolicy, requester, issuer *Party) {
	vp.allow = make([]uint64, v.words)
	counts := false
	for _, r := range vp.policy.Rules {
		bit := slices.Index(v.attributes, r.Attribute)
		if bit < 0 {
			continue
		}
		if !r.Allow {
			if vp.deny == nil {
				vp.deny = make([]uint64, v.words)
			}
			vp.deny[bit/64] |= 1 << (bit % 64)
			counts = true
			continue
		}
		o, condition := r.Condition.reduce(requester, issuer)
		switch {
		case o == always && vp.condition == nil:
			v.allow[bit/64] |= 1 << (bit % 64)
			v.settled = append(v.settled, ruling{trace.AttributeAllowed, r.Attribute.Name, vp.policy.Name})
		case o == always:
			vp.allow[bit/64] |= 1 << (bit % 64)
			counts = true
		case o == open:
			vp.rules = append(vp.rules, viewRule{bit: bit, condition: condition})
			counts = true
		}
	}
	if counts {
		v.policies = append(v.policies, vp)
	}
}

// Release appends the attributes that the policies release for f, in the order of their names, each with at least one value.
// First each policy's condition is evaluated; where it holds, those of its attributes that it hides are hidden whatever else
// allows them, and those that it allows are released where their own condition holds. No policy: nothing is released. It does
// not allocate once f's buffers have grown; the values are valid until f.Reset.
func (v *View) Release(dst []Released, f *Facts) []Released {
	if f.Trace != nil {
		for _, r := range v.settled {
			f.Trace.Add(r.step, r.attribute, r.policy)
		}
	}
	if len(v.attributes) == 0 {
		return dst
	}
	f.allow = append(f.allow[:0], v.allow...)
	f.deny = f.deny[:0]
	for range v.words {
		f.deny = append(f.deny, 0)
	}
	for i := range v.policies {
		v.policies[i].apply(v, f)
	}
	f.grow(v.room)
	spans, values, generation := f.spans, f.values, f.generation
	for w := range v.words {
		for left := f.allow[w] &^ f.deny[w]; left != 0; left &= left - 1 {
			bit := w*64 + bits.TrailingZeros64(left)
			d, s := v.attributes[bit], &spans[v.slots[bit]]
			if s.Mark != generation {
				f.find(d)
				spans, values = f.spans, f.values
				s = &spans[v.slots[bit]]
			}
			if s.From < s.To {
				dst = append(dst, Released{Attribute: d, Values: values[s.From:s.To:s.To]})
			} else if f.Trace != nil {
				f.Trace.Add(trace.AttributeEmpty, d.Name, "")
			}
		}
	}
	return dst
}

// apply adds to f.allow and f.deny what the policy says, evaluating no condition that can change nothing.
func (p *viewPolicy) apply(v *View, f *Facts) {
	if !p.matters(f) || !p.condition.Eval(f) {
		return
	}
	if f.Trace != nil {
		f.Trace.Add(trace.PolicyMatched, p.policy.Name, "")
	}
	for w, allow := range p.allow {
		p.record(v, f, trace.AttributeAllowed, w, allow&^(f.allow[w]|f.deny[w]))
		f.allow[w] |= allow
	}
	for w, deny := range p.deny {
		p.record(v, f, trace.AttributeDenied, w, deny&^f.deny[w])
		f.deny[w] |= deny
	}
	for _, r := range p.rules {
		w, bit := r.bit/64, uint64(1)<<(r.bit%64)
		if (f.allow[w]|f.deny[w])&bit == 0 && r.condition.Eval(f) {
			p.record(v, f, trace.AttributeAllowed, w, bit)
			f.allow[w] |= bit
		}
	}
}

// record adds a step for each attribute of a word of bits to the trace, if there is one.
func (p *viewPolicy) record(v *View, f *Facts, code trace.StepCode, word int, set uint64) {
	if f.Trace == nil {
		return
	}
	for ; set != 0; set &= set - 1 {
		f.Trace.Add(code, v.attributes[word*64+bits.TrailingZeros64(set)].Name, p.policy.Name)
	}
}

// matters reports whether the policy could change the outcome so far.
func (p *viewPolicy) matters(f *Facts) bool {
	for w, deny := range p.deny {
		if deny&^f.deny[w] != 0 {
			return true
		}
	}
	for w, allow := range p.allow {
		if allow&^(f.allow[w]|f.deny[w]) != 0 {
			return true
		}
	}
	for _, r := range p.rules {
		if uint64(1)<<(r.bit%64)&^(f.allow[r.bit/64]|f.deny[r.bit/64]) != 0 {
			return true
		}
	}
	return false
}
