package dictionary

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trine/protocols/radius/wire"
)

func TestEncodeMakesWholeAttributes(t *testing.T) {
	d := exampleOf(t)
	for _, c := range []struct {
		name, value string
		tag         uint8
		want        string
		back        string // what Pairs shows; "" is value
	}{
		{"User-Name", "bob", 0, "01 05 626f62", ""},
		{"Session-Timeout", "3600", 0, "1b 06 00000e10", ""},
		{"Service-Type", "framed-user", 0, "06 06 00000002", "Framed-User"},
		{"Framed-IP-Address", "192.0.2.1", 0, "08 06 c0000201", ""},
		{"Framed-IPv6-Address", "2001:db8::1", 0, "a8 12 20010db8000000000000000000000001", ""},
		{"Framed-IPv6-Prefix", "2001:db8::/32", 0, "61 14 0020 20010db8000000000000000000000000", ""},
		{"Framed-IPv6-Prefix", "::/0", 0, "61 14 0000 00000000000000000000000000000000", ""},
		{"Framed-Interface-Id", "0:ab:0:1", 0, "60 0a 000000ab00000001", ""},
		{"Class", "0x00ff", 0, "19 04 00ff", ""},
		{"Event-Timestamp", "2026-11-23", 0, "37 06 6b038200", "2026-11-23T00:00:00Z"},
		{"Tunnel-Type", "VLAN", 1, "40 06 0100000d", ""},
		{"Tunnel-Type", "13", 0, "40 06 0000000d", "VLAN"},
		{"Tunnel-Private-Group-Id", "42", 3, "51 05 033432", ""},
		{"Tunnel-Private-Group-Id", "42", 0, "51 04 3432", ""},
		{"Tunnel-Private-Group-Id", "\x02x", 0, "51 05 000278", `\x02x`},
		{"Cisco-AVPair", "a=b", 0, "1a 0b 00000009 01 05 613d62", ""},
		{"Example-Mode", "slow", 0, "1a 0c 0000270f 02 06 00000002", "Slow"},
		{"Example-Token", "0x01020304", 0, "1a 0c 0000270f 05 06 01020304", ""},
		{"Example-By-Number", "10.0.0.1", 0, "1a 0c 0000270f 4d 06 0a000001", ""},
		{"Example-Box-Size", "7", 0, "1a 0e 0000270f 04 08 02 06 07 04 0007", "{ Example-Box-Inner = { Example-Box-Size = 7 } }"},
		{"Wide-Text", "x", 0, "1a 0b 0000270e 0100 0005 78", ""},
		{"Wimaxy-Long", "0x01", 0, "1a 0a 0000270d 01 04 00 01", ""},
		{"Frag-Status", "1", 0, "f1 07 01 00000001", "Fragmentation-Supported"},
		{"IP-Port-Limit", "5", 0, "f1 09 05 02 06 00000005", "{ IP-Port-Limit = 5 }"},
		{"Example-Extended", "9", 0, "f1 0c 1a 0000270f 01 00000009", ""},
		{"Example-Long", "0xaabb", 0, "f5 0b 1a 00 0000270f 01 aabb", ""},
		{"PKM-SS-Cert", "0x" + strings.Repeat("72", 254), 0, "89 ff " + strings.Repeat("72", 253) + " 89 03 72", ""},
	} {
		t.Run(fmt.Sprintf("%s %.20q", c.name, c.value), func(t *testing.T) {
			a := d.Attribute(c.name)
			if a == nil {
				t.Fatal("no such attribute")
			}
			got, err := a.Encode([]byte("keep"), c.value, c.tag)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(c.want, " ", ""); hex.EncodeToString(got[4:]) != want {
				t.Fatalf("Encode = %x, want %s", got[4:], want)
			}
			pairs := d.Pairs(packetOf(t, got[4:]))
			if c.back == "" {
				c.back = c.value
			}
			if len(pairs) != 1 || pairs[0].Value != c.back || pairs[0].Tag != c.tag {
				t.Fatalf("Pairs = %v, want %s", pairs, c.back)
			}
		})
	}
}

