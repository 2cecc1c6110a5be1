package damage

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLackOfSomethingIsNoDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		damage bool
	}{
		{"too many files, wrapped", fmt.Errorf("open table: %w", unix.EMFILE), false},
		{"no space, in words only", errors.New("while opening memtables: " + unix.ENOSPC.Error()), false},
		{"locked", unix.EAGAIN, false},
		{"input and output", unix.EIO, true},
		{"what does not decode", io.ErrUnexpectedEOF, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Opening("file", c.err, "restore it")
			var damaged *Error
			if errors.As(err, &damaged) != c.damage {
				t.Errorf("found %v", err)
			}
		})
	}
}
