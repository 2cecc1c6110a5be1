package policy

import (
	"sync"

	"trine/engine/document"
	"trine/engine/script"
)

// AuthorizationScript has the last word on the authorizations of a service provider (tacacs.authorizationRules). It is immutable.
type AuthorizationScript struct {
	// Document is the document, as traces name it.
	Document string

	script *script.Script
}

// The names of the variables of an authorization script that hold arguments, each a text or a list of texts by the argument's name. The script may
// change them.
const (
	MandatoryArguments = "mandatoryArguments"
	OptionalArguments  = "optionalArguments"
)

// authorizationVariables are what authorization scripts see, by the names that the handbook's users know. The handbook has all but authorized.
var authorizationVariables = sync.OnceValue(func() *script.Environment {
	return script.NewEnvironment(
		script.Variable{Name: "user", Type: script.Text},
		script.Variable{Name: "priv_level", Type: script.Int},
		script.Variable{Name: "remote_address", Type: script.Text},
		script.Variable{Name: "port", Type: script.Text},
		script.Variable{Name: "authorized", Type: script.Bool},
		script.Variable{Name: MandatoryArguments, Type: script.Attributes, Changes: true},
		script.Variable{Name: OptionalArguments, Type: script.Attributes, Changes: true},
		script.Variable{Name: "now", Type: script.Time},
	)
})

func newAuthorizationScript(name, source string) (*AuthorizationScript, error) {
	s, err := authorizationVariables().Script(source, script.Bool)
	if err != nil {
		return nil, err
	}
	return &AuthorizationScript{document.KindServiceProvider + " " + name, s}, nil
}

// Warnings says which forms of the handbook's language the script is read without.
func (a *AuthorizationScript) Warnings() []string { return a.script.Warnings() }

// Job fills in the job that runs the script with values for its variables.
func (a *AuthorizationScript) Job(j *script.Job, values script.Values) {
	j.Script, j.Values = a.script, values
}
