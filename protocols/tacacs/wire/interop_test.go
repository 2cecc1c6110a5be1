package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/nwaples/tacplus"
)

// read reads a packet and takes its obfuscation off.
func read(c net.Conn, secret *Secret) (Header, []byte, error) {
	p := make([]byte, HeaderLen, 1024)
	if _, err := io.ReadFull(c, p); err != nil {
		return Header{}, nil, err
	}
	h, f := ParseHeader(p, 1000, 0)
	if f != OK {
		return h, nil, f
	}
	p = p[:HeaderLen+int(h.Length)]
	if _, err := io.ReadFull(c, p[HeaderLen:]); err != nil {
		return h, nil, err
	}
	secret.Obfuscate(p)
	return h, p[HeaderLen:], Check(&h, p[HeaderLen:], 0).Err()
}

func quiet(...any) {}

// client returns a client of nwaples/tacplus whose connection is served by a function.
func client(t *testing.T, serve func(net.Conn, *Secret) error) *tacplus.Client {
	t.Helper()
	ours, theirs := net.Pipe()
	secret := secretOf(t, "testing123")
	done := make(chan error, 1)
	go func() {
		err := serve(ours, secret)
		_ = ours.Close() // so that the client does not wait for an answer that never comes
		done <- err
	}()
	t.Cleanup(func() {
		_ = theirs.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &tacplus.Client{
		ConnConfig:  tacplus.ConnConfig{Secret: []byte("testing123"), Log: quiet},
		DialContext: func(context.Context, string, string) (net.Conn, error) { return theirs, nil },
	}
}

func TestTacplusClientLogsInByASCII(t *testing.T) {
	c := client(t, func(conn net.Conn, secret *Secret) error {
		var sequence Sequence
		var b Builder
		for _, step := range []struct {
			got    string
			status AuthenStatus
			prompt string
		}{{"tty1", AuthenGetUser, "Username: "}, {"alice", AuthenGetPass, "Password: "}, {"wonderland", AuthenPass, "welcome"}} {
			h, body, err := read(conn, secret)
			if err != nil {
				return err
			}
			if f := sequence.FromClient(h.Seq); f != OK {
				return f
			}
			var s AuthenStart
			var typed AuthenContinue
			var got []byte
			if h.Kind() == KindAuthenStart {
				ParseAuthenStart(&h, body, 0, &s)
				got = s.Port
			} else {
				ParseAuthenContinue(body, 0, &typed)
				got = typed.UserMsg
			}
			if string(got) != step.got {
				return errors.New("got " + string(got))
			}
			answer := h.Answer()
			if answer.Seq, _ = sequence.ToClient(); answer.Seq != h.Seq+1 {
				return SequenceUnexpected
			}
			b.AuthenReply(buffer(), answer, step.status, step.status == AuthenGetPass)
			b.ServerMsg(step.prompt)
			p, f := b.Finish(secret)
			if f != OK {
				return f
			}
			if _, err := conn.Write(p); err != nil {
				return err
			}
		}
		return nil
	})
	ctx := t.Context()
	reply, session, err := c.SendAuthenStart(ctx, &tacplus.AuthenStart{
		Action: tacplus.AuthenActionLogin, AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceLogin, PrivLvl: 1, Port: "tty1",
	})
	if err != nil || reply.Status != tacplus.AuthenStatusGetUser || reply.ServerMsg != "Username: " || reply.NoEcho {
		t.Fatalf("%+v, %v", reply, err)
	}
	reply, err = session.Continue(ctx, "alice")
	if err != nil || reply.Status != tacplus.AuthenStatusGetPass || !reply.NoEcho {
		t.Fatalf("%+v, %v", reply, err)
	}
	reply, err = session.Continue(ctx, "wonderland")
	if err != nil || reply.Status != tacplus.AuthenStatusPass || reply.ServerMsg != "welcome" {
		t.Fatalf("%+v, %v", reply, err)
	}
}

// once serves one request, which answer answers.
func once(answer func(b *Builder, h Header, body []byte) error) func(net.Conn, *Secret) error {
	return func(conn net.Conn, secret *Secret) error {
		h, body, err := read(conn, secret)
		if err != nil {
			return err
		}
		var b Builder
		if err := answer(&b, h, body); err != nil {
			return err
		}
		p, f := b.Finish(secret)
		if f != OK {
			return f
		}
		_, err = conn.Write(p)
		return err
	}
}

func TestTacplusClientLogsInByPAP(t *testing.T) {
	c := client(t, once(func(b *Builder, h Header, body []byte) error {
		var s AuthenStart
		if f := ParseAuthenStart(&h, body, 0, &s); f != OK || string(s.User) != "alice" || string(s.Data) != "wonderland" || h.Version != Version1 {
			t.Errorf("%+v, %v", s, f)
		}
		b.AuthenReply(buffer(), h.Answer(), AuthenFail, false)
		b.ServerMsg("no")
		b.Data("why")
		return nil
	}))
	reply, _, err := c.SendAuthenStart(t.Context(), &tacplus.AuthenStart{
		Action: tacplus.AuthenActionLogin, AuthenType: tacplus.AuthenTypePAP, AuthenService: tacplus.AuthenServicePPP,
		User: "alice", Port: "tty1", RemAddr: "192.0.2.1", Data: []byte("wonderland"),
	})
	if err != nil || reply.Status != tacplus.AuthenStatusFail || reply.ServerMsg != "no" || string(reply.Data) != "why" {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestTacplusClientIsAuthorizedAndAccounted(t *testing.T) {
	args := []string{"service=shell", "cmd=show", "cmd-arg=version"}
	c := client(t, once(func(b *Builder, h Header, body []byte) error {
		var r AuthorRequest
		if f := ParseAuthorRequest(body, 0, &r); f != OK || !slices.Equal(textsOf(r.Args), args) || r.PrivLvl != 15 {
			t.Errorf("%+v, %v", r, f)
		}
		b.AuthorResponse(buffer(), h.Answer(), AuthorPassRepl)
		b.ServerMsg("welcome")
		b.Data("log")
		b.Args(r.Args)
		b.Pair("priv-lvl", "7", true)
		return nil
	}))
	response, err := c.SendAuthorRequest(t.Context(), &tacplus.AuthorRequest{
		AuthenMethod: tacplus.AuthenMethodTACACSPlus, PrivLvl: 15, AuthenType: tacplus.AuthenTypeASCII, AuthenService: tacplus.AuthenServiceLogin,
		User: "alice", Port: "tty1", RemAddr: "192.0.2.1", Arg: args,
	})
	if err != nil || response.Status != tacplus.AuthorStatusPassRepl || !slices.Equal(response.Arg, append(slices.Clone(args), "priv-lvl*7")) ||
		response.ServerMsg != "welcome" || response.Data != "log" {
		t.Errorf("%+v, %v", response, err)
	}

	c = client(t, once(func(b *Builder, h Header, body []byte) error {
		var r AcctRequest
		if f := ParseAcctRequest(body, 0, &r); f != OK || r.Flags != AcctStop || !slices.Equal(textsOf(r.Args), args) || string(r.User) != "alice" {
			t.Errorf("%+v, %v", r, f)
		}
		b.AcctReply(buffer(), h.Answer(), AcctSuccess)
		b.ServerMsg("ok")
		return nil
	}))
	receipt, err := c.SendAcctRequest(t.Context(), &tacplus.AcctRequest{
		Flags: tacplus.AcctFlagStop, AuthenMethod: tacplus.AuthenMethodTACACSPlus, AuthenType: tacplus.AuthenTypeASCII, User: "alice", Arg: args,
	})
	if err != nil || receipt.Status != tacplus.AcctStatusSuccess || receipt.ServerMsg != "ok" {
		t.Errorf("%+v, %v", receipt, err)
	}
}

// handler answers for the server of nwaples/tacplus with what it was asked.
type handler struct{}

func (handler) HandleAuthenStart(ctx context.Context, a *tacplus.AuthenStart, s *tacplus.ServerSession) *tacplus.AuthenReply {
	if a.AuthenType == tacplus.AuthenTypePAP {
		return &tacplus.AuthenReply{Status: tacplus.AuthenStatusPass, ServerMsg: a.User + " " + string(a.Data), Data: []byte{0, 255}}
	}
	c, err := s.GetPass(ctx, "Password: ")
	if err != nil {
		return nil
	}
	return &tacplus.AuthenReply{Status: tacplus.AuthenStatusFail, ServerMsg: c.Message}
}

func (handler) HandleAuthorRequest(_ context.Context, a *tacplus.AuthorRequest, _ *tacplus.ServerSession) *tacplus.AuthorResponse {
	return &tacplus.AuthorResponse{Status: tacplus.AuthorStatusPassAdd, Arg: append(a.Arg, "from*"+a.RemAddr), ServerMsg: a.User, Data: a.Port}
}

func (handler) HandleAcctRequest(_ context.Context, a *tacplus.AcctRequest, _ *tacplus.ServerSession) *tacplus.AcctReply {
	return &tacplus.AcctReply{Status: tacplus.AcctStatusSuccess, ServerMsg: a.Arg[0], Data: a.User}
}

func TestTacplusServerAnswersOurClient(t *testing.T) {
	secret := secretOf(t, "testing123")
	// ask sends what the builder holds to a new server, and returns the answer.
	var conn net.Conn
	ask := func(b *Builder) (Header, []byte) {
		t.Helper()
		p, f := b.Finish(secret)
		if f != OK {
			t.Fatal(f)
		}
		if _, err := conn.Write(p); err != nil {
			t.Fatal(err)
		}
		h, body, err := read(conn, secret)
		if err != nil {
			t.Fatal(err)
		}
		return h, body
	}
	connect := func() {
		ours, theirs := net.Pipe()
		server := tacplus.ServerConnHandler{Handler: handler{}, ConnConfig: tacplus.ConnConfig{Secret: []byte("testing123"), Log: quiet}}
		done := make(chan struct{})
		go func() { server.Serve(theirs); close(done) }()
		t.Cleanup(func() { _ = ours.Close(); <-done })
		conn = ours
	}
	var b Builder

	connect()
	b.AuthenStart(buffer(), header(KindAuthenStart, Version1), &AuthenStart{
		Action: Login, Type: TypePAP, Service: ServiceLogin, User: []byte("alice"), Data: []byte("wonderland"),
	})
	h, body := ask(&b)
	var reply AuthenReply
	if f := ParseAuthenReply(body, 0, &reply); f != OK || reply.Status != AuthenPass || string(reply.ServerMsg) != "alice wonderland" ||
		string(reply.Data) != "\x00\xff" || h.Session != 0x01020304 {
		t.Errorf("PAP: %+v, %v", reply, f)
	}

	connect()
	b.AuthenStart(buffer(), header(KindAuthenStart, Version0), &AuthenStart{Action: Login, Type: TypeASCII, Service: ServiceLogin, User: []byte("alice")})
	h, body = ask(&b)
	if f := ParseAuthenReply(body, 0, &reply); f != OK || reply.Status != AuthenGetPass || !reply.NoEcho || string(reply.ServerMsg) != "Password: " {
		t.Errorf("ASCII: %+v, %v", reply, f)
	}
	b.AuthenContinue(buffer(), h.Answer(), &AuthenContinue{UserMsg: []byte("wonderland")})
	_, body = ask(&b)
	if f := ParseAuthenReply(body, 0, &reply); f != OK || reply.Status != AuthenFail || string(reply.ServerMsg) != "wonderland" {
		t.Errorf("ASCII: %+v, %v", reply, f)
	}

	connect()
	common := AuthorRequest{User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("::1"), Args: argsOf("service=ppp", "a=b")}
	b.AuthorRequest(buffer(), header(KindAuthorRequest, Version0), &common)
	_, body = ask(&b)
	var response AuthorResponse
	if f := ParseAuthorResponse(body, 0, &response); f != OK || response.Status != AuthorPassAdd || string(response.ServerMsg) != "alice" ||
		string(response.Data) != "tty1" || !slices.Equal(textsOf(response.Args), []string{"service=ppp", "a=b", "from*::1"}) {
		t.Errorf("authorization: %+v, %v", response, f)
	}

	connect()
	b.AcctRequest(buffer(), header(KindAcctRequest, Version0), &AcctRequest{AcctStart, common})
	_, body = ask(&b)
	var receipt AcctReply
	if f := ParseAcctReply(body, 0, &receipt); f != OK || receipt.Status != AcctSuccess || string(receipt.ServerMsg) != "service=ppp" || string(receipt.Data) != "alice" {
		t.Errorf("accounting: %+v, %v", receipt, f)
	}
}
