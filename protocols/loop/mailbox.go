package loop

import "sync"

// Mailbox brings values from any goroutine to a loop's goroutine. The zero value is not ready: see NewMailbox.
type Mailbox[T any] struct {
	loop interface{ Wake() }

	mu    sync.Mutex
	items []T
	spare []T
}

// NewMailbox returns a mailbox whose owner is woken (Handler.Wake) when something came.
func NewMailbox[T any](owner interface{ Wake() }) *Mailbox[T] { return &Mailbox[T]{loop: owner} }

// Put adds an item, from any goroutine. It wakes the loop only for the first of a batch and never blocks for long. The
// mailbox has no bound of its own: what is put into it are answers to requests, and those are bounded.
func (m *Mailbox[T]) Put(item T) {
	m.mu.Lock()
	m.items = append(m.items, item)
	first := len(m.items) == 1
	m.mu.Unlock()
	if first {
		m.loop.Wake()
	}
}

// Take returns what came since the last Take, oldest first. The slice is the caller's until the next Take.
func (m *Mailbox[T]) Take() []T {
	m.mu.Lock()
	items := m.items
	m.items = m.spare[:0]
	m.spare = items
	m.mu.Unlock()
	return items
}
