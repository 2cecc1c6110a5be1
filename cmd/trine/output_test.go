package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// hostile is a name that would clear a terminal's screen, and turn the direction of what follows.
const hostile = "a\x1b[2J\u009b2J\x7f\u202e\U000e0041ë"

func TestNoOutputCommandsATerminal(t *testing.T) {
	type named struct {
		Name string          `json:"name"`
		Body json.RawMessage `json:"body"`
	}
	body, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	v := named{hostile, body}
	for _, output := range []string{"json", "yaml"} {
		for name, show := range map[string]func(c *cli) error{
			"whole": func(c *cli) error { return c.show(v, nil) },
			"line":  func(c *cli) error { return c.showLine(v, nil) },
		} {
			t.Run(output+" "+name, func(t *testing.T) {
				var out bytes.Buffer
				if err := show(&cli{out: &out, output: output}); err != nil {
					t.Fatal(err)
				}
				if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); i >= 0 {
					t.Errorf("%q holds a control character at %d", out.String(), i)
				}
				if output != "json" {
					var back struct{ Name, Body string }
					if err := yaml.Unmarshal(out.Bytes(), &back); err != nil || back.Name != hostile || back.Body != hostile {
						t.Errorf("reads back as %q, %v", back, err)
					}
					return
				}
				if strings.ContainsRune(out.String(), '\u202e') {
					t.Errorf("%q turns the direction of text", out.String())
				}
				var back named
				if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Name != hostile {
					t.Errorf("reads back as %q, %v", back.Name, err)
				}
			})
		}
	}
}
