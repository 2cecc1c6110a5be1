//go:build race

package tacacs

// raceDetector says that the tests run under the race detector.
const raceDetector = true