func packetOf(t testing.TB, attributes []byte) *wire.View {
	t.Helper()
	secret, err := wire.NewSecret([]byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	var b wire.Builder
	b.Request(make([]byte, 0, wire.MaxPacket), wire.AccountingRequest, 1, secret)
	b.Encoded(attributes)
	p, f := b.Finish()
	if f != wire.OK {
		t.Fatal(f)
	}
	v := new(wire.View)
	if f := wire.Parse(p, v); f != wire.OK {
		t.Fatal(f)
	}
	return v
}

func TestEncodeRefusesWhatIsNoValue(t *testing.T) {
	d := exampleOf(t)
	for _, c := range []struct {
		name, value string
		tag         uint8
		want        error
		says        string
	}{
		{"Service-Type", "Framed-Usr", 0, ErrValue, "did you mean Framed-User?"},
		{"Session-Timeout", "-1", 0, ErrValue, "32 bits"},
		{"Session-Timeout", "4294967296", 0, ErrValue, ""},
		{"Framed-IP-Address", "2001:db8::1", 0, ErrValue, "ipaddr"},
		{"Framed-IPv6-Address", "10.0.0.1", 0, ErrValue, ""},
		{"Framed-IPv6-Address", "fe80::1%eth0", 0, ErrValue, ""},
		{"Framed-IPv6-Prefix", "2001:db8::1/32", 0, ErrValue, "did you mean 2001:db8::/32?"},
		{"Framed-Interface-Id", "1:2:3", 0, ErrValue, ""},
		{"Event-Timestamp", "yesterday", 0, ErrValue, "seconds"},
		{"Example-Token", "0x01", 0, ErrValue, "has 1 bytes, not 4"},
		{"Example-Box", "text", 0, ErrValue, "hexadecimal"},
		{"Tunnel-Type", "0x1000000", 1, ErrValue, "24 bits"},
		{"Tunnel-Type", "VLAN", 32, ErrTag, ""},
		{"User-Name", "x", 1, ErrTag, ""},
		{"User-Name", strings.Repeat("x", 254), 0, ErrTooLong, ""},
		{"Cisco-AVPair", strings.Repeat("x", 248), 0, ErrTooLong, ""},
		{"Example-Box-Name", strings.Repeat("x", 254), 0, ErrTooLong, ""},
		{"Tunnel-Password", "x", 1, ErrHidden, ""},
	} {
		t.Run(c.name+" "+c.says, func(t *testing.T) {
			got, err := d.Attribute(c.name).Encode([]byte("keep"), c.value, c.tag)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || string(got) != "keep" {
				t.Fatalf("Encode = %q, %v", got, err)
			}
		})
	}
}

func TestLongValuesAreJoinedAgain(t *testing.T) {
	d := exampleOf(t)
	for _, name := range []string{"Wimaxy-Long", "Example-Long"} {
		value := "0x" + strings.Repeat("ab", 700)
		encoded, err := d.Attribute(name).Encode(nil, value, 0)
		if err != nil {
			t.Fatal(err)
		}
		if pairs := d.Pairs(packetOf(t, encoded)); len(pairs) != 1 || pairs[0].Value != value {
			t.Errorf("%s came back in %d pairs", name, len(pairs))
		}
	}
}

func TestPairsKeepsWhatItDoesNotKnow(t *testing.T) {
	d := exampleOf(t)
	attributes := "\xfa\x03x" + // unknown
		"\x1a\x09\x00\x00\x22\x22\x05\x03y" + // unknown vendor
		"\x1a\x09\x00\x00\x00\x09\x05\x09y" + // Cisco, malformed
		"\x1a\x04ab" + // no vendor
		"\xf1\x04\x63z" + // unknown extended
		"\xf1\x02" + // no room for a type
		"\x1b\x03x" + // integer of one byte
		"\x02\x12sixteen bytes ok" + // hidden
		"\x1a\x0c\x00\x00\x27\x0f\x06\x06\x00\x01\x00\x02" // array
	want := "Attr-250 = 0x78\nVendor-8738-Attr-5 = 0x79\nVendor-9 = 0x050979\nAttr-26 = 0x6162\nAttr-241.99 = 0x7a\n" +
		"Attr-241 = 0x\nSession-Timeout = 0x78\nUser-Password = «redacted»\nExample-Ports = 1, 2\n"
	if got := Text(d.Pairs(packetOf(t, []byte(attributes)))); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if pairs, err := d.PairsOf([]byte(attributes)); err != nil || Text(pairs) != want {
		t.Errorf("without a packet: %v\n%s", err, Text(pairs))
	}
	for _, bad := range []string{"\x01", "\x01\x09a", strings.Repeat("\x01\x04ab", 1100), strings.Repeat("\x01\x04ab", 17000)} {
		if pairs, err := d.PairsOf([]byte(bad)); err == nil || pairs != nil {
			t.Errorf("%.10q: %v, %d pairs", bad, err, len(pairs))
		}
	}
}

func TestTemplateCompilesAndAppends(t *testing.T) {
	d := exampleOf(t)
	template, err := d.ParseTemplate(`
# a VLAN
Tunnel-Type:1 = VLAN, Tunnel-Medium-Type:1 = IEEE-802
Tunnel-Private-Group-Id:1 = "42"	# the guests'
Cisco-AVPair = "shell:priv-lvl=15"
Cisco-AVPair += 'ip:"quoted", with comma'
Tunnel-Password:1 = hunter2
Example-Key = "with \"escapes\"\n"
Example-Box-Name = a
Example-Box-Size = 3
Example-Box-Name += b
Reply-Message = bare words # comment
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := fmt.Sprintf(verb, template); strings.Contains(s, "hunter2") || strings.Contains(s, "escapes") || !strings.Contains(s, "Tunnel-Password:1 = «redacted»") {
			t.Errorf("%s prints %q", verb, s)
		}
	}
	if s := fmt.Sprintf("%v %+v", *template, struct{ t Template }{*template}); strings.Contains(s, "hunter2") || strings.Contains(s, "104 117") {
		t.Errorf("prints %q", s)
	}

	secret, err := wire.NewSecret([]byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	var b wire.Builder
	authenticator := [16]byte{1}
	b.ReplyTo(make([]byte, 0, wire.MaxPacket), wire.AccessAccept, 1, &authenticator, secret)
	before := b.Len()
	template.AppendTo(&b)
	if b.Len()-before != template.Size() {
		t.Errorf("Size says %d, appended %d", template.Size(), b.Len()-before)
	}
	p, f := b.Finish()
	if f != wire.OK {
		t.Fatal(f)
	}
	v := new(wire.View)
	wire.Parse(p, v)
	want := `Tunnel-Type:1 = VLAN
Tunnel-Medium-Type:1 = IEEE-802
Tunnel-Private-Group-Id:1 = 42
Cisco-AVPair = shell:priv-lvl=15
Cisco-AVPair = ip:"quoted", with comma
Tunnel-Password:1 = «redacted»
Example-Key = «redacted»
Example-Box = { Example-Box-Name = a, Example-Box-Inner = { Example-Box-Size = 3 } }
Example-Box = { Example-Box-Name = b }
Reply-Message = bare words
`
	if got := Text(d.Pairs(v)[1:]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	hidden, _ := v.First(wire.TunnelPassword)
	if clearText, f := secret.Reveal(wire.HideSalted, nil, hidden[1:], &authenticator); f != wire.OK || string(clearText) != "hunter2" {
		t.Errorf("Tunnel-Password = %q, %v", clearText, f)
	}
	hidden, _ = v.Vendor(9999, 3)
	if clearText, f := secret.Reveal(wire.HideSalted, nil, hidden, &authenticator); f != wire.OK || string(clearText) != "with \"escapes\"\n" {
		t.Errorf("Example-Key = %q, %v", clearText, f)
	}
}

func TestTemplateErrorsSayWhereAndWhat(t *testing.T) {
	d := exampleOf(t)
	for _, c := range []struct{ name, text, want string }{
		{"typo", "\nTunel-Type:1 = VLAN", `line 2: unknown attribute "Tunel-Type" (did you mean Tunnel-Type?)`},
		{"value", "Tunnel-Type:1 = VLAM", "did you mean VLAN?"},
		{"operator", "Reply-Message := x", "expected = or +="},
		{"no operator", "Reply-Message", "expected"},
		{"no value", "Reply-Message =", "value is missing"},
		{"tag", "Tunnel-Type:32 = VLAN", "is not a tag"},
		{"tag on none", "Reply-Message:1 = x", "has no tags"},
		{"open quote", `Reply-Message = "x`, "not closed"},
		{"open single quote", `Reply-Message = 'x`, "not closed"},
		{"behind", `Reply-Message = "x" y`, "expected a comma"},
		{"twice", "Session-Timeout = 1\nSession-Timeout = 2", "line 2: Session-Timeout is set twice: write +="},
		{"computed", "Message-Authenticator = 0x00", "set by the server"},
		{"opaque VSA", "Vendor-Specific = 0x00", "set by the server"},
		{"too much", strings.Repeat("Reply-Message += "+strings.Repeat("x", 250)+"\n", 17), "room for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := d.ParseTemplate(c.text); !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v; want %q", err, c.want)
			}
		})
	}
	_, err := d.ParseTemplate("Tunnel-Password = " + strings.Repeat("hunter2", 40))
	if !errors.Is(err, ErrTooLong) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// TestAttributesAreAppendedAsTheyAreEncoded holds AppendTo to Encode for every attribute that is not encrypted, and texts up to too long.
