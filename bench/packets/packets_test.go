package packets

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"strings"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/microsoft"
)

var config = Config{Secret: "a-long-shared-secret", Slots: 512, Seed: 7}

// parse reads a request with a library that knows nothing of this package, and checks its Identifier and its authenticators.
func parse(t *testing.T, p *Pool, i int) *radius.Packet {
	t.Helper()
	raw := p.Request(i)
	packet, err := radius.Parse(raw, []byte(config.Secret))
	if err != nil {
		t.Fatalf("request %d: %v", i, err)
	}
	if want := byte(i % config.Slots % 256); packet.Identifier != want {
		t.Errorf("request %d has identifier %d, want %d", i, packet.Identifier, want)
	}
	if packet.Code == radius.CodeAccountingRequest {
		if !radius.IsAuthenticRequest(raw, []byte(config.Secret)) {
			t.Errorf("request %d has a wrong authenticator", i)
		}
		return packet
	}
	got := rfc2869.MessageAuthenticator_Get(packet)
	blank := bytes.Clone(raw)
	clear(blank[22:38])
	mac := hmac.New(md5.New, []byte(config.Secret))
	mac.Write(blank)
	if !bytes.Equal(got, mac.Sum(nil)) {
		t.Errorf("request %d has a wrong Message-Authenticator", i)
	}
	return packet
}

func TestLoginsProveTheirPassword(t *testing.T) {
	const n, users = 600, 50
	authenticators := map[[16]byte]bool{}
	for m, proves := range map[Method]func(p *radius.Packet, user, password string) bool{
		PAP: func(p *radius.Packet, _, password string) bool { return rfc2865.UserPassword_GetString(p) == password },
		CHAP: func(p *radius.Packet, _, password string) bool {
			response := rfc2865.CHAPPassword_Get(p)
			sum := md5.Sum(append(append([]byte{response[0]}, password...), rfc2865.CHAPChallenge_Get(p)...))
			return bytes.Equal(response[1:], sum[:])
		},
		MSCHAPv2: func(p *radius.Packet, user, password string) bool {
			response := microsoft.MSCHAP2Response_Get(p)
			want, err := rfc2759.GenerateNTResponse(microsoft.MSCHAPChallenge_Get(p), response[2:18], []byte(user), []byte(password))
			return err == nil && bytes.Equal(response[26:], want)
		},
	} {
		pool := Logins(config, m, n, users)
		if pool.Len() != n || pool.Once() || pool.Target(0) != 0 {
			t.Fatalf("method %d: %d requests", m, pool.Len())
		}
		for i := range n {
			p := parse(t, pool, i)
			user := rfc2865.UserName_GetString(p)
			if !proves(p, user, strings.Replace(user, "user", "secret-", 1)) {
				t.Fatalf("method %d, request %d of %s proves nothing", m, i, user)
			}
			authenticators[p.Authenticator] = true
		}
	}
	if len(authenticators) != 3*n {
		t.Errorf("%d authenticators in %d requests", len(authenticators), 3*n)
	}
}

func TestSessionsKeepToTheirSlotAndTheirOrder(t *testing.T) {
	pool := Accounting(config, Sessions{N: 1100, Users: 50, Login: true, Interims: 3, Stop: true, Began: 1_700_000_000})
	if sessions := 1024; pool.Len() != 6*sessions || !pool.Once() {
		t.Fatalf("%d requests", pool.Len())
	}
	ids := map[string]bool{}
	for slot := range config.Slots {
		for round := range 2 {
			var user, session string
			for step, want := range []rfc2866.AcctStatusType{0, 1, 3, 3, 3, 2} {
				i := (6*round+step)*config.Slots + slot
				p := parse(t, pool, i)
				if p.Code == radius.CodeAccessRequest {
					user = rfc2865.UserName_GetString(p)
					continue
				}
				if pool.Target(i) != 1 || rfc2866.AcctStatusType_Get(p) != want || rfc2865.UserName_GetString(p) != user {
					t.Fatalf("request %d: status %d of %s, want %d of %s", i, rfc2866.AcctStatusType_Get(p), rfc2865.UserName_GetString(p), want, user)
				}
				id := rfc2866.AcctSessionID_GetString(p)
				if step > 1 && id != session {
					t.Fatalf("request %d is of session %s, want %s", i, id, session)
				}
				session = id
			}
			ids[session] = true
		}
	}
	if len(ids) != 1024 {
		t.Errorf("%d sessions, want 1024", len(ids))
	}
}

