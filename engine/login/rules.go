package login

import (
	"sync"
	"time"

	"trine/engine/script"
)

// Rule chooses a matrix where its condition is true.
type Rule struct {
	Name   string // its description, or its place in the list
	Matrix *Matrix

	expression *script.Expression
	script     *script.Script // where there is no expression
}

// NewRule compiles a rule whose condition is an expression or, where that is empty, a script. The error is a *script.SyntaxError.
func NewRule(name, expression, source string, m *Matrix) (Rule, error) {
	r := Rule{Name: name, Matrix: m}
	var err error
	if expression != "" {
		r.expression, err = environment().Expression(expression, script.Bool)
	} else {
		r.script, err = environment().Script(source, script.Bool)
	}
	return r, err
}

// Scripted reports whether the condition is a script, so that it takes a job to evaluate it.
func (r *Rule) Scripted() bool { return r.script != nil }

// Holds evaluates a condition that is an expression. An error refuses the login: a rule that cannot be evaluated may be the one that asks for more.
func (r *Rule) Holds(f *Facts) (bool, error) {
	v, err := r.expression.Eval(values{f})
	return v.Bool, err
}

// Job fills in the job that evaluates a condition that is a script. The facts must stay as they are until it is submitted.
func (r *Rule) Job(j *script.Job, f *Facts) { j.Script, j.Values = r.script, values{f} }

// Warnings says which forms of the handbook's language a script is read without.
func (r *Rule) Warnings() []string {
	if r.script == nil {
		return nil
	}
	return r.script.Warnings()
}

// variable is one variable of conditions, with what it is for people and where it comes from.
type variable struct {
	name string
	of   script.Type
	is   string
	from func(f *Facts) any
}

// has returns a variable that says whether the user has a factor.
func has(name string, factor Factor, is string) variable {
	return variable{name, script.Bool, is, func(f *Facts) any { return f.Has.Has(factor) }}
}

// variables are what conditions of adaptive rules can ask, by the names that the handbook's users know.
func variables() []variable {
	return []variable{
		{"user", script.Text, "the user's name; the name as it was looked up where nobody has it", func(f *Facts) any { return f.User }},
		{"serviceProvider", script.Text, "the public id of the service provider", func(f *Facts) any { return f.ServiceProvider }},
		{"identityProvider", script.Text, "the public id of the identity provider", func(f *Facts) any { return f.IdentityProvider }},
		{"ipAddress", script.Text, "the address that the request came from", func(f *Facts) any { return f.Address.String() }},
		{"remoteHost", script.Text, "what the device calls itself (Calling-Station-Id), else the address", func(f *Facts) any { return f.Host }},
		{"newDevice", script.Bool, "no login of the user from this host is remembered", func(f *Facts) any { return f.NewDevice }},
		{"deviceCertificate", script.Bool, "the device proved itself with a certificate", func(f *Facts) any { return f.DeviceCertificate }},
		{"sourceCountry", script.Text, "ISO code of the country that the login comes from, by the address in Calling-Station-Id where there is one and else by that of the request; empty where it is not known", func(f *Facts) any { return f.Country }},
		{"sameCountry", script.Bool, "the login before came from the same country; true where either is not known", func(f *Facts) any {
			return f.Country == "" || f.LastCountry == "" || f.Country == f.LastCountry
		}},
		{"geoInformation", script.Text, "city, region and country that the login comes from, as far as they are known", func(f *Facts) any { return f.Place }},
		{"displacement", script.Float, "kilometres from where the login before came from; 0 where either place is not known", func(f *Facts) any { return f.Displacement }},
		{"displacementSpeed", script.Float, "kilometres an hour since the login before", func(f *Facts) any { return f.Speed() }},
		{"failuresForSameIp", script.Int, "logins from the address that failed within the hour, on this node", func(f *Facts) any { return int64(f.FailuresOfAddress) }},
		{"failuresForSameUser", script.Int, "logins under the name that failed within the hour, on this node, or that count towards a lock", func(f *Facts) any { return int64(f.FailuresOfUser) }},
		{"failuresRatio", script.Float, "the share of this node's logins that failed within the last minutes, 0 to 1", func(f *Facts) any { return f.FailuresRatio }},
		{"secondsSinceLastFail", script.Int, "since a login under the name failed; -1 where none is known", func(f *Facts) any {
			if f.LastFailure.IsZero() {
				return int64(-1)
			}
			return int64(f.Now.Sub(f.LastFailure) / time.Second)
		}},
		{"dayOfWeek", script.Int, "1 on Sunday to 7 on Saturday, in the node's time zone", func(f *Facts) any { return int64(f.Now.Weekday()) + 1 }},
		{"hour", script.Int, "0 to 23, in the node's time zone", func(f *Facts) any { return int64(f.Now.Hour()) }},
		{"minute", script.Int, "0 to 59", func(f *Facts) any { return int64(f.Now.Minute()) }},
		{"daysSinceLastLogon", script.Int, "whole days; -1 where none is remembered", func(f *Facts) any { return f.Days(f.LastLogin) }},
		{"daysSinceLastLogonFromSameHost", script.Int, "whole days; -1 where none is remembered", func(f *Facts) any { return f.Days(f.LastFromHost) }},
		{"daysSinceLastLogonByMethod", script.Int, "whole days since a login with the factor that this one begins with; -1 where none is remembered", func(f *Facts) any {
			return f.Days(f.LastByFactor[Password])
		}},
		{"hasOtp", script.Bool, "the user has a one-time password device, or recovery codes", func(f *Facts) any { return f.Has.Has(OTP) }},
		{"hasTotp", script.Bool, "one that goes by time", func(f *Facts) any { return f.HasTOTP }},
		{"hasHotp", script.Bool, "one that goes by a counter", func(f *Facts) any { return f.HasHOTP }},
		has("hasToken", OTP, "as hasOtp"),
		has("hasSms", SMS, "the user has a mobile number"),
		has("hasMail", Email, "the user has a mail address"),
		has("hasPin", PIN, "the user has a PIN"),
		has("hasFido", FIDO, "the user has a WebAuthn authenticator"),
		has("hasCertificate", Certificate, "the user has a certificate"),
		has("hasPush", Push, "the user has a device that takes push challenges"),
	}
}

// environment declares the variables, once.
var environment = sync.OnceValue(func() *script.Environment {
	list := variables()
	declared := make([]script.Variable, len(list))
	for i, v := range list {
		declared[i] = script.Variable{Name: v.name, Type: v.of}
	}
	return script.NewEnvironment(declared...)
})

// sources says where each variable comes from, by its name.
var sources = sync.OnceValue(func() map[string]func(*Facts) any {
	m := map[string]func(*Facts) any{}
	for _, v := range variables() {
		m[v.name] = v.from
	}
	return m
})

// values lets a condition read facts. It is asked only for what the condition uses.
type values struct{ facts *Facts }

// Value implements script.Values.
func (v values) Value(name string) any {
	return sources()[name](v.facts)
}
