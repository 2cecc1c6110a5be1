package secret

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func ringWith(t testing.TB, ids ...uint32) *Keyring {
	t.Helper()
	k := NewKeyring()
	for _, id := range ids {
		if err := k.Add(id, NewClusterKey()); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestTextShowsItselfToNoFormatter(t *testing.T) {
	const clear = "t0p-s3cret"
	k := ringWith(t, 1)
	sealedText, err := Plain(clear).Seal(k, []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := sealedText.Stored()
	if err != nil {
		t.Fatal(err)
	}
	type document struct {
		Value Text  `json:"value" yaml:"value"`
		Ptr   *Text `json:"ptr" yaml:"ptr"`
	}
	for name, text := range map[string]Text{"plain": Plain(clear), "sealed": sealedText, "for storage": sealedText.ForStorage()} {
		t.Run(name, func(t *testing.T) {
			d := document{text, &text}
			var out []string
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%e", "%c", "%U", "%t"} {
				out = append(out, fmt.Sprintf(verb, text), fmt.Sprintf(verb, d), fmt.Sprintf(verb, &text), fmt.Sprintf(verb, []Text{text}))
			}
			var log bytes.Buffer
			for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
				if name == "for storage" {
					slog.New(h).Info("x", "text", text)
					continue
				}
				slog.New(h).Info("x", "text", text, "document", d)
			}
			out = append(out, log.String())
			if name != "for storage" {
				j, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, string(j))
			}
			y, err := yaml.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(y), fmt.Errorf("it was %w / %v", errors.New("x"), text).Error())
			for _, s := range out {
				for _, bad := range []string{clear, fmt.Sprintf("%x", clear), fmt.Sprintf("%X", clear), stored[len(sealedPrefix):], fmt.Sprintf("%x", text.value)} {
					if strings.Contains(s, bad) {
						t.Errorf("%q shows the secret", s)
					}
				}
			}
		})
	}
}

func TestTextSurvivesItsStoredForm(t *testing.T) {
	k := ringWith(t, 1)
	sealedText, err := Plain("secret").Seal(k, []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(struct{ S Text }{sealedText.ForStorage()})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ S Text }
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.S != sealedText {
		t.Error("the stored form reads as another secret")
	}
	clear, err := back.S.Open(nil, k, []byte("here"))
	if err != nil || string(clear) != "secret" {
		t.Errorf("opened %q, %v", clear, err)
	}
	if _, err := back.S.Open(nil, k, []byte("elsewhere")); !errors.Is(err, ErrOpen) {
		t.Errorf("opened elsewhere: %v", err)
	}
	for name, text := range map[string]Text{"plain": Plain("x"), "redacted": Redacted()} {
		if _, err := json.Marshal(text.ForStorage()); !errors.Is(err, ErrNotSealed) {
			t.Errorf("%s text for storage: %v", name, err)
		}
	}
}

func TestTextReadsDocuments(t *testing.T) {
	k := ringWith(t, 1)
	sealedText, err := Plain("x").Seal(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := sealedText.Stored()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, yaml string
		want       Text
		bad        bool
	}{
		{name: "clear text", yaml: "testing123", want: Plain("testing123")},
		{name: "number as it is written", yaml: "0123", want: Plain("0123")},
		{name: "word of YAML", yaml: "yes", want: Plain("yes")},
		{name: "quoted", yaml: `"a b"`, want: Plain("a b")},
		{name: "mark", yaml: Mark, want: Redacted()},
		{name: "empty", yaml: `""`, want: Text{}},
		{name: "null", yaml: "null", want: Text{}},
		{name: "sealed", yaml: stored, want: sealedText},
		{name: "sealed cut off", yaml: stored[:20], bad: true},
		{name: "sealed by nobody", yaml: "sealed:hello", bad: true},
		{name: "list", yaml: "[a]", bad: true},
		{name: "binary", yaml: "!!binary aGVsbG8=", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d struct{ Value Text }
			err := yaml.Unmarshal([]byte("value: "+c.yaml), &d)
			if (err != nil) != c.bad || err == nil && d.Value != c.want {
				t.Errorf("state %d, error %v", d.Value.state, err)
			}
		})
	}
	var fromJSON struct{ V Text }
	if err := json.Unmarshal([]byte(`{"V": 815}`), &fromJSON); err == nil || strings.Contains(err.Error(), "815") {
		t.Errorf("a number as JSON: %v", err)
	}
}

