package radius

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

func TestAcceptedLoginIsAnsweredAndTied(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, func(b *wire.Builder) {
		b.PAP("alice", "wonderland")
		b.Text(wire.NASIdentifier, "nas-1")
		b.Text(wire.CallingStationID, "02-00-00-00-00-01")
		b.Text(wire.CalledStationID, "ssid")
		b.Uint32(wire.NASPort, 17)
	})
	r.lane.decide = func(q *engine.Request) bool {
		for _, c := range []struct{ what, got, want string }{
			{"name", string(q.Name), "alice"},
			{"password", string(q.Proof.Password), "wonderland"},
			{"NAS", string(q.NAS), "nas-1"},
			{"calling", string(q.Calling), "02-00-00-00-00-01"},
			{"called", string(q.Called), "ssid"},
			{"source", q.Source.String(), r.from.String()},
			{"client", q.Client.Name, "core"},
		} {
			if c.got != c.want {
				t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
			}
		}
		if q.NASPort != 17 || q.Arrived != r.port.now || q.Protocol != "radius" || q.Cache == nil {
			t.Errorf("request is %d, %v, %q", q.NASPort, q.Arrived, q.Protocol)
		}
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		return true
	}
	r.give(r.auth, p)
	v := r.answer(p)
	if v.Code() != wire.AccessAccept {
		t.Fatal(v.Code())
	}
	if id, user := r.h.mark.login(v); id != 42 || len(user) > 0 {
		t.Errorf("Class names decision %d and %q", id, user)
	}
	if id, _ := markOf("other").login(v); id != 0 {
		t.Error("another cluster takes our Class for its own")
	}
	if r.lane.flushes == 0 {
		t.Error("the decision was not handed to the log")
	}
}

func TestProxyStatesComeBackUnmodifiedAndInOrder(t *testing.T) {
	states := func(b *wire.Builder) {
		b.Attr(wire.ProxyState, []byte("first"))
		b.Text(wire.NASIdentifier, "between")
		b.Attr(wire.ProxyState, []byte{0, 255, 0})
		b.Attr(wire.ProxyState, nil)
	}
	check := func(t *testing.T, v *wire.View, code wire.Code) {
		t.Helper()
		var got [][]byte
		for s := range v.Each(wire.ProxyState) {
			got = append(got, s)
		}
		if v.Code() != code || len(got) != 3 || string(got[0]) != "first" || !bytes.Equal(got[1], []byte{0, 255, 0}) || len(got[2]) != 0 {
			t.Fatalf("%v with Proxy-State %q", v.Code(), got)
		}
	}
	t.Run("accept", func(t *testing.T) {
		r := newRig(t)
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); states(b) })
		r.give(r.auth, p)
		check(t, r.answer(p), wire.AccessAccept)
	})
	t.Run("reject", func(t *testing.T) {
		r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
		r.lane.decide = rejecting(trace.PasswordWrong)
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); states(b) })
		r.give(r.auth, p)
		check(t, r.answer(p), wire.AccessReject)
	})
	t.Run("status", func(t *testing.T) {
		r := newRig(t)
		p := r.request(wire.StatusServer, states)
		r.give(r.auth, p)
		check(t, r.answer(p), wire.AccessAccept)
	})
	t.Run("accounting", func(t *testing.T) {
		r := newRig(t)
		r.lane.commit = true
		p := r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s"); states(b) })
		r.give(r.acct, p)
		r.wake()
		check(t, r.answer(p), wire.AccountingResponse)
	})
	t.Run("late", func(t *testing.T) {
		r := newRig(t)
		r.lane.decide = waiting
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); states(b) })
		r.give(r.auth, p)
		q := r.lane.last
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Done.Decided(q)
		r.wake()
		check(t, r.answer(p), wire.AccessAccept)
	})
}

func TestWhatIsNotAuthenticGetsSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*document.RadiusClient)
		packet func(r *rig) (*loop.Socket, []byte)
		cause  cause
	}{
		{name: "short datagram", cause: cause(wire.TooShort), packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, []byte("hello") }},
		{name: "length field beyond the datagram", cause: cause(wire.LengthField), packet: func(r *rig) (*loop.Socket, []byte) {
			p := r.request(wire.AccessRequest, pap("a", "b"))
			return r.auth, p[:len(p)-1]
		}},
		{name: "length field above 4096", cause: cause(wire.TooLong), packet: func(r *rig) (*loop.Socket, []byte) {
			p := r.request(wire.AccessRequest, pap("a", "b"))
			p[2], p[3] = 0x20, 0
			return r.auth, p
		}},
		{name: "attribute of length 1", cause: cause(wire.AttributeLength), packet: func(r *rig) (*loop.Socket, []byte) {
			p := r.request(wire.AccessRequest, pap("a", "b"))
			p[21] = 1
			return r.auth, p
		}},
		{name: "accounting on the authentication port", cause: causeCode, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
		}},
		{name: "login on the accounting port", cause: causeCode, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.acct, r.request(wire.AccessRequest, pap("a", "b"))
		}},
		{name: "an answer", cause: causeCode, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.request(wire.AccessAccept, nil)
		}},
		{name: "unknown client", cause: causeClient, packet: func(r *rig) (*loop.Socket, []byte) {
			r.from = netip.MustParseAddrPort("198.51.100.1:1")
			return r.auth, r.request(wire.AccessRequest, pap("a", "b"))
		}},
		{name: "wrong secret", cause: cause(wire.SignatureMismatch), packet: func(r *rig) (*loop.Socket, []byte) {
			r.key = mustKey(r.t, "other")
			return r.auth, r.request(wire.AccessRequest, pap("a", "b"))
		}},
		{name: "wrong secret of accounting", cause: cause(wire.AuthenticatorMismatch), packet: func(r *rig) (*loop.Socket, []byte) {
			r.key = mustKey(r.t, "other")
			return r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
		}},
		{name: "no Message-Authenticator", cause: cause(wire.SignatureMissing), packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.unsigned(wire.AccessRequest, pap("a", "b"))
		}},
		{
			name: "Proxy-State without Message-Authenticator", cause: causeProxyState,
			change: func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false },
			packet: func(r *rig) (*loop.Socket, []byte) {
				return r.auth, r.unsigned(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); b.Text(wire.ProxyState, "x") })
			},
		},
		{
			name: "EAP without Message-Authenticator", cause: causeEAP,
			change: func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false },
			packet: func(r *rig) (*loop.Socket, []byte) {
				return r.auth, r.unsigned(wire.AccessRequest, func(b *wire.Builder) { b.Attr(wire.EAPMessage, []byte{2, 1, 0, 5, 1}) })
			},
		},
		{
			name: "Status-Server without Message-Authenticator", cause: cause(wire.SignatureMissing),
			change: func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false },
			packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, r.unsigned(wire.StatusServer, nil) },
		},
		{name: "Status-Server with a password", cause: causeStatus, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.request(wire.StatusServer, pap("a", "b"))
		}},
		{
			name: "a secret that is not good yet", cause: causeSecret,
			change: func(c *document.RadiusClient) { c.Secrets[0].NotBefore = time.Unix(1_900_000_000, 0) },
			packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, r.request(wire.AccessRequest, pap("a", "b")) },
		},
		{
			name: "a secret that is good no more", cause: causeSecret,
			change: func(c *document.RadiusClient) { c.Secrets[0].NotAfter = time.Unix(1_800_000_000, 0) },
			packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, r.request(wire.AccessRequest, pap("a", "b")) },
		},
		{name: "accounting without status", cause: causeAccounting, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Text(wire.AcctSessionID, "s") })
		}},
		{name: "accounting without session", cause: causeAccounting, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Uint32(wire.AcctStatusType, 1) })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var change []func(*document.RadiusClient)
			if tc.change != nil {
				change = append(change, tc.change)
			}
			r := newRig(t, change...)
			s, p := tc.packet(r)
			r.give(s, p)
			r.silent(tc.cause)
			if r.lane.requests+len(r.lane.refused)+len(r.lane.accounts) != 0 {
				t.Error("it reached the engine")
			}
			if r.h.duplicates.count != 0 {
				t.Error("it touched the duplicate cache")
			}
			if !strings.Contains(r.logs.String(), tc.cause.name()) {
				t.Errorf("the log does not say why: %s", r.logs)
			}
			if tc.cause != causeClient && !strings.Contains(r.logs.String(), "client=core") {
				t.Errorf("the log does not name the client: %s", r.logs)
			}
		})
	}
}

