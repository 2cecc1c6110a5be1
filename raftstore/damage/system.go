package damage

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Opening returns what is to be said of a file or directory that could not be opened because of err: damage, unless err tells
// of a lack or a prohibition that goes away by itself or by the operator's hand, and then err itself.
func Opening(file string, err error, advice string) error {
	for _, e := range []unix.Errno{
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOSPC, unix.EDQUOT, unix.EACCES, unix.EPERM, unix.EROFS, unix.EAGAIN,
	} {
		// Badger keeps no more of an error than its words.
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return fmt.Errorf("open %s: %w", file, err)
		}
	}
	return &Error{File: file, Offset: -1, Reason: err.Error(), Advice: advice}
}
