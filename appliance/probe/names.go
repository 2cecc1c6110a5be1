package probe

import (
	"fmt"

	"trine/protocols/radius/dictionary"
)

// Names returns the dictionary by whose names answers are told: the built-in one, and the administrator's files on top of it.
func Names(files ...string) (*dictionary.Dictionary, error) {
	d, err := dictionary.Standard()
	for _, name := range files {
		if err != nil {
			break
		}
		var read []dictionary.File
		if read, err = dictionary.ReadFile(name); err == nil {
			d, err = d.With(read...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the RADIUS dictionaries: %w", err)
	}
	return d, nil
}