func TestUnsignedLoginIsTakenWhereTheClientAllowsIt(t *testing.T) {
	r := newRig(t, func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false })
	p := r.unsigned(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	if v := r.answer(p); v.Code() != wire.AccessAccept {
		t.Fatal(v.Code())
	}
	// A bad one counts wherever it is present.
	p = r.request(wire.AccessRequest, pap("alice", "x"))
	p[len(p)-1]++
	r.give(r.auth, p)
	r.silent(cause(wire.SignatureMismatch))
}

func TestPaddingAfterThePacketIsIgnored(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, append(bytes.Clone(p), "padding"...))
	r.answer(p)
	r.lane.commit = true
	p = r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
	r.give(r.acct, append(bytes.Clone(p), 0, 0, 0))
	r.wake()
	r.answer(p)
}

func TestBothSecretsAreGoodDuringARotation(t *testing.T) {
	change := time.Unix(1_800_000_100, 0)
	r := newRig(t, func(c *document.RadiusClient) {
		c.Secrets = []document.SharedSecret{
			{Value: secret.Plain("old"), NotAfter: change},
			{Value: secret.Plain("new")},
		}
	})
	for _, tc := range []struct {
		key  string
		wait time.Duration
		good bool
	}{{"old", 0, true}, {"new", 0, true}, {"old", 200 * time.Second, false}, {"new", 0, true}} {
		r.pass(tc.wait)
		r.key = mustKey(t, tc.key)
		for _, s := range []*loop.Socket{r.auth, r.acct} {
			p := r.request(wire.StatusServer, nil)
			r.give(s, p)
			if !tc.good {
				r.silent(cause(wire.SignatureMismatch))
				continue
			}
			r.answer(p) // under the secret that the request came with
		}
	}
}

func TestStatusServerIsAnsweredOnBothPortsWithoutSideEffects(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		socket *loop.Socket
		code   wire.Code
	}{{r.auth, wire.AccessAccept}, {r.acct, wire.AccountingResponse}} {
		p := r.request(wire.StatusServer, nil)
		r.give(tc.socket, p)
		if v := r.answer(p); v.Code() != tc.code {
			t.Errorf("answer is %v", v.Code())
		}
	}
	if r.lane.requests != 0 || len(r.lane.accounts) != 0 || r.h.duplicates.count != 0 {
		t.Error("it had side effects")
	}
	if n := r.h.stats.requests[kindStatus].Load(); n != 2 || r.h.stats.requests[kindAccess].Load() != 0 {
		t.Errorf("%d counted", n)
	}
}

