package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"trine/engine/credential/imported"
	"trine/engine/trace"
)

const (
	ntOfWonder   = "{NT}a6273f8b663b6edfbcdc269383b8f5ca"
	sshaOfWonder = "{SSHA}i6z6qHoVh7UwmjuX48UaTgOQM+fnf7Ru"
	wonder       = "wonder länd 1"
)

func TestImportedHashVerifiesInTheHasherAndIsRemembered(t *testing.T) {
	f := newFixture(t, nil)
	u := f.importing(t, 1, "Alice", sshaOfWonder, DefaultKeep())
	if bytes.Contains(u.Imported, []byte("SSHA")) {
		t.Error("the hash is not sealed")
	}
	a := pap(wonder, u)
	if o := f.Verify(a); o.Status != Pending || o.Form != FormImported || o.Form.String() != "imported" {
		t.Fatalf("%+v", o)
	}
	job := f.bench.jobs[0]
	if o := f.Verify(pap(wonder, u)); !o.Joined {
		t.Errorf("an equal attempt does not join: %+v", o)
	}
	f.bench.work(nil)
	if o := <-a.Done.(outcomes); o.Status != Matched || o.Form != FormImported {
		t.Errorf("%+v", o)
	}
	if !bytes.Equal(job.Form, make([]byte, len(sshaOfWonder))) || !bytes.Equal(job.Password, make([]byte, len(wonder))) {
		t.Error("the job is not wiped")
	}
	if o := f.Verify(pap(wonder, u)); o.Status != Matched || o.Form != FormCache {
		t.Errorf("afterwards: %+v", o)
	}
	if o := f.run(t, pap("wonderland", u)); o.Status != Wrong || o.Reason != trace.PasswordWrong || o.Form != FormImported {
		t.Errorf("a wrong one: %+v", o)
	}
}

func TestImportedHashIsHeldBackAsArgon2idIs(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits = Limits{UserBurst: 2, UserUnderWay: 9} })
	u := f.importing(t, 1, "alice", sshaOfWonder, DefaultKeep())
	for range 2 {
		if o := f.run(t, pap("wrong", u)); o.Reason != trace.PasswordWrong {
			t.Fatalf("%+v", o)
		}
	}
	if o := f.Verify(pap(wonder, u)); o.Reason != trace.OverloadThrottled || o.Form != FormImported {
		t.Errorf("%+v", o)
	}
}

func TestImportedHashFitsNobodyElse(t *testing.T) {
	f := newFixture(t, nil)
	u := f.importing(t, 1, "alice", sshaOfWonder, DefaultKeep())
	u.Name = []byte("bob")
	if o := f.Verify(pap(wonder, u)); o.Reason != trace.PasswordUnreadable || o.Form != FormImported {
		t.Errorf("%+v", o)
	}
	u.Name = []byte("ALICE")
	if o := f.run(t, pap(wonder, u)); o.Status != Matched {
		t.Errorf("another case of the name: %+v", o)
	}
}

func TestImportedNTHashIsKeptAsOneWhereItIsKept(t *testing.T) {
	for _, c := range []struct {
		keep         Keep
		nt, imported bool
	}{
		{Keep{NT: true}, true, false},
		{Keep{NT: true, Argon2id: true}, true, true},
		{Keep{Argon2id: true}, false, true},
	} {
		t.Run(fmt.Sprintf("%+v", c.keep), func(t *testing.T) {
			f := newFixture(t, nil)
			u := f.importing(t, 1, "alice", ntOfWonder, c.keep)
			if len(u.NT) > 0 != c.nt || len(u.Imported) > 0 != c.imported {
				t.Fatalf("%d bytes nt, %d imported", len(u.NT), len(u.Imported))
			}
			if o := f.run(t, pap(wonder, u)); o.Status != Matched {
				t.Errorf("PAP: %+v", o)
			}
			a := &Attempt{Proof: prove(t, MSCHAPv2, wonder, "alice"), User: u, Name: u.Name}
			if o := f.Verify(a); o.Status == Matched != c.nt {
				t.Errorf("MS-CHAPv2: %+v", o)
			}
			if !u.IsImport(ntOfWonder, c.keep, f.ring) || u.IsImport("{NT}b6273f8b663b6edfbcdc269383b8f5ca", c.keep, f.ring) {
				t.Error("it is not known again")
			}
		})
	}
}

func TestAnImportIsKnownAgainUntilItIsReplaced(t *testing.T) {
	f := newFixture(t, nil)
	u := f.importing(t, 1, "Alice", sshaOfWonder, DefaultKeep())
	if !u.IsImport(sshaOfWonder, DefaultKeep(), f.ring) || u.IsImport("{SHA}qingMVA3MU48yecga0jV6lzu4UY=", DefaultKeep(), f.ring) || u.IsImport("x", DefaultKeep(), f.ring) {
		t.Error("the hash that was imported is not told from others")
	}
	set, err := f.BuildForms(context.Background(), "Alice", []byte(wonder), Keep{Keyed: true}, cheap())
	if err != nil {
		t.Fatal(err)
	}
	again := &Stored{Name: []byte("Alice"), Keyed: set.Keyed}
	if again.IsImport(sshaOfWonder, DefaultKeep(), f.ring) || (&Stored{Name: []byte("Alice")}).IsImport(sshaOfWonder, DefaultKeep(), f.ring) {
		t.Error("what replaced it is taken for it")
	}
}

func TestWhatCannotBeImportedIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := ImportForms("alice", "wonderland", DefaultKeep(), f.ring); !errors.Is(err, imported.ErrHash) {
		t.Error(err)
	}
	if fits, err := FormMatches([]byte("wonderland"), []byte("wonderland")); fits || !errors.Is(err, ErrUnreadable) {
		t.Errorf("%v, %v", fits, err)
	}
	if fits, err := FormMatches(nil, nil); fits || !errors.Is(err, ErrUnreadable) {
		t.Errorf("%v, %v", fits, err)
	}
}
