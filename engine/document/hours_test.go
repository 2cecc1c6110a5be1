package document

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHoursAreThoseOfTheirZone(t *testing.T) {
	day := func(names ...string) (days [7]bool) {
		for _, n := range names {
			for i, w := range weekdays {
				days[i] = days[i] || n == w
			}
		}
		return days
	}
	for _, c := range []struct {
		name  string
		hours Hours
		at    string // a time in UTC; 2026-03-02 is a Monday
		want  bool
	}{
		{"first minute", Hours{From: 8 * 60, Until: 18 * 60}, "2026-03-02T08:00:00Z", true},
		{"before", Hours{From: 8 * 60, Until: 18 * 60}, "2026-03-02T07:59:59Z", false},
		{"last second", Hours{From: 8 * 60, Until: 18 * 60}, "2026-03-02T17:59:59Z", true},
		{"end", Hours{From: 8 * 60, Until: 18 * 60}, "2026-03-02T18:00:00Z", false},
		{"to the end of the day", Hours{From: 8 * 60}, "2026-03-02T23:59:59Z", true},
		{"from the beginning of the day", Hours{Until: 8 * 60}, "2026-03-02T00:00:00Z", true},
		{"whole day", Hours{Days: day("monday")}, "2026-03-02T00:00:00Z", true},
		{"another day", Hours{Days: day("monday", "wednesday")}, "2026-03-03T00:00:00Z", false},
		{"night, evening", Hours{From: 22 * 60, Until: 6 * 60, Days: day("friday")}, "2026-03-06T22:00:00Z", true},
		{"night, morning after", Hours{From: 22 * 60, Until: 6 * 60, Days: day("friday")}, "2026-03-07T05:59:00Z", true},
		{"night, morning of the day", Hours{From: 22 * 60, Until: 6 * 60, Days: day("friday")}, "2026-03-06T05:59:00Z", false},
		{"night, noon", Hours{From: 22 * 60, Until: 6 * 60}, "2026-03-06T12:00:00Z", false},
		{"night from Saturday to Sunday", Hours{From: 22 * 60, Until: 6 * 60, Days: day("saturday")}, "2026-03-08T01:00:00Z", true},
		{"night from Sunday to Monday", Hours{From: 22 * 60, Until: 6 * 60, Days: day("sunday")}, "2026-03-09T01:00:00Z", true},
		{"in winter", Hours{From: 8 * 60, Until: 9 * 60, Zone: "Europe/Madrid"}, "2026-03-02T07:30:00Z", true},
		{"in summer", Hours{From: 8 * 60, Until: 9 * 60, Zone: "Europe/Madrid"}, "2026-07-02T06:30:00Z", true},
		{"a day that has begun elsewhere", Hours{Days: day("tuesday"), Zone: "Pacific/Auckland"}, "2026-03-02T12:00:00Z", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			zone, err := c.hours.Location()
			if err != nil {
				t.Fatal(err)
			}
			if got := c.hours.Contains(at.In(zone)); got != c.want {
				t.Errorf("%s at %s: %v", c.hours.String(), at.In(zone), got)
			}
		})
	}
}

func TestHoursReadBackAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &Hours{From: rapid.IntRange(0, wholeDay-1).Draw(t, "from"), Until: rapid.IntRange(0, wholeDay-1).Draw(t, "until")}
		for i := range h.Days {
			h.Days[i] = rapid.Bool().Draw(t, "day")
		}
		h.Zone = rapid.SampledFrom([]string{"", "UTC", "America/New_York"}).Draw(t, "zone")
		d := &decoder{doc: &Document{}}
		if back := d.hours(new(Condition), h.node(), "time", 1); back == nil || *back.Hours != *h {
			t.Fatalf("%+v is read as %+v, %v", h, back, d.problems)
		}
	})
}
