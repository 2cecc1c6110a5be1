package node

import (
	"encoding/base32"
	"regexp"
	"strings"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/engine/credential/otp"
)

// twoFactors asks for a one-time password behind the password; one service provider's devices append it.
const twoFactors = `
kind: IdentityProvider
name: local
spec:
  type: local
  publicID: "https://trine.example.com"
  authentication: {matrix: [{first: Password, second: OTP}]}
  profiles: {radius: {enabled: true}}
`

// TestRadclientAnswersAChallenge enrols a device through the API, as `trine user factor add` does, and logs in with Debian's radclient in
// two steps.
func TestRadclientAnswersAChallenge(t *testing.T) {
	t.Parallel()
	n := startInterop(t, twoFactors)
	to := n.addr.RadiusAuthentication[0]
	e, err := n.admin.AddFactor(t.Context(), "alice", api.FactorRequest{Kind: "otp", Label: "telephone"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(e.URI, "otpauth://totp/Trine:alice?secret="+e.Secret) || e.QR == "" || e.Terminal == "" {
		t.Errorf("the enrolment lacks what the person needs: %q", e.URI)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(e.Secret)
	if err != nil {
		t.Fatal(err)
	}
	device, err := otp.FromKey(otp.DefaultParams(), key)
	if err != nil {
		t.Fatal(err)
	}

	out := n.radclient(to, "auth", "testing123", "User-Name = alice", "User-Password = wonderland", signed)
	state := regexp.MustCompile(`State = (0x[0-9a-f]+)`).FindStringSubmatch(out)
	if !strings.Contains(out, "Received Access-Challenge") || !strings.Contains(out, "one-time password") || !strings.Contains(out, "Message-Authenticator = 0x") || state == nil {
		t.Fatalf("no challenge:\n%s", out)
	}
	answer := func(code string) string {
		return n.radclient(to, "auth", "testing123", "User-Name = alice", "User-Password = "+code, "State = "+state[1], signed)
	}
	code := device.Code(device.Counter(time.Now()))
	if out := answer(code); !strings.Contains(out, "Received Access-Accept") || !strings.Contains(out, "Filter-Id") {
		t.Errorf("the right code is not accepted:\n%s", out)
	}
	if out := answer(code); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("a challenge was answered twice:\n%s", out)
	}
	if out := n.radclient(to, "auth", "testing123", "User-Name = bob", "User-Password = builder", signed); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("a user without the second factor is let in:\n%s", out)
	}
	list, err := n.admin.Factors(t.Context(), "alice")
	if err != nil || len(list.Factors) != 1 || list.Factors[0].Used == nil || list.Factors[0].Kind != "otp" {
		t.Errorf("found %+v, %v", list, err)
	}
	if err := n.admin.RemoveFactor(t.Context(), "alice", e.Factor.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := n.admin.Factors(t.Context(), "alice"); err != nil || len(list.Factors) != 0 {
		t.Errorf("the factor is still there: %+v, %v", list, err)
	}
}
