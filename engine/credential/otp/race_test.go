//go:build race

package otp

const raceEnabled = true
