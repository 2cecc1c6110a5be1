package main

import (
	"fmt"
	"slices"
	"time"
)

// comparison holds the samples of all turns.
type comparison struct {
	trine, freeRADIUS string // versions
	samples           map[string]map[string][]*sample
}

func newComparison(trine, freeRADIUS string) *comparison {
	return &comparison{trine: trine, freeRADIUS: freeRADIUS, samples: make(map[string]map[string][]*sample)}
}

func (c *comparison) add(subject, scenario string, x *sample) {
	if c.samples[subject] == nil {
		c.samples[subject] = make(map[string][]*sample)
	}
	c.samples[subject][scenario] = append(c.samples[subject][scenario], x)
}

// target is something that the project promises of these measurements.
type target struct {
	what  string
	want  string
	found []string // in each turn
	met   []bool
}

// reached says in how many turns the target was met.
func (t *target) reached() string {
	n := 0
	for _, ok := range t.met {
		if ok {
			n++
		}
	}
	return fmt.Sprintf("%d of %d", n, len(t.met))
}

// at adds what one turn found.
func (t *target) at(found string, ok bool) {
	t.found, t.met = append(t.found, found), append(t.met, ok)
}

// targets compares the turns one by one: a machine that drifts between turns drifts for both sides of a ratio.
func (c *comparison) targets() (list []*target) {
	ours := c.samples["Trine"]
	for i := range scenarios {
		sc := &scenarios[i]
		if theirs := c.samples["FreeRADIUS"][sc.name]; theirs != nil && sc.ratio > 0 {
			t := &target{what: sc.name + ", times FreeRADIUS", want: fmt.Sprintf("at least %.1f", sc.ratio)}
			for turn, x := range theirs {
				ratio := ours[sc.name][turn].rate / x.rate
				t.at(fmt.Sprintf("%.2f", ratio), ratio >= sc.ratio)
			}
			list = append(list, t)
		}
		if sc.p99 > 0 && ours[sc.name] != nil {
			t := &target{what: sc.name + ", p99 at 70% of the top rate", want: "under " + sc.p99.String()}
			for _, x := range ours[sc.name] {
				t.at(short(x.calm99), x.calm99 < sc.p99)
			}
			list = append(list, t)
		}
		if both := c.samples[twoCores][sc.name]; both != nil {
			t := &target{what: sc.name + ", two cores with the generator beside it, times one core", want: "at least 1.0"}
			for turn, x := range both {
				ratio := x.rate / ours[sc.name][turn].rate
				t.at(fmt.Sprintf("%.2f", ratio), ratio >= 1)
			}
			list = append(list, t)
		}
	}
	if echo := c.samples["Echo"]["PAP"]; echo != nil {
		t := &target{what: "PAP, share of a bare echo", want: "at least 60%"}
		for turn, x := range echo {
			share := ours["PAP"][turn].rate / x.rate
			t.at(fmt.Sprintf("%.0f%%", 100*share), share >= 0.6)
		}
		list = append(list, t)
	}
	return list
}

// median returns the sample whose rate is in the middle.
func median(list []*sample) *sample {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b *sample) int { return int(a.rate - b.rate) })
	return sorted[len(sorted)/2]
}

// subjects are the columns of the results, in order.
var subjects = []string{"Trine", "FreeRADIUS", "Echo", twoCores}

// write puts the results into the report.
func (c *comparison) write(r *report) {
	r.section("RADIUS")
	r.text("Trine %s against FreeRADIUS %s, both on one core, the generator on the other. Trine verifies and sends Message-Authenticator, records every "+
		"decision and acknowledges accounting after an fsync. FreeRADIUS verifies Message-Authenticator (as Debian ships it, it sends none), logs nothing, and writes accounting to a detail file that is not "+
		"synced (Debian's detail module and acct_unique policy, thread pool as shipped). The echo is gnet with recvmmsg and sendmmsg that sends each login back.", c.trine, c.freeRADIUS)
	r.table([]string{"promise", "wanted", "found in each turn", "reached"}, func(row func(...string)) {
		for _, t := range c.targets() {
			row(t.what, t.want, fmt.Sprint(t.found), t.reached())
		}
	})
	r.chart("Answers a second, median of the turns", c.bars())
	r.text("The turn with the median rate of each server. Rates and their latencies are those of the closed loop, with %d requests under way for logins and Status-Server and %d otherwise; "+
		"then come those of the open loop at 70%% of that rate, counted from when a request was due, and what the host took of the two cores' time and other processes used meanwhile.", scenarios[0].window, scenarios[3].window)
	head := []string{
		"scenario", "server", "answers/s", "CPU/request", "server busy", "generator busy", "p50", "p99", "p99.9", "p50 at 70%", "p99 at 70%", "p99.9 at 70%", "stolen", "others", "resident",
		"window", "seals", "GCs", "GC's CPU",
	}
	r.table(head, func(row func(...string)) {
		for i := range scenarios {
			for _, subject := range subjects {
				if list := c.samples[subject][scenarios[i].name]; list != nil {
					row(append([]string{scenarios[i].name, subject}, median(list).cells(subject)...)...)
				}
			}
		}
	})
	r.text("All turns, answers a second:")
	r.table([]string{"scenario", "server", "turns"}, func(row func(...string)) {
		for i := range scenarios {
			for _, subject := range subjects {
				var rates []string
				for _, x := range c.samples[subject][scenarios[i].name] {
					rates = append(rates, fmt.Sprintf("%.0f", x.rate))
				}
				if rates != nil {
					row(scenarios[i].name, subject, fmt.Sprint(rates))
				}
			}
		}
	})
}

// cells are the columns of one sample.
func (x *sample) cells(subject string) []string {
	cells := []string{
		fmt.Sprintf("%.0f", x.rate), fmt.Sprintf("%.2f us", x.cpu.Seconds()*1e6), percent(x.server), percent(x.busy),
		short(x.p50), short(x.p99), short(x.p999), short(x.calm50), short(x.calm99), short(x.calm999), fmt.Sprintf("%.1f%%", 100*x.company.stolen), fmt.Sprintf("%.1f%%", 100*x.company.others),
		megabytes(x.memory), fmt.Sprintf("%.0f s", x.elapsed.Seconds()),
	}
	if subject != "Trine" && subject != twoCores {
		return append(cells, "", "", "")
	}
	return append(cells, fmt.Sprint(x.seals), fmt.Sprint(x.collections), fmt.Sprintf("%.1f%%", 100*x.collected))
}

func (c *comparison) bars() (list []bar) {
	for i := range scenarios {
		for _, subject := range subjects[:3] {
			if s := c.samples[subject][scenarios[i].name]; s != nil {
				list = append(list, bar{group: scenarios[i].name, name: subject, value: median(s).rate})
			}
		}
	}
	return list
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

func megabytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// short writes a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second / 10).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
