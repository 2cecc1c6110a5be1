package raftstore

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestWindowAdmitsEachBatchOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen := map[uint64]bool{}
		epoch, high := uint64(1), uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "batches") {
			if rapid.IntRange(0, 40).Draw(t, "boot") == 0 {
				epoch++
				seen, high = map[uint64]bool{}, 0
			}
			seq := uint64(rapid.IntRange(1, 5000).Draw(t, "seq"))
			if rapid.Bool().Draw(t, "near") {
				seq = max(1, high+uint64(rapid.IntRange(0, 60).Draw(t, "step"))-20)
				if high < 20 {
					seq = high + 1
				}
			}
			want := !seen[seq] && (high == 0 || seq+windowSize > high)
			if got := w.admit(epoch, seq); got != want {
				t.Fatalf("sequence %d after %d: expected %v, found %v", seq, high, want, got)
			}
			if want {
				seen[seq] = true
				high = max(high, seq)
			}
			if w.admit(epoch-1, seq) {
				t.Fatal("a batch of an earlier boot was admitted")
			}
			var back window
			if !back.decode(w.encode()) || back != w {
				t.Fatal("a window changes when it is stored")
			}
		}
	})
}

func TestEnvelopeCarriesItsRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 20).Draw(t, "records")
		kinds := rapid.SliceOfN(rapid.IntRange(0, int(kindEnd)-1), len(records), len(records)).Draw(t, "kinds")
		b := appendHeader(nil)
		for i, r := range records {
			b = appendRecord(b, kind(kinds[i]), r)
		}
		body := len(b)
		b = stamp(b, 1, 2, 3, 4, 5, len(records))
		b = stamp(b[:body], 1, 12, 13, 14, -15, len(records))
		var e envelope
		if err := e.decode(b); err != nil {
			t.Fatal(err)
		}
		if e.level != 1 || e.node != 12 || e.epoch != 13 || e.seq != 14 || e.time != -15 {
			t.Errorf("found %+v", e)
		}
		for i, r := range records {
			if !bytes.Equal(e.records[i], r) || e.kinds[i] != kind(kinds[i]) {
				t.Errorf("record %d: expected %x, found %x", i, r, e.records[i])
			}
		}
		b[rapid.IntRange(0, len(b)-1).Draw(t, "flip")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if err := e.decode(b); err == nil {
			t.Error("a flipped bit went unnoticed")
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add(stamp(appendRecord(appendHeader(nil), kindMachine, []byte("record")), 1, 2, 3, 4, 5, 1))
	f.Add([]byte("TRB1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e envelope
		if e.decode(b) != nil {
			// With the checksum put right, the rest of the decoder is reached.
			if len(b) < envelopeHeader+envelopeSum {
				return
			}
			b = slices.Clone(b[:len(b)-envelopeSum])
			n := int(b[40]) | int(b[41])<<8
			b = stamp(b, 1, 2, 3, 4, 5, n)
			if e.decode(b) != nil {
				return
			}
		}
		again := appendHeader(nil)
		for i, r := range e.records {
			again = appendRecord(again, e.kinds[i], r)
		}
		var second envelope
		if err := second.decode(stamp(again, e.level, e.node, e.epoch, e.seq, e.time, len(e.records))); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
	})
}

func FuzzEpochRows(f *testing.F) {
	f.Add(encodeEpochs([]epochRange{{1, 0, 0}, {2, 77, 88}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := decodeEpochs(b); ok && !bytes.Equal(encodeEpochs(e), b) {
			t.Error("epochs change when they are stored")
		}
		if class, number, ok := decodeEpochRecord(b); ok && !bytes.Equal(encodeEpochRecord(class, number), b) {
			t.Error("an epoch record changes when it is stored")
		}
	})
}

func TestEpochsAreCutAndRemovedInOrder(t *testing.T) {
	r := registry{}
	r = r.cut(3, 2, 100, 7)
	r = r.cut(3, 2, 120, 8) // a second proposal of the same cut
	r = r.cut(3, 3, 200, 9)
	for _, test := range []struct {
		index uint64
		want  uint32
	}{{1, 1}, {100, 1}, {101, 2}, {200, 2}, {201, 3}, {9999, 3}} {
		if got, ok := r.at(3, test.index); !ok || got != test.want {
			t.Errorf("entry %d: expected epoch %d, found %d", test.index, test.want, got)
		}
	}
	if got, _ := r.at(4, 150); got != 1 {
		t.Errorf("another class: found epoch %d", got)
	}
	old := r
	r = r.remove(3, 2) // not the oldest
	r = r.remove(3, 1)
	r = r.remove(3, 1)
	if _, ok := r.at(3, 50); ok {
		t.Error("a removed epoch is still found")
	}
	if _, ok := old.at(3, 50); !ok {
		t.Error("a published registry changed")
	}
	r = r.remove(3, 2).remove(3, 3)
	if got := fmt.Sprint(r.class(3)); got != "[{3 201 9}]" {
		t.Errorf("the current epoch was removed: %v", got)
	}
}

func TestNotesAreOfOneEntry(t *testing.T) {
	n := newNotes(10)
	n.void(11, 0)
	n.void(11, 4)
	n.void(13, 1)
	n.skip(12)
	n.clamp(13, 99)
	look := func(index uint64) string {
		x, ok := n.get(index)
		return fmt.Sprint(ok, x.skipped, x.time, x.voids)
	}
	for index, want := range map[uint64]string{
		10: "false false 0 []", 11: "true false 0 [{11 0} {11 4}]", 12: "true true 0 []", 13: "true false 99 [{13 1}]", 14: "true false 0 []",
	} {
		if got := look(index); got != want {
			t.Errorf("entry %d: expected %s, found %s", index, want, got)
		}
	}
	n.prune(12)
	if look(12) != "false false 0 []" || look(13) != "true false 99 [{13 1}]" || len(n.skipped) != 0 {
		t.Error("pruning took the wrong notes")
	}
}
