package field

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func TestShortFieldsAreReadLikeAllOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 12),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 300), func(v []byte) []byte { return AppendBytes(nil, 3, v) }),
			rapid.Map(rapid.Uint64(), func(v uint64) []byte { return AppendNumber(nil, 15, v) }),
		).Draw(t, "message")
		f, rest, ok := Next(b)
		want, wantRest, wantOK := next(b)
		if ok != wantOK || ok && (f.Num != want.Num || f.Type != want.Type || f.Value != want.Value || !bytes.Equal(f.Data, want.Data) || !bytes.Equal(rest, wantRest)) {
			t.Fatalf("%x: %+v %x %v, want %+v %x %v", b, f, rest, ok, want, wantRest, wantOK)
		}
	})
}

func TestBytesAreWrittenAsProtowireDoes(t *testing.T) {
	for _, num := range []protowire.Number{1, 15, 16, 2000} {
		for _, size := range []int{1, 127, 128, 300} {
			v := bytes.Repeat([]byte{7}, size)
			want := protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
			if got := AppendBytes(nil, num, v); !bytes.Equal(got, want) {
				t.Errorf("field %d of %d bytes: %x, want %x", num, size, got, want)
			}
		}
	}
	if len(AppendBytes(nil, 1, nil)) != 0 {
		t.Error("an empty field is written")
	}
}
