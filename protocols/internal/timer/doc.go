// Package timer keeps the time of event loops: a wheel that each loop owns, and one alarm that wakes the loops with something due.
// It calls nobody at a time of its own; what is due is fired by the loop that owns the wheel.
package timer
