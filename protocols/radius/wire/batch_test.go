package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"trine/protocols/md5"
)

// draw returns a number from 0 to n-1.
type draw func(n int) int

func testText(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewPCG(seed, uint64(n))
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return b
}

// secrets of every length that matters: within a block with an authenticator, beyond it, beyond a block, beyond maxSecret.
func testSecrets(t testing.TB) (all []*Secret) {
	for _, n := range []int{1, 10, 37, 38, 39, 40, 47, 48, 55, 56, 64, 65, 200, maxSecret, maxSecret + 1, 3000} {
		all = append(all, secretOf(t, strings.Repeat("s", n-1)+"!"))
	}
	return all
}

// anyRequest builds a request of any kind; some are not what they should be.
func anyRequest(t testing.TB, draw draw, s *Secret) []byte {
	var b Builder
	code := []Code{AccessRequest, AccessRequest, AccessRequest, AccountingRequest, CoARequest, StatusServer}[draw(6)]
	b.UnsignedRequest(make([]byte, 0, MaxPacket), code, byte(draw(256)), s)
	fill := func() {
		for range draw(4) {
			b.Attr(Type(1+draw(60)), testText(draw(100), uint64(draw(1000))))
		}
	}
	fill()
	switch draw(6) {
	case 0:
	case 1:
		b.Attr(MessageAuthenticator, testText(draw(20), 1))
	case 2:
		b.Sign()
		b.Attr(MessageAuthenticator, testText(16, 2))
	default:
		b.Sign()
	}
	if draw(2) == 0 {
		b.Hidden(HideUserPassword, []byte{byte(UserPassword), 2 + 32}, testText(17+draw(16), 3))
	}
	if draw(4) == 0 {
		b.HiddenAttr(HideUserPassword, UserPassword, testText(draw(129), 4))
	}
	if draw(20) == 0 {
		for b.Room() > 700 {
			b.Attr(99, testText(250, 5))
		}
	}
	fill()
	p, fault := b.Finish()
	if fault != OK {
		t.Fatal(fault)
	}
	if draw(4) == 0 && len(p) > headerLen {
		at := headerLen + draw(len(p)-headerLen)
		p[at] ^= 1 << draw(8)
	}
	return p
}

func TestChecksSayWhatVerifySays(t *testing.T) {
	secrets := testSecrets(t)
	for _, k := range md5.Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			c := &Checks{lanes: k.Lanes()}
			r := rand.New(rand.NewPCG(7, 7))
			good, bad, passwords := 0, 0, 0
			for batch := range 400 {
				c.Reset()
				views := make([]View, 1+r.IntN(MaxBatch+2))
				var added []*View
				var keys []*Secret
				for i := range views {
					s := secrets[r.IntN(len(secrets))]
					v := &views[i]
					if Parse(anyRequest(t, r.IntN, s), v) != OK {
						continue
					}
					if r.IntN(10) == 0 {
						s = secrets[0]
					}
					require := r.IntN(2) == 0
					room := len(c.data)-c.used > 4*(MaxPacket+3000) && c.count < MaxBatch
					n, ok := c.Add(s, v, require)
					if !ok {
						if fault := s.Verify(v, require); room && fault == OK {
							t.Fatalf("batch %d: an authentic packet is left to the caller", batch)
						}
						continue
					}
					if n != len(added) {
						t.Fatalf("packet %d has number %d", len(added), n)
					}
					added, keys = append(added, v), append(keys, s)
				}
				if c.count > MaxBatch {
					t.Fatalf("%d packets were taken", c.count)
				}
				c.Run()
				for i, v := range added {
					if got, want := c.Authentic(i), keys[i].Verify(v, false) == OK; got != want {
						t.Fatalf("batch %d, packet %d of %d: authentic is %v, want %v: %x", batch, i, len(added), got, want, v.Bytes())
					}
					if c.Authentic(i) {
						good++
					} else {
						bad++
					}
					first, ok := c.Password(i)
					hidden, has := v.First(UserPassword)
					if ok != (has && revealable(len(hidden)) && v.Code() == AccessRequest) {
						t.Fatalf("password key is %v", ok)
					}
					if ok {
						passwords++
						got, _ := keys[i].RevealPassword(nil, hidden, v.Authenticator(), &first)
						want, _ := keys[i].Reveal(HideUserPassword, nil, hidden, v.Authenticator())
						if !bytes.Equal(got, want) {
							t.Fatalf("password is %x, want %x", got, want)
						}
					}
				}
			}
			if good < 1000 || bad < 1000 || passwords < 1000 {
				t.Fatalf("only %d good packets, %d bad ones and %d passwords were looked at", good, bad, passwords)
			}
		})
	}
}

