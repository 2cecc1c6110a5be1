package node

import (
	"bytes"
	"testing"

	"trine/raftstore"
)

// promised is how many bytes the log may write for a byte of payload, seals included.
const promised = 2.5

// loadLog proposes what the load makes: n accounting records, each by itself, and half as many decisions, a journal of fifty between
// them. It returns how many bytes of payload that was.
func loadLog(t testing.TB, store *raftstore.Store, l *logLoad, under windowed, n int) (payload int) {
	t.Helper()
	propose := func(record []byte) {
		payload += len(record)
		under <- struct{}{}
		if err := store.Propose(record, under, 0); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		propose(l.accounting())
		if i%100 == 99 {
			propose(l.decisions(50))
		}
	}
	under.drained()
	return payload
}

// Counted is all that this process writes from before the log is made until after it is closed: segments, rows, history, what
// databases write beside and move about.
func TestLogWritesFewBytes(t *testing.T) {
	const records, sealBytes = 120_000, 8 << 20
	written := diskBytes(t)
	var payload int
	var st raftstore.Stats
	t.Run("window", func(t *testing.T) {
		store := openLoaded(t, sealBytes)
		payload = loadLog(t, store, newLogLoad(10_000), make(windowed, 4096), records)
		if err := store.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		st = store.Stats()
	})
	written = diskBytes(t) - written
	if written < st.LogBytes {
		t.Skipf("the file system of %s does not count what is written: %d bytes", t.TempDir(), written)
	}
	if st.Seals < 2 {
		t.Errorf("%d seals in the window, expected at least 2", st.Seals)
	}
	t.Logf("%d records in %d bytes, %d seals: %.2f bytes written for a byte, of which log %.2f, history %.2f, rows %.2f", st.Records, payload,
		st.Seals, float64(written)/float64(payload), float64(st.LogBytes)/float64(payload), float64(st.HistoryBytes)/float64(payload),
		float64(st.StateBytes)/float64(payload))
	if float64(written) > promised*float64(payload) {
		t.Errorf("%d bytes written for %d bytes of payload, which is more than %v times as much", written, payload, promised)
	}
}

func TestManyRecordsShareAnFsync(t *testing.T) {
	const inFlight, records, each = 4096, 100_000, 300
	store := openLoaded(t, 0)
	l, under := newLogLoad(10_000), make(windowed, inFlight)
	made := make([][]byte, records) // beforehand, so that the log never waits for a record
	for i := range made {
		made[i] = bytes.Clone(l.accounting())
	}
	before, written := store.Stats(), diskBytes(t)
	for _, record := range made {
		under <- struct{}{}
		if err := store.Propose(record, under, 0); err != nil {
			t.Fatal(err)
		}
	}
	under.drained()
	st := store.Stats()
	if diskBytes(t)-written < st.LogBytes-before.LogBytes {
		t.Skip("this file system has no disk, so its fsync takes no time")
	}
	if n, syncs := st.Records-before.Records, st.Fsyncs-before.Fsyncs; n < each*syncs {
		t.Errorf("%d fsyncs for %d records with %d in flight, expected at most one for %d", syncs, n, inFlight, each)
	} else {
		t.Logf("%d records an fsync", n/syncs)
	}
}

// A record that comes alone waits for nothing but its own fsync: it makes a batch of its own, and that is synced once.
func TestLoneRecordIsABatchOfItsOwn(t *testing.T) {
	store := openLoaded(t, 0)
	l := newLogLoad(100)
	const records = 20
	before := store.Stats()
	for range records {
		if _, _, err := store.ProposeWait(t.Context(), l.accounting()); err != nil {
			t.Fatal(err)
		}
	}
	st := store.Stats()
	if batches, syncs := st.Batches-before.Batches, st.Fsyncs-before.Fsyncs; batches != records || syncs != records {
		t.Errorf("%d records one after the other took %d batches and %d fsyncs", records, batches, syncs)
	}
}
