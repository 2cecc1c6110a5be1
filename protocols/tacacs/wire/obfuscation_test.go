package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"trine/protocols/md5"
)

func secretOf(t testing.TB, raw string) *Secret {
	t.Helper()
	s, err := NewSecret([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// known is a line of testdata/obfuscation.txt, which testdata/obfuscation.py wrote.
type known struct {
	secret       *Secret
	clear, masks []byte
}

func knownAnswers(t testing.TB) (all []known) {
	t.Helper()
	file, err := os.ReadFile("testdata/obfuscation.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		words := strings.Fields(line)
		all = append(all, known{secretOf(t, string(packed(t, words[0]))), packed(t, words[1]), packed(t, words[2])})
	}
	if len(all) < 70 {
		t.Fatalf("%d known answers", len(all))
	}
	return all
}

func TestRFC8907_4_5_ObfuscationAgreesWithKnownAnswers(t *testing.T) {
	for i, k := range knownAnswers(t) {
		p := bytes.Clone(k.clear)
		k.secret.Obfuscate(p)
		if !bytes.Equal(p, k.masks) {
			t.Errorf("line %d: %x, want %x", i+1, p, k.masks)
		}
		k.secret.Obfuscate(p)
		if !bytes.Equal(p, k.clear) {
			t.Errorf("line %d does not come back", i+1)
		}
	}
}

// TestPadsDoWhatObfuscateDoes runs batches of every size, of packets of all lengths under secrets of all lengths.
func TestPadsDoWhatObfuscateDoes(t *testing.T) {
	all := knownAnswers(t)
	for _, kernel := range md5.Kernels() {
		t.Run(kernel.String(), func(t *testing.T) {
			pads := newPads(kernel.Lanes())
			r := rand.New(rand.NewPCG(1, 2))
			for size := range MaxBatch + 1 {
				var batch []known
				for range size {
					k := all[r.IntN(len(all))]
					batch = append(batch, known{k.secret, bytes.Clone(k.clear), k.masks})
				}
				for i, k := range batch {
					if pads.Full() {
						t.Fatalf("full with %d", i)
					}
					pads.Add(k.secret, k.clear)
				}
				pads.Run()
				for i, k := range batch {
					if !bytes.Equal(k.clear, k.masks) {
						t.Fatalf("packet %d of %d: %x, want %x", i, size, k.clear, k.masks)
					}
				}
			}
			for range MaxBatch {
				pads.Add(all[1].secret, bytes.Clone(all[1].clear))
			}
			if !pads.Full() {
				t.Error("not full")
			}
		})
	}
}

func TestFinishInIsFinish(t *testing.T) {
	secret, pads := secretOf(t, "testing123"), NewPads()
	var packets, wants [][]byte
	for _, build := range messages() {
		var b Builder
		build(&b, buffer())
		want, _ := b.Finish(secret)
		build(&b, buffer())
		p, f := b.FinishIn(pads, secret)
		if f != OK {
			t.Fatal(f)
		}
		packets, wants = append(packets, p), append(wants, want)
	}
	pads.Run()
	for i := range packets {
		if !bytes.Equal(packets[i], wants[i]) {
			t.Errorf("%x, want %x", packets[i], wants[i])
		}
	}
	var b Builder
	if p, f := b.FinishIn(pads, secret); f != Misused || p != nil || pads.count != 0 {
		t.Errorf("a packet that was not begun: %x, %v", p, f)
	}
}

func TestSecretPrintsRedacted(t *testing.T) {
	const word = "hunter2!"
	secret := secretOf(t, word)
	type holder struct {
		S *Secret
		u Secret
	}
	asJSON, err := json.Marshal(holder{secret, *secret})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "value", *secret)
	prints := []string{string(asJSON), log.String(), secret.String(), secret.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%p"} {
		prints = append(prints, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, *secret), fmt.Sprintf(verb, holder{secret, *secret}), fmt.Sprintf(verb, []Secret{*secret}))
	}
	for _, s := range prints {
		if strings.Contains(s, word) || strings.Contains(s, hex.EncodeToString([]byte(word))) || strings.Contains(s, "104 117") {
			t.Errorf("secret in %q", s)
		}
	}
	if _, err := NewSecret(nil); err == nil {
		t.Error("an empty secret was taken")
	}
	if !secret.Equal(secretOf(t, word)) || secret.Equal(secretOf(t, word+"!")) {
		t.Error("Equal")
	}
}
