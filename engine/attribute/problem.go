package attribute

// FieldError is what is wrong with one field of a document.
type FieldError struct {
	Field string // its path below spec, such as radius.reply
	Err   error
}

// InField returns err as a FieldError.
func InField(field string, err error) error { return &FieldError{Field: field, Err: err} }

// Error returns field and reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }
