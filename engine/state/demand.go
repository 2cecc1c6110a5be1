//go:build !trine_break_expectation

package state

// demands says that an expectation that fails makes a proposal void. The build tag trine_break_expectation lets it pass, for the test that such a
// node is found out (bench/robust).
const demands = true
