package wire

import (
	"bytes"
	"slices"
	"testing"
)

func TestVendorFormatsRoundTrip(t *testing.T) {
	secret := secretOf(t, "s")
	for _, c := range []struct {
		name string
		f    Format
		t    uint32
		n    int
		subs int
	}{
		{"1,1", Format{Type: 1, Length: 1}, 200, 247, 1},
		{"1,0", Format{Type: 1}, 3, 248, 1},
		{"2,1", Format{Type: 2, Length: 1}, 500, 100, 1},
		{"2,2", Format{Type: 2, Length: 2}, 500, 245, 1},
		{"4,0 (USR)", Format{Type: 4}, 0x9014, 10, 1},
		{"WiMAX short", WiMAXFormat(), 1, 246, 1},
		{"WiMAX continued", WiMAXFormat(), 1, 600, 3},
		{"WiMAX empty", WiMAXFormat(), 1, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Builder
			b.ReplyTo(newBuffer(), AccessAccept, 1, &[16]byte{}, secret)
			b.VSA(1, 1, []byte("another vendor"))
			value := bytes.Repeat([]byte("v"), c.n)
			b.Vendor(24757, c.f, c.t, value)
			v := parsed(t, finished(t, &b))
			got, ok := v.VendorConcat(nil, 24757, c.f, c.t)
			if !ok || !bytes.Equal(got, value) {
				t.Fatalf("VendorConcat = %d bytes, %v; want %d", len(got), ok, c.n)
			}
			n := 0
			for sub := range v.EachVendor(24757, c.f) {
				if n++; sub.Type != c.t || sub.More != (n < c.subs) {
					t.Errorf("piece %d: %+v", n, sub)
				}
			}
			if n != c.subs {
				t.Errorf("%d pieces, want %d", n, c.subs)
			}
		})
	}
}

func TestMalformedVendorAttributeYieldsNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Format
		data string
	}{
		{"length 0", StandardFormat(), "\x01\x00x"},
		{"length 1", StandardFormat(), "\x01\x01x"},
		{"beyond", StandardFormat(), "\x01\x04x"},
		{"good, then a lone byte", StandardFormat(), "\x01\x03x\x02"},
		{"wide length beyond", Format{Type: 2, Length: 2}, "\x00\x01\x01\x00x"},
		{"no continuation byte", WiMAXFormat(), "\x01\x02"},
		{"no such format", Format{Type: 3, Length: 1}, "\x01\x02\x03\x04\x05\x06"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.f.WellFormed([]byte(c.data)) {
				t.Error("WellFormed")
			}
			for sub := range c.f.Subs([]byte(c.data)) {
				t.Errorf("yields %+v", sub)
			}
		})
	}
}

func TestTwoAttributesInOneVSA(t *testing.T) {
	data := []byte("\x01\x03a\x02\x04bc\x01\x03d")
	var got []string
	for sub := range StandardFormat().Subs(data) {
		got = append(got, string(rune('0'+sub.Type))+string(sub.Value))
	}
	if !slices.Equal(got, []string{"1a", "2bc", "1d"}) {
		t.Fatalf("got %q", got)
	}
}

func TestContinuationThatNeverEndsIsNone(t *testing.T) {
	secret := secretOf(t, "s")
	var b Builder
	b.ReplyTo(newBuffer(), AccessAccept, 1, &[16]byte{}, secret)
	b.Attr(VendorSpecific, []byte("\x00\x00\x60\xb5\x01\x04\x80a"))
	b.Attr(VendorSpecific, []byte("\x00\x00\x60\xb5\x02\x04\x00b"))
	v := parsed(t, finished(t, &b))
	if got, ok := v.VendorConcat([]byte("keep"), 24757, WiMAXFormat(), 1); ok || string(got) != "keep" {
		t.Fatalf("VendorConcat = %q, %v", got, ok)
	}
}

func TestExtendedAttributesRoundTrip(t *testing.T) {
	secret := secretOf(t, "s")
	for _, c := range []struct {
		name   string
		base   uint8
		n      int
		pieces int
	}{
		{"extended", 241, 252, 1},
		{"extended empty", 244, 0, 1},
		{"long in one", 245, 251, 1},
		{"long in two", 245, 252, 2},
		{"long in four", 246, 900, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Builder
			b.ReplyTo(newBuffer(), AccessAccept, 1, &[16]byte{}, secret)
			value := make([]byte, c.n)
			for i := range value {
				value[i] = byte(i)
			}
			b.Extended(c.base, 7, value)
			b.Extended(c.base, 8, []byte("next"))
			v := parsed(t, finished(t, &b))
			e, next, _, ok := v.ExtendedAt(1, nil)
			if !ok || e.Base != Type(c.base) || e.Type != 7 || !bytes.Equal(e.Value, value) || next != 1+c.pieces {
				t.Fatalf("ExtendedAt = %d.%d of %d bytes, next %d, %v", e.Base, e.Type, len(e.Value), next, ok)
			}
			e, next, _, ok = v.ExtendedAt(next, nil)
			if !ok || e.Type != 8 || string(e.Value) != "next" || next != v.Len() {
				t.Fatalf("second: %+v, %d, %v", e, next, ok)
			}
		})
	}
}

