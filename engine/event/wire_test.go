package event_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"trine/engine/event"
)

func drawAccounted(t *rapid.T) *event.AccountedView {
	data := rapid.SliceOfN(rapid.Byte(), 0, 20)
	text := rapid.Map(rapid.StringN(0, 12, -1), func(s string) []byte { return []byte(strings.ToValidUTF8(s, "?")) })
	return &event.AccountedView{
		Client: text.Draw(t, "client"), NAS: data.Draw(t, "nas"), SessionID: data.Draw(t, "session"),
		Status: rapid.Uint32().Draw(t, "status"), UserName: data.Draw(t, "user name"), User: text.Draw(t, "user"),
		Login: rapid.Uint64().Draw(t, "login"), FramedIP: data.Draw(t, "ip"), FramedIPv6Prefix: data.Draw(t, "ip6"),
		Calling: data.Draw(t, "calling"), Called: data.Draw(t, "called"), NASPortID: data.Draw(t, "port id"),
		NASPort: rapid.Uint32().Draw(t, "port"), SessionTime: rapid.Uint32().Draw(t, "time"),
		InputOctets: rapid.Uint64().Draw(t, "in"), OutputOctets: rapid.Uint64().Draw(t, "out"),
		InputPackets: rapid.Uint64().Draw(t, "in packets"), OutputPackets: rapid.Uint64().Draw(t, "out packets"),
		TerminateCause: rapid.Uint32().Draw(t, "cause"), EventUnix: rapid.Int64().Draw(t, "event"),
		Key: rapid.Uint64().Draw(t, "key"), Raw: data.Draw(t, "raw"), StaleAfter: rapid.Uint32().Draw(t, "stale"),
		Source: data.Draw(t, "source"), Class: data.Draw(t, "class"),
	}
}

func accountedMessage(v *event.AccountedView) *event.Accounted {
	return &event.Accounted{
		Client: string(v.Client), Nas: v.NAS, SessionId: v.SessionID, Status: v.Status, UserName: v.UserName,
		User: string(v.User), Login: v.Login, FramedIp: v.FramedIP, FramedIpv6Prefix: v.FramedIPv6Prefix, Calling: v.Calling,
		Called: v.Called, NasPortId: v.NASPortID, NasPort: v.NASPort, SessionTime: v.SessionTime, InputOctets: v.InputOctets,
		OutputOctets: v.OutputOctets, InputPackets: v.InputPackets, OutputPackets: v.OutputPackets,
		TerminateCause: v.TerminateCause, EventUnix: v.EventUnix, Key: v.Key, Raw: v.Raw, StaleAfter: v.StaleAfter,
		Source: v.Source, Class: v.Class,
	}
}

func TestAccountedViewIsTheMessageOnTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawAccounted(t)
		encoded := event.AppendAccounted(nil, v)
		var got event.Accounted
		if err := proto.Unmarshal(encoded, &got); err != nil {
			t.Fatalf("unmarshal: %v", err)
		}
		if want := accountedMessage(v); !proto.Equal(want, &got) {
			t.Fatalf("got %v, want %v", &got, want)
		}
		marshalled, err := proto.Marshal(&got)
		if err != nil {
			t.Fatal(err)
		}
		var back event.AccountedView
		if err := back.Decode(marshalled); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(accountedMessage(&back), &got) {
			t.Fatalf("view read %+v from %v", back, &got)
		}
	})
}

func TestDecidedViewIsTheMessageOnTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 20)
		text := rapid.Map(rapid.StringN(0, 200, -1), func(s string) []byte { return []byte(strings.ToValidUTF8(s, "?")) })
		v := &event.DecidedView{
			ID: rapid.Uint64().Draw(t, "id"), Verdict: event.Verdict(rapid.Uint32().Draw(t, "verdict")), Reason: text.Draw(t, "reason"),
			Client: text.Draw(t, "client"), UserName: data.Draw(t, "user name"), User: text.Draw(t, "user"),
			Method: rapid.Uint32().Draw(t, "method"), NAS: data.Draw(t, "nas"), Calling: data.Draw(t, "calling"),
			Called: data.Draw(t, "called"), Source: data.Draw(t, "source"), NASPort: rapid.Uint32().Draw(t, "port"),
			AtUnixNano: rapid.Int64().Draw(t, "at"), PolicyIndex: rapid.Uint64().Draw(t, "index"),
			TookMicros: rapid.Uint32().Draw(t, "took"), Protocol: text.Draw(t, "protocol"),
		}
		want := &event.Decided{
			Id: v.ID, Verdict: uint32(v.Verdict), Reason: string(v.Reason), Client: string(v.Client), UserName: v.UserName,
			User: string(v.User), Method: v.Method, Nas: v.NAS, Calling: v.Calling, Called: v.Called, Source: v.Source,
			NasPort: v.NASPort, AtUnixNano: v.AtUnixNano, PolicyIndex: v.PolicyIndex, TookMicros: v.TookMicros,
			Protocol: string(v.Protocol),
		}
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			s := event.StepView{
				Code: rapid.Uint32().Draw(t, "code"), Subject: text.Draw(t, "subject"), Detail: text.Draw(t, "detail"),
				TookNanos: rapid.Uint32().Draw(t, "nanos"),
			}
			v.Steps = append(v.Steps, s)
			want.Steps = append(want.Steps, &event.Decided_Step{
				Code: s.Code, Subject: string(s.Subject), Detail: string(s.Detail), TookNanos: s.TookNanos,
			})
		}
		var got event.Decided
		if err := proto.Unmarshal(event.AppendDecided(nil, v), &got); err != nil {
			t.Fatalf("unmarshal: %v", err)
		}
		if !proto.Equal(want, &got) {
			t.Fatalf("got %v, want %v", &got, want)
		}
		marshalled, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var back event.DecidedView
		if err := back.Decode(marshalled); err != nil {
			t.Fatal(err)
		}
		var again event.Decided
		if err := proto.Unmarshal(event.AppendDecided(nil, &back), &again); err != nil || !proto.Equal(want, &again) {
			t.Fatalf("view read %+v (%v) from %v", back, err, want)
		}
	})
}

func TestLoginFailedViewIsTheMessageOnTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := &event.LoginFailedView{
			Name: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "name"), Source: rapid.Uint64().Draw(t, "source"), Login: rapid.Uint64().Draw(t, "login"),
			Factor: rapid.Uint32().Draw(t, "factor"), Apart: rapid.Bool().Draw(t, "apart"), Attempts: rapid.Uint32().Draw(t, "attempts"),
			Total: rapid.Uint32().Draw(t, "total"), Window: rapid.Uint32().Draw(t, "window"), Duration: rapid.Uint32().Draw(t, "duration"),
			Progressive: rapid.Bool().Draw(t, "progressive"),
		}
		want := &event.LoginFailed{
			Name: v.Name, Source: v.Source, Login: v.Login, Factor: v.Factor, Apart: v.Apart, Attempts: v.Attempts, Total: v.Total,
			Window: v.Window, Duration: v.Duration, Progressive: v.Progressive,
		}
		var got event.LoginFailed
		if err := proto.Unmarshal(event.AppendLoginFailed(nil, v), &got); err != nil || !proto.Equal(want, &got) {
			t.Fatalf("got %v, %v, want %v", &got, err, want)
		}
		var b event.Builder
		b.AddLoginFailed(v)
		_, data, _, err := event.NextPart(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.ParseEvent(data)
		if err != nil || e.Type != event.TypeLoginFailed || e.Class != event.ClassDecision {
			t.Fatalf("%+v, %v", e, err)
		}
		streams := []uint64{event.StreamKey(event.StreamDecision, event.FormatID(v.Login))}
		if len(v.Name) > 0 {
			streams = append(streams, event.StreamKey(event.StreamUser, event.FoldName(string(v.Name))))
		}
		if got := e.AppendStreams(nil); !slices.Equal(got, streams) {
			t.Fatalf("streams %x, want %x", got, streams)
		}
	})
}

