package admin_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"trine/appliance/admin/admintest"
	"trine/appliance/admin/client"
)

// start starts a node in memory and returns it with a client on its socket.
func start(t testing.TB) (*admintest.Node, *client.Client) {
	t.Helper()
	n, err := admintest.Start(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := n.Admin.ServeSocket(filepath.Join(dir, client.SocketName)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return n, c
}

func file(text string) []client.File { return []client.File{{Name: "site.yaml", Data: []byte(text)}} }

func TestSmoke(t *testing.T) {
	_, c := start(t)
	p, err := c.Apply(t.Context(), file(`
kind: UserType
name: default
spec: {password: {keep: [argon2id]}}
---
kind: Group
name: staff
spec: {description: people}
---
kind: User
name: alice
spec: {groups: [staff], password: wonderland}
---
kind: ServiceProvider
name: core
spec:
  type: radius
  radius: {sourceIPs: [10.0.0.0/8], secret: s3cret-s3cret}
`), client.ApplyOptions{Comment: "first"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", p)
	d, err := c.Document(t.Context(), "sp", "core")
	t.Logf("%+v %s %v", d, d.Spec, err)
	h, err := c.History(t.Context(), "sp", "core", true)
	t.Logf("%+v %v", h, err)
	list, err := c.Events(t.Context(), client.EventQuery{})
	t.Logf("%v", err)
	for _, e := range list.Events {
		t.Logf("%s", e.Body)
	}
}
