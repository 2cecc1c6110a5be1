package document

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones mean the same on every node

	"go.yaml.in/yaml/v3"
)

// Hours is a time of the week: a part of the day on some days. In a document:
//
//	{from: "08:00", until: "18:00", days: [monday, friday], zone: Europe/Madrid}
type Hours struct {
	// From and Until are minutes since midnight, From counting and Until not. Where Until is not after From, the time goes on into the
	// next day: the day that counts is that on which it begins. With both 0 it is the whole day.
	From, Until int
	// Days has true for each day that counts, Sunday first; none means every day.
	Days [7]bool
	// Zone is the time zone in which hours and days count, such as Europe/Madrid; empty means UTC.
	Zone string
}

// wholeDay is the number of minutes of a day.
const wholeDay = 24 * 60

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// Location returns the time zone. Its error says that there is no such zone.
func (h *Hours) Location() (*time.Location, error) {
	if h.Zone == "" {
		return time.UTC, nil
	}
	if h.Zone == "Local" {
		return nil, fmt.Errorf("the zone Local is another one on every node")
	}
	at, err := time.LoadLocation(h.Zone)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q, such as Europe/Madrid", h.Zone)
	}
	return at, nil
}

// problem says what is wrong with the hours, or nothing.
func (h *Hours) problem() string {
	if _, err := h.Location(); err != nil {
		return err.Error()
	}
	if h.From == h.Until && h.From != 0 {
		return "the time ends when it begins; leave both out for the whole day"
	}
	if h.From == 0 && h.Until == 0 && h.Days == [7]bool{} {
		return "expected from, until or days"
	}
	return ""
}

// Contains reports whether a time, as its clock and calendar show it, is within the hours.
func (h *Hours) Contains(t time.Time) bool {
	minute, day := t.Hour()*60+t.Minute(), t.Weekday()
	until := h.Until
	switch {
	case until > h.From:
		if minute < h.From || minute >= until {
			return false
		}
	case minute >= h.From: // into the next day, or to its end
	case minute < until:
		day = (day + 6) % 7
	default:
		return false
	}
	return h.Days == [7]bool{} || h.Days[day]
}

// String returns the hours for people.
func (h *Hours) String() string {
	var parts []string
	if h.From != 0 || h.Until != 0 {
		parts = append(parts, clockText(h.From)+"-"+clockText(h.Until))
	}
	parts = append(parts, h.days()...)
	return strings.Join(append(parts, h.Zone), " ")
}

func (h *Hours) days() (out []string) {
	for i := range 7 {
		if day := (i + 1) % 7; h.Days[day] { // weeks are written from Monday
			out = append(out, weekdays[day])
		}
	}
	return out
}

// node writes the hours in their shortest form.
func (h *Hours) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if h.From != 0 {
		n.Content = append(n.Content, textNode("from"), textNode(clockText(h.From)))
	}
	if h.Until != 0 {
		n.Content = append(n.Content, textNode("until"), textNode(clockText(h.Until)))
	}
	if days := h.days(); len(days) > 0 {
		n.Content = append(n.Content, textNode("days"), textsNode(days))
	}
	if h.Zone != "" {
		n.Content = append(n.Content, textNode("zone"), textNode(h.Zone))
	}
	return n
}

func clockText(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

func parseClock(text string) (minutes int, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hour, minute := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	return hour*60 + minute, hour < 24 && minute < 60 || hour == 24 && minute == 0
}

// hours reads what the test time takes.
func (d *decoder) hours(c *Condition, n *yaml.Node, path string, depth int) *Condition {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "", "expected a map with from, until, days and zone, found %s", found(n))
		return nil
	}
	c.Hours = new(Hours)
	fields := []string{"from", "until", "days", "zone"}
	good := true
	for _, p := range d.pairs(n, path) {
		at := join(path, p.key.Value)
		value := d.enter(p.value, at, depth)
		if value == nil {
			return nil
		}
		d.mark(at, value)
		ok := true
		switch p.key.Value {
		case "from":
			c.Hours.From, ok = d.clock(value, at)
		case "until":
			if c.Hours.Until, ok = d.clock(value, at); c.Hours.Until == wholeDay {
				c.Hours.Until = 0 // midnight is where the day ends
			}
		case "days":
			ok = d.weekdays(c.Hours, value, at)
		case "zone":
			c.Hours.Zone, ok = d.text(value, at)
		default:
			d.fail(p.key, at, suggest(p.key.Value, fields), "unknown field")
			ok = false
		}
		good = good && ok
	}
	if !good {
		return nil
	}
	return c
}

func (d *decoder) clock(n *yaml.Node, path string) (int, bool) {
	if n.Kind == yaml.ScalarNode {
		if minutes, ok := parseClock(n.Value); ok && n.Tag == "!!str" && (minutes < wholeDay || strings.HasSuffix(path, "until")) {
			return minutes, true
		}
	}
	d.fail(n, path, "", `expected a time of the day such as "08:30", found %s`, found(n))
	return 0, false
}

func (d *decoder) weekdays(h *Hours, n *yaml.Node, path string) bool {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		d.fail(n, path, "", "expected a list of one or more days, found %s", found(n))
		return false
	}
	good := true
	for i, e := range n.Content {
		at := element(path, i)
		s, ok := d.text(e, at)
		if !ok {
			good = false
			continue
		}
		day := slices.Index(weekdays, strings.ToLower(s))
		if day < 0 {
			d.fail(e, at, suggest(s, weekdays), "expected a day such as monday, found %q", shorten(s))
			good = false
			continue
		}
		h.Days[day] = true
	}
	return good
}
