package login

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
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
		r, err := NewRule(name, name+" == "+want, nil)
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
		r, err := NewRule("", expression, nil)
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
		if _, err := NewRule("", bad, nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func BenchmarkRule(b *testing.B) {
	r, err := NewRule("", `!newDevice && (ipAddress.startsWith("10.") || hour < 6)`, nil)
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
