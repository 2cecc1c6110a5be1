// Package policy holds the policy cache: everything that a decision reads that is not a person or a session, compiled from the
// documents in state into one immutable value behind one atomic pointer. A request loads it once and carries it to its end.
package policy
