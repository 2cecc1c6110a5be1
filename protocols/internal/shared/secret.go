// Package shared compiles the secrets that service providers share with the cluster, whichever protocol they are for.
package shared

import (
	"errors"
	"fmt"

	"trine/engine/document"
)

// Secret is a shared secret as a protocol needs it, and the time in which it is good.
type Secret[K any] struct {
	Key      K
	from, to int64 // Unix nanoseconds
}

// Good reports whether the secret is good at a time, in Unix nanoseconds.
func (s *Secret[K]) Good(at int64) bool { return at >= s.from && at < s.to }

// Compile makes keys of the secrets of a document's block, which must be clear text: whoever compiles opens them. Errors name the field.
func Compile[K any](block string, s *document.SharedSecrets, newKey func([]byte) (K, error)) (list []Secret[K], err error) {
	secrets := s.Secrets
	if len(secrets) == 0 && !s.Secret.IsZero() {
		secrets = []document.SharedSecret{{Value: s.Secret}}
	}
	if len(secrets) == 0 {
		return nil, errors.New(block + ".secrets: there is no shared secret")
	}
	for i, s := range secrets {
		if !s.Value.IsPlain() {
			return nil, fmt.Errorf("%s.secrets[%d]: the secret could not be opened", block, i)
		}
		clear, err := s.Value.Open(nil, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s.secrets[%d]: open secret: %w", block, i, err)
		}
		key, err := newKey(clear)
		if err != nil {
			return nil, fmt.Errorf("%s.secrets[%d]: %w", block, i, err)
		}
		one := Secret[K]{Key: key, to: 1<<63 - 1}
		if !s.NotBefore.IsZero() {
			one.from = s.NotBefore.UnixNano()
		}
		if !s.NotAfter.IsZero() {
			one.to = s.NotAfter.UnixNano()
		}
		list = append(list, one)
	}
	return list, nil
}
