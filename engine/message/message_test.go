package message

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"trine/engine/trace"
)

func TestTextsExistInEachLanguageAndChannel(t *testing.T) {
	have := map[string]bool{}
	for _, text := range Texts() {
		key := fmt.Sprint(text.Channel, text.Kind, text.Language)
		if have[key] {
			t.Errorf("%s stands there twice", key)
		}
		have[key] = true
		subject, err := Parse[Values](text.Subject)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		body, err := Parse[Values](text.Body)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		for _, v := range []Values{{Code: "493117", Service: "VPN", Name: "Alice", Detail: "Firefox", Minutes: 5}, {Code: "493117", Minutes: 1}} {
			title, err := subject.Execute(v)
			if err != nil || (title == "") != (text.Channel != Mail) || strings.Contains(title, v.Code) || strings.ContainsAny(title, "\r\n") {
				t.Errorf("%s: subject %q, %v", key, title, err)
			}
			said, err := body.Execute(v)
			if err != nil || said == "" || strings.Contains(said, "<no value>") || strings.Contains(said, "  ,") {
				t.Errorf("%s: %q, %v", key, said, err)
			}
			if text.Kind == Code && !strings.Contains(said, v.Code) {
				t.Errorf("%s shows no code: %q", key, said)
			}
			if text.Kind == Code && v.Minutes == 1 && strings.Contains(said, "1 minute") {
				t.Errorf("%s: %q", key, said)
			}
			if n := len([]rune(said)); text.Channel != Mail && n > 160 {
				t.Errorf("%s has %d characters", key, n)
			}
		}
	}
	for _, channel := range Channels() {
		for _, kind := range Kinds(channel) {
			for _, language := range []string{"en", "de"} {
				if !have[fmt.Sprint(channel, kind, language)] {
					t.Errorf("there is no text for %s by %s in %s", kind, channel, language)
				}
			}
		}
	}
}

func TestTemplateIsFieldsAndConditions(t *testing.T) {
	for _, test := range []struct{ text, want, wrong string }{
		{"{{.Code}} for {{.Service}}", "42 for VPN", ""},
		{"{{if and .Name (eq .Minutes 1)}}a{{else if gt .Minutes 3}}b{{else}}c{{end}}", "b", ""},
		{"{{/* nothing */}}{{- .Code -}}", "42", ""},
		{"", "", ""},
		{"{{.Cod}}", "", "there is no field {{.Cod}}; there are {{.Code}}, "},
		{"{{.Code.x}}", "", "there is no field"},
		{"{{if .Name}}{{.Cod}}{{end}}", "", "there is no field"},
		{"a\n{{.Code", "", "line 2: unclosed action"},
		{"{{range $i := 1000000000}}{{end}}", "", "is not supported"},
		{"{{with .Name}}{{.}}{{end}}", "", "is not supported"},
		{"{{$x := .Code}}", "", "variables are not supported"},
		{"{{printf \"%1000000d\" .Minutes}}", "", "the function printf is not supported"},
		{"{{.Code | html}}", "", "the function html is not supported"},
		{"{{call .Code}}", "", "the function call is not supported"},
		{"{{define \"x\"}}{{template \"x\"}}{{end}}", "", "{{define}} and {{block}} are not supported"},
		{"{{template \"x\"}}", "", "is not supported"},
		{"{{.}}", "", "is not supported"},
		{"{{nofunction}}", "", "not defined"},
		{strings.Repeat("x", MaxTemplate+1), "", "longer than"},
	} {
		parsed, err := Parse[Values](test.text)
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%.40q: %v", test.text, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if got, err := parsed.Execute(Values{Code: "42", Service: "VPN", Minutes: 5}); err != nil || got != test.want {
			t.Errorf("%q: %q, %v", test.text, got, err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, t := range Texts() {
		f.Add(t.Body)
	}
	f.Add("{{if .Name}}{{.Code}}{{else}}x{{end}}")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse[Values](text)
		if err != nil {
			return
		}
		long := strings.Repeat("x", maxValue)
		out, err := parsed.Execute(Values{Code: long, Service: long, Name: long, Detail: long})
		if most := len(text) * maxValue; err == nil && len(out) > most {
			t.Fatalf("%d bytes out of a template of %d", len(out), len(text))
		}
	})
}

func TestValuesStandOnOneLine(t *testing.T) {
	v := Values{Code: "42", Service: " a\r\nb\u202ec\x00d ", Name: strings.Repeat("ä", 500), Detail: "\n"}.Clean()
	if v.Service != "a bc d" || v.Name != strings.Repeat("ä", maxValue) || v.Detail != "" || v.Code != "42" {
		t.Errorf("%+v", v)
	}
}

func TestMessageShowsNoCode(t *testing.T) {
	m := &Message{Kind: Code, Channel: Mail, To: "alice@example.com", Values: Values{Code: "493117"}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "message", m)
	for _, shown := range []string{fmt.Sprint(m), fmt.Sprintf("%+v %#v %s %x", m, m, m, m), log.String()} {
		if strings.Contains(shown, "493117") || strings.Contains(shown, "alice") || !strings.Contains(shown, "code by mail to a…@example.com") {
			t.Error(shown)
		}
	}
	for to, want := range map[string]string{"+491701234567": "+49…67", "Ärger@x.example": "Ä…@x.example", "@x": "…@x", "123": "…", "": "…"} {
		if got := (&Message{To: to}).Masked(); got != want {
			t.Errorf("%q: %q", to, got)
		}
	}
}

func TestEveryErrorHasItsReason(t *testing.T) {
	for err, want := range map[error]trace.Reason{
		nil: trace.OK, ErrUnconfigured: trace.DeliveryUnconfigured, ErrAddress: trace.DeliveryAddress, ErrLimited: trace.DeliveryLimited,
		ErrFull: trace.DeliveryFull, ErrRefused: trace.DeliveryRefused, ErrFailed: trace.DeliveryFailed, errors.New("other"): trace.DeliveryFailed,
	} {
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		if got := Reason(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}
