package attribute

// FieldError is what is wrong with one field of a document.
type FieldError struct {
	Field string // its path, such as radius.reply: below spec, or below the field of the FieldError that wraps it
	Err   error
}

// InField returns err as a FieldError.
func InField(field string, err error) error { return &FieldError{Field: field, Err: err} }

// Innermost returns the path below spec of the field that is wrong, and what is wrong with it.
func (e *FieldError) Innermost() (path string, err error) {
	path, err = e.Field, e.Err
	for {
		inner, ok := err.(*FieldError)
		if !ok {
			return path, err
		}
		path, err = path+"."+inner.Field, inner.Err
	}
}

// Error returns field and reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }
