package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"trine/engine/event"
	"trine/engine/login"
)

// page reads BROWSER IDENTITY-PROVIDER and what may follow: as NAME, with FACTOR TYPED, begin FACTOR, trust LABEL, max-age TIME, class URI, anew, quiet, and
// go-on for a round that goes on from the one before.
func (s *scenario) page(out *strings.Builder, words []string) error {
	s.cases++
	if len(words) < 2 {
		return errors.New("a page is of a browser and an identity provider")
	}
	if s.browsers == nil {
		s.browsers = map[string]*browser{}
	}
	b := s.browsers[words[0]]
	if b == nil {
		b = &browser{rig: s.rig}
		s.browsers[words[0]] = b
	}
	round, err := s.round(b, words[2:])
	if err != nil {
		return err
	}
	before := b.session
	got := b.ask(words[1], round)
	fmt.Fprintf(out, "%s -> %s %s\n", strings.Join(words, " "), got.Verdict, got.Reason)
	switch got.Verdict {
	case event.Challenge:
		fmt.Fprintf(out, "  wanted next: %s\n", got.Choices)
	case event.Accept:
		var factors []string
		for _, p := range got.Proofs {
			text := p.Factor.String()
			if p.Device {
				text += " by the trusted device"
			}
			factors = append(factors, text+" at "+p.At.UTC().Format(time.TimeOnly))
		}
		how := "goes on as it was"
		switch {
		case got.Session.Began:
			how = "begins"
		case b.session != before:
			how = "goes on under another id"
		}
		fmt.Fprintf(out, "  %s: %s\n  class %s\n  the session %s\n", got.User, strings.Join(factors, ", "), strings.TrimPrefix(got.Class, samlClasses), how)
		if got.Device.Secret != "" {
			fmt.Fprintf(out, "  the device is trusted until %s\n", got.Device.NotAfter.UTC().Format(time.DateTime))
		}
	}
	s.engine.Flush()
	return nil
}

const samlClasses = "urn:oasis:names:tc:SAML:2.0:ac:classes:"

// round reads what a round brings.
func (s *scenario) round(b *browser, words []string) (r Round, err error) {
	for len(words) > 0 && err == nil {
		word, value := words[0], ""
		words = words[1:]
		switch word {
		case "anew":
			r.Demand.Force = true
			continue
		case "quiet":
			r.Demand.Passive = true
			continue
		case "go-on":
			r.State = b.state
			continue
		}
		if len(words) == 0 {
			return r, fmt.Errorf("%q lacks its value", word)
		}
		value, words = words[0], words[1:]
		switch word {
		case "as":
			r.Name = []byte(value)
		case "begin", "with":
			var known bool
			if r.Factor, known = login.ParseFactor(value); !known {
				return r, fmt.Errorf("there is no factor %q", value)
			}
			if word == "with" {
				if len(words) == 0 {
					return r, errors.New("what is typed is missing")
				}
				var text string
				text, err = s.typed(string(r.Name), words[0])
				r.Proof.Typed, words = []byte(text), words[1:]
			}
		case "trust":
			r.Trust = value
		case "class":
			r.Demand.Classes = append(r.Demand.Classes, samlClasses+value)
		case "max-age":
			r.Demand.Bounded = true
			r.Demand.MaxAge, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("%q is not understood", word)
		}
	}
	return r, err
}