func TestFormOfTheProofIsChecked(t *testing.T) {
	vsa := func(kind uint8, value []byte) func(*wire.Builder) {
		return func(b *wire.Builder) { b.Text(wire.UserName, "a"); b.VSA(wire.VendorMicrosoft, kind, value) }
	}
	for _, tc := range []struct {
		name string
		fill func(*wire.Builder)
		want trace.Reason
		says string
	}{
		{"password and CHAP together", func(b *wire.Builder) { b.PAP("a", "b"); b.Attr(wire.CHAPPassword, make([]byte, 17)) }, trace.ProofMalformed, "more than one of"},
		{"password of 15 bytes", func(b *wire.Builder) { b.Attr(wire.UserPassword, make([]byte, 15)) }, trace.ProofMalformed, "User-Password is not"},
		{"password of 144 bytes", func(b *wire.Builder) { b.Attr(wire.UserPassword, make([]byte, 144)) }, trace.ProofMalformed, "User-Password is not"},
		{"CHAP of 16 bytes", func(b *wire.Builder) { b.Attr(wire.CHAPPassword, make([]byte, 16)) }, trace.ProofMalformed, "CHAP-Password is not 17"},
		{"empty CHAP challenge", func(b *wire.Builder) {
			b.Attr(wire.CHAPPassword, make([]byte, 17))
			b.Attr(wire.CHAPChallenge, nil)
		}, trace.ProofMalformed, "CHAP-Challenge is empty"},
		{"MS-CHAP without challenge", vsa(wire.MSCHAPResponse, append([]byte{1, 1}, make([]byte, 48)...)), trace.ProofMalformed, "not the 8 bytes"},
		{"MS-CHAPv2 without challenge", vsa(wire.MSCHAP2Response, make([]byte, 50)), trace.ProofMalformed, "not the 16 bytes"},
		{"MS-CHAPv2 of 49 bytes", vsa(wire.MSCHAP2Response, make([]byte, 49)), trace.ProofMalformed, "MS-CHAP2-Response is not 50"},
		{"LAN manager response only", func(b *wire.Builder) {
			b.VSA(wire.VendorMicrosoft, wire.MSCHAPChallenge, make([]byte, 8))
			b.VSA(wire.VendorMicrosoft, wire.MSCHAPResponse, make([]byte, 50))
		}, trace.ProofMalformed, "no NT response"},
		{"call check with MS-CHAP", func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			b.VSA(wire.VendorMicrosoft, wire.MSCHAPResponse, make([]byte, 50))
		}, trace.ProofMalformed, "Call-Check with a proof"},
		{"call check with PAP and CHAP", func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			b.PAP("001122334455", "001122334455")
			b.Attr(wire.CHAPPassword, make([]byte, 17))
		}, trace.ProofMalformed, "Call-Check with a proof"},
		{"call check with another CHAP response", func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			b.Text(wire.UserName, "001122334455")
			b.Attr(wire.CHAPPassword, make([]byte, 17))
		}, trace.EndpointMismatch, "not made of the MAC address"},
		{"call check with short CHAP", func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			b.Attr(wire.CHAPPassword, make([]byte, 16))
		}, trace.ProofMalformed, "17 bytes"},
		{"call check with another password", func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			b.PAP("001122334455", "001122334456")
		}, trace.EndpointMismatch, "not the same MAC address"},
		{"call check with a password for no address", func(b *wire.Builder) {
			b.Uint32(wire.ServiceType, 10)
			b.PAP("alice", "alice")
		}, trace.EndpointMismatch, "not the same MAC address"},
		{"authorize only", func(b *wire.Builder) { b.Uint32(wire.ServiceType, 17) }, trace.RadiusServiceUnsupported, "Authorize-Only"},
		{"EAP", func(b *wire.Builder) { b.Attr(wire.EAPMessage, []byte{2, 9, 0, 5, 1}) }, trace.RadiusEAPUnsupported, "EAP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
			p := r.request(wire.AccessRequest, tc.fill)
			r.give(r.auth, p)
			v := r.answer(p)
			if v.Code() != wire.AccessReject || len(r.lane.refused) != 1 || r.lane.refused[0] != tc.want {
				t.Fatalf("%v, refused for %v", v.Code(), r.lane.refused)
			}
			if !strings.Contains(r.lane.remarks[0], tc.says) {
				t.Errorf("the trace says %q, want %q", r.lane.remarks[0], tc.says)
			}
			if eap, ok := v.First(wire.EAPMessage); ok != (tc.want == trace.RadiusEAPUnsupported) || ok && !bytes.Equal(eap, []byte{4, 9, 0, 4}) {
				t.Errorf("EAP-Message is %x", eap)
			}
			if v.Has(wire.ReplyMessage) || v.Has(wire.State) {
				t.Error("the reject carries more than it may")
			}
		})
	}
}

func TestRejectSaysNothing(t *testing.T) {
	for _, reason := range []trace.Reason{trace.PasswordWrong, trace.UserUnknown, trace.UserInactive, trace.ConfigBroken} {
		r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
		r.lane.decide = func(q *engine.Request) bool {
			q.Decision.Verdict, q.Decision.Reason = event.Reject, reason
			q.Decision.Replies = []any{compile(t, "Reply-Message = no")}
			return true
		}
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); b.Text(wire.State, "s") })
		r.give(r.auth, p)
		if v := r.answer(p); v.Code() != wire.AccessReject || v.Len() != 1 {
			t.Errorf("%s: %v with %d attributes", reason, v.Code(), v.Len())
		}
	}
}

