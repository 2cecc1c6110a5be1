package md5

import (
	cryptomd5 "crypto/md5"
	"testing"
)

func TestDigestAgreesWithTheStandardLibrary(t *testing.T) {
	message := make([]byte, 300)
	for i := range message {
		message[i] = byte(i * 7)
	}
	for n := range message {
		for _, step := range []int{1, 7, 63, 64, 65, 300} {
			var d Digest
			d.Reset()
			for at := 0; at < n; at += step {
				d.Write(message[at:min(n, at+step)])
			}
			if got, want := d.Sum(), cryptomd5.Sum(message[:n]); got != want {
				t.Fatalf("md5 of %d bytes by %d = %x, want %x", n, step, got, want)
			}
		}
	}
}

func BenchmarkMD5(bench *testing.B) {
	message := make([]byte, 1024)
	bench.SetBytes(1024)
	for bench.Loop() {
		var d Digest
		d.Reset()
		d.Write(message)
		d.Sum()
	}
}
