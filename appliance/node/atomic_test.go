package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"trine/appliance/admin/api"
	"trine/appliance/admin/client"
)

// people is a file of many users.
func people(batch, n int) client.File {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "---\nkind: User\nname: user-%d-%d\nspec:\n  firstName: User\n  lastName: %q\n  mail: user-%d-%d\n  mailDomain: example.com\n", batch, i, fmt.Sprint(i), batch, i)
	}
	return client.File{Name: "people.yaml", Data: b.Bytes()}
}

// TestLargeApplyIsWholeOrNotAtAll kills the node while it applies more documents than one record holds.
func TestLargeApplyIsWholeOrNotAtAll(t *testing.T) {
	size, rounds := 20_000, 4
	if testing.Short() {
		size, rounds = 10_000, 2
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := t.TempDir()
	node := startProcess(t, data, nil)
	connect := func() *client.Client {
		c, err := client.New(client.Options{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	status := func() *api.Status {
		c := connect()
		defer c.Close()
		status, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	users := func() int { return status().Documents["User"] }
	apply := func(batch int) error {
		c := connect()
		defer c.Close()
		_, err := c.Apply(t.Context(), []client.File{people(batch, size)}, client.ApplyOptions{})
		return err
	}
	there := users()
	before := status().Log.Applied
	if err := apply(0); err != nil {
		t.Fatal(err)
	}
	entries := status().Log.Applied - before
	if entries < 5 {
		t.Fatalf("the apply took %d entries of the log: there is no middle to kill the node in", entries)
	}
	there += size
	if n := users(); n != there {
		t.Fatalf("%d users after an apply, expected %d", n, there)
	}
	for batch := 1; batch <= rounds; batch++ {
		before := status().Log.Applied
		at := 1 + random.Uint64N(entries-1)
		if batch == rounds {
			at = entries // the last one puts all in force
		}
		done := make(chan error, 1)
		go func() { done <- apply(batch) }()
		for status().Log.Applied < before+at && len(done) == 0 {
			time.Sleep(time.Millisecond)
		}
		node.kill()
		err := <-done
		node = startProcess(t, data, &node.addresses)
		n := users()
		t.Logf("killed after %d of %d entries: %d users more (%v)", at, entries, n-there, err)
		switch {
		case n == there+size:
			there = n
		case n != there:
			t.Fatalf("%d of %d users of an apply are there", n-there, size)
		case err == nil:
			t.Fatal("an apply succeeded and none of its users is there")
		}
	}
	// What was not taken can be applied again.
	if err := apply(rounds + 1); err != nil {
		t.Fatal(err)
	}
	if n := users(); n != there+size {
		t.Errorf("%d users, expected %d", n, there+size)
	}
	node.quit(t)
	replayed(t, data)
}
