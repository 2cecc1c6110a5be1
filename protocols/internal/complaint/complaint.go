// Package complaint tells the log what is wrong with what comes from the network, at most so often that nobody can fill a disk
// with it.
package complaint

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

const (
	// every is how often one complaint about one source is repeated.
	every = 10 * time.Second
	// most is how many complaints a loop makes in one second at most.
	most  = 5
	slots = 256
)

// Box makes the complaints of one loop.
type Box struct {
	logger *slog.Logger
	slots  [slots]slot
	second int64
	made   int
}

// NewBox returns a box that complains to logger.
func NewBox(logger *slog.Logger) *Box { return &Box{logger: logger} }

type slot struct {
	source     netip.Addr
	cause      int
	last       time.Time
	suppressed uint64
}

// Complaint is one thing that is wrong.
type Complaint struct {
	Level   slog.Level
	Message string
	Client  string // the service provider's name, or empty
	Source  netip.AddrPort
	Local   netip.AddrPort // where it came; the zero value is not told
	Cause   int            // complaints of one cause about one source are told together
	Name    string         // of the cause
	What    string         // in plain words
}

// Due reports whether a complaint about a source may be made now, and how many like it were not since the last one.
func (b *Box) Due(now time.Time, source netip.Addr, cause int) (suppressed uint64, ok bool) {
	a := source.As16()
	h := uint32(cause)
	for _, octet := range a {
		h = h*16777619 ^ uint32(octet)
	}
	s := &b.slots[(h^h>>16)%slots]
	same := s.source == source && s.cause == cause
	if same && now.Sub(s.last) < every {
		s.suppressed++
		return 0, false
	}
	if second := now.Unix(); second != b.second {
		b.second, b.made = second, 0
	}
	if b.made >= most {
		return 0, false
	}
	b.made++
	if same {
		suppressed = s.suppressed
	}
	*s = slot{source: source, cause: cause, last: now}
	return suppressed, true
}

// Say makes a complaint if it is due.
func (b *Box) Say(now time.Time, c Complaint) {
	if suppressed, ok := b.Due(now, c.Source.Addr(), c.Cause); ok {
		b.Tell(c, suppressed)
	}
}

// Tell makes a complaint that is due.
func (b *Box) Tell(c Complaint, suppressed uint64) {
	attrs := make([]slog.Attr, 0, 6)
	if c.Client != "" {
		attrs = append(attrs, slog.String("client", c.Client))
	}
	attrs = append(attrs, slog.String("source", c.Source.String()))
	if c.Local.IsValid() {
		attrs = append(attrs, slog.String("local", c.Local.String()))
	}
	attrs = append(attrs, slog.String("cause", c.Name), slog.String("what", c.What))
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	b.logger.LogAttrs(context.Background(), c.Level, c.Message, attrs...)
}
