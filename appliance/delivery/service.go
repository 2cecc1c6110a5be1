package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/document"
	"trine/engine/message"
	"trine/engine/secret"
	"trine/engine/state"
)

const (
	// workers is how many messages of a channel are handed over at once.
	workers = 4
	// firstRetry is how long a message waits after its first failure; each further wait is twice as long, up to lastRetry. Mail servers
	// that greylist want to be asked again after a minute or some.
	firstRetry = 2 * time.Second
	lastRetry  = 5 * time.Minute
)

// Documents are where MessageGateway documents come from.
type Documents interface {
	// Documents returns documents of a kind whose names come after the given one, by name, at most limit of them.
	Documents(kind, after string, limit int) []state.Document
}

var _ Documents = (*state.State)(nil)

// Config is what a Service works with.
type Config struct {
	Documents Documents
	Keyring   *secret.Keyring
	// Queue bounds the messages of each channel that wait or are under way; 0: 4096.
	Queue  int
	Clock  func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: nothing is logged
}

// Service delivers messages. Its life: New, Submit as often as needed, Close. It is safe for concurrent use.
type Service struct {
	documents Documents
	keyring   *secret.Keyring
	clock     func() time.Time
	logger    *slog.Logger
	host      string
	lines     map[message.Channel]*line

	mu       sync.Mutex
	gateways map[message.Channel]*gateway // as they were last used
	broken   map[string]uint64            // versions of documents that were found broken and told of

	running sync.WaitGroup
	ctx     context.Context // of attempts
	cancel  context.CancelFunc
}

// line is what belongs to one channel.
type line struct {
	channel message.Channel
	queue   *queue
	limiter *limiter
	counts  counters
}

type counters struct {
	taken, delivered, refused, failed, retried                  atomic.Uint64
	unconfigured, address, limitedRecipient, limitedTotal, full atomic.Uint64
}

var _ message.Messenger = (*Service)(nil)

// New starts a service. It connects to nothing before there is something to deliver.
func New(c Config) *Service {
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		documents: c.Documents, keyring: c.Keyring, clock: c.Clock, logger: c.Logger, host: hostName(),
		lines: map[message.Channel]*line{}, gateways: map[message.Channel]*gateway{}, broken: map[string]uint64{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, channel := range message.Channels() {
		l := &line{channel: channel, queue: newQueue(c.Queue), limiter: newLimiter()}
		s.lines[channel] = l
		for range workers {
			s.running.Go(func() { s.work(l) })
		}
	}
	return s
}

// hostName is how the node introduces itself to mail servers.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "localhost"
	}
	return name
}

// Submit implements [message.Messenger].
func (s *Service) Submit(m *message.Message) error { return s.submit(m, true) }

// Check implements [message.Messenger].
func (s *Service) Check(m *message.Message) error { return s.submit(m, false) }

// submit takes a message, or only says whether it would.
func (s *Service) submit(m *message.Message, inEarnest bool) error {
	l := s.lines[m.Channel]
	if l == nil {
		return fmt.Errorf("%w for the channel %s", message.ErrUnconfigured, m.Channel)
	}
	count := func(n *atomic.Uint64) {
		if inEarnest {
			n.Add(1)
		}
	}
	g, err := s.gateway(m.Channel)
	if err != nil {
		count(&l.counts.unconfigured)
		return err
	}
	j := &job{Message: m, id: rand.Text(), due: s.clock()}
	var key string
	ok := false
	switch m.Channel {
	case message.Mail:
		j.to, key, ok = mailAddress(m.To)
	case message.SMS:
		j.to, ok = phoneNumber(m.To, g.spec.HTTP)
		key = j.to
	case message.Push:
		j.to, key, ok = m.To, m.To, message.ValidDevice(m.To)
	}
	if !ok {
		count(&l.counts.address)
		if m.To == "" {
			return fmt.Errorf("%w: there is none", message.ErrAddress)
		}
		return fmt.Errorf("%w: %s", message.ErrAddress, m.Masked())
	}
	if !l.queue.reserve() {
		count(&l.counts.full)
		return message.ErrFull
	}
	ask := l.limiter.look
	if inEarnest {
		ask = l.limiter.take
	}
	switch ask(key, &g.spec.Limits, j.due) {
	case byRecipient:
		l.queue.settle()
		count(&l.counts.limitedRecipient)
		return fmt.Errorf("%w for %s", message.ErrLimited, m.Masked())
	case byTotal:
		l.queue.settle()
		count(&l.counts.limitedTotal)
		return fmt.Errorf("%w for all recipients together", message.ErrLimited)
	case unlimited:
	}
	if !inEarnest {
		l.queue.settle()
		return nil
	}
	if !l.queue.put(j) {
		l.queue.settle()
		l.counts.full.Add(1)
		return message.ErrFull
	}
	l.counts.taken.Add(1)
	return nil
}

