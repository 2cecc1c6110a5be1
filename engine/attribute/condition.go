package attribute

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	"trine/engine/document"
)

// Condition is a compiled condition tree. It is immutable. A nil Condition holds always.
type Condition struct {
	op       op
	children []*Condition
	match    matcher
	name     string      // the entity attribute's or the label's name
	def      *Definition // for opValue
	computed *Computation
	number   uint32 // for tests of groups and roles
	asked    any    // for opAsked
	hours    *document.Hours
	zone     *time.Location // of hours
	text     string         // for people
}

// op is a node's kind.
type op uint8

const (
	opAny op = iota
	opAnd
	opOr
	opNot
	// Those that depend on the requester or the issuer alone.
	opRequester
	opIssuer
	opRequesterGroup
	opIssuerGroup
	opRequesterNameID
	opIssuerNameID
	opRequesterEntity
	opIssuerEntity
	// Those that depend on the person or the login.
	opPrincipal
	opAuthentication
	opValue
	opComputed
	// Those that only authorization policies have.
	opSSID
	opAsked
	opLabel
	opGroup
	opRole
	opUserType
	opEndpointGroup
	opHours
)

// matcher compares a value with a text, with or without case, or with a regular expression that must match all of it.
type matcher struct {
	text string
	raw  []byte // text, for comparing bytes without case
	fold bool
	re   *regexp.Regexp
}

func (m *matcher) string(v string) bool {
	switch {
	case m.re != nil:
		return m.re.MatchString(v)
	case m.fold:
		return strings.EqualFold(v, m.text)
	}
	return v == m.text
}

func (m *matcher) bytes(v []byte) bool {
	switch {
	case m.re != nil:
		return m.re.Match(v)
	case m.fold:
		return bytes.EqualFold(v, m.raw)
	}
	return string(v) == m.text
}

func (m *matcher) any(values [][]byte) bool {
	for _, v := range values {
		if m.bytes(v) {
			return true
		}
	}
	return false
}

// Eval reports whether the condition holds. It stops at the first child that decides, and does not allocate.
func (c *Condition) Eval(f *Facts) bool {
	if c == nil {
		return true
	}
	switch c.op {
	case opAny:
		return true
	case opAnd:
		for _, child := range c.children {
			if !child.Eval(f) {
				return false
			}
		}
		return true
	case opOr:
		for _, child := range c.children {
			if child.Eval(f) {
				return true
			}
		}
		return false
	case opNot:
		return !c.children[0].Eval(f)
	case opPrincipal:
		return len(f.Principal) > 0 && c.match.bytes(f.Principal)
	case opAuthentication:
		return f.Authentication != Unauthenticated &&
			(c.match.string(f.Authentication.Code()) || c.match.string(f.Authentication.Class()))
	case opValue:
		return c.match.any(f.Values(c.def))
	case opComputed:
		return f.Holds(c.computed)
	case opSSID, opAsked, opGroup, opRole, opUserType, opEndpointGroup, opHours:
		return f.Request != nil && c.request(f)
	}
	return c.party(f.Requester, f.Issuer)
}

// request decides a node about the request.
func (c *Condition) request(f *Facts) bool {
	switch c.op {
	case opSSID:
		ssid := f.Request.SSID()
		return len(ssid) > 0 && c.match.bytes(ssid)
	case opAsked:
		from := len(f.values)
		f.values = f.Request.AppendValues(f.values, c.asked)
		holds := c.match.any(f.values[from:])
		clear(f.values[from:])
		f.values = f.values[:from]
		return holds
	case opGroup:
		return f.Request.InGroup(c.number)
	case opRole:
		return f.Request.HasRole(c.number)
	case opUserType:
		return string(f.Request.UserType()) == c.match.text
	case opEndpointGroup:
		return f.Request.EndpointInGroup(c.number)
	default: // opHours
		return c.hours.Contains(f.Request.At().In(c.zone))
	}
}

// Why returns, for people, which part of the condition does not hold; empty if it holds. It does not allocate.
func (c *Condition) Why(f *Facts) string {
	if c == nil || c.Eval(f) {
		return ""
	}
	if c.op == opAnd {
		for _, child := range c.children {
			if why := child.Why(f); why != "" {
				return why
			}
		}
	}
	return c.text
}

// party decides a node that depends on the requester or the issuer alone. An unknown party satisfies nothing.
func (c *Condition) party(requester, issuer *Party) bool {
	p := requester
	switch c.op {
	case opIssuer, opIssuerGroup, opIssuerNameID, opIssuerEntity:
		p = issuer
	}
	if p == nil {
		return false
	}
	switch c.op {
	case opRequester, opIssuer:
		return c.match.string(p.PublicID)
	case opRequesterGroup, opIssuerGroup:
		return p.Group != "" && c.match.string(p.Group)
	case opRequesterNameID, opIssuerNameID:
		for _, format := range p.NameIDFormats {
			if c.match.string(format) {
				return true
			}
		}
	case opLabel:
		for _, l := range p.Labels {
			if l.Name == c.name && c.match.string(l.Value) {
				return true
			}
		}
	case opRequesterEntity, opIssuerEntity:
		for _, a := range p.EntityAttributes {
			if a.Name == c.name && c.match.string(a.Value) {
				return true
			}
		}
	}
	return false
}

// outcome is what is known of a condition before a request.
type outcome uint8

const (
	never  outcome = iota // false whatever the request
	always                // true whatever the request
	open                  // depends on the request
)

// reduce evaluates what depends on the parties alone. Where the outcome is open, the condition returned is what remains.
func (c *Condition) reduce(requester, issuer *Party) (outcome, *Condition) {
	if c == nil {
		return always, nil
	}
	switch c.op {
	case opAny:
		return always, nil
	case opPrincipal, opAuthentication, opValue, opComputed, opSSID, opAsked, opGroup, opRole, opUserType, opEndpointGroup, opHours:
		return open, c
	case opNot:
		o, rest := c.children[0].reduce(requester, issuer)
		switch o {
		case never:
			return always, nil
		case always:
			return never, nil
		}
		if rest == c.children[0] {
			return open, c
		}
		return open, &Condition{op: opNot, children: []*Condition{rest}}
	case opAnd:
		return c.reduceList(requester, issuer, never, always)
	case opOr:
		return c.reduceList(requester, issuer, always, never)
	}
	if c.party(requester, issuer) {
		return always, nil
	}
	return never, nil
}

// reduceList reduces AND and OR: a child with the outcome decisive decides, one with the outcome neutral drops out.
func (c *Condition) reduceList(requester, issuer *Party, decisive, neutral outcome) (outcome, *Condition) {
	var left []*Condition
	for _, child := range c.children {
		o, rest := child.reduce(requester, issuer)
		switch o {
		case decisive:
			return decisive, nil
		case open:
			left = append(left, rest)
		}
	}
	switch len(left) {
	case 0:
		return neutral, nil
	case 1:
		return open, left[0]
	}
	return open, &Condition{op: c.op, children: left}
}
