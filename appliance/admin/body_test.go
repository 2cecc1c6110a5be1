package admin

import (
	"slices"
	"strings"
	"testing"

	"trine/engine/event"
)

func TestAccountingIsShownWhole(t *testing.T) {
	record := &event.Accounted{Status: 1, Client: "core", Raw: []byte{77, 5, 'a', 'b', 'c'}}
	tell := func(protocol string, raw []byte) ([]string, bool) {
		return []string{"Connect-Info = abc"}, protocol == "" && slices.Equal(raw, record.Raw)
	}
	for _, tc := range []struct {
		name       string
		attributes func(string, []byte) ([]string, bool)
		want       string
	}{
		{"by a dictionary", tell, `"attributes":["Connect-Info = abc"]`},
		{"without one", nil, `"raw":"4d05616263"`},
		{"where it cannot be read", func(string, []byte) ([]string, bool) { return nil, false }, `"raw":"4d05616263"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Server{cfg: Config{Attributes: tc.attributes}}
			body, err := s.eventBody(record)
			if err != nil || !strings.Contains(string(body), tc.want) {
				t.Errorf("shows %s, %v; want %s in it", body, err, tc.want)
			}
		})
	}
}

func TestTextOfAWireCarriesNoControlCharacters(t *testing.T) {
	for _, tc := range []struct{ name, sent, want string }{
		{"text", "Zoë O'Neill\u200d", "Zoë O'Neill\u200d"},
		{"escape", "\x1b[2Jx", "0x1b5b324a78"},
		{"delete", "a\x7f", "0x617f"},
		{"control sequence introducer of ISO 6429, as UTF-8", "\u009b2Jx", "0xc29b324a78"},
		{"next line", "a\u0085", "0x61c285"},
		{"no UTF-8", "a\xff", "0x61ff"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := wireText([]byte(tc.sent)); got != tc.want {
				t.Errorf("shows %q, want %q", got, tc.want)
			}
		})
	}
}
