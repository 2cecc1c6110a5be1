package radius

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"trine/engine"
	"trine/engine/attribute"
	"trine/engine/event"
	"trine/engine/trace"
	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

const testDictionary = `
ATTRIBUTE	User-Name			1	string
ATTRIBUTE	Filter-Id			11	string
ATTRIBUTE	Reply-Message			18	string
ATTRIBUTE	Callback-Number			19	string
ATTRIBUTE	Callback-Id			20	string
ATTRIBUTE	Framed-Route			22	string
ATTRIBUTE	Login-LAT-Service		34	string
ATTRIBUTE	Login-LAT-Node			35	string
ATTRIBUTE	Framed-AppleTalk-Zone		39	string
ATTRIBUTE	Login-LAT-Port			63	string
ATTRIBUTE	Framed-Pool			88	string
ATTRIBUTE	User-Password			2	string	encrypt=1
ATTRIBUTE	Class				25	octets
ATTRIBUTE	Vendor-Specific			26	vsa
ATTRIBUTE	Session-Timeout			27	integer
ATTRIBUTE	NAS-Port-Type			61	integer
ATTRIBUTE	Tunnel-Type			64	integer	has_tag
ATTRIBUTE	Tunnel-Medium-Type		65	integer	has_tag
ATTRIBUTE	Tunnel-Password			69	string	has_tag,encrypt=2
ATTRIBUTE	Message-Authenticator		80	octets
ATTRIBUTE	Tunnel-Private-Group-Id		81	string	has_tag
VALUE	NAS-Port-Type			Virtual			5
VALUE	NAS-Port-Type			Wireless-802.11		19
VALUE	Tunnel-Type			GRE			10
VALUE	Tunnel-Type			VLAN			13
VALUE	Tunnel-Medium-Type		IEEE-802		6
VENDOR	Cisco				9
BEGIN-VENDOR	Cisco
ATTRIBUTE	Cisco-AVPair			1	string
END-VENDOR	Cisco
`

// testNames is one dictionary for all tests: attributes are told apart by what they are in their dictionary.
var testNames = sync.OnceValues(func() (*dictionary.Dictionary, error) {
	return dictionary.New(dictionary.File{Name: "test", Text: testDictionary})
})

