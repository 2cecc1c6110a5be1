package node

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf16"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
	"trine/appliance/probe"
)

// plain is text of a document that is no secret: it must be found where secrets are looked for, or nothing could be.
const plain = "nothing-to-hide-4711"

// forms are the ways in which a secret could be written down by accident.
func forms(secret string) map[string][]byte {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(secret)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	return map[string][]byte{
		"clear": []byte(secret), "UTF-16": wide,
		"base64": []byte(base64.StdEncoding.EncodeToString([]byte(secret))), "hex": []byte(hex.EncodeToString([]byte(secret))),
	}
}

// TestSecretsAreNowhereInTheClear looks for what was told to a node in confidence in all that it writes and says.
func TestSecretsAreNowhereInTheClear(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	node := startWith(t, data, arguments(data, map[string]string{"quickstart": "true", "log-level": "debug", "trace-accepts": "1"})...)
	n := &interop{t: t, addr: node.addresses}
	var err error
	if n.admin, err = client.New(client.Options{Data: data}); err != nil {
		t.Fatal(err)
	}
	defer n.admin.Close()
	n.apply(clientDocument("secret: device-S3cret-one", "127.0.0.0/8"))
	n.apply(clientDocument("secrets: [{value: device-S3cret-two}, {value: device-S3cret-one}]", "127.0.0.0/8"))
	n.apply("kind: User\nname: carol\nspec:\n  firstName: " + plain + "\n  lastName: Carroll\n  mail: carol\n  mailDomain: example.com\n  password: carols-Passw0rd-one\n")
	const hash, hashed = "$2y$04$xkueqi6EtAlBVwauA0gt1.mN/eMHBGzZwLM4jy3DpiSWm8BUCHYj6", "wonder länd 1"
	n.apply("kind: User\nname: dave\nspec: {passwordHash: " + hash + "}\n---\nkind: User\nname: erin\nspec: {passwordHash: " + hash + "}\n")
	if err := n.admin.SetPassword(t.Context(), "carol", "carols-Passw0rd-two", false); err != nil {
		t.Fatal(err)
	}
	key, err := n.admin.CreateKey(t.Context(), api.KeyRequest{Description: "reads", Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	to := node.addresses.RadiusAuthentication[0]
	for _, method := range probe.Methods() {
		for password, accepted := range map[string]bool{"carols-Passw0rd-two": true, "carols-Wr0ng-guess": false} {
			a, err := n.login(to, "device-S3cret-two", "carol", password, method)
			if err != nil || a.Accepted != accepted {
				t.Fatalf("%s: %+v, %v", method, a, err)
			}
		}
	}
	if a, err := n.login(to, "device-S3cret-two", "dave", hashed, "pap"); err != nil || !a.Accepted { // erin's hash stays as it is
		t.Fatalf("%+v, %v", a, err)
	}
	secrets := []string{
		hash, hashed,
		"testing123", "wonderland", "builder", "device-S3cret-one", "device-S3cret-two", "carols-Passw0rd-one", "carols-Passw0rd-two",
		"carols-Wr0ng-guess", key.Secret,
	}
	look := func(where string, content []byte) (control bool) {
		for _, secret := range secrets {
			if where == "log" && secret == "testing123" {
				continue // the quickstart tells everybody
			}
			for form, text := range forms(secret) {
				if bytes.Contains(content, text) {
					t.Errorf("%s holds %q (%s)", where, secret, form)
				}
			}
		}
		return bytes.Contains(content, []byte(plain))
	}
	said := func(where string, needsControl bool, content []byte, err error) {
		t.Helper()
		if err != nil || len(content) == 0 {
			t.Fatalf("%s: %d bytes, %v", where, len(content), err)
		}
		if control := look(where, content); needsControl && !control {
			t.Errorf("%s does not hold %s, so it was looked for in the wrong place", where, plain)
		}
	}

	export, err := n.admin.Export(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(export)
	_ = export.Close()
	said("export", true, text, err)
	for what, get := range map[string]func() (any, error){
		"history":   func() (any, error) { return n.admin.History(t.Context(), "ServiceProvider", "loopback", true) },
		"a user":    func() (any, error) { return n.admin.Document(t.Context(), "User", "carol") },
		"status":    func() (any, error) { return n.admin.Status(t.Context()) },
		"API keys":  func() (any, error) { return n.admin.Keys(t.Context()) },
		"sessions":  func() (any, error) { return n.admin.Sessions(t.Context(), client.SessionQuery{}) },
		"documents": func() (any, error) { return n.admin.Documents(t.Context(), "ServiceProvider", client.Page{}) },
	} {
		answer, err := get()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		text, err := json.Marshal(answer)
		said(what, what == "a user", text, err)
	}
	var decisions []string
	until(t, "decisions in the log", node, func() bool {
		page, err := n.admin.Events(t.Context(), client.EventQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		decisions = decisions[:0]
		for _, e := range page.Events {
			if bytes.Contains(e.Body, []byte(`"verdict"`)) {
				var body struct {
					ID string `json:"id"`
				}
				if err := json.Unmarshal(e.Body, &body); err != nil {
					t.Fatal(err)
				}
				decisions = append(decisions, body.ID)
			}
		}
		text, err := json.Marshal(page)
		said("events", true, text, err)
		return len(decisions) >= 2*len(probe.Methods())
	})
	for _, id := range decisions {
		why, err := n.admin.Explain(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(why)
		said("the explanation of a decision", false, text, err)
	}
	web := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer web.CloseIdleConnections()
	answer, err := web.Get("https://" + node.addresses.Management + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err = io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if !bytes.Contains(text, []byte("trine_")) {
		t.Errorf("/metrics answers %s: %.200s", answer.Status, text)
	}
	said("/metrics", false, text, err)

	disk := func(when string) {
		t.Helper()
		control := false
		err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			control = look(path+" "+when, content) || control
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !control {
			t.Errorf("no file %s holds %s, so it was looked for in the wrong place", when, plain)
		}
	}
	for path, want := range map[string]fs.FileMode{
		"": 0o700, "log": 0o700, nodeKeyName: 0o600, keyFile: 0o600, client.SocketName: 0o600, addressesName: 0o600,
	} {
		info, err := os.Stat(filepath.Join(data, path))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != want {
			t.Errorf("mode of %q: expected %o, found %o", path, want, mode)
		}
	}
	node.kill()
	disk("after a kill")
	look("log", []byte(node.log.String()))
	node = startWith(t, data, arguments(data, map[string]string{"log-level": "debug"})...)
	node.terminate(t)
	disk("after an orderly stop")
	said("log", false, []byte(node.log.String()), nil)
}
