package admin

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"trine/engine/event"
)

func FuzzPosition(f *testing.F) {
	for _, text := range []string{"", "1", "4711.0", "1.2.3", "18446744073709551615.4294967295", "-1", "1."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePosition(text)
		if err != nil {
			return
		}
		if again, err := parsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q is %v, which reads as %v, %v", text, p, again, err)
		}
	})
}

// FuzzEventView shows whatever decodes as an event: it is JSON, and never a panic.
func FuzzEventView(f *testing.F) {
	add := func(kind event.Type, m proto.Message) {
		var b event.Builder
		if err := b.Add(kind, event.ClassSystem, []uint64{1}, m); err != nil {
			f.Fatal(err)
		}
		_, data, _, err := event.NextPart(b.Bytes())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add(event.TypeDocumentPut, &event.DocumentPut{Kind: "Group", Name: "staff", Spec: []byte(`{"description":"x"}`)})
	add(event.TypeAccounted, &event.Accounted{Client: "core", Nas: []byte{10, 0, 0, 1}, SessionId: []byte("\xff"), Status: 9, FramedIp: []byte{1, 2, 3}})
	add(event.TypeDecided, &event.Decided{Id: 1, Reason: "ok", UserName: []byte("a\x00b"), Source: []byte{1}})
	add(event.TypeStaged, &event.Staged{Stage: 1, Events: []*event.Event{{Type: 1, Body: []byte{1}}}})
	s := new(Server)
	f.Fuzz(func(t *testing.T, data []byte) {
		ev, err := s.eventView(&Item{Data: data})
		if err == nil && !json.Valid(ev.Body) {
			t.Errorf("%s shows %q", ev.Type, ev.Body)
		}
	})
}
