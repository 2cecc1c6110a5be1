package trace

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Decision is a recorded decision as far as Explain tells it. Texts that came from a wire may hold anything.
type Decision struct {
	ID       string
	Verdict  string // "accept", "reject", ...
	Reason   Reason
	Protocol string
	Kind     string // "enable", "authorization"; empty: login
	Service  string // that is authorized
	Command  string // likewise
	Level    string // privilege level that is asked for, or that the device says that the user has
	Given    string // privilege level that the user's roles give
	Port     string
	Method   string
	Client   string
	UserName string // as it came
	User     string
	Source   string
	NAS      string
	Calling  string
	Called   string
	At       time.Time
	Took     time.Duration
	Steps    []Told
}

// Told is a recorded step.
type Told struct {
	Code    StepCode
	Subject string
	Detail  string
	Took    time.Duration
}

// Explain tells a decision in plain words: the outcome, why, what to do about it, and each step with the time that it took.
// What came from outside is quoted where it holds anything but printable characters.
func Explain(d *Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", d.Reason)
	info, known := d.Reason.Info()
	if known {
		b.WriteString(info.Meaning)
	} else {
		b.WriteString("A reason that this release does not know.")
	}
	b.WriteByte('\n')
	if info.Remedy != "" {
		fmt.Fprintf(&b, "What to do: %s\n", info.Remedy)
	}
	b.WriteByte('\n')
	for _, line := range [...]struct{ name, value string }{
		{"Decision", d.ID},
		{"Verdict", d.Verdict},
		{"When", at(d.At)},
		{"Took", took(d.Took)},
		{"Protocol", join(d.Protocol, d.Method)},
		{"Kind", d.Kind},
		{"Service", d.Service},
		{"Command", d.Command},
		{"Level asked", d.Level},
		{"Level given", d.Given},
		{"Port", d.Port},
		{"Service provider", d.Client},
		{"Source", d.Source},
		{"NAS", d.NAS},
		{"Calling station", d.Calling},
		{"Called station", d.Called},
		{"Login name", d.UserName},
		{"User", d.User},
	} {
		if line.value != "" {
			fmt.Fprintf(&b, "  %-17s %s\n", line.name, Printable(line.value))
		}
	}
	if len(d.Steps) == 0 {
		b.WriteString("\nNo steps were kept: of accepted logins only a sample keeps them.\n")
		return b.String()
	}
	b.WriteString("\nSteps:\n")
	for i, s := range d.Steps {
		fmt.Fprintf(&b, "  %2d. %s", i+1, s.Code.Words(Printable(s.Subject), Printable(s.Detail)))
		if s.Took > 0 {
			fmt.Fprintf(&b, " (%s)", took(s.Took))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Printable returns text as it is if people can read it without harm to their terminal, and quoted otherwise.
func Printable(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000 UTC")
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	}
	return d.String()
}