func TestReplyThatIsTooLargeBecomesAReject(t *testing.T) {
	r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
	big := compile(t, strings.Repeat("Reply-Message += "+strings.Repeat("x", 253)+"\n", 15))
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Replies = []any{big, big}
		return true
	}
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	if v := r.answer(p); v.Code() != wire.AccessReject {
		t.Fatal(v.Code())
	}
	if len(r.lane.overrule) != 1 || r.lane.overrule[0] != trace.RadiusReplyTooLarge {
		t.Errorf("overruled with %v", r.lane.overrule)
	}
	if said := r.lane.remarks[0]; !strings.Contains(said, "template 2 of 2") || !strings.Contains(said, "Reply-Message") || !strings.Contains(said, "4096 bytes") {
		t.Errorf("the trace says %q", said)
	}
	if !strings.Contains(r.logs.String(), string(trace.RadiusReplyTooLarge)) {
		t.Errorf("the log does not say so: %s", r.logs)
	}
}

func TestChargeableUserIdentityIsGivenOnRequestOnly(t *testing.T) {
	for _, tc := range []struct{ asked, allowed, want bool }{{true, true, true}, {false, true, false}, {true, false, false}} {
		r := newRig(t, func(c *document.RadiusClient) { c.ChargeableUserIdentity = tc.allowed })
		r.lane.decide = func(q *engine.Request) bool {
			q.Decision.Verdict, q.Decision.Reason, q.Decision.UserID = event.Accept, trace.OK, 5
			return true
		}
		var seen [2][]byte
		for i := range seen {
			p := r.request(wire.AccessRequest, func(b *wire.Builder) {
				b.PAP("alice", "x")
				if tc.asked {
					b.Attr(wire.ChargeableUser, []byte{0})
				}
			})
			r.give(r.auth, p)
			v := r.answer(p)
			identity, ok := v.First(wire.ChargeableUser)
			if ok != tc.want {
				t.Fatalf("%+v: sent %v", tc, ok)
			}
			seen[i] = identity
		}
		if !bytes.Equal(seen[0], seen[1]) {
			t.Errorf("the identity changes: %q, %q", seen[0], seen[1])
		}
	}
}

func TestLatencyCountsTheTimeWithinABatch(t *testing.T) {
	r := newRig(t)
	r.port.busy = 300 * time.Microsecond
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	s := collect([]*counters{r.h.stats})
	for _, l := range s.Latencies {
		if l.Method == "pap" && (l.Buckets[3] != 1 || l.Sum != r.port.busy) {
			t.Errorf("observed %v in %v", l.Sum, l.Buckets)
		}
	}
}

func TestClientThatCouldNotBeCompiled(t *testing.T) {
	t.Run("without a usable secret it gets silence", func(t *testing.T) {
		r := newRig(t)
		r.client.Broken, r.client.Wire = errors.New("the secret could not be opened"), nil
		r.give(r.auth, r.request(wire.AccessRequest, pap("a", "b")))
		r.silent(causeSecret)
	})
	t.Run("with one the engine says why", func(t *testing.T) {
		r := newRig(t)
		r.client.Broken = errors.New("reply line 1")
		r.lane.decide = rejecting(trace.ConfigBroken)
		p := r.request(wire.AccessRequest, pap("a", "b"))
		r.give(r.auth, p)
		r.pass(time.Second)
		if v := r.answer(p); v.Code() != wire.AccessReject {
			t.Error(v.Code())
		}
	})
}

func TestUncompiledTemplateRejects(t *testing.T) {
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Replies = []any{"not a template"}
		return true
	}
	r.give(r.auth, r.request(wire.AccessRequest, pap("a", "b")))
	if len(r.lane.overrule) != 1 || r.lane.overrule[0] != trace.RadiusReplyBroken {
		t.Errorf("overruled with %v", r.lane.overrule)
	}
}

func TestServiceProviderIsRefusedWithAdvice(t *testing.T) {
	w := NewWire(names(t))
	for want, sp := range map[string]*document.ServiceProvider{
		`type "saml"`:                {Type: "saml"},
		"no shared secret":           {Type: document.TypeRadius, Radius: &document.RadiusClient{}},
		"secret could not be opened": {Type: document.TypeRadius, Radius: &document.RadiusClient{SharedSecrets: document.SharedSecrets{Secrets: []document.SharedSecret{{Value: secret.Redacted()}}}}},
	} {
		if _, err := w.Client(sp); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}
