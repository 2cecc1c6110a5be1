package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"trine/bench/robust/disk"
)

// disks reports whether nodes can have disks of their own.
func disks() bool { return os.Getenv(inside) != "user" && disk.Missing() == nil }

// log is the file of runs that passed.
type log struct {
	file, commit string
	passed       map[string]bool
}

// openLog reads a log, if there is one. Without a name there is none.
func openLog(file, commit string) (*log, error) {
	l := &log{file: file, commit: commit, passed: map[string]bool{}}
	if file == "" {
		return l, nil
	}
	if commit == "" {
		out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
		if err != nil {
			return nil, fmt.Errorf("ask git for the commit (-commit says it otherwise): %w", err)
		}
		l.commit = strings.TrimSpace(string(out))
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log of runs: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, _, _ := strings.Cut(s.Text(), ": ")
		l.passed[key] = true
	}
	return l, nil
}

// key names a run: what makes two runs the same.
func (l *log) key(seed uint64, o *options) string {
	return fmt.Sprintf("%s seed %d time %v nodes %d records %d faults %q", l.commit, seed, o.time, o.nodes, o.records, o.only)
}

func (l *log) has(seed uint64, o *options) bool { return l.file != "" && l.passed[l.key(seed, o)] }

// add notes that a run passed.
func (l *log) add(seed uint64, o *options, summary string) error {
	if l.file == "" {
		return nil
	}
	f, err := os.OpenFile(l.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("add to the log of runs: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s: %s\n", l.key(seed, o), summary)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("add to the log of runs: %w", err)
	}
	return nil
}
