// Package damage says in one type what is wrong with a file of the store, so that every part of it reports damage alike.
package damage

import "fmt"

// Error says which file is damaged, where, and what to do.
type Error struct {
	File   string
	Offset int64 // -1 when not known
	Reason string
	Advice string
}

// Error implements error.
func (e *Error) Error() string {
	at := ""
	if e.Offset >= 0 {
		at = fmt.Sprintf(" at offset %d", e.Offset)
	}
	return fmt.Sprintf("%s is damaged%s: %s; %s", e.File, at, e.Reason, e.Advice)
}