// gateway returns the gateway of a channel as its document is now. Documents change rarely and messages are slow, so the document's version is
// looked at each time, and nothing else has to tell of changes.
func (s *Service) gateway(channel message.Channel) (*gateway, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.gateways[channel]
	stored := s.documents.Documents(document.KindMessageGateway, "", 16)
	for i := range stored {
		if have != nil && stored[i].Name == have.name && stored[i].Version == have.version {
			return have, nil
		}
	}
	var wrong error
	for i := range stored {
		d := &stored[i]
		g, err := s.read(d)
		if err != nil {
			wrong = fmt.Errorf("%w: MessageGateway %s cannot be used: %w", message.ErrUnconfigured, d.Name, err)
			if s.broken[d.Name] != d.Version {
				s.broken[d.Name] = d.Version
				s.logger.Error("a message gateway cannot be used", "gateway", d.Name, "error", err)
			}
			continue
		}
		if g.spec.Channel() == channel {
			s.gateways[channel] = g
			return g, nil
		}
	}
	delete(s.gateways, channel)
	if wrong != nil {
		return nil, wrong
	}
	return nil, fmt.Errorf("%w for %s", message.ErrUnconfigured, channel)
}

func (s *Service) read(stored *state.Document) (*gateway, error) {
	d, err := document.FromStored(document.KindMessageGateway, stored.Name, stored.Spec)
	if err != nil {
		return nil, err
	}
	g, err := newGateway(d, s.keyring, s.host)
	if err != nil {
		return nil, err
	}
	g.version = stored.Version
	return g, nil
}

// way is what a worker keeps between messages.
type way struct {
	gateway *gateway
	carrier carrier
}

func (w *way) close() {
	if w.carrier != nil {
		w.carrier.close()
	}
	w.gateway, w.carrier = nil, nil
}

// to opens the way to a gateway, unless it is open already.
func (w *way) to(g *gateway) error {
	if w.gateway == g {
		return nil
	}
	w.close()
	c, err := g.open()
	if err == nil {
		w.gateway, w.carrier = g, c
	}
	return err
}

// work hands over the messages of a channel, one after another.
func (s *Service) work(l *line) {
	var w way
	defer w.close()
	for {
		j, open := l.queue.next(s.clock, idleTime)
		switch {
		case !open:
			return
		case j == nil:
			w.close() // nothing to do for a while
		default:
			s.try(l, &w, j)
		}
	}
}

// try attempts one message, and settles it or puts it back.
func (s *Service) try(l *line, w *way, j *job) {
	now := s.clock()
	if !now.Before(j.Expires) {
		s.settle(l, j, s.late(j))
		return
	}
	g, err := s.gateway(l.channel)
	if err != nil { // it was removed meanwhile
		s.settle(l, j, fmt.Errorf("%w: %w", message.ErrFailed, err))
		return
	}
	j.Gateway = g.name
	j.Attempts++
	err = w.to(g)
	if err == nil {
		err = s.attempt(g, w.carrier, j, now)
	}
	var no *refusal
	switch {
	case err == nil:
		s.settle(l, j, nil)
		return
	case errors.As(err, &no):
		s.settle(l, j, fmt.Errorf("%w: %w", message.ErrRefused, err))
		return
	}
	j.why = err
	j.due = s.clock().Add(min(firstRetry<<min(j.Attempts-1, 16), lastRetry))
	if g.attempts > 0 && j.Attempts >= g.attempts || !j.due.Before(j.Expires) {
		s.settle(l, j, s.late(j))
		return
	}
	l.counts.retried.Add(1)
	s.logger.Debug("a message will be tried again", "message", j.Message, "gateway", g.name, "attempt", j.Attempts, "error", err)
	if !l.queue.put(j) {
		s.settle(l, j, s.late(j))
	}
}

