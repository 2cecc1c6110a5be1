package policy

import (
	"errors"
	"fmt"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/trace"
)

// Rule is one rule of a service provider's authorization policy.
type Rule struct {
	Name   string
	Reply  any // nil if it has none
	Reject bool
	// Commands is its list of commands; empty if it has none.
	Commands Commands

	condition *attribute.Condition
}

// Authorize returns the first rule of the client's authorization policy whose condition holds, or nil if there is none. It records which
// one that is, and of the rules before it the first with what of its condition did not hold. It does not allocate.
func (cl *Client) Authorize(f *attribute.Facts, t *trace.Trace) *Rule {
	f.Requester = cl.party
	if cl.Issuer != nil {
		f.Issuer = cl.Issuer.party
	}
	for i := range cl.rules {
		r := &cl.rules[i]
		if r.condition.Eval(f) {
			does := "lets in"
			if r.Reject {
				does = "refuses"
			}
			t.Add(trace.RuleMatched, r.Name, does)
			return r
		}
		if i == 0 {
			t.Add(trace.RuleUnmatched, r.Name, r.condition.Why(f))
		}
	}
	if len(cl.rules) > 0 {
		t.Add(trace.NoRuleMatched, cl.Name, "")
	}
	return nil
}

// HasRules reports whether the client has an authorization policy.
func (cl *Client) HasRules() bool { return len(cl.rules) > 0 }

// rules compiles an authorization policy, whose replies are compiled already.
func (m *model) rules(env *environment, o *clientObject) ([]Rule, error) {
	spec := o.document.Spec.(*document.ServiceProvider)
	if len(spec.AuthorizationPolicy) == 0 || len(o.replies) == 0 { // or nobody speaks the protocol
		return nil, nil
	}
	names := &attribute.RequestNames{Group: m.groupNumbers.of, Role: m.roleNumbers.of, Attribute: env.wires[spec.Type].Asked}
	rules := make([]Rule, len(spec.AuthorizationPolicy))
	var problems []error
	for i := range spec.AuthorizationPolicy {
		from := &spec.AuthorizationPolicy[i]
		condition, err := attribute.NewRequestCondition(fmt.Sprintf("%s %s (rule %s)", document.KindServiceProvider, o.document.Name, from.Name), from.Condition, m.definition, names)
		if err != nil {
			problems = append(problems, attribute.InField(fmt.Sprintf("authorizationPolicy[%d].condition", i), err))
		}
		commands, err := newCommands(fmt.Sprintf("authorizationPolicy[%d].commands", i), from.Commands)
		if err != nil {
			problems = append(problems, err)
		}
		rules[i] = Rule{Name: from.Name, Reply: o.replies[i], Reject: from.Reject, Commands: commands, condition: condition}
	}
	return rules, errors.Join(problems...)
}

// ruleReplies compiles the replies of an authorization policy.
func (env *environment) ruleReplies(spec *document.ServiceProvider) ([]any, error) {
	replies := make([]any, len(spec.AuthorizationPolicy))
	var problems []error
	for i, rule := range spec.AuthorizationPolicy {
		if len(rule.Reply) == 0 {
			continue
		}
		var err error
		if replies[i], err = env.reply(spec.Type, rule.Reply); err != nil {
			problems = append(problems, attribute.InField(fmt.Sprintf("authorizationPolicy[%d].reply", i), err))
		}
	}
	return replies, errors.Join(problems...)
}

// ruleNeeds returns the names of the attribute definitions that an authorization policy asks for.
func ruleNeeds(spec *document.ServiceProvider) (names []string) {
	for _, rule := range spec.AuthorizationPolicy {
		rule.Condition.Walk(func(c *document.Condition) {
			if c.Test == document.TestAttributeValue {
				names = append(names, c.Name)
			}
		})
	}
	return names
}

// access is who may use an identity provider.
type access struct {
	issuer    string
	groups    []uint32
	userTypes []string
	roleBased bool
}

func (m *model) access(name string, spec *document.Access) (out []access) {
	if spec == nil {
		return nil
	}
	a := access{issuer: name, userTypes: spec.UserTypes, roleBased: spec.RoleBased}
	for _, g := range spec.Groups {
		a.groups = append(a.groups, m.groupNumbers.of(g))
	}
	return []access{a}
}

// MayUse reports whether the person may use an identity provider, given the name of his user type. If not, it returns which identity provider,
// itself or the one above it, keeps him out, and by which field.
func (p *Person) MayUse(i *Issuer, userType []byte) (ok bool, issuer, field string) {
	for k := range i.access {
		if a := &i.access[k]; !p.meets(a, userType, &field) {
			return false, a.issuer, field
		}
	}
	return true, "", ""
}

func (p *Person) meets(a *access, userType []byte, field *string) bool {
	if *field = "groups"; len(a.groups) > 0 {
		found := false
		for _, g := range a.groups {
			found = found || p.In(g)
		}
		if !found {
			return false
		}
	}
	if *field = "userTypes"; len(a.userTypes) > 0 {
		found := false
		for _, t := range a.userTypes {
			found = found || t == string(userType)
		}
		if !found {
			return false
		}
	}
	*field = "roleBased"
	return !a.roleBased || len(p.roles) > 0
}