func TestBuilderWritesTheProposalMessage(t *testing.T) {
	var b event.Builder
	put := &event.DocumentPut{Kind: "Group", Name: "staff", Spec: []byte(`{}`)}
	decided := &event.DecidedView{ID: 7, Verdict: event.Reject, Reason: []byte("password.wrong")}
	for range 2 { // a reused builder starts from nothing
		b.Reset()
		b.Expect(event.Expectation_VERSION, "Group/staff", 3)
		b.ExpectBytes(event.Expectation_SESSIONS_BELOW, []byte("alice"), 2)
		if err := b.Add(event.TypeDocumentPut, event.ClassIdentity, []uint64{1, 1 << 63}, put); err != nil {
			t.Fatal(err)
		}
		b.AddDecided(decided)
	}
	var got event.Proposal
	if err := proto.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(put)
	if err != nil {
		t.Fatal(err)
	}
	want := &event.Proposal{
		Expect: []*event.Expectation{
			{Kind: event.Expectation_VERSION, Key: "Group/staff", Value: 3},
			{Kind: event.Expectation_SESSIONS_BELOW, Key: "alice", Value: 2},
		},
		Events: []*event.Event{
			{Type: 1, Class: 2, Streams: []uint64{1, 1 << 63}, Body: body},
			{Type: 40, Class: 5, Body: event.AppendDecided(nil, decided)},
		},
	}
	if !proto.Equal(want, &got) {
		t.Fatalf("got %v\nwant %v", &got, want)
	}

	rest, parts := b.Bytes(), []event.Part{}
	for len(rest) > 0 {
		part, data, next, err := event.NextPart(rest)
		if err != nil {
			t.Fatal(err)
		}
		parts, rest = append(parts, part), next
		if part == event.PartEvent && len(parts) == 3 {
			e, err := event.ParseEvent(data)
			if err != nil || e.Type != event.TypeDocumentPut || string(e.Body) != string(body) {
				t.Fatalf("event is %+v, %v", e, err)
			}
			if s := e.AppendStreams(nil); len(s) != 2 || s[0] != 1 || s[1] != 1<<63 {
				t.Fatalf("streams are %v", s)
			}
		}
		if part == event.PartExpectation && len(parts) == 1 {
			x, err := event.ParseExpectation(data)
			if err != nil || x.Kind != event.Expectation_VERSION || string(x.Key) != "Group/staff" || x.Value != 3 {
				t.Fatalf("expectation is %+v, %v", x, err)
			}
		}
	}
	if len(parts) != 4 {
		t.Fatalf("%d parts, want 4", len(parts))
	}
}

func TestBuilderRefusesAMessageOfAnotherType(t *testing.T) {
	var b event.Builder
	if err := b.Add(event.TypeNodeStarted, event.ClassSystem, nil, &event.DocumentPut{}); err == nil || b.Len() != 0 {
		t.Fatalf("error %v, %d bytes", err, b.Len())
	}
	if err := b.Add(event.TypeDocumentPut, event.ClassConfig, nil, &event.DocumentPut{Name: "\xff"}); err == nil || b.Len() != 0 {
		t.Fatalf("error %v, %d bytes", err, b.Len())
	}
}

func TestTextThatIsNotUTF8StaysReadable(t *testing.T) {
	encoded := event.AppendAccounted(nil, &event.AccountedView{Client: []byte("a\xffb"), UserName: []byte("\xff")})
	var got event.Accounted
	if err := proto.Unmarshal(encoded, &got); err != nil || got.Client != "a\uFFFDb" || string(got.UserName) != "\xff" {
		t.Fatalf("got %v, %v", &got, err)
	}
}

