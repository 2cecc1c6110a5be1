package node

import (
	"slices"
	"testing"
)

func TestAttributesOfAccountingAreToldByTheNodesDictionary(t *testing.T) {
	names, err := dictionaries(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{names: names}
	raw := []byte("\x01\x07alice\x28\x06\x00\x00\x00\x01\x1a\x0c\x00\x00\x00\x09\x01\x06a=b!\xfa\x03x")
	want := []string{"User-Name = alice", "Acct-Status-Type = Start", "Cisco-AVPair = a=b!", "Attr-250 = 0x78"}
	if lines, ok := n.attributes("", raw); !ok || !slices.Equal(lines, want) {
		t.Errorf("told as %q, %v; want %q", lines, ok, want)
	}
	if lines, ok := n.attributes("", raw[:len(raw)-1]); ok || lines != nil {
		t.Errorf("a damaged record is told as %q", lines)
	}
}
