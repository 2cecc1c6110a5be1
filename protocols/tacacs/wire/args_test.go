package wire

import (
	"strings"
	"testing"
)

func TestRFC8907_6_1_Arguments(t *testing.T) {
	for _, c := range []struct {
		name, text string
		quirks     Quirks
		want       Fault
	}{
		{"mandatory", "a=b", 0, OK},
		{"optional", "a*b", 0, OK},
		{"no value", "a=", 0, OK},
		{"separators in the value", "a=b*c=d", 0, OK},
		{"255 bytes", "a=" + strings.Repeat("x", 253), 0, OK},
		{"value beyond US-ASCII", "cmd-arg=büro", 0, OK},
		{"empty", "", 0, ArgumentEmpty},
		{"empty, from a device that sends such", "", BareArguments, OK},
		{"no name", "=b", 0, ArgumentEmpty},
		{"no name, from a device that leaves separators out", "=b", BareArguments, ArgumentEmpty},
		{"no separator", "ab", 0, SeparatorMissing},
		{"no separator, from a device that leaves them out", "ab", BareArguments, OK},
		{"name with a control character", "a\x00=b", 0, TextUnprintable},
		{"name beyond US-ASCII", "ä=b", 0, TextUnprintable},
		{"bare name with a control character", "a\n", BareArguments, TextUnprintable},
		{"value with a control character", "a=b\x1b", 0, TextUnprintable},
		{"value with DEL", "a=\x7f", 0, TextUnprintable},
	} {
		check(t, c.name, parseRequestBody(request("service=ppp", c.text), c.quirks), c.want)
		check(t, c.name+", accounting", parseRecord(record(2, c.text), c.quirks), c.want)
		h := header(KindAuthorResponse, Version0)
		response := append([]byte{1, 1, 0, 0, 0, 0, byte(len(c.text))}, c.text...)
		check(t, c.name+", response", Check(&h, response, c.quirks), c.want)
	}
}

func TestRFC8907_6_1_TheFirstSeparatorDivides(t *testing.T) {
	for text, want := range map[string]Arg{
		"a=b*c":   {Name: []byte("a"), Value: []byte("b*c")},
		"a*b=c":   {Name: []byte("a"), Value: []byte("b=c"), Optional: true},
		"cmd=":    {Name: []byte("cmd"), Value: []byte{}},
		"bare":    {Name: []byte("bare")},
		"shell*=": {Name: []byte("shell"), Value: []byte("="), Optional: true},
	} {
		for got := range argsOf(text).All() {
			if string(got.Name) != string(want.Name) || string(got.Value) != string(want.Value) || got.Optional != want.Optional {
				t.Errorf("%s: %+v", text, got)
			}
		}
	}
}

func TestRFC8907_6_1_NamesThatAreBuiltHaveNoSeparator(t *testing.T) {
	for _, name := range []string{"a=", "a*b", "="} {
		var b Builder
		b.AuthorResponse(buffer(), header(KindAuthorResponse, Version0), AuthorPassAdd)
		b.Pair(name, "x", false)
		check(t, name, b.Err(), SeparatorInName)
	}
}

func TestRFC8907_8_2_ServiceComesFirstAndShellHasACommand(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want Fault
	}{
		{"service", []string{"service=ppp"}, OK},
		{"shell session", []string{"service=shell", "cmd="}, OK},
		{"shell command", []string{"service=shell", "cmd=show", "cmd-arg=version", "cmd-arg=<cr>"}, OK},
		{"optional cmd", []string{"service=shell", "cmd*"}, OK},
		{"no argument", nil, ServiceMissing},
		{"no service", []string{"cmd=show"}, ServiceMissing},
		{"service not first", []string{"protocol=ip", "service=ppp"}, ServiceMissing},
		{"an argument that only begins so", []string{"services=ppp"}, ServiceMissing},
		{"shell without cmd", []string{"service=shell"}, CommandMissing},
		{"two services", []string{"service=ppp", "service=shell", "cmd="}, ArgumentRepeated},
		{"two protocols", []string{"service=ppp", "protocol=ip", "protocol=lcp"}, ArgumentRepeated},
		{"two commands", []string{"service=shell", "cmd=show", "cmd=reload"}, ArgumentRepeated},
		{"two commands, one optional", []string{"service=shell", "cmd=show", "cmd*reload"}, ArgumentRepeated},
		{"another one twice", []string{"service=ppp", "addr=1", "addr=2"}, OK},
	} {
		check(t, c.name, parseRequestBody(request(c.args...), 0), c.want)
		check(t, c.name+", accounting", parseRecord(record(2, c.args...), 0), OK)
		var b Builder
		b.AuthorRequest(buffer(), header(KindAuthorRequest, Version0), &AuthorRequest{Args: argsOf(c.args...)})
		_, f := b.Finish(nil)
		check(t, c.name+", built", f, c.want)
	}
}

// TestArgumentsOfNoByteArePassedOver puts them before, between and behind what counts.
func TestArgumentsOfNoByteArePassedOver(t *testing.T) {
	check(t, "before service", parseRequestBody(request("", "service=shell", "", "cmd=", ""), BareArguments), OK)
	check(t, "before service, without the quirk", parseRequestBody(request("", "service=shell", "cmd="), 0), ArgumentEmpty)
	check(t, "before another argument", parseRequestBody(request("", "cmd=", "service=shell"), BareArguments), ServiceMissing)
	check(t, "alone", parseRequestBody(request("", ""), BareArguments), ServiceMissing)
}

func TestRFC8907_8_1_NumbersThatDoNotFitAreNotHandled(t *testing.T) {
	for text, want := range map[string]struct {
		n  uint32
		ok bool
	}{
		"n=0": {0, true}, "n=15": {15, true}, "n=0015": {15, true}, "n=4294967295": {1<<32 - 1, true},
		"n=4294967296": {}, "n=99999999999": {}, "n=00000000015": {}, "n=": {}, "n=-1": {}, "n=+1": {}, "n= 1": {}, "n=1.5": {}, "n=0x1": {}, "n=٣": {},
	} {
		n, ok := split([]byte(text)).Uint32()
		if ok != want.ok || ok && n != want.n {
			t.Errorf("%s: %d, %v", text, n, ok)
		}
	}
}

func TestFind(t *testing.T) {
	args := argsOf("service=shell", "cmd=show", "cmd-arg=version", "cmd-arg=x", "bare")
	if arg, ok := args.Find("cmd-arg"); !ok || string(arg.Value) != "version" {
		t.Errorf("%q", arg.Value)
	}
	if arg, ok := args.Find("bare"); !ok || arg.Value != nil {
		t.Errorf("%+v", arg)
	}
	if _, ok := args.Find("cm"); ok {
		t.Error("found the beginning of a name")
	}
	if lengths, text := args.Encoded(); args.Len() != 5 || len(lengths) != 5 || len(text) != 49 {
		t.Errorf("%d arguments, %d lengths, %q", args.Len(), len(lengths), text)
	}
}
