//go:build race

package engine

// raceDetector says that pools forget at random, so that allocations cannot be counted.
const raceDetector = true
