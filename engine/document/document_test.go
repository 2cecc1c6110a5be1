package document

import (
	"strings"
	"testing"
)

func TestParseReadsWhatIsWritten(t *testing.T) {
	docs, err := Parse("a.yaml", strings.NewReader(`
kind: ServiceProvider
name: core
spec:
  type: radius
  radius:
    sourceIPs: [10.0.0.0/8, 192.0.2.1-192.0.2.6, "2001:db8::1"]
    secret: testing123
    rejectDelay: 0s
    requireMessageAuthenticator: false
---
kind: User
name: alice
spec:
  groups: [staff]
  attributes: {vlan: "20", list: [a, b]}
  password: wonderland
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		b, err := d.YAML()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s\nrefs %v claims %v", b, d.Refs(), d.Claims())
	}
}
