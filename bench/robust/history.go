package main

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// outcome is how an operation ended, as its client knows it.
type outcome int

const (
	done    outcome = iota // it took effect
	refusal                // it did not
	unclear                // nobody knows: no answer came
)

// String implements fmt.Stringer.
func (o outcome) String() string { return [...]string{"done", "refused", "no answer"}[o] }

// operation is one operation of a history.
type operation struct {
	key    string // what it is about; each has a history of its own
	what   string // of the model
	n      int64  // its argument: a counter or a version
	gave   int64  // its result: a version
	ended  outcome
	strict bool // nothing was disturbed: a refusal must be right
	node   string
	from   time.Time
	until  time.Time
}

// String says what was asked and answered.
func (o *operation) String() string {
	return fmt.Sprintf("%s %s %d at %s: %s %d", o.what, o.key, o.n, o.node, o.ended, o.gave)
}

// history collects operations of one model.
type history struct {
	mu         sync.Mutex
	operations []operation
}

func (h *history) add(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
}

func (h *history) count(match func(o *operation) bool) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.operations {
		if match(&h.operations[i]) {
			n++
		}
	}
	return n
}

// porcupine returns the history as the checker wants it: an operation without an answer may take effect at any time after it was asked for.
func (h *history) porcupine() []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []porcupine.Operation
	clients := map[string]int{}
	for i := range h.operations {
		o := &h.operations[i]
		if _, ok := clients[o.node]; !ok {
			clients[o.node] = len(clients)
		}
		p := porcupine.Operation{ClientId: clients[o.node], Input: o, Call: o.from.UnixNano(), Output: o, Return: o.until.UnixNano()}
		if o.ended == unclear {
			p.Return = math.MaxInt64
		}
		list = append(list, p)
	}
	return list
}

// byKey splits a history into those of the keys.
func byKey(list []porcupine.Operation) (parts [][]porcupine.Operation) {
	at := map[string]int{}
	for _, o := range list {
		key := o.Input.(*operation).key
		i, ok := at[key]
		if !ok {
			i = len(parts)
			at[key], parts = i, append(parts, nil)
		}
		parts[i] = append(parts[i], o)
	}
	return parts
}

func model(init any, step func(state any, o *operation) []any, describe func(state any) string) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition:         byKey,
		Init:              func() []any { return []any{init} },
		Step:              func(state, _, output any) []any { return step(state, output.(*operation)) },
		DescribeOperation: func(_, output any) string { return output.(*operation).String() },
		DescribeState:     describe,
	}
	return m.ToModel()
}

// codes models the counter of a one-time password device: a code is good once, and not after a later one was used. The state is the last counter that was used.
var codes = model(int64(-1), func(state any, o *operation) []any {
	last := state.(int64)
	switch o.ended {
	case done:
		if o.n > last {
			return []any{o.n}
		}
		return nil
	case unclear:
		if o.n > last {
			return []any{last, o.n}
		}
		return []any{last}
	default:
		if o.strict && o.n > last {
			return nil // it was good, and nothing kept the node from seeing so
		}
		return []any{last}
	}
}, func(state any) string { return fmt.Sprintf("used up to %d", state) })

// versions of a name that no client knows, and of one that nothing has.
const (
	absent    int64 = 0
	uncertain int64 = -1
)

// names models a document of one name: it is created where there is none, and deleted at the version that was said. The state is its version.
var names = model(absent, func(state any, o *operation) []any {
	version := state.(int64)
	switch {
	case o.ended == refusal: // it may have been decided by what the node knew then
		return []any{version}
	case o.what == "create" && o.ended == done:
		if version == absent {
			return []any{o.gave}
		}
		return nil
	case o.what == "create":
		if version == absent {
			return []any{version, uncertain}
		}
		return []any{version}
	case o.ended == done:
		if version == o.n || version == uncertain {
			return []any{absent}
		}
		return nil
	default:
		if version == o.n || version == uncertain {
			return []any{version, absent}
		}
		return []any{version}
	}
}, func(state any) string { return fmt.Sprintf("version %d", state) })

// limit is how many places a person of the model has.
const limit = 2

// places models the sessions of a person whose number is limited: a login takes a place if there is one, and the end of the session gives it back.
// The state is how many are taken.
var places = model(int64(0), func(state any, o *operation) []any {
	taken := state.(int64)
	switch {
	case o.what == "leave" && o.ended == done:
		if taken > 0 {
			return []any{taken - 1}
		}
		return nil
	case o.what == "leave":
		return []any{taken, max(0, taken-1)}
	case o.ended == done:
		if taken < limit {
			return []any{taken + 1}
		}
		return nil
	case o.ended == unclear:
		if taken < limit {
			return []any{taken, taken + 1}
		}
		return []any{taken}
	default:
		if o.strict && taken < limit {
			return nil
		}
		return []any{taken}
	}
}, func(state any) string { return fmt.Sprintf("%d taken", state) })
