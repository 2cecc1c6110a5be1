package worker

import (
	"errors"
	"fmt"

	"trine/engine/credential"
)

// Passwords is a pool that verifies and makes hashes of passwords. A job that is under way when the child dies is given to the next
// child once; then it fails.
type Passwords struct{ *Pool }

// NewPasswords starts a pool for passwords and its child. It fails only if the process's own binary cannot be found.
func NewPasswords(c Config) (*Passwords, error) {
	p, err := newPool(c, maxHashing)
	if err != nil {
		return nil, err
	}
	go p.run()
	return &Passwords{p}, nil
}

// Submit queues a job as [credential.Hasher] has it. A queue that is full refuses it with ErrQueueFull, a closed pool with ErrHasherFailed,
// and a password or form that is too long for the child with an error that says so.
func (p *Passwords) Submit(j *credential.Job) error {
	if len(j.Password) > credential.MaxPassword {
		return credential.ErrPasswordLength
	}
	if len(j.Form) > credential.MaxForm {
		return credential.ErrUnreadable
	}
	err := p.submit(&job{task: password{j}, deadline: j.Deadline, again: 1})
	if err != nil {
		return hasherError(err)
	}
	return nil
}

// hasherError says why a job was not done in the words of [credential.Hasher].
func hasherError(err error) error {
	switch {
	case errors.Is(err, errFull):
		return credential.ErrQueueFull
	case errors.Is(err, errLate):
		return credential.ErrDeadline
	}
	return fmt.Errorf("%w: %w", credential.ErrHasherFailed, err)
}

// password is a job about a password.
type password struct{ *credential.Job }

func (j password) request() frame {
	if len(j.Form) > 0 {
		return frame{kind: kindVerify, first: j.Form, second: j.Password}
	}
	return frame{kind: kindHash, first: appendCost(nil, j.Params), second: j.Password}
}

func (j password) settle(answer *frame) {
	j.Match, j.Hash, j.Err = false, nil, nil
	verifying := len(j.Form) > 0
	switch {
	case verifying && answer.kind == statusMatches:
		j.Match = true
	case verifying && answer.kind == statusDiffers:
	case !verifying && answer.kind == statusHashed:
		j.Hash = append([]byte(nil), answer.first...)
	case verifying && answer.kind == statusRefused:
		j.Err = credential.ErrUnreadable
	case answer.kind == statusRefused:
		j.Err = credential.ErrArgon2id
	default:
		j.Err = fmt.Errorf("%w: it answered %d", credential.ErrHasherFailed, answer.kind)
	}
	j.finish()
}

func (j password) fail(err error) {
	j.Match, j.Hash, j.Err = false, nil, hasherError(err)
	j.finish()
}

// finish wipes the password and hands the job back.
func (j password) finish() {
	clear(j.Password)
	j.Done.Hashed(j.Job)
}

var _ credential.Hasher = (*Passwords)(nil)
