package admin

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"trine/appliance/admin/api"
)

// Bounds of what is kept for replays.
const (
	replayEntries  = 1024
	replayBytes    = 16 << 20
	replayAnswer   = 1 << 20 // an answer larger than this is not kept
	replayLife     = time.Hour
	maxKeyOfReplay = 255
)

// replays remembers the answers to POST requests by caller and Idempotency-Key, so that a client that lost an answer can ask
// again without doing the work twice. It is bounded and lives as long as the process: a client that asks again after a restart
// is answered by the version checks.
type replays struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // of *replay, oldest first
	bytes   int
}

// replay is one remembered request; answer is nil while it is under way.
type replay struct {
	id     string
	made   time.Time
	what   [sha256.Size]byte // of method, URL and body
	status int
	header http.Header
	answer []byte
}

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, entries: make(map[string]*list.Element)}
}

// serve calls next unless the same caller's key was answered before; then it gives the same answer again.
func (s *replays) serve(w http.ResponseWriter, r *http.Request, caller Caller, key string, next func(http.ResponseWriter)) {
	if len(key) > maxKeyOfReplay {
		writeProblem(w, api.NewProblem(http.StatusBadRequest, api.ReasonMalformed, "the Idempotency-Key is longer than %d bytes", maxKeyOfReplay))
		return
	}
	body := &hashedBody{ReadCloser: r.Body, hash: sha256.New()}
	_, _ = io.WriteString(body.hash, r.Method+" "+r.URL.String()+"\x00")
	r.Body = body

	id := caller.By + "\x00" + key
	entry, first := s.begin(id)
	if !first {
		s.again(w, body, entry)
		return
	}
	done := false
	defer func() {
		if !done { // next panicked
			s.drop(id)
		}
	}()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	next(rec)
	done = true
	// What the handler left unread belongs to the request all the same.
	if _, err := io.Copy(io.Discard, body); err != nil || rec.tooLarge || rec.status >= http.StatusInternalServerError {
		s.drop(id)
		return
	}
	s.finish(id, replay{what: [sha256.Size]byte(body.hash.Sum(nil)), status: rec.status, header: w.Header().Clone(), answer: rec.kept.Bytes()})
}

// again answers a request whose key is known.
func (s *replays) again(w http.ResponseWriter, body *hashedBody, known replay) {
	if known.header == nil {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, api.NewProblem(http.StatusConflict, api.ReasonInProgress, "a request with this Idempotency-Key is under way"))
		return
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		writeProblem(w, bodyProblem(err))
		return
	}
	if [sha256.Size]byte(body.hash.Sum(nil)) != known.what {
		writeProblem(w, api.NewProblem(http.StatusUnprocessableEntity, api.ReasonIdempotency, "this Idempotency-Key was used for another request"))
		return
	}
	for k, v := range known.header {
		w.Header()[k] = v
	}
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(known.status)
	_, _ = w.Write(known.answer) // the caller may be gone
}

// begin returns what is known under the id, or reserves it.
func (s *replays) begin(id string) (replay, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if el, ok := s.entries[id]; ok {
		known := el.Value.(*replay)
		if known.header == nil || now.Sub(known.made) < replayLife {
			return *known, false
		}
		s.remove(el)
	}
	for el := s.order.Front(); el != nil && (len(s.entries) >= replayEntries || s.bytes >= replayBytes); {
		following := el.Next()
		if el.Value.(*replay).header != nil {
			s.remove(el)
		}
		el = following
	}
	s.entries[id] = s.order.PushBack(&replay{id: id, made: now})
	return replay{}, true
}

func (s *replays) finish(id string, done replay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el, ok := s.entries[id]; ok {
		done.id, done.made = id, s.now()
		*el.Value.(*replay) = done
		s.bytes += len(done.answer)
	}
}

func (s *replays) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el, ok := s.entries[id]; ok {
		s.remove(el)
	}
}

// remove forgets an entry. The caller holds mu.
func (s *replays) remove(el *list.Element) {
	gone := s.order.Remove(el).(*replay)
	delete(s.entries, gone.id)
	s.bytes -= len(gone.answer)
}

// hashedBody hashes what is read of a body.
type hashedBody struct {
	io.ReadCloser
	hash hash.Hash
}

// Read implements io.Reader.
func (b *hashedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.hash.Write(p[:n]) // a hash never fails
	return n, err
}

// recorder passes an answer on and keeps a copy of it.
type recorder struct {
	http.ResponseWriter
	status   int
	kept     bytes.Buffer
	tooLarge bool
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *recorder) Write(p []byte) (int, error) {
	if w.kept.Len()+len(p) > replayAnswer {
		w.tooLarge = true
	} else {
		w.kept.Write(p)
	}
	return w.ResponseWriter.Write(p)
}