// attempt hands a message over once.
func (s *Service) attempt(g *gateway, c carrier, j *job, now time.Time) error {
	subject, body, err := g.fill(j.Message, now)
	if err != nil {
		return &refusal{err}
	}
	ctx, cancel := context.WithTimeout(s.ctx, min(g.timeout, j.Expires.Sub(now)))
	defer cancel()
	return c.carry(ctx, &parcel{
		id: j.id, to: j.to, subject: subject, body: body, challenge: j.Challenge, ticket: j.Ticket, code: j.Values.Code, verbose: j.Kind == message.Test,
	})
}

// late is the error of a message that was not handed over in time.
func (s *Service) late(j *job) error {
	if j.why == nil {
		return message.ErrFailed
	}
	return fmt.Errorf("%w: %w", message.ErrFailed, j.why)
}

// settle tells what became of a message that was taken out of the queue.
func (s *Service) settle(l *line, j *job, err error) {
	l.queue.settle()
	s.tell(l, j, err)
}

func (s *Service) tell(l *line, j *job, err error) {
	j.Err = err
	switch {
	case err == nil:
		l.counts.delivered.Add(1)
	case errors.Is(err, message.ErrRefused):
		l.counts.refused.Add(1)
	default:
		l.counts.failed.Add(1)
	}
	if err != nil {
		s.logger.Warn("a message was not delivered", "message", j.Message, "user", j.User, "gateway", j.Gateway, "attempts", j.Attempts, "reason", message.Reason(err), "error", err)
	}
	if j.Done != nil {
		j.Done.Delivered(j.Message)
	}
}

// errStopping is why messages that wait are given up when the node stops.
var errStopping = errors.New("the node is stopping")

// Close ends the service: what waits fails, and what is under way is given until ctx ends.
func (s *Service) Close(ctx context.Context) error {
	for _, l := range s.lines {
		for _, j := range l.queue.close() {
			j.why = errStopping
			s.tell(l, j, s.late(j))
		}
	}
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		s.cancel()
		<-ended // attempts end with their context
	}
	s.cancel()
	return nil
}

// Stats are the counters of one channel since the service was made, and what waits and is under way now.
type Stats struct {
	Channel           string
	Waiting, UnderWay int

	Taken     uint64 // messages taken
	Delivered uint64 // that the next server took
	Refused   uint64 // that it refused for good
	Failed    uint64 // that could not be handed over in time
	Retried   uint64 // attempts that failed and were followed by another

	// Messages that were not taken.
	Unconfigured, Address, LimitedRecipient, LimitedTotal, Full uint64
}

// Stats returns the counters of every channel.
func (s *Service) Stats() []Stats {
	out := make([]Stats, 0, len(s.lines))
	for _, channel := range message.Channels() {
		l := s.lines[channel]
		c := &l.counts
		one := Stats{
			Channel: channel.String(), Taken: c.taken.Load(), Delivered: c.delivered.Load(), Refused: c.refused.Load(), Failed: c.failed.Load(),
			Retried: c.retried.Load(), Unconfigured: c.unconfigured.Load(), Address: c.address.Load(),
			LimitedRecipient: c.limitedRecipient.Load(), LimitedTotal: c.limitedTotal.Load(), Full: c.full.Load(),
		}
		one.Waiting, one.UnderWay = l.queue.counts()
		out = append(out, one)
	}
	return out
}
