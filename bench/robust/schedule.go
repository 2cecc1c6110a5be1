package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is one fault of a schedule.
type step struct {
	wait   time.Duration // before it, in peace
	fault  *fault
	victim int           // which of the nodes, counted from the leader where ofLeader
	lead   bool          // victim is counted from the leader
	lasts  time.Duration // until it is healed
	draw   uint64        // of what the fault chooses itself
}

// String says what will be done.
func (s step) String() string {
	of := "of the nodes"
	if s.lead {
		of = "from the leader"
	}
	return fmt.Sprintf("after %v: %s, number %d %s, for %v", s.wait.Round(time.Millisecond), s.fault.name, s.victim, of, s.lasts.Round(time.Millisecond))
}

// random returns the numbers by which the fault chooses.
func (s step) random() *rand.Rand { return rand.New(rand.NewPCG(s.draw, 0)) }

// plan makes the schedule of a seed: more steps than there is time for. What is done is the same for the same seed, number of nodes and faults;
// when exactly it hits is up to the machine.
func plan(seed uint64, nodes int, among []*fault) []step {
	r := rand.New(rand.NewPCG(seed, 2))
	var bag []*fault
	for _, f := range among {
		for range f.weight {
			bag = append(bag, f)
		}
	}
	var steps []step
	for range 200 {
		f := bag[r.IntN(len(bag))]
		steps = append(steps, step{
			wait: 300*time.Millisecond + time.Duration(r.Int64N(int64(2*time.Second))), fault: f, victim: r.IntN(nodes), lead: r.IntN(2) == 0,
			lasts: 300*time.Millisecond + time.Duration(r.Int64N(int64(4*time.Second))), draw: r.Uint64(),
		})
	}
	return steps
}

// choose returns the faults that are possible and wanted. The error names what was asked for and is not.
func choose(p possible, only string) ([]*fault, error) {
	var chosen []*fault
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		i := slices.IndexFunc(faults, func(f *fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no fault is called %q; there are %s", name, strings.Join(faultNames(), ", "))
		}
		if why := faults[i].impossible(p); why != "" {
			return nil, fmt.Errorf("the fault %s: %s", name, why)
		}
		chosen = append(chosen, faults[i])
	}
	if len(wanted) > 0 {
		return chosen, nil
	}
	for _, f := range faults {
		if f.weight > 0 && f.impossible(p) == "" {
			chosen = append(chosen, f)
		}
	}
	return chosen, nil
}

func faultNames() (names []string) {
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}