func TestBrokenExtendedAttributesAreSkipped(t *testing.T) {
	secret := secretOf(t, "s")
	for _, c := range []struct {
		name  string
		attrs []string
		next  int
	}{
		{"no type inside", []string{"\xf1\x02"}, 1},
		{"long without flags", []string{"\xf5\x03\x01"}, 1},
		{"last fragment missing", []string{"\xf5\x05\x01\x80a", "\xf5\x05\x01\x80b"}, 2},
		{"another type comes between", []string{"\xf5\x05\x01\x80a", "\xf5\x05\x02\x00b"}, 1},
		{"not extended", []string{"\x01\x03a"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Builder
			b.ReplyTo(newBuffer(), AccountingResponse, 1, &[16]byte{}, secret)
			for _, a := range c.attrs {
				b.Encoded([]byte(a))
			}
			v := parsed(t, finished(t, &b))
			_, next, grown, ok := v.ExtendedAt(0, []byte("keep"))
			if ok || next != c.next || string(grown) != "keep" {
				t.Fatalf("ok %v, next %d, scratch %q", ok, next, grown)
			}
		})
	}
}

func TestExtendedVendorSpecific(t *testing.T) {
	e := Extended{Base: 241, Type: 26, Value: []byte{0, 0, 0, 9, 4, 'v'}}
	if vendor, typ, value, ok := e.Vendor(); !ok || vendor != 9 || typ != 4 || string(value) != "v" {
		t.Fatalf("Vendor = %d %d %q %v", vendor, typ, value, ok)
	}
	e.Value = e.Value[:4]
	if _, _, _, ok := e.Vendor(); ok {
		t.Fatal("a short one was read")
	}
}

// FuzzParse feeds anything; a packet that is taken must be covered by its
// attributes exactly, and every walk over it must end within it.
func FuzzParse(f *testing.F) {
	secret := secretOf(f, "s")
	for _, p := range []string{nemoRequest, flopsyRequest, statusRequest} {
		f.Add(unhex(f, p))
	}
	f.Add([]byte("\x01\x00\x00\x29................\x1a\x0a\x00\x00\x60\xb5\x01\x04\x80a\xf5\x05\x01\x80b\xf5\x06\x01\x00cc"))
	view := new(View)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		if Parse(datagram, view) != OK {
			return
		}
		size := headerLen
		for i := range view.Len() {
			_, value := view.At(i)
			size += 2 + len(value)
			_, next, _, _ := view.ExtendedAt(i, nil)
			if next <= i || next > view.Len() {
				t.Fatalf("ExtendedAt(%d) goes on at %d", i, next)
			}
			for h := HideUserPassword; h <= HideAscend; h++ {
				if got, fault := secret.Reveal(h, nil, value, view.Authenticator()); fault == OK && len(got) > len(value) {
					t.Fatal("revealed more than there is")
				}
			}
		}
		if size != len(view.Bytes()) || view.Len() > maxAttributes {
			t.Fatalf("attributes cover %d of %d bytes", size, len(view.Bytes()))
		}
		for _, format := range []Format{StandardFormat(), WiMAXFormat(), {Type: 2, Length: 2}, {Type: 4}, {Type: 2, Length: 1}} {
			for value := range view.Each(VendorSpecific) {
				if vendor, data, ok := SplitVSA(value); ok {
					for sub := range format.Subs(data) {
						view.VendorConcat(nil, vendor, format, sub.Type)
					}
				}
			}
		}
		secret.Verify(view, true)
		secret.VerifyReply(view, view.ID(), view.Authenticator(), true)
		view.Contiguous(EAPMessage)
	})
}

// FuzzHide holds that what is hidden is revealed again.
func FuzzHide(f *testing.F) {
	f.Add([]byte("password"), uint8(2), uint16(7), []byte("secret"))
	f.Fuzz(func(t *testing.T, value []byte, method uint8, salt uint16, word []byte) {
		h := Hiding(method % 4)
		secret, err := NewSecret(word)
		if err != nil {
			return
		}
		hidden, fault := secret.Hide(h, nil, value, &[16]byte{1}, salt)
		if fault != OK {
			return
		}
		got, fault := secret.Reveal(h, nil, hidden, &[16]byte{1})
		want := value
		if h == HideUserPassword || h == HideAscend {
			want = trimZeros(slices.Clone(value), 0)
		}
		if fault != OK || !bytes.Equal(got, want) {
			t.Fatalf("%q came back as %q, %v", value, got, fault)
		}
	})
}