func TestMarkIsNotASecretToSeal(t *testing.T) {
	k := ringWith(t, 1)
	if _, err := Redacted().Seal(k, nil); !errors.Is(err, ErrUnchanged) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := Redacted().Open(nil, k, nil); !errors.Is(err, ErrUnchanged) {
		t.Errorf("Open: %v", err)
	}
	if s, err := (Text{}).Seal(k, nil); err != nil || !s.IsZero() {
		t.Errorf("no secret: %v, %v", s.IsZero(), err)
	}
}

func TestWhatIsSealedOpensOnlyWhereItBelongs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := NewKeyring()
		if err := k.Add(rapid.Uint32().Draw(t, "id"), NewClusterKey()); err != nil {
			t.Fatal(err)
		}
		clear := rapid.SliceOf(rapid.Byte()).Draw(t, "clear")
		context := rapid.SliceOf(rapid.Byte()).Draw(t, "context")
		s, err := k.Seal([]byte("before"), clear, context)
		if err != nil || !bytes.HasPrefix(s, []byte("before")) {
			t.Fatal(err)
		}
		s = s[len("before"):]
		got, err := k.Open([]byte("in front"), s, context)
		if err != nil || string(got) != "in front"+string(clear) {
			t.Fatalf("opened %x, %v", got, err)
		}
		bad := bytes.Clone(s)
		bad[rapid.IntRange(0, len(s)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if got, err := k.Open([]byte("kept"), bad, context); err == nil || string(got) != "kept" {
			t.Fatalf("opened what was changed: %x, %v", got, err)
		}
		if _, err := k.Open(nil, s, append(context, 0)); !errors.Is(err, ErrOpen) {
			t.Fatalf("opened for another context: %v", err)
		}
	})
}

func TestNewestKeySealsAndAllOpen(t *testing.T) {
	k := ringWith(t, 2)
	old, err := k.Seal(nil, []byte("old"), nil)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := k.MAC(nil, nil, []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Add(9, NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	if err := k.Add(1, NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	if id, ok := k.Newest(); id != 9 || !ok {
		t.Errorf("newest: %d, %v", id, ok)
	}
	s, err := k.Seal(nil, []byte("new"), nil)
	if err != nil || binary.BigEndian.Uint32(s[1:]) != 9 {
		t.Errorf("sealed %x, %v", s, err)
	}
	if got, err := k.Open(nil, old, nil); string(got) != "old" || err != nil {
		t.Errorf("opened %q, %v", got, err)
	}
	if ok, err := k.CheckMAC(mac, nil, []byte("old")); !ok || err != nil {
		t.Errorf("checked %v, %v", ok, err)
	}
	if err := k.Add(9, NewClusterKey()); !errors.Is(err, ErrKeyConflict) {
		t.Errorf("another key 9: %v", err)
	}
	if fmt.Sprint(k.IDs()) != "[1 2 9]" {
		t.Errorf("ids %v", k.IDs())
	}
}

func TestRingWithoutTheKeySaysSo(t *testing.T) {
	empty, other := NewKeyring(), ringWith(t, 2)
	if _, err := empty.Seal(nil, nil, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := empty.MAC(nil, nil, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("MAC: %v", err)
	}
	s, err := ringWith(t, 1).Seal(nil, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(nil, s, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("Open: %v", err)
	}
	if err := empty.Add(1, make([]byte, 31)); err == nil {
		t.Error("a short key was taken")
	}
}

func TestKeyedFormFitsOneMessageInOneContext(t *testing.T) {
	k := ringWith(t, 1)
	mac, err := k.MAC(nil, []byte("User/alice/keyed"), []byte("wonderland"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, context, message string
		want                   bool
	}{
		{"same", "User/alice/keyed", "wonderland", true},
		{"other message", "User/alice/keyed", "Wonderland", false},
		{"other context", "User/bob/keyed", "wonderland", false},
		{"boundary moved", "User/alice/keyedw", "onderland", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ok, err := k.CheckMAC(mac, []byte(c.context), []byte(c.message))
			if err != nil || ok != c.want {
				t.Errorf("got %v, %v", ok, err)
			}
		})
	}
	if _, err := k.CheckMAC(mac[:len(mac)-1], nil, nil); !errors.Is(err, ErrForm) {
		t.Errorf("cut off: %v", err)
	}
}

func TestHMACIsRFC2104(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		context := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "context")
		message := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "message")
		h := hmac.New(sha256.New, key[:])
		for _, part := range [][]byte{context, message} {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
			h.Write(part)
		}
		if got := HMAC(&key, context, message); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Fatalf("%x, expected %x", got, h.Sum(nil))
		}
	})
}

