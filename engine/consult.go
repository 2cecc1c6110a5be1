package engine

import (
	"bytes"
	"slices"

	"trine/engine/document"
	"trine/engine/policy"
	"trine/engine/script"
	"trine/engine/trace"
)

// consult asks the service provider's script, which has the last word on what the roles and the authorization policy decided. It returns true if the request
// waits.
func (e *Engine) consult(r *Request) (waits bool) {
	w := &r.work
	w.stage = atAuthorization
	w.script = script.Job{Deadline: r.Deadline, Done: r}
	rules := r.Client.Authorization
	rules.Job(&w.script, (*consulting)(w.action))
	r.trace.Add(trace.ScriptSent, rules.Document, "")
	if err := e.submit(&w.script); err != nil {
		e.unconsulted(r, err)
		return false
	}
	return true // r may be anybody's by now
}

// consulted goes on with what the script says.
func (e *Engine) consulted(r *Request, j *script.Job) (waits bool) {
	a, client := r.work.action, r.Client
	switch {
	case j.Err != nil:
		e.unconsulted(r, j.Err)
		return false
	case e.tooLate(r):
		return false
	case !j.Value.Bool:
		r.trace.Add(trace.RulesRefused, client.Name, string(a.reason))
		e.conclude(r, trace.TacacsRulesDenied)
		return false
	}
	r.trace.Add(trace.RulesAuthorized, client.Name, string(a.reason))
	if len(j.Assigned) > 0 {
		if err := a.change(j.Assigned); err != nil {
			e.unconsulted(r, err)
			return false
		}
		r.trace.AddNumber(trace.ArgumentsChanged, client.Name, uint64(len(a.whole)))
	}
	e.conclude(r, trace.OK)
	return false
}

// unconsulted decides an authorization for which the script yielded nothing: it may be the one that refuses.
func (e *Engine) unconsulted(r *Request, err error) {
	r.trace.Add(trace.ComputationFailed, r.Client.Authorization.Document, err.Error())
	if reason := trace.Reason(script.Code(err)); unanswerable(reason) {
		r.discard(reason)
	} else {
		r.reject(reason)
	}
}

// consulting is an authorization as the service provider's script sees it.
type consulting Authorization

// Value implements script.Values.
func (c *consulting) Value(name string) any {
	a := (*Authorization)(c)
	switch name {
	case "user":
		return string(a.request.user.Name)
	case "priv_level":
		return int64(a.Level)
	case "remote_address":
		return string(a.RemoteAddress)
	case "port":
		return string(a.Port)
	case "authorized":
		return a.reason == trace.OK
	case policy.MandatoryArguments:
		return a.values(true)
	case policy.OptionalArguments:
		return a.values(false)
	case "now":
		return a.request.work.asked.at
	}
	return nil
}

// values returns the mandatory or the optional ones of the arguments that are in force, by name.
func (a *Authorization) values(mandatory bool) map[string][]string {
	m := map[string][]string{}
	for _, text := range a.whole {
		if arg, _ := policy.NewArgument(text); arg.Mandatory == mandatory {
			name := string(arg.Name)
			m[name] = append(m[name], string(arg.Value))
		}
	}
	return m
}

// change makes the arguments that are in force those that a script has left. What it did not touch stays where and as it is; the values that it gave a name stand
// where the first of that name stood, and new names come last, sorted.
func (a *Authorization) change(assigned script.Map) error {
	var whole [][]byte
	var fresh []string
	kinds := [...]struct {
		name      string
		separator byte
	}{{policy.OptionalArguments, '*'}, {policy.MandatoryArguments, '='}}
	var was, is [len(kinds)]map[string][]string
	for k, kind := range kinds {
		was[k] = a.values(kind.separator == '=')
		is[k] = was[k]
		if m, ok := assigned[kind.name].(map[string][]string); ok {
			is[k] = m
		}
		for name, values := range is[k] {
			if len(values) == 0 { // null in the script, or an empty list
				continue
			}
			if _, known := was[k][name]; !known {
				fresh = append(fresh, name+string(kind.separator))
			}
		}
	}
	var wrong error
	given := func(k int, name string) {
		for _, v := range is[k][name] {
			text := name + string(kinds[k].separator) + v
			if err := document.CheckArgument(text); err != nil && wrong == nil {
				wrong = err
			}
			whole = append(whole, []byte(text))
		}
	}
	done := map[string]bool{}
	for _, text := range a.whole {
		arg, _ := policy.NewArgument(text)
		k, name := 0, string(arg.Name)
		if arg.Mandatory {
			k = 1
		}
		switch key := name + string(kinds[k].separator); {
		case slices.Equal(was[k][name], is[k][name]):
			whole = append(whole, bytes.Clone(text))
		case !done[key]:
			done[key] = true
			given(k, name)
		}
	}
	slices.Sort(fresh)
	for _, key := range fresh {
		k := 0
		if key[len(key)-1] == '=' {
			k = 1
		}
		given(k, key[:len(key)-1])
	}
	if wrong != nil {
		return &script.Error{Cause: script.ErrWrongType, Text: "the script made an argument that cannot be sent: " + wrong.Error()}
	}
	a.whole, a.replace = whole, true
	return nil
}

var _ script.Values = (*consulting)(nil)
