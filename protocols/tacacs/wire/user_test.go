package wire

import "testing"

func TestUserIsThatOfTheMessage(t *testing.T) {
	var b Builder
	buf := make([]byte, 1024)
	request := AuthorRequest{Method: MethodTACACSPlus, Type: TypeASCII, Service: ServiceLogin, User: []byte("alice"), Port: []byte("tty1"), RemAddr: []byte("192.0.2.9")}
	for name, build := range map[string]func(){
		"START": func() {
			b.AuthenStart(buf, Header{Version: Version1, Type: Authentication, Seq: 1}, &AuthenStart{Action: Login, Type: TypePAP, Service: ServiceLogin, User: []byte("alice"), Data: []byte("secret")})
		},
		"authorization": func() {
			b.AuthorRequest(buf, Header{Version: Version0, Type: Authorization, Seq: 1}, &request)
			b.Arg([]byte("service=shell"))
			b.Arg([]byte("cmd="))
		},
		"accounting": func() {
			b.AcctRequest(buf, Header{Version: Version0, Type: Accounting, Seq: 1}, &AcctRequest{Flags: AcctStart, AuthorRequest: request})
			b.Arg([]byte("task_id=1"))
		},
	} {
		build()
		p, f := b.Finish(nil)
		if f != OK {
			t.Fatal(name, f)
		}
		h, _ := ParseHeader(p, MaxBody, 0)
		if got := User(&h, p[HeaderLen:]); string(got) != "alice" {
			t.Errorf("%s: %q", name, got)
		}
		for n := range len(p) - HeaderLen { // cut off, it is nobody or what there is
			if got := User(&h, p[HeaderLen:HeaderLen+n]); len(got) > 0 && string(got) != "alice" {
				t.Errorf("%s, %d bytes: %q", name, n, got)
			}
		}
	}
	b.AuthenContinue(buf, Header{Version: Version0, Type: Authentication, Seq: 3}, &AuthenContinue{UserMsg: []byte("alice and more")})
	p, f := b.Finish(nil)
	if f != OK {
		t.Fatal(f)
	}
	h, _ := ParseHeader(p, MaxBody, 0)
	if got := User(&h, p[HeaderLen:]); len(got) > 0 {
		t.Errorf("a CONTINUE: %q", got)
	}
}
