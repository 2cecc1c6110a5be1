package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report collects the results as Markdown, and says on standard error how far it is.
type report struct {
	began  time.Time
	md     strings.Builder
	charts []string // SVG
}

func newReport(s *settings) *report {
	r := &report{began: time.Now()}
	fmt.Fprintf(&r.md, "# Measured on %s\n", r.began.Format(time.DateOnly))
	r.text("%s. Server on core %s, generator on core %d. Compare ratios of one run, not rates of two: machines drift.", machine(), s.serverCore, s.generatorCore)
	return r
}

// machine describes what was measured on.
func machine() string {
	model, memory := "unknown processor", ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		memory = fmt.Sprintf(", %d GiB", info.Totalram*uint64(info.Unit)>>30)
	}
	var name unix.Utsname
	kernel := ""
	if unix.Uname(&name) == nil {
		kernel = ", Linux " + unix.ByteSliceToString(name.Release[:])
	}
	return model + memory + kernel
}

func (r *report) progress(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "%6.0f s  "+format+"\n", append([]any{time.Since(r.began).Seconds()}, a...)...)
}

func (r *report) section(title string) { fmt.Fprintf(&r.md, "\n## %s\n", title) }

func (r *report) text(format string, a ...any) { fmt.Fprintf(&r.md, "\n"+format+"\n", a...) }

// table writes a table whose rows the function gives.
func (r *report) table(head []string, rows func(row func(...string))) {
	row := func(cells ...string) { fmt.Fprintf(&r.md, "| %s |\n", strings.Join(cells, " | ")) }
	r.md.WriteByte('\n')
	row(head...)
	fmt.Fprintf(&r.md, "|%s\n", strings.Repeat(" --- |", len(head)))
	rows(row)
}

// bar is one bar of a chart.
type bar struct {
	group, name string
	value       float64
}

// chart draws bars, those of a group together.
func (r *report) chart(title string, bars []bar) {
	if len(bars) == 0 {
		return
	}
	const (
		left, width, height, gap = 120, 640, 16, 12
	)
	colours := map[string]string{"Trine": "#2b6cb0", "FreeRADIUS": "#c05621", "Echo": "#718096"}
	most := 0.0
	for _, b := range bars {
		most = max(most, b.value)
	}
	var body strings.Builder
	y := 40
	for i, b := range bars {
		if i == 0 || bars[i-1].group != b.group {
			y += gap
			fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, y+12, html.EscapeString(b.group))
		}
		length := int(b.value / most * (width - 200))
		fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", left, y, length, height-2, colours[b.name])
		fmt.Fprintf(&body, `<text x="%d" y="%d">%s %.0f</text>`+"\n", left+length+6, y+12, html.EscapeString(b.name), b.value)
		y += height
	}
	r.charts = append(r.charts, fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="24" font-size="15">%s</text>`+"\n%s</svg>\n",
		left+width, y+gap, left, html.EscapeString(title), body.String()))
	fmt.Fprintf(&r.md, "\n![%s](%%CHART%d%%)\n", title, len(r.charts))
}

// write prints the report, and keeps it in the folder under the day and, unless it is that of `make bench`, what was measured.
func (r *report) write(folder string, chosen []measurement) error {
	name := r.began.Format(time.DateOnly)
	if !slices.ContainsFunc(chosen, func(m measurement) bool { return m.name == "radius" }) {
		name += "-" + chosen[0].name
	}
	text := r.md.String()
	for i := range r.charts {
		text = strings.ReplaceAll(text, fmt.Sprintf("%%CHART%d%%", i+1), fmt.Sprintf("%s-%d.svg", name, i+1))
	}
	fmt.Print(text)
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keep the results: %w", err)
	}
	for i, chart := range r.charts {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%d.svg", name, i+1)), []byte(chart), 0o644); err != nil {
			return fmt.Errorf("keep the results: %w", err)
		}
	}
	path := filepath.Join(folder, name+".md")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("keep the results: %w", err)
	}
	r.progress("results are in %s", path)
	return nil
}
