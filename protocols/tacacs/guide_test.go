package tacacs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuideToDevicesIsTrue holds the guide against what it quotes: whole documents, and scenarios with their outcome.
func TestGuideToDevicesIsTrue(t *testing.T) {
	guide := readFile(t, "../../docs/guides/network-devices.md")
	documents, err := filepath.Glob(deviceDocuments + "*.yaml")
	if err != nil || len(documents) == 0 {
		t.Fatal(documents, err)
	}
	for _, name := range documents {
		if !strings.Contains(guide, "```yaml\n"+readFile(t, name)+"```\n") {
			t.Errorf("the guide does not quote %s as it is", name)
		}
	}
	scenarios, err := filepath.Glob("testdata/devices/*.txt")
	if err != nil || len(scenarios) == 0 {
		t.Fatal(scenarios, err)
	}
	var all strings.Builder
	for _, name := range scenarios {
		all.WriteString(readFile(t, name))
	}
	quoted := regexp.MustCompile("(?ms)^```text\n(.*?)^```$").FindAllStringSubmatch(guide, -1)
	if len(quoted) < len(scenarios)-1 {
		t.Errorf("the guide quotes %d outcomes", len(quoted))
	}
	for _, q := range quoted {
		if !strings.Contains(all.String(), q[1]) {
			t.Errorf("no scenario has this outcome:\n%s", q[1])
		}
	}
}