// answer is a right answer to a request, made by the library, with a Message-Authenticator if asked.
func answer(t *testing.T, p *Pool, i int, code radius.Code, signed bool, add func(r *radius.Packet)) []byte {
	t.Helper()
	request := parse(t, p, i)
	r := request.Response(code)
	if signed {
		_ = rfc2869.MessageAuthenticator_Set(r, make([]byte, 16))
	}
	if add != nil {
		add(r)
	}
	if signed {
		raw, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		copy(raw[4:20], request.Authenticator[:])
		mac := hmac.New(md5.New, []byte(config.Secret))
		mac.Write(raw)
		_ = rfc2869.MessageAuthenticator_Set(r, mac.Sum(nil))
	}
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAnswersAreVerified(t *testing.T) {
	pap, status := Logins(config, PAP, 600, 50), Status(config, 600)
	pap.DemandSigned(true)
	records := Accounting(config, Sessions{N: 512, Users: 50, Began: 1_700_000_000})
	good := answer(t, pap, 300, radius.CodeAccessAccept, true, nil)
	check := func(what string, p *Pool, i int, reply []byte, want string) {
		t.Helper()
		err := p.Check(i, bytes.Clone(reply))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	check("accept", pap, 300, good, "")
	check("status", status, 5, answer(t, status, 5, radius.CodeAccessAccept, true, nil), "")
	check("accounting", records, 5, answer(t, records, 5, radius.CodeAccountingResponse, false, nil), "")
	check("reject", pap, 300, answer(t, pap, 300, radius.CodeAccessReject, true, nil), "code")
	check("unsigned", pap, 300, answer(t, pap, 300, radius.CodeAccessAccept, false, nil), "no Message-Authenticator")
	check("of another request", pap, 301, good, "Response Authenticator")
	check("cut", pap, 300, good[:30], "length")
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if at == 1 {
			continue // the Identifier is the generator's to compare, but the authenticator covers it
		}
		if pap.Check(300, bad) == nil {
			t.Errorf("an answer whose byte %d is changed passes", at)
		}
	}
	forged := answer(t, pap, 300, radius.CodeAccessAccept, true, nil)
	packet, _ := radius.Parse(forged, []byte(config.Secret))
	request := parse(t, pap, 300)
	again := request.Response(radius.CodeAccessAccept)
	wrong := bytes.Clone(rfc2869.MessageAuthenticator_Get(packet))
	wrong[3] ^= 1
	_ = rfc2869.MessageAuthenticator_Set(again, wrong)
	raw, err := again.Encode()
	if err != nil {
		t.Fatal(err)
	}
	check("Message-Authenticator alone is wrong", pap, 300, raw, "Message-Authenticator is wrong")
}

func TestServerMustKnowThePasswordOfMSCHAPv2(t *testing.T) {
	pool := Logins(config, MSCHAPv2, 600, 50)
	request := parse(t, pool, 9)
	response := microsoft.MSCHAP2Response_Get(request)
	user := rfc2865.UserName_GetString(request)
	success := func(password string) []byte {
		text, err := rfc2759.GenerateAuthenticatorResponse(microsoft.MSCHAPChallenge_Get(request), response[2:18], response[26:], []byte(user), []byte(password))
		if err != nil {
			t.Fatal(err)
		}
		return answer(t, pool, 9, radius.CodeAccessAccept, true, func(r *radius.Packet) {
			_ = microsoft.MSCHAP2Success_Add(r, append([]byte{response[0]}, text...))
		})
	}
	if err := pool.Check(9, success(strings.Replace(user, "user", "secret-", 1))); err != nil {
		t.Error(err)
	}
	if pool.Check(9, success("another")) == nil {
		t.Error("a server that does not know the password passes")
	}
}
