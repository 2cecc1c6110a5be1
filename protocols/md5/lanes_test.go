package md5

import (
	"bytes"
	cryptomd5 "crypto/md5"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
)

// padded lays messages out as Run takes them.
func padded(texts [][]byte) (data []byte, messages []Message) {
	for _, text := range texts {
		at := len(data)
		data = append(append(data, text...), 0x80)
		for (len(data)-at)%64 != 56 {
			data = append(data, 0)
		}
		data = binary.LittleEndian.AppendUint64(data, uint64(len(text))*8)
		messages = append(messages, Message{Start(), uint32(at), uint32(len(data)-at) / 64})
	}
	return data, messages
}

func testText(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewPCG(seed, uint64(n))
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return b
}

func TestLanesAgreeWithTheStandardLibrary(t *testing.T) {
	for _, k := range Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			l := k.Lanes()
			check := func(texts [][]byte) {
				t.Helper()
				data, messages := padded(texts)
				l.Run(data, messages)
				for i := range texts {
					if got, want := messages[i].Sum(), cryptomd5.Sum(texts[i]); got != want {
						t.Fatalf("message %d of %d, %d bytes: %x, want %x", i, len(texts), len(texts[i]), got, want)
					}
				}
			}
			for n := range 301 {
				for _, count := range []int{1, 2, laneCount, laneCount + 1} {
					texts := make([][]byte, count)
					for i := range texts {
						texts[i] = testText(n, uint64(i))
					}
					check(texts)
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			for count := range 5 * laneCount {
				for range 10 {
					texts := make([][]byte, count)
					for i := range texts {
						texts[i] = testText(r.IntN(301), uint64(i))
					}
					check(texts)
				}
			}
		})
	}
}

func FuzzLanes(f *testing.F) {
	f.Add([]byte("a message, and another one"), []byte{3, 0, 70, 64, 200, 255})
	f.Fuzz(func(t *testing.T, text, lengths []byte) {
		if len(lengths) > 200 {
			return
		}
		var texts [][]byte
		for _, n := range lengths {
			long := bytes.Repeat(append(text, n), 1+int(n)/(len(text)+1))
			texts = append(texts, long[:n])
		}
		data, messages := padded(texts)
		for _, k := range Kernels() {
			l, got := k.Lanes(), slices.Clone(messages)
			l.Run(data, got)
			for i := range texts {
				if sum := got[i].Sum(); sum != cryptomd5.Sum(texts[i]) {
					t.Fatalf("%s: message %d of %d, %x: %x", k.String(), i, len(texts), texts[i], sum)
				}
			}
		}
	})
}

func BenchmarkLanes(b *testing.B) {
	for _, k := range Kernels() {
		for _, count := range []int{1, 2, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", k.String(), count), func(b *testing.B) {
				texts := make([][]byte, count)
				for i := range texts {
					texts[i] = testText(180, uint64(i))
				}
				data, messages := padded(texts)
				l := k.Lanes()
				before := cpuTime()
				for b.Loop() {
					l.Run(data, messages)
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N*count*4), "cpu-ns/block")
			})
		}
	}
}

// cpuTime is the processor time that the process has used, which others on the machine do not stretch.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
