package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"trine/engine/event"
	"trine/engine/trace"
)

func TestAnyOneRequiredRoleAndAnEnabledAccountLetIn(t *testing.T) {
	r := newRig(t, func(c *Config) { c.TraceAccepts = 1 })
	r.apply(office + `---
{kind: Group, name: company, spec: {roles: [{role: clerk@erp, notAfter: "2026-03-01T12:01:00Z"}]}}
---
{kind: Group, name: staff, spec: {parent: company, reply: ["Session-Timeout = 3600"]}}
---
{kind: User, name: Alice, spec: {primaryGroup: staff, roles: [{role: admin@erp, notBefore: "2026-03-01T13:00:00Z"}]}}
---
{kind: Account, name: old@erp, spec: {owner: Alice, enabled: false}}
---
{kind: Account, name: new@erp, spec: {owner: ALICE}}
---
{kind: AttributeDefinition, name: member_of, spec: {radiusID: Reply-Message}}
---
{kind: AttributePolicy, name: roles, spec: {condition: any, attributes: [{attribute: member_of}]}}
---
` + requiring("requiredRoles: [admin@erp, clerk@erp], requiredSystem: erp"))
	roles := func(d *Decision) string {
		for _, a := range d.Released {
			if a.Attribute.Name == "member_of" {
				return fmt.Sprintf("%s", a.Values)
			}
		}
		return "none"
	}
	q := r.alice()
	if got := roles(r.accept(q)); got != "[clerk@erp]" {
		t.Errorf("released %s", got)
	}
	record := r.recorded(q)
	if text := record.words(); !strings.Contains(text, "has the role clerk@erp, which wlan requires") || !strings.Contains(text, "enabled account in erp") {
		t.Errorf("steps:\n%s", text)
	}
	r.clock.move(time.Minute)
	r.deny(r.alice(), event.Reject, trace.RoleMissing)
	r.clock.move(59 * time.Minute)
	d := r.accept(r.alice())
	if got := roles(d); got != "[admin@erp]" || len(d.Replies) != 3 || d.Replies[1] != "Class = admin" {
		t.Errorf("released %s, replies %v", got, d.Replies)
	}
	r.clock.move(-30 * time.Minute) // set back: what was over stays over, what had begun goes on
	if got := roles(r.accept(r.alice())); got != "[admin@erp]" {
		t.Errorf("with the clock set back: %s", got)
	}
	r.apply("{kind: Account, name: new@erp, spec: {owner: bob}}")
	r.deny(r.alice(), event.Reject, trace.AccountDisabled)
	r.delete("Account", "old@erp")
	r.deny(r.alice(), event.Reject, trace.AccountMissing)
}
