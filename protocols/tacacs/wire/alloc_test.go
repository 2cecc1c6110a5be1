package wire

import "testing"

func TestNoAllocationPerPacket(t *testing.T) {
	secret, other, pads, buf := secretOf(t, "testing123"), secretOf(t, "before"), NewPads(), buffer()
	secrets := []*Secret{other, secret}
	var b Builder
	for name, build := range messages() {
		build(&b, buffer())
		packet, f := b.Finish(secret)
		if f != OK {
			t.Fatal(f)
		}
		if n := testing.AllocsPerRun(100, func() {
			h, _ := ParseHeader(packet, 65536, 0)
			if at, _ := Open(&h, packet, 0, secrets); at != 1 {
				t.Fatal(at)
			}
			secret.Obfuscate(packet)
			pads.Add(secret, packet)
			pads.Run()
			pads.Add(secret, packet)
			pads.Run()
		}); n != 0 {
			t.Errorf("reading a %s allocates %v times", name, n)
		}
	}

	body := request("service=shell", "cmd=show", "cmd-arg=version", "priv-lvl=15")
	var r AuthorRequest
	seen := 0
	if n := testing.AllocsPerRun(100, func() {
		ParseAuthorRequest(body, 0, &r)
		for arg := range r.Args.All() {
			seen += len(arg.Name)
		}
		for raw := range r.Args.Raw() {
			seen += len(raw)
		}
		arg, _ := r.Args.Find("priv-lvl")
		arg.Uint32()
	}); n != 0 {
		t.Errorf("walking arguments allocates %v times", n)
	}

	typed := AuthenContinue{UserMsg: []byte("wonderland")}
	first := AuthenStart{Action: Login, Type: TypePAP, User: []byte("alice"), Data: []byte("wonderland")}
	record := AcctRequest{AcctStop, r}
	arg := []byte("priv-lvl=15")
	for name, build := range map[string]func(){
		"start":    func() { b.AuthenStart(buf, header(KindAuthenStart, Version1), &first) },
		"continue": func() { b.AuthenContinue(buf, header(KindAuthenContinue, Version0), &typed) },
		"reply": func() {
			b.AuthenReply(buf, header(KindAuthenReply, Version0), AuthenGetPass, true)
			b.ServerMsg("Password: ")
			b.Data("data")
		},
		"request": func() { b.AuthorRequest(buf, header(KindAuthorRequest, Version0), &r) },
		"response": func() {
			b.AuthorResponse(buf, header(KindAuthorResponse, Version0), AuthorPassRepl)
			b.ServerMsg("welcome")
			b.Data("by policy")
			b.Args(r.Args)
			b.Arg(arg)
			b.Pair("idletime", "10", true)
		},
		"record": func() { b.AcctRequest(buf, header(KindAcctRequest, Version0), &record) },
		"receipt": func() {
			b.AcctReply(buf, header(KindAcctReply, Version0), AcctSuccess)
			b.Data("log")
		},
		"error": func() { b.ErrorReply(buf, header(KindAuthorResponse, Version0)) },
	} {
		if n := testing.AllocsPerRun(100, func() {
			build()
			if _, f := b.Finish(secret); f != OK {
				t.Fatal(f)
			}
		}); n != 0 {
			t.Errorf("building a %s allocates %v times", name, n)
		}
	}
	header := header(KindAuthenStart, Version0)
	if n := testing.AllocsPerRun(100, func() { Refusal(buf, &header) }); n != 0 {
		t.Errorf("refusing allocates %v times", n)
	}
}

// exchange is a command authorization as devices send it.
func exchange(t testing.TB, secret *Secret) []byte {
	var b Builder
	b.AuthorRequest(buffer(), header(KindAuthorRequest, Version0), &AuthorRequest{
		Method: MethodTACACSPlus, PrivLvl: 15, Type: TypeASCII, Service: ServiceLogin,
		User: []byte("alice"), Port: []byte("tty10"), RemAddr: []byte("192.0.2.15"),
		Args: argsOf("service=shell", "cmd=show", "cmd-arg=running-config", "cmd-arg=<cr>"),
	})
	p, f := b.Finish(secret)
	if f != OK {
		t.Fatal(f)
	}
	return p
}

// BenchmarkAuthorization reads a REQUEST and answers it, one by one and MaxBatch together.
func BenchmarkAuthorization(bench *testing.B) {
	secret := secretOf(bench, "testing123")
	packet := exchange(bench, secret)
	var b Builder
	var r AuthorRequest
	answer := func(h *Header, body, buf []byte) {
		if f := ParseAuthorRequest(body, 0, &r); f != OK {
			bench.Fatal(f)
		}
		b.AuthorResponse(buf, h.Answer(), AuthorPassAdd)
	}
	bench.Run("one", func(bench *testing.B) {
		work, buf := make([]byte, len(packet)), buffer()
		bench.ReportAllocs()
		for bench.Loop() {
			copy(work, packet)
			h, _ := ParseHeader(work, 65536, 0)
			secret.Obfuscate(work)
			answer(&h, work[HeaderLen:], buf)
			b.Finish(secret)
		}
	})
	bench.Run("together", func(bench *testing.B) {
		pads := NewPads()
		var work, buf [MaxBatch][]byte
		for i := range work {
			work[i], buf[i] = make([]byte, len(packet)), make([]byte, 0, 512)
		}
		bench.ReportAllocs()
		for n := 0; n < bench.N; n += MaxBatch {
			for i := range work {
				copy(work[i], packet)
				pads.Add(secret, work[i])
			}
			pads.Run()
			for i := range work {
				h, _ := ParseHeader(work[i], 65536, 0)
				answer(&h, work[i][HeaderLen:], buf[i])
				b.FinishIn(pads, secret)
			}
			pads.Run()
		}
	})
}
