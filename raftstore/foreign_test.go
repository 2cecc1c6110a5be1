package raftstore

import (
	"testing"
	"time"
)

// TestForeignBatchesCountOnceAndTakeNoTimeBack appends batches as another leader may have left them in the log: one twice, as
// after a lost answer, one of an earlier boot, and one with the time of a clock that is behind.
func TestForeignBatchesCountOnceAndTakeNoTimeBack(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, testConfig(t, dir))
	now := time.Now().UnixNano()
	send := func(boot, seq uint64, at int64, value string) {
		t.Helper()
		b := appendRecord(appendHeader(nil), kindMachine, op{1, opSet, "k", value}.encode())
		if err := s.raft.Apply(stamp(b, 1, 99, boot, seq, at, 1), 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	send(2, 5, now, "one")
	send(2, 5, now+1, "one again")
	send(2, 4, now-int64(time.Hour), "two, later and with an earlier time")
	send(1, 9, now+2, "of an earlier boot")
	check := func(when string) {
		t.Helper()
		items := readAll(t, s, Query{})
		if got := names(items); len(got) != 2 || got[0] != "k=one" || got[1] != "k=two, later and with an earlier time" {
			t.Fatalf("%s: found %q", when, got)
		}
		if want := time.Unix(0, now+1); !items[1].Time.Equal(want) {
			t.Errorf("%s: the second record has time %v, expected %v", when, items[1].Time, want)
		}
		if v := s.cfg.Machine.(*kv).copy()["k"]; v != "two, later and with an earlier time" {
			t.Errorf("%s: the row is %q", when, v)
		}
	}
	check("in the log")
	if n := s.Stats().Duplicates; n != 2 {
		t.Errorf("expected 2 batches to be left out, found %d", n)
	}
	crashed := copyTree(t, dir)
	mustClose(t, s) // with a seal
	s = mustOpen(t, testConfig(t, dir))
	check("in history")
	send(2, 5, now+3, "one more time, after a restart from the seal")
	check("sent again after the seal")
	mustClose(t, s)
	s = mustOpen(t, testConfig(t, crashed))
	defer mustClose(t, s)
	check("applied again after a crash")
}
