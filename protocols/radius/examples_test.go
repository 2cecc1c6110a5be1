package radius

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/policy"
	"trine/protocols/internal/enginetest"
)

// TestExamplesOfDevicesGiveTheirAttributes has people log in to the devices of docs/examples/devices/radius.yaml.
func TestExamplesOfDevicesGiveTheirAttributes(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/devices/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) != "two-secrets.yaml" { // it is another version of a document
			all = append(all, string(b))
		}
	}
	profile := strings.NewReplacer("    tacacs:\n      enabled: true", "    radius:\n      enabled: true")
	h := enginetest.New(t, map[string]policy.Wire{document.TypeRadius: NewWire(standard(t))}, profile.Replace(strings.Join(all, "---\n")), nil)
	cache := h.Policies.Holder().Load()
	for _, c := range []struct {
		client, user string
		want         []string // nothing: Access-Reject
	}{
		{"ios-routers-radius", "ios-admin", []string{"Service-Type = NAS-Prompt-User", "Cisco-AVPair = shell:priv-lvl=15"}},
		{"ios-routers-radius", "ios-operator", []string{"Service-Type = NAS-Prompt-User", "Cisco-AVPair = shell:priv-lvl=7"}},
		{"ios-routers-radius", "ios-helper", nil},
		{"xr-routers-radius", "xr-admin", []string{"Service-Type = NAS-Prompt-User", "Cisco-AVPair = shell:tasks=#root-lr,#cisco-support"}},
		{"xr-routers-radius", "xr-operator", []string{"Service-Type = NAS-Prompt-User", "Cisco-AVPair = shell:tasks=r:bgp,r:ospf,r:interface,#operator"}},
		{"nexus-switches-radius", "nexus-admin", []string{`Cisco-AVPair = shell:roles="network-admin vdc-admin"`}},
		{"nexus-switches-radius", "nexus-operator", []string{`Cisco-AVPair = shell:roles="network-operator"`}},
		{"junos-routers-radius", "junos-admin", []string{"Juniper-Local-User-Name = trine-admins"}},
		{"junos-routers-radius", "junos-operator", []string{
			"Juniper-Local-User-Name = trine-operators", "Juniper-Allow-Commands = (ping .*)|(traceroute .*)", "Juniper-Deny-Commands = (show configuration.*)|(file .*)",
		}},
		{"eos-switches-radius", "eos-admin", []string{"Arista-AVPair = shell:priv-lvl=15", "Arista-AVPair = shell:roles=network-admin"}},
		{"eos-switches-radius", "eos-operator", []string{"Arista-AVPair = shell:priv-lvl=1", "Arista-AVPair = shell:roles=network-operator"}},
		{"vrp-switches-radius", "vrp-admin", []string{"Service-Type = Administrative-User", "Huawei-Exec-Privilege = 15"}},
		{"vrp-switches-radius", "vrp-operator", []string{"Service-Type = Administrative-User", "Huawei-Exec-Privilege = 1"}},
		{"firewalls-radius", "panos-admin", []string{"PaloAlto-Admin-Role = superuser", "PaloAlto-Panorama-Admin-Role = superuser"}},
		{"firewalls-radius", "panos-auditor", []string{"PaloAlto-Admin-Role = vsysreader", "PaloAlto-Admin-Access-Domain = branches"}},
		{"firewalls-radius", "ios-admin", nil},
	} {
		t.Run(c.client+" "+c.user, func(t *testing.T) {
			h.Password(c.user, "a-good-password")
			client := cache.Client(c.client)
			answer, err := NewSimulator(standard(t), "test", h.Keys).Try(context.Background(), h.Engine.Simulate(engine.Circumstances{}), &Attempt{
				Cache: cache, Client: client, Source: client.Spec.Radius.Prefixes()[0].Addr(), Time: time.Now(), User: c.user, Method: credential.PAP, Password: "a-good-password",
			})
			if err != nil {
				t.Fatal(err)
			}
			if rejected := answer.Code != "Access-Accept"; rejected != (c.want == nil) {
				t.Fatalf("%s: %s", answer.Code, answer.Decided.Reason)
			}
			if got := toldOf(answer.Attributes); !slices.Equal(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}
