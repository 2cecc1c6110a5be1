package credential

import (
	"errors"
	"fmt"
	"time"

	"trine/engine/credential/imported"
)

var (
	// ErrQueueFull means that the hasher's bounded queue is full; the newest job is the one refused.
	ErrQueueFull = errors.New("the queue of slow password verifications is full")
	// ErrDeadline means that a job was dropped because its caller no longer waits.
	ErrDeadline = errors.New("the password was not verified in time")
	// ErrUnreadable means that the form of a job is none that can be verified.
	ErrUnreadable = errors.New("the stored form of the password cannot be read")
	// ErrHasherFailed means that the hasher could not do the job, also not when it tried again.
	ErrHasherFailed = errors.New("the process that verifies passwords failed")
)

// Hasher does the slow work of passwords. The appliance's worker implements it.
type Hasher interface {
	// Submit queues a job and never blocks. An error (ErrQueueFull, ErrHasherFailed) means that it was not queued; otherwise
	// job.Done.Hashed(job) is called exactly once, on any goroutine. The job is the hasher's until then.
	Submit(job *Job) error
}

// Job is one piece of slow work: with Form set, does the password fit the form; otherwise, make an Argon2id form with Params.
type Job struct {
	Password []byte    // at most MaxPassword bytes
	Form     []byte    // an encoded Argon2id form or the text of an imported hash, at most MaxForm bytes, to verify
	Params   Params    // to hash
	Deadline time.Time // past it the job need not be done; zero: none
	Done     JobDone

	// The outcome. Err wraps ErrDeadline, ErrUnreadable or ErrHasherFailed, or says what is wrong with the job; then the others mean nothing.
	Match bool   // of verifying
	Hash  []byte // of hashing: an encoded Argon2id form
	Err   error
}

// Format shows nothing of the password or its hash under any verb.
func (j *Job) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("«redacted»")) }

// JobDone learns that a job is done. Hashed must not block.
type JobDone interface {
	Hashed(job *Job)
}

// MaxForm is the length in bytes of the longest form that a job verifies.
const MaxForm = max(MaxArgon2id, imported.MaxText)

// FormMatches does the work of a job that has a form: it reports whether the password fits. It takes the time and memory that the form asks
// for. A form that cannot be read is ErrUnreadable.
func FormMatches(form, password []byte) (bool, error) {
	if len(form) > 0 && form[0] == argon2idFormat { // no text begins so
		a, err := ParseArgon2id(form)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		return a.Matches(password), nil
	}
	h, err := imported.Parse(string(form))
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return h.Matches(password), nil
}
