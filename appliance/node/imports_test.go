package node

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says who may import whom among our own packages, tests left out. A pattern is a package path below the module, or
// one that ends in /... for a package and all below it. The first entry whose pattern matches a package rules it.
//
// It is the import table of the architecture; docs/adr/0002-import-table.md says what was added to it and why.
var arrows = []struct {
	from string
	to   []string
}{
	{"cmd/...", []string{"appliance/..."}},
	{"appliance/node", []string{"appliance/...", "engine/...", "protocols/...", "raftstore/...", "ldapsync/...", "docs/examples"}},
	{"appliance/console/...", nil},
	{"appliance/admin/client", []string{"appliance/admin/api"}},
	{"appliance/admin/...", []string{"appliance/admin/...", "engine/..."}},
	{"appliance/fetch", []string{"engine/credential/certificate"}},
	{"appliance/delivery", []string{"engine/document", "engine/message", "engine/secret", "engine/state"}},
	{"appliance/cluster", []string{"engine/event", "engine/secret", "engine/state", "raftstore", "raftstore/transport"}},
	{"appliance/demo", nil},
	{"appliance/node/browser", []string{"appliance/...", "engine/credential/...", "engine/login"}},
	{"appliance/worker", []string{"engine/credential/...", "engine/script"}},
	{"appliance/probe", []string{"protocols/radius/wire", "protocols/radius/dictionary", "protocols/tacacs/wire", "engine/credential/chap"}},
	{"ldapsync/...", []string{"ldapsync/...", "engine/..."}},

	{"protocols/internal/enginetest", []string{"engine/..."}},
	{"protocols/internal/shared", []string{"engine/document"}},
	{"protocols/internal/...", nil},
	{"protocols/tally", nil},
	{"protocols/loop", []string{"protocols/internal/..."}},
	{"protocols/stream", []string{"protocols/internal/...", "protocols/loop"}},
	{"protocols/md5", nil},
	{"protocols/radius/wire", []string{"protocols/md5", "engine/credential/chap"}},
	{"protocols/radius/dictionary", []string{"protocols/radius/wire"}},
	{"protocols/radius/...", []string{"protocols/radius/...", "protocols/internal/...", "protocols/tally", "protocols/loop", "engine/..."}},
	{"protocols/tacacs/wire", []string{"protocols/md5"}},
	{"protocols/tacacs", []string{"protocols/tacacs/wire", "protocols/internal/...", "protocols/tally", "protocols/loop", "protocols/stream", "engine/..."}},

	{"protocols/web", []string{"protocols/internal/...", "protocols/tally", "engine/..."}},
	{"protocols/oidc", []string{"protocols/web", "protocols/internal/...", "protocols/tally", "engine/..."}},

	{"engine", []string{"engine/..."}},
	{"engine/event/field", nil},
	{"engine/event", []string{"engine/event/field"}},
	{"engine/trace", nil},
	{"engine/script", nil},
	{"engine/message", []string{"engine/trace"}},
	{"engine/login/geo", nil},
	{"engine/secret", nil},
	{"engine/credential/chap", nil},
	{"engine/credential/code", []string{"engine/trace", "engine/secret"}},
	{"engine/credential/pin", []string{"engine/trace", "engine/secret"}},
	{"engine/credential/push", []string{"engine/trace", "engine/secret"}},
	{"engine/credential/webauthn", []string{"engine/trace"}},
	{"engine/credential/recovery", []string{"engine/trace", "engine/secret"}},
	{"engine/credential/otp", []string{"engine/trace", "engine/secret"}},
	{"engine/credential/certificate", []string{"engine/trace"}},
	{"engine/credential/imported", []string{"engine/credential/chap"}},
	{"engine/document", []string{"engine/event", "engine/trace", "engine/secret", "engine/message", "engine/credential/imported"}},
	{"engine/credential/kerberos/mittest", nil},
	{"engine/credential/kerberos", []string{"engine/trace", "engine/secret"}},
	{"engine/state/rows", nil},
	{"engine/state", []string{"engine/event", "engine/event/field", "engine/trace", "engine/state/rows"}},
	{"engine/credential", []string{"engine/event", "engine/trace", "engine/secret", "engine/credential/chap", "engine/credential/imported"}},
	{"engine/attribute", []string{"engine/event", "engine/trace", "engine/script", "engine/secret", "engine/document", "engine/state"}},
	{"engine/policy", []string{"engine/event", "engine/trace", "engine/script", "engine/secret", "engine/document", "engine/state", "engine/attribute", "engine/login"}},
	{"engine/login", []string{"engine/event", "engine/trace", "engine/script", "engine/secret", "engine/credential/...", "engine/message", "engine/login/geo"}},

	{"raftstore/...", []string{"raftstore/..."}},
	{"bench/...", []string{"bench/...", "engine/event"}},
	{"docs/...", nil},
}

func matches(pattern, path string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == dir || strings.HasPrefix(path, dir+"/")
	}
	return path == pattern
}

func TestPackagesImportOnlyAlongTheArrows(t *testing.T) {
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "trine/...")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	packages := 0
	for decoder := json.NewDecoder(out); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		from := strings.TrimPrefix(p.ImportPath, "trine/")
		i := slices.IndexFunc(arrows, func(a struct {
			from string
			to   []string
		},
		) bool {
			return matches(a.from, from)
		})
		if i < 0 {
			t.Errorf("%s stands nowhere in the import table", from)
			continue
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, "trine/")
			if ours && !slices.ContainsFunc(arrows[i].to, func(pattern string) bool { return matches(pattern, to) }) {
				t.Errorf("%s imports %s, which the import table does not allow", from, to)
			}
		}
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	if packages < 10 {
		t.Fatalf("saw only %d packages", packages)
	}
}
