package engine

import (
	"bytes"
	"strconv"

	"trine/engine/document"
	"trine/engine/policy"
	"trine/engine/trace"
)

// grantedArgument is an argument that the configuration gives.
type grantedArgument struct {
	policy.Argument
	present bool // the device sent it, or one in its place is in force
}

// read reads the arguments of a request: what service or which command it is about (RFC 8907 sections 6.1 and 8.2).
func (e *Engine) read(r *Request) trace.Reason {
	a := r.work.action
	a.asked, a.line, a.spelled = a.asked[:0], a.line[:0], a.spelled[:0]
	if len(a.Args) > document.MaxArguments {
		r.trace.Add(trace.ArgumentsTooMany, strconv.Itoa(len(a.Args)), "")
		return trace.TacacsArgumentMalformed
	}
	bare := r.Client.Spec.Tacacs.Quirks.PairsWithoutSeparator
	hasService, hasCommand := false, false
	for _, text := range a.Args {
		arg, ok := policy.NewArgument(text)
		switch {
		case ok:
		case bare && len(text) == 0:
			continue
		case bare && len(arg.Name) == len(text) && len(text) < document.MaxArgument:
			arg = a.optional(text)
		default:
			r.trace.AddName(trace.ArgumentIsBad, text, "it has no = or * behind a name")
			return trace.TacacsArgumentMalformed
		}
		switch string(arg.Name) {
		case "service":
			if hasService {
				r.trace.AddName(trace.ArgumentIsBad, text, "there is another one of that name")
				return trace.TacacsArgumentMalformed
			}
			hasService, a.Service = true, arg.Value
		case "cmd":
			if hasCommand {
				r.trace.AddName(trace.ArgumentIsBad, text, "there is another one of that name")
				return trace.TacacsArgumentMalformed
			}
			hasCommand = true
		}
		a.asked = append(a.asked, arg)
	}
	if !hasService || len(a.Service) == 0 {
		r.trace.Add(trace.ArgumentAbsent, "service", "")
		return trace.TacacsServiceMissing
	}
	r.trace.AddName(trace.ServiceWanted, a.Service, "")
	if string(a.Service) != string(shell) {
		return trace.OK
	}
	if !hasCommand {
		r.trace.Add(trace.ArgumentAbsent, "cmd", "")
		return trace.TacacsServiceMissing
	}
	a.readCommand()
	if len(a.Command) > 0 {
		r.trace.AddName(trace.CommandWanted, a.Command, "")
	}
	return trace.OK
}

// optional returns what an argument without a separator stands for: an optional one without a value. It is written out, so that an answer can repeat it.
func (a *action) optional(name []byte) policy.Argument {
	from := len(a.spelled)
	a.spelled = append(append(a.spelled, name...), '*') // those before keep their memory where this finds more
	arg, _ := policy.NewArgument(a.spelled[from:])
	return arg
}

var carriageReturn = []byte("<cr>")

// readCommand makes the command line that patterns are held against: the command and its arguments joined by one blank, runs of blanks within it as one, so
// that nobody gets round a pattern by typing two, and without the <cr> at its end. Without a command it is empty, whatever the arguments: then
// the shell itself is asked for (RFC 8907 section 8.2).
func (a *Authorization) readCommand() {
	last := -1
	for i := range a.asked {
		if string(a.asked[i].Name) == "cmd-arg" {
			last = i
		}
	}
	for i := range a.asked {
		if arg := &a.asked[i]; string(arg.Name) == "cmd" {
			a.line = appendWords(a.line, arg.Value)
		}
	}
	if len(a.line) == 0 {
		return
	}
	for i := range a.asked {
		arg := &a.asked[i]
		if string(arg.Name) == "cmd-arg" && !(i == last && bytes.Equal(arg.Value, carriageReturn)) {
			a.line = appendWords(a.line, arg.Value)
		}
	}
	a.Command = a.line
}

// appendWords appends the words of a text, each behind one blank where it is not the first of the line.
func appendWords(line, text []byte) []byte {
	between := len(line) > 0
	for _, c := range text {
		if c == ' ' || '\t' <= c && c <= '\r' {
			between = len(line) > 0
			continue
		}
		if between {
			line, between = append(line, ' '), false
		}
		line = append(line, c)
	}
	return line
}

// grant adds what one source gives. What a source before it gives under the same name stays.
func (a *action) grant(reply policy.Reply) {
	before := len(a.granted)
	for i := range reply {
		if !a.grants(reply[i].Name, before) {
			a.granted = append(a.granted, grantedArgument{Argument: reply[i]})
		}
	}
}

