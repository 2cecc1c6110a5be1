package document

import (
	"time"

	"trine/engine/event"
)

// Endpoint is a device that is known by its MAC address, which is the document's name. It may be written in any usual notation and is
// kept as `00-10-A4-23-19-C0`.
type Endpoint struct {
	// Description is free text.
	Description string `json:"description"`
	// Group names the Group that the device belongs to: its replies, roles and session limit hold for the device as for a person.
	Group string `json:"group" ref:"Group"`
	// Owner names the User whose device it is. It goes when he goes.
	Owner string `json:"owner" ref:"User"`
	// Attributes are values of any attribute of the device, each a text or a list of texts.
	Attributes map[string]Values `json:"attributes"`
	// NotAfter is when the device ends to be known, in whole seconds; without it, never.
	NotAfter time.Time `json:"notAfter"`
}

func (*Endpoint) kind() string { return KindEndpoint }

func (e *Endpoint) normalise() {}

func (e *Endpoint) check(c *checker) {
	if _, ok := event.ParseMAC(c.doc.Name); !ok {
		c.fail("name", "", "expected a MAC address such as 00-10-A4-23-19-C0, found %q", shorten(c.doc.Name))
	}
	c.attributes(e.Attributes)
	if e.NotAfter.Nanosecond() != 0 || !e.NotAfter.IsZero() && e.NotAfter.Unix() <= 0 {
		c.fail("spec.notAfter", "", "expected a time in whole seconds, after 1970-01-01")
	}
}

func (e *Endpoint) relations(string, *relations) {}
