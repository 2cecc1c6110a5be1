package login

import (
	"sync"

	"trine/engine/credential/certificate"
	"trine/engine/script"
)

// CertificateMapping names the user of a client certificate by an administrator's expression or script, where no single part of the certificate does. It is
// immutable.
type CertificateMapping struct {
	expression *script.Expression // nil: it is a script
	script     *script.Script
}

// certificateVariables are what expressions and scripts see of a certificate, in the form of certificate.Fields; each is also known without the
// certificate before its name.
var certificateVariables = sync.OnceValue(func() *script.Environment {
	var all []script.Variable
	for _, v := range []struct {
		name string
		of   script.Type
	}{
		{"subject", script.Text},
		{"subjectAttributes", script.Attributes},
		{"issuer", script.Text},
		{"issuerAttributes", script.Attributes},
		{"serial", script.Text},
		{"emails", script.Texts},
		{"dnsNames", script.Texts},
		{"uris", script.Texts},
		{"upns", script.Texts},
		{"ips", script.Texts},
		{"fingerprint", script.Text},
		{"notBefore", script.Time},
		{"notAfter", script.Time},
	} {
		all = append(all, script.Variable{Name: "certificate." + v.name, Type: v.of, Bare: true})
	}
	return script.NewEnvironment(all...)
})

// NewCertificateMapping compiles an expression that yields the name of the user, or else a script that does. Errors are of type *script.SyntaxError.
func NewCertificateMapping(expression, source string) (*CertificateMapping, error) {
	m := new(CertificateMapping)
	var err error
	if expression != "" {
		m.expression, err = certificateVariables().Expression(expression, script.Text)
	} else {
		m.script, err = certificateVariables().Script(source, script.Text)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Mapping returns the mapping by the expression; false if it is a script, which takes a Job.
func (m *CertificateMapping) Mapping() (certificate.Mapping, bool) {
	if m.expression == nil {
		return certificate.Mapping{}, false
	}
	return certificate.Mapping{Part: certificate.Expression, Expression: func(f *certificate.Fields) (string, error) {
		v, err := m.expression.Eval(certificateFields{f})
		return v.Text(), err
	}}, true
}

// Job fills in the job that runs the script over a certificate. User reads what it yields.
func (m *CertificateMapping) Job(j *script.Job, f *certificate.Fields) {
	j.Script, j.Values = m.script, certificateFields{f}
}

// User returns the name that a job of Job has yielded, by the rules of certificate.Mapping.User: ErrUnmapped, which wraps the job's error, where it is
// none.
func (m *CertificateMapping) User(j *script.Job) (string, error) {
	return certificate.Mapping{Part: certificate.Expression, Expression: func(*certificate.Fields) (string, error) { return j.Value.Text(), j.Err }}.User(nil)
}

// certificateFields gives the fields of a certificate by the names of certificateVariables.
type certificateFields struct{ of *certificate.Fields }

// Value implements script.Values.
func (c certificateFields) Value(name string) any {
	f := c.of
	switch name {
	case "certificate.subject":
		return f.Subject.DN
	case "certificate.subjectAttributes":
		return f.Subject.Attributes
	case "certificate.issuer":
		return f.Issuer.DN
	case "certificate.issuerAttributes":
		return f.Issuer.Attributes
	case "certificate.serial":
		return f.Serial
	case "certificate.emails":
		return f.Emails
	case "certificate.dnsNames":
		return f.DNSNames
	case "certificate.uris":
		return f.URIs
	case "certificate.upns":
		return f.UPNs
	case "certificate.ips":
		return f.IPs
	case "certificate.fingerprint":
		return f.Fingerprint
	case "certificate.notBefore":
		return f.NotBefore
	case "certificate.notAfter":
		return f.NotAfter
	}
	return nil
}
