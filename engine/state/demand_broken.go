//go:build trine_break_expectation

package state

// demands lets proposals pass whose expectations fail.
const demands = false