func TestOpeningAndCheckingAllocateNothing(t *testing.T) {
	k := ringWith(t, 1)
	context, message := []byte("User/alice/clear"), []byte("wonderland")
	s, err := k.Seal(nil, message, context)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := k.MAC(nil, context, message)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := k.Open(buf, s, context); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Open: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if ok, err := k.CheckMAC(mac, context, message); !ok || err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("CheckMAC: %v allocations", n)
	}
}

func TestKeysAreAddedWhileOthersSeal(t *testing.T) {
	k := ringWith(t, 1)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				s, err := k.Seal(nil, []byte("x"), nil)
				if err != nil {
					t.Error(err)
				}
				if _, err := k.Open(nil, s, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for id := range uint32(50) {
		if err := k.Add(id+2, NewClusterKey()); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

func TestNodeKeyOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	made, err := LoadOrCreateNodeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	loaded, err := LoadOrCreateNodeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Public(), loaded.Public()) {
		t.Error("another key was loaded")
	}
	k := ringWith(t, 5)
	wrapped, err := k.Wrap(5, 77, made.Public())
	if err != nil {
		t.Fatal(err)
	}
	clusterKey, err := loaded.Unwrap(5, 77, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Add(5, clusterKey); err != nil {
		t.Errorf("another cluster key came out: %v", err)
	}
	for name, unwrap := range map[string]func() ([]byte, error){
		"other id":   func() ([]byte, error) { return loaded.Unwrap(6, 77, wrapped) },
		"other node": func() ([]byte, error) { return loaded.Unwrap(5, 78, wrapped) },
		"cut off":    func() ([]byte, error) { return loaded.Unwrap(5, 77, wrapped[:len(wrapped)-1]) },
		"nothing":    func() ([]byte, error) { return loaded.Unwrap(5, 77, nil) },
	} {
		if _, err := unwrap(); !errors.Is(err, ErrUnwrap) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Wrap(4, 77, made.Public()); !errors.Is(err, ErrNoKey) {
		t.Errorf("wrap an unknown key: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if s := fmt.Sprintf(verb+verb, made, k); s != Mark+Mark {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

func TestNodeKeyFileIsRefusedWithAdvice(t *testing.T) {
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		want          error
		advice        string
	}{
		{"readable by others", "", 0o644, ErrKeyFileMode, "chmod 600"},
		{"readable by the group", "", 0o640, ErrKeyFileMode, "chmod 600"},
		{"something else", "hello\n", 0o600, ErrKeyFile, "not a node key"},
		{"cut off", nodeKeyHead + "AAAA\n", 0o600, ErrKeyFile, "backup"},
		{"empty", "", 0o600, ErrKeyFile, "not a node key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "node.key")
			if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadOrCreateNodeKey(path)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.advice) {
				t.Errorf("error %v", err)
			}
			if left, _ := os.ReadFile(path); string(left) != c.content {
				t.Error("the file was changed")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("secret")
	f.Add(Mark)
	f.Add("sealed:AQAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		if parsed.IsSealed() {
			if again, err := parsed.Stored(); err != nil || again != text {
				t.Errorf("%q is stored as %q, %v", text, again, err)
			}
		}
		if parsed.IsPlain() && parsed.value != text {
			t.Errorf("%q reads as another secret", text)
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := ringWith(f, 1)
	s, err := k.Seal(nil, []byte("x"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := k.Open(nil, data, nil); err == nil && !bytes.Equal(data, s) {
			t.Errorf("%x opens", data)
		}
		_, _ = k.CheckMAC(data, nil, nil)
	})
}
