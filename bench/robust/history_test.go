package main

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// ops makes a history in which each operation begins and ends at the given seconds.
func ops(list ...operation) *history {
	h := &history{}
	for _, o := range list {
		h.add(o)
	}
	return h
}

func during(from, until int64, o operation) operation {
	o.key, o.node = "x", "n1"
	o.from, o.until = time.Unix(from, 0), time.Unix(until, 0)
	return o
}

func TestModelsTellRightFromWrong(t *testing.T) {
	offer := func(from, until, n int64, ended outcome, strict bool) operation {
		return during(from, until, operation{what: "offer", n: n, ended: ended, strict: strict})
	}
	create := func(from, until, gave int64, ended outcome) operation {
		return during(from, until, operation{what: "create", gave: gave, ended: ended})
	}
	remove := func(from, until, n int64, ended outcome) operation {
		return during(from, until, operation{what: "delete", n: n, ended: ended})
	}
	enter := func(from, until int64, ended outcome, strict bool) operation {
		return during(from, until, operation{what: "enter", ended: ended, strict: strict})
	}
	leave := func(from, until int64) operation { return during(from, until, operation{what: "leave"}) }
	for _, c := range []struct {
		name  string
		model porcupine.Model
		ops   []operation
		want  bool
	}{
		{"a code once", codes, []operation{offer(1, 3, 5, done, false), offer(2, 4, 5, refusal, true), offer(5, 6, 6, done, false)}, true},
		{"a code twice", codes, []operation{offer(1, 3, 5, done, false), offer(2, 4, 5, done, false)}, false},
		{"a code after a later one", codes, []operation{offer(1, 2, 6, done, false), offer(3, 4, 5, done, false)}, false},
		{"a code that was perhaps used", codes, []operation{offer(1, 2, 5, unclear, false), offer(3, 4, 5, refusal, true)}, true},
		{"a code that was perhaps not used", codes, []operation{offer(1, 2, 5, unclear, false), offer(3, 4, 5, done, false)}, true},
		{"a good code refused", codes, []operation{offer(1, 2, 5, done, false), offer(3, 4, 6, refusal, true)}, false},
		{"a good code refused under a fault", codes, []operation{offer(1, 2, 5, done, false), offer(3, 4, 6, refusal, false)}, true},
		{"a name once", names, []operation{create(1, 3, 7, done), create(2, 4, 0, refusal), remove(5, 6, 7, done), create(7, 8, 9, done)}, true},
		{"a name twice", names, []operation{create(1, 3, 7, done), create(2, 4, 8, done)}, false},
		{"a name deleted twice", names, []operation{create(1, 2, 7, done), remove(3, 5, 7, done), remove(4, 6, 7, done)}, false},
		{"a name that is perhaps there", names, []operation{create(1, 2, 0, unclear), remove(3, 4, 7, done), create(5, 6, 8, done)}, true},
		{"a delete that perhaps was", names, []operation{create(1, 2, 7, done), remove(3, 4, 7, unclear), create(5, 6, 8, done)}, true},
		{"a create that was lost", names, []operation{create(1, 2, 7, done), create(3, 4, 8, done)}, false},
		{"places in turn", places, []operation{enter(1, 2, done, false), enter(2, 3, done, false), leave(4, 5), enter(6, 7, done, false)}, true},
		{"a place too many", places, []operation{enter(1, 2, done, false), enter(2, 3, done, false), enter(3, 4, done, false)}, false},
		{"a full house refuses", places, []operation{enter(1, 2, done, false), enter(2, 3, done, false), enter(4, 5, refusal, true)}, true},
		{"an empty house refuses", places, []operation{enter(4, 5, refusal, true)}, false},
		{"an empty house refuses under a fault", places, []operation{enter(4, 5, refusal, false)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := porcupine.CheckOperations(c.model, ops(c.ops...).porcupine()); got != c.want {
				t.Errorf("linearizable: %v, want %v", got, c.want)
			}
		})
	}
}
