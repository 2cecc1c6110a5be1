package radius

import (
	"fmt"
	"strings"
	"testing"

	"trine/engine/credential/chap"
	"trine/protocols/radius/wire"
)

// devices is the house's network with endpoints, and rules about requests.
const devices = `
kind: Endpoint
name: 00:10:a4:23:19:c0
---
kind: ServiceProvider
name: core
spec:
  type: radius
  publicID: core
  authorizationPolicy:
    - {name: wireless, condition: {requestAttribute: {attribute: NAS-Port-Type, value: "19"}}, reply: ["Filter-Id = wireless"]}
    - {name: by method, condition: {requestAttribute: {attribute: Cisco-AVPair, value: method=mab}}, reply: ["Filter-Id = mab"]}
    - {name: corp, condition: {ssid: corp}, reply: ["Filter-Id = corp"]}
    - {name: virtual, condition: {requestAttribute: {attribute: NAS-Port-Type, value: Virtual}}, reject: true}
  radius: {sourceIPs: [192.0.2.0/24, "2001:db8::/32"], secret: testing123, macAuthentication: MAC, rejectDelay: 0s}
`

func TestDevicesAreLetInByTheirAddress(t *testing.T) {
	h := newHouse(t)
	const known = "0010.a423.19c0"
	h.Put("{kind: User, name: \"001122334455\"}\n")
	h.Password("001122334455", "001122334455")
	callCheck := func(name, password string) func(*wire.Builder) {
		return func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			if password == "" {
				b.Text(wire.UserName, name)
				return
			}
			b.PAP(name, password)
		}
	}
	chapped := func(name, secret string, callCheck bool) func(*wire.Builder) {
		return func(b *wire.Builder) {
			challenge := []byte("0123456789abcdef")
			if callCheck {
				b.Uint32(wire.ServiceType, 10)
			}
			b.CHAP(name, 7, chap.Response(7, []byte(secret), challenge), challenge)
		}
	}
	with := func(fill func(*wire.Builder), more func(*wire.Builder)) func(*wire.Builder) {
		return func(b *wire.Builder) { fill(b); more(b) }
	}
	for _, c := range []struct {
		name    string
		fill    func(*wire.Builder)
		on, off wire.Code
		filter  string
	}{
		{"Call-Check without a password", callCheck(known, ""), wire.AccessAccept, wire.AccessReject, ""},
		{"Call-Check with the address as password", callCheck(known, "00:10:A4:23:19:C0"), wire.AccessAccept, wire.AccessReject, ""},
		{"Call-Check with another password", callCheck(known, "00:10:A4:23:19:C1"), wire.AccessReject, wire.AccessReject, ""},
		{"Call-Check of an unknown device", callCheck("00:10:A4:23:19:C1", ""), wire.AccessReject, wire.AccessReject, ""},
		{"Call-Check of a person", callCheck("alice", "wonderland"), wire.AccessReject, wire.AccessReject, ""},
		{"address as name and password", pap(known, "0010a42319c0"), wire.AccessAccept, wire.AccessReject, ""},
		{"address as name, another as password", pap(known, "0010a42319c1"), wire.AccessReject, wire.AccessReject, ""},
		{"unknown address as name and password", pap("0010a42319c1", "0010a42319c1"), wire.AccessReject, wire.AccessReject, ""},
		{"address by CHAP", chapped(known, known, false), wire.AccessAccept, wire.AccessReject, ""},
		{"address by CHAP in another notation than the name", chapped(known, "00:10:a4:23:19:c0", false), wire.AccessReject, wire.AccessReject, ""},
		{"another address by CHAP", chapped(known, "0010.a423.19c1", false), wire.AccessReject, wire.AccessReject, ""},
		{"unknown address by CHAP", chapped("0010a42319c1", "0010a42319c1", false), wire.AccessReject, wire.AccessReject, ""},
		{"name that is no address, by CHAP", chapped("printer", "printer", false), wire.AccessReject, wire.AccessReject, ""},
		{"Call-Check with the address by CHAP", chapped(known, known, true), wire.AccessAccept, wire.AccessReject, ""},
		{"Call-Check with another address by CHAP", chapped(known, "0010a42319c1", true), wire.AccessReject, wire.AccessReject, ""},
		{"Call-Check by PAP and CHAP", with(chapped(known, known, true), func(b *wire.Builder) { b.PAP(known, known) }), wire.AccessReject, wire.AccessReject, ""},
		{"person by CHAP", chapped("alice", "wonderland", false), wire.AccessAccept, wire.AccessAccept, ""},
		{"person who is named like an address", pap("001122334455", "001122334455"), wire.AccessReject, wire.AccessAccept, ""},
		{"person", pap("alice", "wonderland"), wire.AccessAccept, wire.AccessAccept, ""},
		{"device of another address", with(callCheck(known, ""), func(b *wire.Builder) { b.Text(wire.CallingStationID, "00-10-A4-23-19-C1") }), wire.AccessReject, wire.AccessReject, ""},
		{"rule over a number", with(pap("alice", "wonderland"), func(b *wire.Builder) { b.Uint32(61, 19) }), wire.AccessAccept, wire.AccessAccept, "wireless"},
		{"rule over a vendor's attribute", with(callCheck(known, ""), func(b *wire.Builder) {
			b.VSA(9, 1, []byte("audit-session-id=1"))
			b.VSA(9, 1, []byte("method=mab"))
		}), wire.AccessAccept, wire.AccessReject, "mab"},
		{"rule over the SSID", with(pap("alice", "wonderland"), func(b *wire.Builder) { b.Text(wire.CalledStationID, "00-11-22-33-44-55:corp") }), wire.AccessAccept, wire.AccessAccept, "corp"},
		{"rule that refuses", with(pap("alice", "wonderland"), func(b *wire.Builder) { b.Uint32(61, 5) }), wire.AccessReject, wire.AccessReject, ""},
	} {
		for on, want := range map[bool]wire.Code{true: c.on, false: c.off} {
			h.Put(strings.Replace(devices, "MAC", fmt.Sprint(on), 1))
			p := h.request(wire.AccessRequest, c.fill)
			h.give(h.auth, p)
			if len(h.port.sent) == 0 && want == wire.AccessReject {
				continue // nobody of that name, for whom a decoy waits for the hasher, which refuses all work here
			}
			v := h.answer(p)
			if v.Code() != want {
				t.Errorf("%s, MAC authentication %v: %v, want %v", c.name, on, v.Code(), want)
			}
			if filter, _ := v.First(wire.FilterID); v.Code() == wire.AccessAccept && string(filter) != c.filter {
				t.Errorf("%s, MAC authentication %v: Filter-Id %q, want %q", c.name, on, filter, c.filter)
			}
		}
	}
}