func TestAttributesAreAppendedAsTheyAreEncoded(t *testing.T) {
	d := exampleOf(t)
	secret, err := wire.NewSecret([]byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range d.Attributes() {
		if a.Hiding != wire.Clear {
			continue
		}
		for _, value := range []string{"", "7", "192.0.2.1", strings.Repeat("a", wire.MaxValue), strings.Repeat("a", wire.MaxValue+1)} {
			for _, tag := range []uint8{0, 1} {
				want, failed := a.Encode(nil, value, tag)
				var b wire.Builder
				b.ReplyTo(make([]byte, 0, wire.MaxPacket), wire.AccessAccept, 1, &[16]byte{}, secret)
				if err := a.AppendTo(&b, value, tag); (err != nil) != (failed != nil) {
					t.Errorf("%s, %d bytes, tag %d: %v, but encoded: %v", a.Name, len(value), tag, err, failed)
				}
				packet, fault := b.Finish()
				if fault != wire.OK || failed == nil && !bytes.Contains(packet, want) {
					t.Errorf("%s, %d bytes, tag %d: %v, %x is not in %x", a.Name, len(value), tag, fault, want, packet)
				}
			}
		}
	}
}

func TestAppendingAllocatesNothing(t *testing.T) {
	d := exampleOf(t)
	template, err := d.ParseTemplate("Tunnel-Type:1 = VLAN\nTunnel-Password:1 = x\nCisco-AVPair = y\nExample-Key = k\n")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := wire.NewSecret([]byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	var b wire.Builder
	buffer := make([]byte, 0, wire.MaxPacket)
	if n := testing.AllocsPerRun(100, func() {
		b.ReplyTo(buffer, wire.AccessAccept, 1, &[16]byte{}, secret)
		template.AppendTo(&b)
		b.Finish()
	}); n != 0 {
		t.Errorf("Template.AppendTo allocates %v times", n)
	}
	filter, hidden, avpair := d.Attribute("Filter-Id"), d.Attribute("Tunnel-Password"), d.Attribute("Cisco-AVPair")
	if n := testing.AllocsPerRun(100, func() {
		b.ReplyTo(buffer, wire.AccessAccept, 1, &[16]byte{}, secret)
		if filter.AppendTo(&b, "guests", 0) != nil || hidden.AppendTo(&b, "secret", 1) != nil || avpair.AppendTo(&b, "a=b", 0) != nil {
			t.Fatal("AppendTo failed")
		}
		if _, f := b.Finish(); f != wire.OK {
			t.Fatal(f)
		}
	}); n != 0 {
		t.Errorf("Attribute.AppendTo allocates %v times", n)
	}
}

// What Decode prints of a value, Encode reads back to the same bytes.
func TestTextOfAValueIsReadBack(t *testing.T) {
	d := exampleOf(t)
	names := []string{
		"Session-Timeout", "Service-Type", "Framed-IP-Address", "Framed-IPv6-Address", "Framed-Interface-Id", "Event-Timestamp",
		"Class", "Example-Token", "Frag-Status", "Example-Extended", "Example-Mode",
	}
	rapid.Check(t, func(t *rapid.T) {
		a := d.Attribute(rapid.SampledFrom(names).Draw(t, "attribute"))
		size := a.Type.size()
		if size == 0 {
			size = max(a.Size, rapid.IntRange(1, 200).Draw(t, "size"))
			if a.Size > 0 {
				size = a.Size
			}
		}
		value := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "value")
		if ip4In6 := a.Type == IPv6Addr && bytes.HasPrefix(value, append(make([]byte, 10), 0xff, 0xff)); ip4In6 {
			return
		}
		body, err := a.appendBody(nil, a.Decode(value), 0)
		if err != nil || !bytes.Equal(body, value) {
			t.Fatalf("%s: %x became %q became %x, %v", a.Name, value, a.Decode(value), body, err)
		}
	})
}

func TestFullOuterAttributeIsFollowedByAnother(t *testing.T) {
	d := exampleOf(t)
	long := strings.Repeat("x", 240)
	template, err := d.ParseTemplate("Example-Box-Size = 1\nExample-Box-Name = " + long + "\nExample-Box-Size += 2")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"{ Example-Box-Inner = { Example-Box-Size = 1 } }", "{ Example-Box-Name = " + long + " }", "{ Example-Box-Inner = { Example-Box-Size = 2 } }"}
	pairs := d.Pairs(packetOf(t, template.parts()[0].ready))
	if len(pairs) != len(want) {
		t.Fatalf("%d attributes", len(pairs))
	}
	for i, p := range pairs {
		if p.Value != want[i] {
			t.Errorf("attribute %d: %s", i, p.Value)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	// A small dictionary: suggestions for every misspelt name cost the fuzzer most.
	d, err := New(File{"small", `
ATTRIBUTE	Tunnel-Type	64	integer	has_tag
VALUE	Tunnel-Type	VLAN	13
ATTRIBUTE	Tunnel-Password	69	string	has_tag,encrypt=2
ATTRIBUTE	Event-Timestamp	55	date
ATTRIBUTE	Framed-IPv6-Prefix	97	ipv6prefix
ATTRIBUTE	Extended-Attribute-1	241	extended
ATTRIBUTE	Extended-Vendor-Specific-1	241.26	evs
ATTRIBUTE	Extended-Attribute-5	245	long-extended
ATTRIBUTE	Extended-Vendor-Specific-5	245.26	evs
` + example})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`Tunnel-Type:1 = VLAN, Example-Text += "a\tb" # x`)
	f.Add("Example-Box-Size=1\nExample-Box-Name='x'\nFramed-IPv6-Prefix=2001:db8::/32")
	f.Add("Tunnel-Password:1=x\nEvent-Timestamp=5")
	secret, err := wire.NewSecret([]byte("s"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := d.ParseTemplate(text)
		if err != nil {
			if !errors.Is(err, ErrTemplate) {
				t.Fatal(err)
			}
			return
		}
		var b wire.Builder
		b.ReplyTo(make([]byte, 0, wire.MaxPacket), wire.AccessAccept, 1, &[16]byte{}, secret)
		template.AppendTo(&b)
		p, fault := b.Finish()
		if fault != wire.OK {
			t.Fatalf("a template that compiled does not fit: %v", fault)
		}
		if fault := wire.Parse(p, new(wire.View)); fault != wire.OK {
			t.Fatalf("a template wrote a malformed packet: %v", fault)
		}
	})
}

func FuzzPairs(f *testing.F) {
	d := exampleOf(f)
	f.Add([]byte("\x1a\x0c\x00\x00\x27\x0f\x04\x06\x02\x04\x07\x02\xf5\x0b\x1a\x80\x00\x00\x27\x0f\x01\xaa\xbb"))
	f.Fuzz(func(t *testing.T, attributes []byte) {
		if pairs, err := d.PairsOf(attributes); err == nil {
			Text(pairs)
		} else if len(pairs) > 0 {
			t.Fatalf("%v and %d pairs", err, len(pairs))
		}
	})
}

func BenchmarkTemplate(bench *testing.B) {
	d := exampleOf(bench)
	template, err := d.ParseTemplate("Tunnel-Type:1 = VLAN\nTunnel-Medium-Type:1 = IEEE-802\nTunnel-Private-Group-Id:1 = 42\nSession-Timeout = 3600\n")
	if err != nil {
		bench.Fatal(err)
	}
	secret, err := wire.NewSecret([]byte("s"))
	if err != nil {
		bench.Fatal(err)
	}
	var b wire.Builder
	buffer := make([]byte, 0, wire.MaxPacket)
	bench.ReportAllocs()
	for bench.Loop() {
		b.ReplyTo(buffer, wire.AccessAccept, 1, &[16]byte{}, secret)
		template.AppendTo(&b)
	}
}
