package login

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"trine/engine/script"
)

// TestEveryVariableIsInTheGuide holds the table of docs/guides/factors.md to the variables.
func TestEveryVariableIsInTheGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/guides/factors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variables() {
		if !strings.Contains(string(text), fmt.Sprintf("| `%s` |", v.name)) || !strings.Contains(string(text), "| "+v.is+" |") {
			t.Errorf("the guide does not say what %s is: %s", v.name, v.is)
		}
	}
}

func TestVariablesSayWhatTheFactsAre(t *testing.T) {
	now := time.Date(2026, 11, 29, 14, 5, 0, 0, time.UTC) // a Sunday
	f := &Facts{
		Now: now, User: "alice", ServiceProvider: "vpn", IdentityProvider: "home", Address: netip.MustParseAddr("192.0.2.7"), Host: "laptop",
		NewDevice: true, LastLogin: now.Add(-50 * time.Hour), LastFromHost: now.Add(-75 * time.Hour), Country: "FR", LastCountry: "ES", Place: "Paris, France",
		Displacement: 830, Since: 2 * time.Hour, FailuresOfAddress: 3, FailuresOfUser: 4, FailuresRatio: 0.25, LastFailure: now.Add(-90 * time.Second),
		Has: SetOf(OTP, SMS, FIDO), HasTOTP: true, DeviceCertificate: true,
	}
	f.LastByFactor[Password] = now.Add(-24 * time.Hour)
	for name, want := range map[string]string{
		"user": `"alice"`, "serviceProvider": `"vpn"`, "identityProvider": `"home"`, "ipAddress": `"192.0.2.7"`, "remoteHost": `"laptop"`,
		"newDevice": "true", "deviceCertificate": "true", "sourceCountry": `"FR"`, "sameCountry": "false", "geoInformation": `"Paris, France"`,
		"displacement": "830.0", "displacementSpeed": "415.0", "failuresForSameIp": "3", "failuresForSameUser": "4", "failuresRatio": "0.25",
		"secondsSinceLastFail": "90", "dayOfWeek": "1", "hour": "14", "minute": "5", "daysSinceLastLogon": "2", "daysSinceLastLogonFromSameHost": "3",
		"daysSinceLastLogonByMethod": "1", "hasOtp": "true", "hasTotp": "true", "hasHotp": "false", "hasToken": "true", "hasSms": "true", "hasMail": "false",
		"hasPin": "false", "hasFido": "true", "hasCertificate": "false", "hasPush": "false",
	} {
		r, err := NewRule(name, name+" == "+want, "", nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if holds, err := r.Holds(f); err != nil || !holds {
			t.Errorf("%s is not %s: %v", name, want, err)
		}
	}
	if len(variables()) != 32 {
		t.Errorf("%d variables: is each in the list above?", len(variables()))
	}
}

func TestWhatIsNotKnownIsToldApart(t *testing.T) {
	f := &Facts{Now: time.Unix(1_800_000_000, 0)}
	for _, expression := range []string{
		"daysSinceLastLogon == -1", "secondsSinceLastFail == -1", "sameCountry", "displacementSpeed == 0.0", `sourceCountry == ""`,
	} {
		r, err := NewRule("", expression, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if holds, err := r.Holds(f); err != nil || !holds {
			t.Errorf("%s: %v %v", expression, holds, err)
		}
	}
}

func TestConditionThatNamesNothingIsRefused(t *testing.T) {
	for _, bad := range []string{"", "newDevise", "hour", "hour ==", `user.matches("(")`} {
		if _, err := NewRule("", bad, "", nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestRulesAreWeighedInTheirOrderUpToAScript(t *testing.T) {
	p := &Policy{Default: PasswordSuffices()}
	for _, r := range []struct{ expression, source string }{
		{"hour == 25", ""}, {"", "return newDevice"}, {"hour == 25", ""}, {"", "hour > 12"}, {"1 / (hour - hour) > 0", ""}, {"true", ""},
	} {
		rule, err := NewRule("", r.expression, r.source, NewMatrix())
		if err != nil {
			t.Fatal(err)
		}
		p.Rules = append(p.Rules, rule)
	}
	for _, c := range []struct {
		from, rule       int
		scripted, failed bool
	}{{0, 1, true, false}, {1, 1, true, false}, {2, 3, true, false}, {4, 4, false, true}, {5, 5, false, false}, {6, 6, false, false}} {
		rule, scripted, err := p.Choose(&Facts{}, c.from)
		if rule != c.rule || scripted != c.scripted || (err != nil) != c.failed {
			t.Errorf("from %d: %d %v %v", c.from, rule, scripted, err)
		}
	}
	if p.Matrix(5) != p.Rules[5].Matrix || p.Matrix(6) != p.Default {
		t.Error("a rule does not have its own matrix, or the default is not the default one")
	}
}

// TestScriptsSeeEveryVariable has a script read each by name, as an expression does.
func TestScriptsSeeEveryVariable(t *testing.T) {
	f := &Facts{Now: time.Unix(1_800_000_000, 0), User: "alice", Address: netip.MustParseAddr("192.0.2.7"), NewDevice: true}
	for _, v := range variables() {
		r, err := NewRule("", "", "return typeof "+v.name+` != "undefined"`, nil)
		if err != nil {
			t.Fatal(err)
		}
		j := script.Job{Timeout: time.Minute}
		r.Job(&j, f)
		request, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		j.Settle(script.NewHost().Run(request, func() time.Duration { return 0 }))
		if j.Err != nil || !j.Value.Bool {
			t.Errorf("%s: %v", v.name, j.Err)
		}
	}
}

func BenchmarkRule(b *testing.B) {
	r, err := NewRule("", `!newDevice && (ipAddress.startsWith("10.") || hour < 6)`, "", nil)
	if err != nil {
		b.Fatal(err)
	}
	f := &Facts{Now: time.Unix(1_800_000_000, 0), Address: netip.MustParseAddr("192.0.2.7")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Holds(f); err != nil {
			b.Fatal(err)
		}
	}
}