// anyReply fills a reply; seed decides with what.
func anyReply(b *Builder, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range r.IntN(12) {
		value := testText(r.IntN(60), seed)
		switch r.IntN(6) {
		case 0:
			b.HiddenVSA(HideSalted, VendorMicrosoft, MSMPPESendKey, value)
		case 1:
			b.HiddenVSA(HideUserPassword, VendorMicrosoft, MSCHAPMPPEKeys, value)
		case 2:
			b.HiddenAttr(HideAscend, 214, value[:min(len(value), 16)])
		case 3:
			b.TunnelPassword(byte(r.IntN(3)), value)
		default:
			b.Attr(Type(1+r.IntN(60)), value)
		}
	}
	if r.IntN(30) == 0 {
		for b.Room() > 300 {
			b.Attr(99, testText(250, 5))
		}
	}
	if r.IntN(20) == 0 {
		b.Attr(99, make([]byte, 300)) // which spoils it
	}
}

func TestRepliesAreWhatFinishMakes(t *testing.T) {
	secrets := testSecrets(t)
	codes := []Code{AccessAccept, AccessReject, AccountingResponse, AccessChallenge}
	for _, k := range md5.Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			replies := &Replies{lanes: k.Lanes()}
			r := rand.New(rand.NewPCG(8, 8))
			made, spoilt, full := 0, 0, 0
			for batch := range 300 {
				var want [][]byte
				for range 1 + r.IntN(MaxBatch) {
					if replies.Full() {
						full++
						break
					}
					s, code, id, seed, salt := secrets[r.IntN(len(secrets))], codes[r.IntN(len(codes))], byte(r.IntN(256)), r.Uint64(), r.Uint32()|1<<16
					authenticator := [AuthenticatorLen]byte(testText(16, seed))
					var b Builder
					if r.IntN(10) == 0 { // one that is dropped again
						replies.Begin(&b, code, id, &authenticator, s)
						b.HiddenAttr(HideSalted, 100, []byte("dropped"))
					}
					replies.Begin(&b, code, id, &authenticator, s)
					b.salt = salt
					anyReply(&b, seed)
					fault := replies.Add(&b)

					var alone Builder
					alone.ReplyTo(make([]byte, 0, MaxPacket), code, id, &authenticator, s)
					alone.salt = salt
					anyReply(&alone, seed)
					p, aloneFault := alone.Finish()
					if fault != aloneFault {
						t.Fatalf("fault is %v, want %v", fault, aloneFault)
					}
					if fault == OK {
						want = append(want, p)
					} else {
						spoilt++
					}
				}
				replies.Complete()
				if replies.Len() != len(want) {
					t.Fatalf("%d replies, want %d", replies.Len(), len(want))
				}
				for i := range want {
					if got := replies.At(i); !bytes.Equal(got, want[i]) {
						t.Fatalf("batch %d, reply %d of %d:\n%x, want\n%x", batch, i, len(want), got, want[i])
					}
				}
				made += len(want)
				replies.Reset()
			}
			if made < 1000 || spoilt < 100 || full == 0 {
				t.Fatalf("%d replies were made, %d spoilt, %d times it was full", made, spoilt, full)
			}
		})
	}
}

func TestAReplyBegunForManyCannotBeFinishedAlone(t *testing.T) {
	r := NewReplies()
	var b Builder
	r.Begin(&b, AccessAccept, 1, &[AuthenticatorLen]byte{}, secretOf(t, "s"))
	b.HiddenAttr(HideSalted, 100, []byte("still in clear"))
	if p, fault := b.Finish(); fault == OK {
		t.Fatalf("finished: %q", p)
	}
}

func TestBatchesAllocateNothing(t *testing.T) {
	c, r := NewChecks(), NewReplies()
	s := secretOf(t, "testing123")
	packets := make([][]byte, MaxBatch)
	for i := range packets {
		var b Builder
		b.Request(make([]byte, 0, MaxPacket), AccessRequest, byte(i), s)
		b.PAP(fmt.Sprintf("user%d", i), "wonderland")
		packets[i], _ = b.Finish()
	}
	views := make([]View, MaxBatch)
	var b Builder
	key := make([]byte, 16)
	n := testing.AllocsPerRun(100, func() {
		c.Reset()
		for i := range packets {
			Parse(packets[i], &views[i])
			c.Add(s, &views[i], true)
		}
		c.Run()
		for i := range views {
			if !c.Authentic(i) {
				t.Fatal("a good packet does not verify")
			}
			r.Begin(&b, AccessAccept, views[i].ID(), views[i].Authenticator(), s)
			b.MPPEKeys(1, 6, key, key)
			r.Add(&b)
		}
		r.Complete()
		r.Reset()
	})
	if n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
