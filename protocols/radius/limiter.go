package radius

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

const (
	// complainEvery is how often one complaint about one source is repeated.
	complainEvery = 10 * time.Second
	// complainMost is how many complaints a loop makes in one second at most.
	complainMost  = 5
	complainSlots = 256
)

// complaints logs what is wrong with packets, at most so often that nobody can fill a disk with it. It belongs to one loop.
type complaints struct {
	logger *slog.Logger
	slots  [complainSlots]complaint
	second int64
	made   int
}

type complaint struct {
	source     netip.Addr
	cause      cause
	last       time.Time
	suppressed uint64
}

// due reports whether a complaint may be made now, and how many like it were not since the last one.
func (c *complaints) due(now time.Time, source netip.Addr, what cause) (suppressed uint64, ok bool) {
	a := source.As16()
	h := uint32(what)
	for _, b := range a {
		h = h*16777619 ^ uint32(b)
	}
	s := &c.slots[(h^h>>16)%complainSlots]
	if s.source == source && s.cause == what && now.Sub(s.last) < complainEvery {
		s.suppressed++
		return 0, false
	}
	if second := now.Unix(); second != c.second {
		c.second, c.made = second, 0
	}
	if c.made >= complainMost {
		return 0, false
	}
	c.made++
	if s.source == source && s.cause == what {
		suppressed = s.suppressed
	}
	*s = complaint{source: source, cause: what, last: now}
	return suppressed, true
}

// say logs that a packet was ignored, if it is due. Client is the service provider's name, or empty.
func (c *complaints) say(now time.Time, level slog.Level, message, client string, from netip.AddrPort, local netip.AddrPort, what cause) {
	suppressed, ok := c.due(now, from.Addr(), what)
	if !ok {
		return
	}
	attrs := make([]slog.Attr, 0, 6)
	if client != "" {
		attrs = append(attrs, slog.String("client", client))
	}
	attrs = append(attrs, slog.String("source", from.String()), slog.String("local", local.String()),
		slog.String("cause", what.name()), slog.String("what", what.text()))
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	c.logger.LogAttrs(context.Background(), level, message, attrs...)
}
