package script

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// SyntaxError is what is wrong with an expression or a script: it does not compile, or its type is not the one that is asked for.
type SyntaxError struct {
	Line, Column int // within the text, from 1; the column counts characters
	Text         string
}

// Error tells place and problem.
func (e *SyntaxError) Error() string { return at(e.Line, e.Column, e.Text) }

// Error is why an evaluation yielded no value.
type Error struct {
	Cause        error // ErrExpression, ErrThrown, ErrTimeout, ErrWrongType, ErrQueueFull, ErrDeadline or ErrUnavailable
	Line, Column int   // within the text, from 1; 0 where unknown
	Text         string
}

// Error tells place and problem.
func (e *Error) Error() string { return at(e.Line, e.Column, e.Text) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// The causes. The first four are the text's own doing, and whoever asked refuses. The others are the node's: a login is left
// without an answer, so that the device tries another node.
var (
	ErrExpression  = errors.New("the expression failed")
	ErrThrown      = errors.New("the script failed")
	ErrTimeout     = errors.New("the script took too long")
	ErrWrongType   = errors.New("the result has the wrong type")
	ErrQueueFull   = errors.New("too many scripts wait already")
	ErrDeadline    = errors.New("the script was not run in time")
	ErrUnavailable = errors.New("the process that runs scripts is not there")
)

// Code returns the stable reason code of an error of this package, as package trace documents it.
func Code(err error) string {
	switch {
	case errors.Is(err, ErrExpression):
		return "expression.failed"
	case errors.Is(err, ErrTimeout):
		return "script.timeout"
	case errors.Is(err, ErrWrongType):
		return "script.wrong-type"
	case errors.Is(err, ErrQueueFull):
		return "overload.queue-full"
	case errors.Is(err, ErrDeadline):
		return "overload.deadline"
	case errors.Is(err, ErrUnavailable):
		return "worker.failed"
	}
	return "script.failed"
}

// at puts the place in front of a text.
func at(line, column int, text string) string {
	if line == 0 {
		return text
	}
	return fmt.Sprintf("line %d, column %d: %s", line, column, text)
}

// maxText is how many bytes of a message are kept: scripts may throw anything.
const maxText = 300

// shorten cuts a message at the start of a character.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "..."
}
