// Package trace says why: the stable reason codes of decisions, what each means and what to do about it, and the steps that
// one decision took. It decides nothing and formats for people, not for wires.
package trace
