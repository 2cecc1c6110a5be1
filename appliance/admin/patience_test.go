package admin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// slowSender sends pieces of a body with pauses between them, over a connection that keeps its read deadline.
type slowSender struct {
	*httptest.ResponseRecorder
	piece, left int
	pause       time.Duration
	deadline    time.Time
}

func (s *slowSender) SetReadDeadline(t time.Time) error { s.deadline = t; return nil }

func (s *slowSender) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.EOF
	}
	if until := time.Until(s.deadline); !s.deadline.IsZero() && until < s.pause {
		time.Sleep(max(until, 0))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(s.pause)
	n := min(s.piece, len(p), s.left)
	s.left -= n
	return n, nil
}

func (s *slowSender) Close() error { return nil }

func TestUploadsThatOnlyHoldTheirPlaceAreCutOff(t *testing.T) {
	for _, tc := range []struct {
		name         string
		piece, total int
		pause        time.Duration
		cut          bool
	}{
		{"at once", 1 << 20, 100 << 20, 0, false},
		{"over a slow line", 4 << 10, 100 << 20, 30 * time.Millisecond, false},
		{"in drops", 1, 10 << 10, 10 * time.Second, true},
		{"with long pauses", 4 << 20, 20 << 20, 40 * time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slowSender{ResponseRecorder: httptest.NewRecorder(), piece: tc.piece, left: tc.total, pause: tc.pause}
				b := &patientBody{body: s, rc: http.NewResponseController(s)}
				began := time.Now()
				_, err := io.Copy(io.Discard, b)
				if cut := errors.Is(err, os.ErrDeadlineExceeded); cut != tc.cut {
					t.Errorf("after %v: %v, want cut off %v", time.Since(began), err, tc.cut)
				}
				if took := time.Since(began); tc.cut && took > 2*readTime {
					t.Errorf("it held its place for %v", took)
				}
			})
		})
	}
}
