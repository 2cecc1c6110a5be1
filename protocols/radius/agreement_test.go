package radius

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/event"
	"trine/engine/message"
	"trine/engine/state"
	"trine/engine/trace"
	"trine/protocols/radius/wire"
)

// TestPacketPathSimulationAndExplanationAgree has 10,000 random packets answered in 200 random towns. Each is simulated before. The answer, what
// the simulation says and what the log says when it is read back must be one story: the same verdict, reason, steps, and attributes of the
// answer; and a story that is true by the [model], which knows the configuration and none of the code that decides by it.
func TestPacketPathSimulationAndExplanationAgree(t *testing.T) {
	const worlds, packets = 200, 50
	seen := map[string]int{}
	for seed := range uint64(worlds) {
		w := newTown(t, seed)
		for range packets {
			w.packet(seen)
			w.passTime()
		}
		if t.Failed() {
			t.Fatalf("in the world of seed %d", seed)
		}
	}
	for _, reason := range []trace.Reason{
		trace.OK, trace.UserUnknown, trace.UserInactive, trace.UserMissing, trace.RealmUnknown, trace.UserLocked,
		trace.PasswordWrong, trace.PasswordMissing, trace.PasswordMustChange, trace.PasswordExpired, trace.RadiusMethodDisabled,
		trace.RadiusCHAPSecretNotKept, trace.RadiusMSCHAPHashNotKept, trace.ProofMissing, trace.RoleMissing, trace.AccountMissing, trace.AccountDisabled,
		trace.AuthorizationDenied, trace.IssuerNotAllowed, trace.EndpointUnknown, trace.EndpointExpired, trace.EndpointMismatch, trace.EndpointNotAllowed,
		trace.FactorNeeded, trace.FactorNotEnrolled, trace.FactorRefused, trace.OTPWrong, trace.RecoveryWrong,
		trace.PINWrong, trace.CodeWrong, trace.ChallengeUsed, trace.ChallengeExpired, trace.ChallengeInvalid, trace.DeliveryLimited, trace.RuleBroken,
		trace.ExpressionFailed, trace.ScriptFailed, trace.ScriptWrongType, trace.SessionLimit, trace.RadiusReplyBroken,
		trace.ConfigBroken, trace.IssuerMissing,
	} {
		if seen[string(reason)] == 0 {
			t.Errorf("no login came out as %s: the towns are too tame", reason)
		}
	}
	t.Logf("%v", seen)
}

// packet has one random login simulated, answered and read back from the log, and holds the three against each other and the model.
func (w *town) packet(seen map[string]int) {
	w.t.Helper()
	at := w.port.now
	if w.Latest().After(at) { // the clock was set back
		at = w.Latest()
	}
	a := &attempted{at: at, client: w.IntN(len(w.clients))}
	q := &Attempt{Time: w.port.now}
	w.post.err = pick(w, nil, nil, nil, nil, nil, nil, nil, message.ErrLimited)
	var challenge []byte
	switch p := w.persons[w.IntN(len(w.persons))]; {
	case w.one(10):
		w.deviceLogin(a, q)
	case p.state != nil && !w.one(4):
		challenge = w.answerOf(a, q, p)
	default:
		w.login(a, q)
	}
	client := w.clients[a.client]
	w.from = netip.AddrPortFrom(client.address, 50000)
	q.Cache = w.Policies.Holder().Load()
	q.Client, q.Source = q.Cache.ClientFor(protocol, client.address), client.address
	q.Attributes = append(q.Attributes, fmt.Sprintf("NAS-Identifier = ap%d", w.IntN(9)), "NAS-Port-Type = "+pick(w, "Virtual", "Ethernet"),
		"Called-Station-Id = 02-10-00-00-00-01:"+pick(w, "guest", "corp", "corp-2"), "Chargeable-User-Identity = 0x00")
	if !slices.ContainsFunc(q.Attributes, func(s string) bool { return strings.HasPrefix(s, "Calling") }) && !w.one(4) {
		q.Attributes = append(q.Attributes, fmt.Sprintf("Calling-Station-Id = 02-99-00-00-00-%02d", w.IntN(4)/3))
	}
	items, err := parseLines(q.Attributes)
	if err != nil {
		w.t.Fatal(err)
	}
	more, err := w.sim.names.Compile(items)
	if err != nil {
		w.t.Fatal(err)
	}
	packet := w.request(wire.AccessRequest, func(b *wire.Builder) {
		if err := q.prove(b); err != nil {
			w.t.Fatal(err)
		}
		if challenge != nil {
			b.Attr(wire.State, challenge)
		}
		more.AppendTo(b)
	})

	told := w.simulate(q, packet, challenge != nil)
	w.recorded = nil
	w.give(w.auth, packet)
	w.wake()
	w.Engine.Flush()
	if w.recorded == nil {
		w.t.Fatal("no decision was recorded")
	}
	found := w.recorded
	seen[found.Reason]++
	if len(found.Steps) == 0 && found.Verdict == uint32(event.Accept) { // one that is not of the sample
		told.Decided.Steps = nil
	}
	if found, told := comparable(found), comparable(told.Decided); !proto.Equal(found, told) {
		w.t.Fatalf("explained as\n%s\nsimulated as\n%s", explained(found), explained(told))
	}
	if said := w.contradicts(a, found); said != "" {
		w.t.Fatalf("%s: %+v of %+v\n%s", said, *a, *client, explained(found))
	}
	for _, secret := range []string{q.Password, "testing123"} {
		if secret != "" && a.device == "" && bytes.Contains(w.record, []byte(secret)) {
			w.t.Fatalf("the record tells %q:\n%s", secret, explained(found))
		}
	}
	if len(w.port.sent) == 0 {
		if told.Code != "" || found.Verdict != uint32(event.Discard) {
			w.t.Fatalf("there is no answer; simulated %s, explained as\n%s", told.Code, explained(found))
		}
		return
	}
	reply := w.answer(packet)
	code := map[event.Verdict]wire.Code{event.Accept: wire.AccessAccept, event.Challenge: wire.AccessChallenge, event.Reject: wire.AccessReject}[event.Verdict(found.Verdict)]
	got := toldOf(standard(w.t).Pairs(reply))
	if reply.Code() != code || told.Code != code.String() || !slices.Equal(toldOf(told.Attributes), got) {
		w.t.Fatalf("answered %v %v, simulated %s %v, explained as\n%s", reply.Code(), got, told.Code, toldOf(told.Attributes), explained(found))
	}
	if silent := map[bool]int{true: 1}[q.Method == credential.MSCHAPv1 || q.Method == credential.MSCHAPv2]; code == wire.AccessReject && len(got) != silent {
		w.t.Fatalf("a reject for %s tells %v", found.Reason, got) // at most MS-CHAP-Error
	}
	w.after(a, reply, found)
}