func TestUnknownFieldsAreNotSkipped(t *testing.T) {
	extra := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	var a event.AccountedView
	if err := a.Decode(extra); !errors.Is(err, event.ErrFormat) {
		t.Errorf("accounted: %v", err)
	}
	var d event.DecidedView
	if err := d.Decode(extra); !errors.Is(err, event.ErrFormat) {
		t.Errorf("decided: %v", err)
	}
	if _, err := event.ParseEvent(extra); !errors.Is(err, event.ErrFormat) {
		t.Errorf("event: %v", err)
	}
	if _, err := event.ParseExpectation(extra); !errors.Is(err, event.ErrFormat) {
		t.Errorf("expectation: %v", err)
	}
	if _, err := event.ParseStaged(extra); !errors.Is(err, event.ErrFormat) {
		t.Errorf("staged: %v", err)
	}
	e := event.Envelope{Type: event.TypeNodeStarted, Body: extra}
	if _, err := e.Message(); !errors.Is(err, event.ErrFormat) {
		t.Errorf("message: %v", err)
	}
}

func TestHotRecordsAreWrittenAndReadWithoutAllocation(t *testing.T) {
	a := &event.AccountedView{Client: []byte("wlan"), NAS: []byte("ap-17"), SessionID: []byte("0011223344"), Status: 3, Raw: make([]byte, 80)}
	d := &event.DecidedView{ID: 9, Reason: []byte("ok"), Steps: []event.StepView{{Code: 1, Detail: []byte("x")}, {Code: 2}}}
	var b event.Builder
	var av event.AccountedView
	var dv event.DecidedView
	run := func() {
		b.Reset()
		a.Key = event.AccountingKey(a, false)
		b.AddAccounted(a)
		b.AddDecided(d)
		for rest := b.Bytes(); len(rest) > 0; {
			_, data, next, err := event.NextPart(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = next
			e, err := event.ParseEvent(data)
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == event.TypeAccounted {
				err = av.Decode(e.Body)
			} else {
				err = dv.Decode(e.Body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestAccountingKeyTellsRecordsApart(t *testing.T) {
	base := event.AccountedView{Client: []byte("c"), NAS: []byte("n"), SessionID: []byte("s"), Status: 3, EventUnix: 100, SessionTime: 60, InputOctets: 1}
	same := base
	same.Raw, same.Login, same.Key, same.NASPort = []byte("other attributes"), 5, 6, 7
	if event.AccountingKey(&base, true) != event.AccountingKey(&same, true) {
		t.Error("fields that are no part of a record's identity change its key")
	}
	keys := map[uint64]string{event.AccountingKey(&base, true): "base", event.AccountingKey(&base, false): "without time"}
	for name, change := range map[string]func(*event.AccountedView){
		"client":  func(v *event.AccountedView) { v.Client = []byte("d") },
		"nas":     func(v *event.AccountedView) { v.NAS = []byte("m") },
		"session": func(v *event.AccountedView) { v.SessionID = []byte("t") },
		"shifted": func(v *event.AccountedView) { v.Client, v.NAS = []byte("cn"), nil },
		"status":  func(v *event.AccountedView) { v.Status = 2 },
		"time":    func(v *event.AccountedView) { v.EventUnix = 101 },
	} {
		v := base
		change(&v)
		key := event.AccountingKey(&v, true)
		if other, taken := keys[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[key] = name
	}
	later := base
	later.SessionTime = 61
	if event.AccountingKey(&base, false) == event.AccountingKey(&later, false) {
		t.Error("session time does not count where there is no event time")
	}
}

func FuzzRecords(f *testing.F) {
	var b event.Builder
	b.Expect(event.Expectation_ABSENT, "Group/x", 0)
	b.AddAccounted(&event.AccountedView{Client: []byte("c"), Login: 1, InputOctets: 3})
	b.AddDecided(&event.DecidedView{ID: 1, Steps: []event.StepView{{Code: 1}}})
	f.Add(b.Bytes())
	f.Add(event.AppendAccounted(nil, &event.AccountedView{Client: []byte("c"), Raw: []byte("r"), Key: 1}))
	f.Add(event.AppendDecided(nil, &event.DecidedView{ID: 1, Steps: []event.StepView{{Code: 1}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a event.AccountedView
		if a.Decode(data) == nil {
			var back event.AccountedView
			if err := back.Decode(event.AppendAccounted(nil, &a)); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
		}
		var d event.DecidedView
		if d.Decode(data) == nil {
			var back event.DecidedView
			if err := back.Decode(event.AppendDecided(nil, &d)); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
		}
		if s, err := event.ParseStaged(data); err == nil {
			for {
				if _, _, ok := s.Next(); !ok {
					break
				}
			}
		}
		for rest := data; len(rest) > 0; {
			part, piece, next, err := event.NextPart(rest)
			if err != nil {
				return
			}
			rest = next
			if part == event.PartExpectation {
				_, _ = event.ParseExpectation(piece)
				continue
			}
			_, _, _ = event.Decode(piece)
			if e, err := event.ParseEvent(piece); err == nil {
				e.AppendStreams(nil)
			}
		}
	})
}

func TestStreamsOfHotEventsFollowFromTheirBodies(t *testing.T) {
	key := event.StreamKey[string]
	session := event.SessionID([]byte("wlan"), []byte("ap-17"), []byte("0011"))
	tests := []struct {
		name string
		add  func(b *event.Builder)
		want []uint64
	}{
		{"decision", func(b *event.Builder) {
			b.AddDecided(&event.DecidedView{
				ID: 9, Client: []byte("wlan"), UserName: []byte("ALLY@x"), User: []byte("Älice"), NAS: []byte{192, 0, 2, 1}, Calling: []byte("AA-BB"),
				Steps: []event.StepView{{Code: 1}}, Protocol: []byte("radius"),
			})
		}, []uint64{
			key(event.StreamClient, "wlan"), key(event.StreamDecision, event.FormatID(9)), key(event.StreamUser, "älice"),
			key(event.StreamMAC, "aa-bb"), key(event.StreamNAS, "192.0.2.1"),
		}},
		{"decision about a stranger", func(b *event.Builder) {
			b.AddDecided(&event.DecidedView{ID: 1, Client: []byte("wlan"), UserName: []byte("Bob")})
		}, []uint64{key(event.StreamClient, "wlan"), key(event.StreamDecision, event.FormatID(1)), key(event.StreamUser, "bob")}},
		{"accounting record", func(b *event.Builder) {
			b.AddAccounted(&event.AccountedView{
				Client: []byte("wlan"), NAS: []byte("ap-17"), SessionID: []byte("0011"), UserName: []byte("Bob"), User: []byte("bob"),
				Calling: []byte("AA-BB"), Called: []byte("zz"), Raw: []byte{1, 2},
			})
		}, []uint64{
			key(event.StreamClient, "wlan"), key(event.StreamSession, fmt.Sprintf("%016x", session)), key(event.StreamUser, "bob"),
			key(event.StreamMAC, "aa-bb"), key(event.StreamNAS, "ap-17"),
		}},
		{"streams that are given", func(b *event.Builder) {
			b.AddBody(event.TypeDecided, event.ClassDecision, []uint64{4, 5}, event.AppendDecided(nil, &event.DecidedView{ID: 1}))
		}, []uint64{4, 5}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var b event.Builder
			test.add(&b)
			_, data, _, err := event.NextPart(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.ParseEvent(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.AppendStreams([]uint64{1}); !slices.Equal(got[1:], test.want) {
				t.Errorf("expected %x, found %x", test.want, got[1:])
			}
		})
	}
}
