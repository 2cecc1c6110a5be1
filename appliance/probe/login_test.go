package probe

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"layeh.com/radius/rfc2759"

	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

const (
	sharedSecret = "testing123"
	password     = "wonderland"
)

// serve answers each datagram with what reply makes of it, until the test ends, and returns its address.
func serve(t *testing.T, reply func(packet []byte, v *wire.View, key *wire.Secret) [][]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	key, err := wire.NewSecret([]byte(sharedSecret))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		var v wire.View
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if fault := wire.Parse(buf[:n], &v); fault != wire.OK {
				t.Errorf("the request does not parse: %v", fault)
				return
			}
			if fault := key.Verify(&v, true); fault != wire.OK {
				t.Errorf("the request is not authentic: %v", fault)
				return
			}
			if first, _ := v.At(0); first != wire.MessageAuthenticator {
				t.Errorf("attribute %d stands before the Message-Authenticator", first)
			}
			for _, r := range reply(buf[:n], &v, key) {
				_, _ = conn.WriteTo(r, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func build(v *wire.View, key *wire.Secret, code wire.Code, fill func(b *wire.Builder)) []byte {
	var b wire.Builder
	b.Reply(make([]byte, 0, 4096), code, v, key)
	if fill != nil {
		fill(&b)
	}
	p, _ := b.Finish()
	return p
}

func names(t *testing.T) *dictionary.Dictionary {
	t.Helper()
	d, err := dictionary.New(dictionary.File{Name: "test", Text: "ATTRIBUTE Session-Timeout 27 integer\nATTRIBUTE Message-Authenticator 80 octets\n"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// proves reports whether a request proves the password, and returns what MS-CHAPv2 has to answer.
func proves(t *testing.T, v *wire.View, key *wire.Secret, method string) (bool, string) {
	switch method {
	case MethodPAP:
		hidden, _ := v.First(wire.UserPassword)
		clear, fault := key.Reveal(wire.HideUserPassword, nil, hidden, v.Authenticator())
		return fault == wire.OK && string(clear) == password, ""
	case MethodCHAP:
		value, _ := v.First(wire.CHAPPassword)
		challenge, _ := v.First(wire.CHAPChallenge)
		sum := md5.Sum(append(append([]byte{value[0]}, password...), challenge...))
		return bytes.Equal(sum[:], value[1:]), ""
	}
	challenge, _ := v.Vendor(wire.VendorMicrosoft, wire.MSCHAPChallenge)
	value, _ := v.Vendor(wire.VendorMicrosoft, wire.MSCHAP2Response)
	want, err := rfc2759.GenerateNTResponse(challenge, value[2:18], []byte("alice"), []byte(password))
	if err != nil {
		t.Error(err)
	}
	proof, err := rfc2759.GenerateAuthenticatorResponse(challenge, value[2:18], value[26:], []byte("alice"), []byte(password))
	if err != nil {
		t.Error(err)
	}
	return bytes.Equal(want, value[26:]), proof
}

func TestEachMethodProvesThePassword(t *testing.T) {
	for _, method := range Methods() {
		for _, tc := range []struct{ user, password, code string }{
			{"alice", password, "Access-Accept"}, {"alice", "looking-glass", "Access-Reject"}, {`CORP\alice`, password, "Access-Accept"},
		} {
			addr := serve(t, func(_ []byte, v *wire.View, key *wire.Secret) [][]byte {
				good, proof := proves(t, v, key, method)
				if !good {
					return [][]byte{build(v, key, wire.AccessReject, nil)}
				}
				return [][]byte{build(v, key, wire.AccessAccept, func(b *wire.Builder) {
					b.Uint32(wire.SessionTimeout, 3600)
					if proof != "" {
						b.VSA(wire.VendorMicrosoft, wire.MSCHAP2Success, append([]byte{v.ID()}, proof...))
					}
				})}
			})
			a, err := Try(context.Background(), Login{Server: addr, Secret: sharedSecret, User: tc.user, Password: tc.password, Method: method}, names(t))
			if err != nil {
				t.Fatalf("%s %s: %v", method, tc.user, err)
			}
			if a.Code != tc.code || a.Accepted != (tc.code == "Access-Accept") || a.ServerProven != (a.Accepted && method == MethodMSCHAP2) || a.Tries != 1 {
				t.Errorf("%s %s: %+v", method, tc.user, a)
			}
			if a.Accepted && (len(a.Attributes) == 0 || a.Attributes[0] != Attribute{"Session-Timeout", "3600"}) {
				t.Errorf("%s: attributes are %+v", method, a.Attributes)
			}
		}
	}
}

func TestAnswersThatAreNotAuthenticAreIgnored(t *testing.T) {
	other, err := wire.NewSecret([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, func(_ []byte, v *wire.View, key *wire.Secret) [][]byte {
		return [][]byte{{1, 2, 3}, build(v, other, wire.AccessAccept, nil), build(v, key, wire.AccessReject, nil)}
	})
	login := Login{Server: addr, Secret: sharedSecret, User: "alice", Password: password}
	if a, err := Try(context.Background(), login, names(t)); err != nil || a.Accepted {
		t.Fatalf("%+v, %v", a, err)
	}
	addr = serve(t, func(_ []byte, v *wire.View, _ *wire.Secret) [][]byte {
		return [][]byte{build(v, other, wire.AccessAccept, nil)}
	})
	login.Server, login.Timeout, login.Tries = addr, 20*time.Millisecond, 2
	if _, err := Try(context.Background(), login, names(t)); !errors.Is(err, wire.AuthenticatorMismatch) {
		t.Fatalf("error is %v", err)
	}
}

func TestSilenceIsTriedAgainWithTheSameBytes(t *testing.T) {
	seen := make(chan string, 10)
	addr := serve(t, func(p []byte, _ *wire.View, _ *wire.Secret) [][]byte { seen <- string(p); return nil })
	_, err := Try(context.Background(), Login{Server: addr, Secret: sharedSecret, User: "alice", Timeout: 20 * time.Millisecond, Tries: 3}, names(t))
	if !errors.Is(err, ErrNoAnswer) {
		t.Fatalf("error is %v", err)
	}
	first := <-seen
	for range 2 {
		if <-seen != first {
			t.Error("a retransmission differs")
		}
	}
}

func TestServerThatDoesNotKnowThePasswordIsFoundOut(t *testing.T) {
	addr := serve(t, func(_ []byte, v *wire.View, key *wire.Secret) [][]byte {
		return [][]byte{build(v, key, wire.AccessAccept, nil)}
	})
	a, err := Try(context.Background(), Login{Server: addr, Secret: sharedSecret, User: "alice", Password: password, Method: MethodMSCHAP2}, names(t))
	if !errors.Is(err, ErrServerProof) || a.ServerProven {
		t.Fatalf("%+v, %v", a, err)
	}
}

func TestBadLoginsAreRefusedAndCancelled(t *testing.T) {
	if _, err := Try(context.Background(), Login{Server: "127.0.0.1:9", Secret: "s", Method: "kerberos"}, names(t)); !errors.Is(err, ErrMethod) {
		t.Errorf("error is %v", err)
	}
	if _, err := Try(context.Background(), Login{Server: "127.0.0.1:9"}, names(t)); !errors.Is(err, wire.ErrEmptySecret) {
		t.Errorf("error is %v", err)
	}
	addr := serve(t, func([]byte, *wire.View, *wire.Secret) [][]byte { return nil })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := Try(ctx, Login{Server: addr, Secret: "testing123", User: "a"}, names(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

func TestNobodyOnThePortIsToldAsSuch(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().String()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Try(t.Context(), Login{Server: address, Secret: "s", User: "u", Password: "p", Tries: 1, Timeout: time.Second}, nil)
	if err == nil || !strings.Contains(err.Error(), "no server listens on "+address) {
		t.Errorf("error is %v", err)
	}
}