func names(t testing.TB) *dictionary.Dictionary {
	t.Helper()
	d, err := testNames()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// compile compiles a reply, and other than Reply also one with secrets.
func compile(t testing.TB, text string) *Template {
	t.Helper()
	items, err := parseLines(strings.Split(strings.TrimSpace(text), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewWire(names(t)).template(items)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func released(t testing.TB, id string, values ...string) attribute.Released {
	t.Helper()
	w, err := NewWire(names(t)).Attribute(id)
	if err != nil {
		t.Fatal(err)
	}
	r := attribute.Released{Attribute: &attribute.Definition{Name: "test", Wire: w}}
	for _, v := range values {
		r.Values = append(r.Values, []byte(v))
	}
	return r
}

// accepted returns the reply of a login that is accepted with templates and attributes, one attribute a line, without what
// every reply has.
func accepted(t *testing.T, templates []any, attributes ...attribute.Released) string {
	t.Helper()
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Replies, q.Decision.Released = templates, attributes
		return true
	}
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	v := r.answer(p)
	var lines []string
	for _, pair := range names(t).Pairs(v) {
		if pair.Name != "Message-Authenticator" && pair.Name != "Class" {
			lines = append(lines, pair.String())
		}
	}
	return strings.Join(lines, "\n")
}

func TestUserNameForTheServiceGoesBeforeTemplates(t *testing.T) {
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		d := &q.Decision
		d.Verdict, d.Reason, d.ID, d.User, d.UID = event.Accept, trace.OK, 42, []byte("Alice"), []byte("al@erp")
		d.Replies = []any{compile(t, "User-Name = other\nSession-Timeout = 60")}
		d.Released = []attribute.Released{released(t, "User-Name", "another")}
		return true
	}
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	v := r.answer(p)
	var lines []string
	for _, pair := range names(t).Pairs(v) {
		if pair.Name == "User-Name" || pair.Name == "Session-Timeout" {
			lines = append(lines, pair.String())
		}
	}
	if got := strings.Join(lines, ", "); got != "User-Name = al@erp, Session-Timeout = 60" {
		t.Error(got)
	}
	// What the device brings back says who it was.
	if id, user := r.h.mark.login(v); id != 42 || string(user) != "Alice" {
		t.Errorf("Class names decision %d and %q", id, user)
	}
	if class := r.h.mark.append(nil, 42, make([]byte, 250)); len(class) != classLen {
		t.Errorf("a name without room makes a Class of %d bytes", len(class))
	}
}

func TestTemplatesAreMergedByPrecedence(t *testing.T) {
	client := "Session-Timeout = 3600\nCisco-AVPair = \"a=1\"\nCisco-AVPair += \"a=2\""
	vlan := "Tunnel-Type:1 = VLAN\nTunnel-Medium-Type:1 = IEEE-802\nTunnel-Private-Group-Id:1 = 10"
	for _, tc := range []struct {
		name      string
		templates []string
		released  []attribute.Released
		want      string
	}{
		{name: "none"},
		{name: "VLAN", templates: []string{vlan}, want: "Tunnel-Type:1 = VLAN\nTunnel-Medium-Type:1 = IEEE-802\nTunnel-Private-Group-Id:1 = 10"},
		{
			name: "the first to set an attribute wins", templates: []string{"Session-Timeout = 60", client},
			want: "Session-Timeout = 60\nCisco-AVPair = a=1\nCisco-AVPair = a=2",
		},
		{
			name: "+= adds whatever was set", templates: []string{client, "Cisco-AVPair = \"b=1\"\nCisco-AVPair += \"b=2\""},
			want: "Session-Timeout = 3600\nCisco-AVPair = a=1\nCisco-AVPair = a=2\nCisco-AVPair = b=2",
		},
		{
			name: "tags are different attributes", templates: []string{"Tunnel-Type:1 = VLAN", "Tunnel-Type:2 = VLAN\nTunnel-Type:1 = GRE"},
			want: "Tunnel-Type:1 = VLAN\nTunnel-Type:2 = VLAN",
		},
		{
			name: "released attributes come last", templates: []string{"Session-Timeout = 60"},
			released: []attribute.Released{released(t, "Filter-Id", "staff", "it"), released(t, "session-timeout", "70")},
			want:     "Session-Timeout = 60\nFilter-Id = staff\nFilter-Id = it",
		},
		{
			name: "released with a tag", released: []attribute.Released{released(t, "Tunnel-Private-Group-Id:3", "77")},
			want: "Tunnel-Private-Group-Id:3 = 77",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var templates []any
			for _, text := range tc.templates {
				templates = append(templates, compile(t, text))
			}
			if got := accepted(t, templates, tc.released...); got != tc.want {
				t.Errorf("reply is\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestEncryptedReplyAttributesAreEncryptedForEachReply(t *testing.T) {
	r := newRig(t)
	template := compile(t, "Tunnel-Password:1 = hush\nTunnel-Password:2 = hush")
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Replies = []any{template}
		return true
	}
	var seen [][]byte
	for range 2 {
		p := r.request(wire.AccessRequest, pap("alice", "x"))
		r.give(r.auth, p)
		for value := range r.answer(p).Each(wire.TunnelPassword) {
			if len(value) < 3 || value[0] != byte(1+len(seen)%2) || value[1]&0x80 == 0 {
				t.Fatalf("Tunnel-Password is %x", value)
			}
			clear, fault := r.key.Reveal(wire.HideSalted, nil, value[1:], (*[16]byte)(p[4:20]))
			if fault != wire.OK || string(clear) != "hush" {
				t.Fatalf("it holds %q, %v", clear, fault)
			}
			for _, other := range seen {
				if bytes.Equal(other, value[1:]) {
					t.Error("two values are encrypted alike")
				}
			}
			seen = append(seen, bytes.Clone(value[1:]))
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d values came", len(seen))
	}
}

func TestReleasedValueThatDoesNotFitRejects(t *testing.T) {
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Released = []attribute.Released{released(t, "Session-Timeout", "an hour")}
		return true
	}
	r.give(r.auth, r.request(wire.AccessRequest, pap("alice", "x")))
	if len(r.lane.overrule) != 1 || r.lane.overrule[0] != trace.RadiusReplyBroken || !strings.Contains(r.logs.String(), "Session-Timeout") {
		t.Errorf("overruled with %v; log %s", r.lane.overrule, r.logs)
	}
}

func TestBadRepliesAndNamesAreRefusedWithAdvice(t *testing.T) {
	w := NewWire(names(t))
	for lines, want := range map[string]string{
		"Sesion-Timeout = 3600":                                               `line 1: unknown attribute "Sesion-Timeout" (did you mean Session-Timeout?)`,
		"Session-Timeout = 1\nFilter-Id":                                      "line 2",
		"Session-Timeout = soon":                                              "Session-Timeout",
		"Message-Authenticator = 0x00":                                        "set by the server itself",
		"Session-Timeout = 1\nSession-Timeout = 2":                            "set twice",
		"Session-Timeout:1 = 1":                                               "tag",
		"Session-Timeout = 1\nTunnel-Password:1 = hush":                       "line 2: Tunnel-Password holds a secret",
		strings.Repeat("Reply-Message += "+strings.Repeat("x", 250)+"\n", 17): "room",
	} {
		_, err := w.Reply(strings.Split(strings.TrimSpace(lines), "\n"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.40q: error is %v, want %q", lines, err, want)
		}
	}
	for id, want := range map[string]string{
		"Filter-ID-": `(did you mean Filter-Id?)`, "Filter-Id:1": "no tags", "Tunnel-Type:99": "not a tag",
		"Tunnel-Password:1": "holds a secret",
		"User-Password":     "set by the server itself", "Vendor-Specific": "no value of its own", "": "unknown",
	} {
		if _, err := w.Attribute(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", id, err, want)
		}
	}
}
