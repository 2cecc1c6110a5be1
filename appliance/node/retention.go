package node

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"trine/engine/event"
	"trine/raftstore"
)

// retention reads the retention setting. Configuration, identity and system events are what views are rebuilt from, so they
// are kept for ever and refuse an age.
func (s *Settings) retention() (map[raftstore.Class]raftstore.Retention, error) {
	kept := map[raftstore.Class]raftstore.Retention{}
	if s.DecisionBytes > 0 {
		kept[raftstore.Class(event.ClassDecision)] = raftstore.Retention{Bytes: s.DecisionBytes}
	}
	for _, item := range s.Retention {
		name, age, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return nil, fmt.Errorf("retention: expected class=age such as decision=30d, found %q", item)
		}
		class, ok := event.ParseClass(name)
		if !ok {
			return nil, fmt.Errorf("retention: no class is called %q; the classes are config, identity, session, accounting, decision, system", name)
		}
		switch class {
		case event.ClassConfig, event.ClassIdentity, event.ClassSystem:
			return nil, fmt.Errorf("retention: events of class %s are kept for ever, so that every change can be reverted", class)
		}
		duration, err := parseAge(age)
		if err != nil {
			return nil, fmt.Errorf("retention of %s: %w", class, err)
		}
		r := kept[raftstore.Class(class)]
		r.Age = duration
		kept[raftstore.Class(class)] = r
	}
	return kept, nil
}

// parseAge reads a duration that may be in days.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("expected an age such as 30d or 12h, found %q", text)
}