// simulate has a login simulated: as whoever tries one out describes it or, as that cannot answer a challenge, by the device's own packet.
// Nothing may be recorded or sent.
func (w *town) simulate(q *Attempt, packet []byte, answers bool) *Answer {
	w.t.Helper()
	proposed, codes := w.proposed, len(w.post.codes)
	sim := w.Engine.Simulate(engine.Circumstances{Verifier: w.aside})
	told, err := (*Answer)(nil), error(nil)
	if own := q.Client.Wire.(*Client); answers {
		told, err = w.sim.answer(context.Background(), sim, q, own, own.present(q.Time.UnixNano()), bytes.Clone(packet))
	} else {
		told, err = w.sim.Try(context.Background(), sim, q)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if w.proposed != proposed || len(w.post.codes) != codes {
		w.t.Fatal("a simulation left something behind")
	}
	return told
}

// explained tells a decision as `trine explain` does.
func explained(d *event.Decided) string {
	told := trace.Decision{Verdict: event.Verdict(d.Verdict).String(), Reason: trace.Reason(d.Reason), Method: credential.Method(d.Method).String(), Client: d.Client, UserName: string(d.UserName), User: d.User}
	for _, s := range d.Steps {
		told.Steps = append(told.Steps, trace.Told{Code: trace.StepCode(s.Code), Subject: s.Subject, Detail: s.Detail})
	}
	return trace.Explain(&told)
}

// login makes a login of somebody, or of nobody, by any method.
func (w *town) login(a *attempted, q *Attempt) {
	p := w.persons[w.IntN(len(w.persons))]
	if q.User = pick(w, p.name, p.alias, strings.ToUpper(p.name)); w.one(6) {
		q.User = pick(w, "nobody", p.name+"@example.org", p.alias+"@EXAMPLE.net", `corp\`+p.name)
	}
	if w.one(100) {
		q.User = ""
	}
	q.Method = pick(w, credential.PAP, credential.PAP, credential.PAP, credential.PAP, credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2)
	q.Password = p.password
	if w.one(6) {
		q.Password = "no-" + p.password
	}
	if w.one(60) {
		q.Method = credential.NoProof
	}
	a.name, a.method = q.User, q.Method
	a.right = q.Password == p.password && q.Method != credential.NoProof
	c := w.clients[a.client]
	is := &w.issuer[c.issuer]
	alone := is.rules == 0 && slices.Contains(is.ways, "Password")
	if code := w.good(p, "OTP"); q.Method == credential.PAP && code != "" && (c.second == "appended" || c.second == "either") && w.one(map[bool]int{true: 8, false: 2}[alone || is.rules > 0]) {
		if w.one(4) {
			code = "000000"
		}
		q.Password += code
		a.code = "OTP"
		a.right = a.right && !alone // it would be looked at as a whole
	}
}

// good returns a code that is good for a factor at the moment, as far as the person has one.
func (w *town) good(p *person, factor string) string {
	switch {
	case factor == "PIN":
		return p.pin
	case factor == "SMS" || factor == "Email":
		return w.post.codes[p.name]
	case factor == "OTP" && p.otp != nil:
		if p.otp.Params().Kind == otp.TOTP {
			return p.otp.Code(p.otp.Counter(w.port.now))
		}
		var u state.User
		var list state.Factors
		w.People.UserNamed(&u, p.name)
		w.People.Factors(&list, u.ID)
		for _, f := range list.List {
			if string(f.ID) == "token" {
				return p.otp.Code(f.Next)
			}
		}
	}
	return ""
}

// answerOf makes the answer to the challenge that somebody got last, right or wrong, now and then by another device or name.
func (w *town) answerOf(a *attempted, q *Attempt, p *person) (challenge []byte) {
	a.client, a.answers, a.person, a.method = p.at, true, p, credential.PAP
	q.User, q.Method, q.Password, challenge = p.name, credential.PAP, w.good(p, p.asked), p.state
	if a.code = p.asked; w.one(3) || q.Password == "" {
		q.Password, a.code = pick(w, "000000", "739153", "AAAA-BBBB-CCCC-DDDD"), ""
	}
	if p.asked == "OTP" && len(p.recovery) > 0 && w.one(2) {
		q.Password, a.code = p.recovery[w.IntN(2)], "OTP"
	}
	switch w.IntN(30) {
	case 0:
		a.client = w.IntN(len(w.clients))
	case 1:
		q.User = w.persons[w.IntN(len(w.persons))].name
	case 2:
		q.Method, a.method = credential.CHAP, credential.CHAP
	case 3:
		challenge = bytes.Clone(challenge)
		challenge[len(challenge)-1] ^= 1
	}
	a.name = q.User
	if !w.one(3) {
		p.state = nil
	}
	return challenge
}

// deviceLogin makes the login of a device by its MAC address, in either way.
func (w *town) deviceLogin(a *attempted, q *Attempt) {
	n := w.IntN(5) // one of them is unknown
	a.device = fmt.Sprintf("02-00-00-00-00-%02d", n)
	q.User, q.Method = pick(w, a.device, strings.ReplaceAll(a.device, "-", ":"), strings.ReplaceAll(a.device, "-", "")), credential.NoProof
	q.Attributes = []string{"Service-Type = Call-Check"}
	if w.clients[a.client].devices && w.one(2) {
		q.Method, q.Password, q.Attributes = credential.PAP, a.device, nil
	}
	calling := a.device
	if w.one(4) {
		calling, a.mismatch = "02-00-00-00-00-77", true
	}
	q.Attributes = append(q.Attributes, "Calling-Station-Id = "+calling)
	a.name = q.User
}

// after keeps what the device learned, lets sessions begin, and changes the world now and then.
func (w *town) after(a *attempted, reply *wire.View, found *event.Decided) {
	switch reply.Code() {
	case wire.AccessChallenge:
		p := w.resolve(w.clients[a.client], a.name)
		shown, _ := reply.First(wire.ReplyMessage)
		given, _ := reply.First(wire.State)
		p.state, p.at, p.asked = bytes.Clone(given), a.client, ""
		for factor, word := range map[string]string{"OTP": "token", "PIN": "PIN", "SMS": "telephone", "Email": "mail"} {
			if strings.Contains(string(shown), word) {
				p.asked = factor
			}
		}
	case wire.AccessAccept:
		if id, _ := w.sim.mark.login(reply); id != found.Id {
			w.t.Fatalf("the device got the Class of the decision %x, explained is %x", id, found.Id)
		}
		if w.one(3) {
			w.sessions++
			p := w.request(wire.AccountingRequest, func(b *wire.Builder) {
				b.Accounting(event.StatusStart, fmt.Sprint("s", w.sessions))
				b.Text(wire.UserName, a.name)
				for class := range reply.Each(wire.Class) {
					b.Attr(wire.Class, class)
				}
			})
			w.give(w.acct, p)
			w.wake()
			w.answer(p)
		}
	}
	switch w.IntN(20) {
	case 0:
		w.Put(strings.TrimPrefix(w.groupDocument(w.IntN(len(w.groups))), "---\n"))
	case 1:
		w.Put(strings.TrimPrefix(w.personDocument(w.persons[w.IntN(len(w.persons))]), "---\n"))
	}
}

// passTime lets little time pass, or much, or sets the clock back.
func (w *town) passTime() {
	by := time.Duration(w.IntN(15)) * time.Second
	switch w.IntN(40) {
	case 0:
		by = time.Duration(w.IntN(12)) * time.Hour
	case 1:
		by = -time.Duration(w.IntN(30)) * time.Second
	case 2:
		by = 100 * time.Hour
	}
	w.port.now = w.port.now.Add(by)
}
