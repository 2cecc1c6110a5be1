package engine

// Lane is one loop's way into the engine: it owns that loop's buffers, so that nothing on the way needs a lock. A Lane's
// methods are called from its loop's goroutine only.
//
//	func (e *Engine) NewLane() *Lane
//	func (l *Lane) Authenticate(r *Request) (decided bool)  // false: r.Done.Decided(r) is called later, exactly once
//	func (l *Lane) Account(a *Accounting)                   // a.Done.Accounted(a) is called later, exactly once
//	func (l *Lane) Flush()                                  // hands the decisions made since the last Flush to the log
//	func (l *Lane) Resolve...
type Lane struct{}
