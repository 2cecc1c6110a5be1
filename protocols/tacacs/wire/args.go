package wire

import (
	"bytes"
	"iter"
)

// Args are the arguments of a message, in its order. The zero Args are none.
type Args struct {
	lengths []byte // of each argument, in bytes
	text    []byte // all arguments, one behind the other
}

// Arg is one argument, RFC 8907 section 6.1: text up to the first = or *, and
// behind it. Whoever cannot handle an argument may ignore it if it is optional,
// and must refuse what it belongs to if it is not.
type Arg struct {
	Name     []byte
	Value    []byte
	Optional bool // separated by *
}

// The separators.
const (
	mandatory = '='
	optional  = '*'
)

// Len returns the number of arguments.
func (a Args) Len() int { return len(a.lengths) }

// Encoded returns the lengths of all arguments, a byte each, and their texts,
// one behind the other, as a message has them. Both are parts of the body.
func (a Args) Encoded() (lengths, text []byte) { return a.lengths, a.text }

// Raw yields the arguments as they are written.
func (a Args) Raw() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		text := a.text
		for _, n := range a.lengths {
			if !yield(text[:n:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// All yields the arguments.
func (a Args) All() iter.Seq[Arg] {
	return func(yield func(Arg) bool) {
		text := a.text
		for _, n := range a.lengths {
			if !yield(split(text[:n:n])) {
				return
			}
			text = text[n:]
		}
	}
}

// Find returns the first argument with a name, which is compared byte by byte.
func (a Args) Find(name string) (Arg, bool) {
	for arg := range a.All() {
		if string(arg.Name) == name {
			return arg, true
		}
	}
	return Arg{}, false
}

// Uint32 returns the value as a decimal number; false where it is none or does
// not fit, so that the argument was not handled, RFC 8907 section 8.1.
func (a Arg) Uint32() (uint32, bool) {
	if len(a.Value) == 0 || len(a.Value) > 10 {
		return 0, false
	}
	var n uint64
	for _, c := range a.Value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return uint32(n), n <= 1<<32-1
}

// split takes an argument apart. Without a separator all of it is the name, and
// Value is nil.
func split(text []byte) Arg {
	for i, c := range text {
		if c == mandatory || c == optional {
			return Arg{Name: text[:i:i], Value: text[i+1:], Optional: c == optional}
		}
	}
	return Arg{Name: text}
}

// check holds the arguments against what RFC 8907 sections 3.7 and 6.1 say of
// each. Names are printable US-ASCII; values may go beyond it, as descriptions
// typed on devices do, but have no control characters.
func (a Args) check(q Quirks) Fault {
	for text := range a.Raw() {
		if f := checkArg(text, q); f != OK {
			return f
		}
	}
	return OK
}

func checkArg(text []byte, q Quirks) Fault {
	unprintable := false
	for i, c := range text {
		if c == mandatory || c == optional {
			switch {
			case i == 0:
				return ArgumentEmpty
			case unprintable || hasControl(text[i+1:]):
				return TextUnprintable
			}
			return OK
		}
		unprintable = unprintable || c < ' ' || c > '~'
	}
	switch bare := q&BareArguments != 0; { // all of it is a name
	case len(text) == 0 && bare:
		return OK
	case len(text) == 0:
		return ArgumentEmpty
	case !bare:
		return SeparatorMissing
	case unprintable:
		return TextUnprintable
	}
	return OK
}

// demand holds the arguments of an authorization against RFC 8907 section 8.2.
// Those of no byte, where they are let pass, are as if they were not there.
func (a Args) demand() Fault {
	var service, protocol, command, shell, first bool
	for text := range a.Raw() {
		if len(text) == 0 {
			continue
		}
		if c := text[0]; first && c != 's' && c != 'p' && c != 'c' { // none of the three
			continue
		}
		arg := split(text)
		var seen *bool
		switch string(arg.Name) {
		case "service":
			seen, shell = &service, bytes.Equal(arg.Value, []byte("shell"))
		case "protocol":
			seen = &protocol
		case "cmd":
			seen = &command
		}
		if !first && seen != &service {
			return ServiceMissing
		}
		first = true
		if seen == nil {
			continue
		}
		if *seen {
			return ArgumentRepeated
		}
		*seen = true
	}
	switch {
	case !service:
		return ServiceMissing
	case shell && !command:
		return CommandMissing
	}
	return OK
}
