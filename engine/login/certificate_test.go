package login

import (
	"errors"
	"strings"
	"testing"
	"time"

	"trine/engine/credential/certificate"
	"trine/engine/script"
)

// host runs a job at once.
func host(t *testing.T, j *script.Job) {
	t.Helper()
	request, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	j.Settle(script.NewHost().Run(request, func() time.Duration { return time.Since(began) }))
}

// user returns whom a mapping makes of somebody's certificate.
func user(t *testing.T, m *CertificateMapping) (string, error) {
	t.Helper()
	if mapping, ok := m.Mapping(); ok {
		return mapping.User(somebody())
	}
	var j script.Job
	m.Job(&j, somebody())
	host(t, &j)
	return m.User(&j)
}

func somebody() *certificate.Fields {
	return &certificate.Fields{
		Subject: certificate.Name{DN: "CN=Alice Liddell,OU=Tea,O=Example", Attributes: map[string][]string{"CN": {"Alice Liddell"}, "UID": {"u4711"}}},
		Issuer:  certificate.Name{DN: "CN=Authority", Attributes: map[string][]string{"CN": {"Authority"}}},
		Serial:  "0A1B", UPNs: []string{"alice@example.com"}, DNSNames: []string{"laptop.example.com"}, Fingerprint: "00ff",
	}
}

func TestCertificateIsMappedByExpressionOrScript(t *testing.T) {
	for name, tc := range map[string]struct{ expression, script, want string }{
		"a part":         {expression: `certificate.serial`, want: "0A1B"},
		"without prefix": {expression: `subjectAttributes["UID"][0]`, want: "u4711"},
		"by the issuer":  {expression: `issuerAttributes["CN"][0] == "Authority" ? upns[0].replace("@example.com", "") : ""`, want: "alice"},
		"script":         {script: `return certificate.upns[0].split("@")[0].toUpperCase()`, want: "ALICE"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := NewCertificateMapping(tc.expression, tc.script)
			if err != nil {
				t.Fatal(err)
			}
			got, err := user(t, m)
			if err != nil || got != tc.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestCertificateThatIsMappedToNoNameIsNobodys(t *testing.T) {
	for _, tc := range []struct{ expression, script, why string }{
		{expression: `""`, why: "empty"},
		{expression: `emails[0]`, why: "index out of bounds"},
		{expression: `"a\u200bb"`, why: "do not print"},
		{script: `return ""`, why: "empty"},
		{script: `throw new Error("no such person")`, why: "no such person"},
		{script: `return 7`, why: ""},
	} {
		m, err := NewCertificateMapping(tc.expression, tc.script)
		if err != nil {
			t.Fatal(err)
		}
		got, err := user(t, m)
		if !errors.Is(err, certificate.ErrUnmapped) || !strings.Contains(err.Error(), tc.why) {
			t.Errorf("%s%s: %q, %v", tc.expression, tc.script, got, err)
		}
	}
}

func TestMappingOfCertificatesThatDoesNotCompileSaysWhere(t *testing.T) {
	for _, tc := range [][2]string{{`certificate.sbject`, ""}, {`1 + 1`, ""}, {"", "return ("}, {"", ""}} {
		_, err := NewCertificateMapping(tc[0], tc[1])
		if e := new(script.SyntaxError); !errors.As(err, &e) || e.Line == 0 {
			t.Errorf("%q: %v", tc, err)
		}
	}
}
