// Command condense writes the dictionary that Trine carries: the standard
// attributes and those of the vendors, read from a folder of FreeRADIUS
// dictionary files, without comments and without what never travels in a RADIUS
// packet.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: condense FOLDER-OF-DICTIONARIES OUTPUT")
		os.Exit(2)
	}
	if err := condense(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "condense:", err)
		os.Exit(1)
	}
}

// left names the files that are left out, with the reason.
func left(name string) (reason string, yes bool) {
	switch strings.TrimPrefix(name, "dictionary.") {
	case "compat":
		return "old names of the standard attributes", true
	case "usr.illegal", "ascend.illegal", "motorola.illegal", "nokia.conflict", "fdxtended":
		return "vendors' use of standard numbers", true
	case "dhcp", "freedhcp", "vqp":
		return "another protocol", true
	case "freeradius.internal", "freeradius", "freeradius.evs5":
		return "another server's own attributes", true
	case "starent.vsa1", "alvarion.wimax.v2_2", "wimax.alvarion", "wimax.wichorus", "motorola.wimax", "wichorus":
		return "a second layout of the same vendor", true
	case "altiga":
		return "cisco.vpn3000 under an older name", true
	}
	return "", false
}

// before names the files that the list does not have, by the one that they go in
// front of.
func before(name string) []string {
	switch strings.TrimPrefix(name, "dictionary.") {
	case "rfc5176":
		return []string{"dictionary.rfc5090"}
	case "cisco.asa":
		return []string{"dictionary.cisco.vpn3000"} // the same vendor's number
	}
	return nil
}

func condense(folder, output string) error {
	index, err := os.ReadFile(filepath.Join(folder, "dictionary"))
	if err != nil {
		return fmt.Errorf("read the list of files: %w", err)
	}
	var out bytes.Buffer
	ignored := map[string]bool{}
	for line := range strings.Lines(string(index)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[0] != "$INCLUDE" {
			continue
		}
		for _, name := range append(before(fields[1]), fields[1]) {
			if err := file(&out, folder, name, ignored); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(output, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the dictionary: %w", err)
	}
	return nil
}

func file(out *bytes.Buffer, folder, name string, ignored map[string]bool) error {
	if _, yes := left(name); yes {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(folder, filepath.Base(name)))
	if err != nil {
		return fmt.Errorf("read a dictionary: %w", err)
	}
	vendor, unnamed := false, map[string]bool{} // attributes whose values take no names
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		switch fields[0] {
		case "$INCLUDE":
			if err := file(out, folder, fields[1], ignored); err != nil {
				return err
			}
			continue
		case "BEGIN-VENDOR", "END-VENDOR":
			vendor = fields[0] == "BEGIN-VENDOR"
		case "ATTRIBUTE":
			if n, err := strconv.Atoi(fields[2]); err == nil && !vendor && n > 255 || fields[len(fields)-1] == "virtual" {
				ignored[fields[1]] = true
				continue
			}
			if name == "dictionary.iana" && fields[1] == "Digest-Response" {
				continue // the draft's number; RFC 5090 has another
			}
			if t := strings.ToLower(fields[3]); strings.HasPrefix(t, "octets") || t == "string" {
				unnamed[fields[1]] = true
			}
		case "VALUE":
			if unnamed[fields[1]] {
				continue
			}
			if ignored[fields[1]] {
				continue
			}
		}
		out.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return nil
}