// grants reports whether one of the first n arguments that are given has a name.
func (a *action) grants(name []byte, n int) bool {
	for i := range a.granted[:n] {
		if bytes.Equal(a.granted[i].Name, name) {
			return true
		}
	}
	return false
}

var privilegeLevel = []byte("priv-lvl")

// grantLevel gives the privilege level, where the configuration gives no other.
func (a *action) grantLevel(level int8) {
	if a.grants(privilegeLevel, len(a.granted)) {
		return
	}
	text := strconv.AppendInt(append(append(a.level[:0], privilegeLevel...), '='), int64(level), 10)
	arg, _ := policy.NewArgument(text)
	a.granted = append(a.granted, grantedArgument{Argument: arg})
}

// compose finds the arguments that are in force (RFC 8907 sections 6.1 and 6.2). What the device calls mandatory must be handled as it is, or the request
// fails; what it calls optional gives way to what the configuration gives, and where nothing gives it and it asks for something, it is left out. Of a
// request that fails, the arguments are those that a script may still let pass.
func (a *Authorization) compose(r *Request) trace.Reason {
	reason := trace.OK
	a.added, a.whole, a.replace = a.added[:0], a.whole[:0], false
	for i := range a.asked {
		arg := &a.asked[i]
		same, unlike := a.meet(arg)
		switch {
		case same, unlike == nil && handles(arg, r.work.privilege):
			a.whole = append(a.whole, arg.Text)
		case arg.Mandatory && unlike != nil:
			r.trace.AddBytes(trace.ArgumentUnlike, arg.Text, unlike.Text)
			unlike.present = true
			reason, a.whole = trace.TacacsArgumentRefused, append(a.whole, arg.Text)
		case arg.Mandatory:
			r.trace.AddName(trace.ArgumentUnhandled, arg.Text, "")
			reason, a.whole = trace.TacacsArgumentRefused, append(a.whole, arg.Text)
		case unlike != nil:
			r.trace.AddBytes(trace.ArgumentReplaced, arg.Text, unlike.Text)
			a.replace = true
		default:
			r.trace.AddName(trace.ArgumentReplaced, arg.Text, "nothing")
			a.replace = true
		}
	}
	for i := range a.granted {
		if g := &a.granted[i]; !g.present {
			a.added, a.whole = append(a.added, g.Text), append(a.whole, g.Text)
		}
	}
	return reason
}

// meet holds an argument that the device sent against what is given under its name: the same value, or else the first that is unlike; nil where nothing is.
func (a *action) meet(arg *policy.Argument) (same bool, unlike *grantedArgument) {
	for i := range a.granted {
		g := &a.granted[i]
		if !bytes.Equal(g.Name, arg.Name) {
			continue
		}
		if bytes.Equal(g.Value, arg.Value) {
			g.present = true
			return true, nil
		}
		if unlike == nil {
			unlike = g
		}
	}
	return false, unlike
}

// handles reports whether an argument that the device sent can stay though the configuration gives none of its name: it says what is asked for, it is a
// privilege level that the person has, or it is optional and asks for nothing.
func handles(arg *policy.Argument, privilege int8) bool {
	switch string(arg.Name) {
	case "service", "protocol", "cmd", "cmd-arg":
		return true
	case "priv-lvl":
		level, ok := parseLevel(arg.Value)
		return ok && level <= privilege
	}
	return !arg.Mandatory && len(arg.Value) == 0
}

// parseLevel reads a privilege level.
func parseLevel(text []byte) (level int8, ok bool) {
	if len(text) == 0 || len(text) > 2 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		level = level*10 + int8(c-'0')
	}
	return level, level <= document.MaxLevel
}

// appendAsked appends the values of what a condition asks of a request over TACACS+; ok is false if only the protocol can know.
func (r *Request) appendAsked(dst [][]byte, name policy.Asked) (_ [][]byte, ok bool) {
	a := r.work.action
	switch {
	case name == policy.AskedPort:
		return appendSome(dst, r.Port), true
	case name == policy.AskedRemoteAddress:
		return appendSome(dst, r.Calling), true
	case a == nil:
		return dst, false
	}
	for i := range a.asked {
		if string(a.asked[i].Name) == string(name) {
			dst = append(dst, a.asked[i].Value)
		}
	}
	return dst, true
}

func appendSome(dst [][]byte, value []byte) [][]byte {
	if len(value) == 0 {
		return dst
	}
	return append(dst, value)
}
