package engine

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"

	"trine/engine/credential"
	"trine/engine/credential/otp"
	"trine/engine/credential/pin"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/script"
	"trine/engine/state"
	"trine/engine/trace"
)

// TestScenarios runs testdata/*.txt: blocks of a command, its input, ---- and what comes of it. Each file is a cluster of its own that begins
// empty, on Sunday, 2026-03-01 at 12:00 UTC. `go test ./engine -run Scenarios -rewrite` writes the outputs anew: review the difference.
//
//	apply                 documents, all of which are put in force, or none
//	delete KIND/NAME...   deletes documents
//	passwords             NAME PASSWORD [keep FORM,...] [must-change]: the forms are argon2id (alone, if none is named), keyed, nt, clear
//	login [trace]         NAME PASSWORD [by METHOD] [from ADDRESS] [calling STATION] [called STATION] [nas NAME] [port N]
//	                      [with ATTRIBUTE=VALUE]: what each login gets, and with trace why. METHOD is pap (if none is named), chap, mschapv1,
//	                      mschapv2, mschap-cpw, mac or none; "" is nothing
//	                      In a password {otp} is the present code of the name's device, and {sent} the code that was sent to him last.
//	answer [trace]        NAME TEXT and what may follow a login: the answer to the name's last challenge
//	enrol                 NAME otp, NAME pin DIGITS, or NAME push LABEL: a second factor
//	remove                NAME LABEL: takes a push device from him
//	device                LABEL approves, LABEL denies, or LABEL mistypes: what a push device answers to the challenge that it got last
//	sent                  what was sent since the last look
//	enable [trace]        NAME PASSWORD LEVEL and what may follow a login: a request for a privilege level
//	authorize [trace]     NAME [from ADDRESS] [level N] [port P] [remote R] : ARGUMENT...: an authorization, over TACACS+; a blank in an argument is written ~
//	session               start|interim|stop NAME SESSION: accounting of the name's last accepted login
//	sessions              NAME: how many sessions and reservations of his count
//	advance DURATION      lets time pass
//	leader on|off         whether the log has a leader
//	hasher works|full|fails|late
//
// Every login is simulated first, and the simulation must have said the same.
func TestScenarios(t *testing.T) {
	cases := 0
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &scenario{logins: map[string]uint64{}, states: map[string][]byte{}, devices: map[string]*otp.Secret{}, pushes: map[string]*pushDevice{}, post: new(postman)}
		s.rig = newEmptyRig(t, func(c *Config) {
			c.TraceAccepts, c.Messenger, c.Scripts = 1, s.post, &scriptBench{host: script.NewHost()}
		})
		s.engine.config.Keyring = s.ring
		s.aside = s.verifier.Aside()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.run(d)
		})
		cases += s.cases
	})
	if cases < 300 && !t.Failed() {
		t.Errorf("only %d logins are covered", cases)
	}
}

// scenario is the cluster of one file.
type scenario struct {
	*rig
	aside   *credential.Verifier
	logins  map[string]uint64      // the last accepted one of each name
	states  map[string][]byte      // of the last challenge of each name
	devices map[string]*otp.Secret // by name
	pushes  map[string]*pushDevice // by label
	post    *postman
	number  string // that was shown last for a push challenge
	told    int    // of the messages that were taken, how many were looked at
	cases   int

	browsers map[string]*browser
}

func (s *scenario) run(d *datadriven.TestData) string {
	var out strings.Builder
	lines := strings.Split(d.Input, "\n")
	each := func(f func(words []string) error) string {
		for _, line := range lines {
			if err := f(strings.Fields(line)); err != nil {
				d.Fatalf(s.t, "%s: %v", line, err)
			}
		}
		return out.String()
	}
	switch d.Cmd {
	case "apply":
		return s.put(d)
	case "delete":
		for _, a := range d.CmdArgs {
			kind, name, _ := strings.Cut(a.Key, "/")
			s.rig.delete(kind, name)
		}
		return "ok"
	case "passwords":
		return each(func(words []string) error { return s.setPassword(words) }) + "ok"
	case "login", "answer":
		traced := d.HasArg("trace")
		return each(func(words []string) error { return s.login(&out, words, traced, d.Cmd == "answer") })
	case "page":
		return each(func(words []string) error { return s.page(&out, words) })
	case "enable":
		traced := d.HasArg("trace")
		return each(func(words []string) error { return s.enable(&out, words, traced) })
	case "authorize":
		traced := d.HasArg("trace")
		return each(func(words []string) error { return s.authorize(&out, words, traced) })
	case "enrol":
		return each(s.enrol) + "ok"
	case "remove":
		return each(func(words []string) error {
			s.propose(&event.FactorRemoved{User: words[0], Id: words[1]})
			return nil
		}) + "ok"
	case "device":
		return each(func(words []string) error { return s.answers(&out, words) })
	case "sent":
		for ; s.told < len(s.post.taken); s.told++ {
			m := s.post.taken[s.told]
			fmt.Fprintf(&out, "%s to %s\n", m.Channel, m.To)
		}
		if out.Len() == 0 {
			return "nothing"
		}
		return out.String()
	case "session":
		return each(func(words []string) error { return s.session(&out, words) })
	case "sessions":
		return each(func(words []string) error {
			_, err := fmt.Fprintf(&out, "%s: %d\n", words[0], s.people.CountSessions(words[0], s.clock.Now()))
			return err
		})
	case "advance":
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(s.t, "%v", err)
		}
		s.clock.move(by)
		return s.clock.Now().Format("2006-01-02 15:04:05")
	case "leader":
		s.log.set(func(l *memoryLog) { l.leaderless = d.HasArg("off") })
		return "ok"
	case "hasher":
		return s.hasher(d)
	}
	d.Fatalf(s.t, "there is no command %q", d.Cmd)
	return ""
}

// put applies documents, and says which objects are broken.
func (s *scenario) put(d *datadriven.TestData) string {
	docs, err := document.Parse("scenario", strings.NewReader(d.Input))
	if err != nil {
		return err.Error()
	}
	if problems := document.ValidateAll(s.withBrought(docs), nil, present{s.people}); len(problems) > 0 {
		return problems.Error()
	}
	s.rig.apply(d.Input)
	out := "ok"
	for _, b := range s.compiler.Broken() {
		out += fmt.Sprintf("\nbroken %s %s: %s", b.Kind, b.Name, strings.ReplaceAll(b.Err.Error(), "\n", "; "))
	}
	return out
}

// setPassword reads NAME PASSWORD [keep FORM,...] [must-change].
func (s *scenario) setPassword(words []string) error {
	keep, must := credential.Keep{Argon2id: true}, false
	for i := 2; i < len(words); i++ {
		switch words[i] {
		case "keep":
			i++
			keep = credential.Keep{}
			for _, form := range strings.Split(words[i], ",") {
				switch form {
				case "argon2id":
					keep.Argon2id = true
				case "keyed":
					keep.Keyed = true
				case "nt":
					keep.NT = true
				case "clear":
					keep.Clear = true
				default:
					return fmt.Errorf("there is no form %q", form)
				}
			}
		case "must-change":
			must = true
		default:
			return fmt.Errorf("%q is not understood", words[i])
		}
	}
	set := s.forms(words[0], words[1], keep)
	set.MustChange = must
	s.propose(set)
	return nil
}

var methods = map[string]credential.Method{
	"pap": credential.PAP, "chap": credential.CHAP, "mschapv1": credential.MSCHAPv1, "mschapv2": credential.MSCHAPv2,
	"mschap-cpw": credential.MSCHAPCPW, "mac": credential.MAC, "none": credential.NoProof, "ascii": credential.ASCII,
}

// request reads NAME PASSWORD and what may follow.
func (s *scenario) request(words []string) (*Request, error) {
	if len(words) < 2 || len(words)%2 != 0 {
		return nil, errors.New("a login is a name, a password and pairs of words")
	}
	for i := range words[:2] {
		if words[i] == `""` {
			words[i] = ""
		}
	}
	password, err := s.typed(words[0], words[1])
	if err != nil {
		return nil, err
	}
	q := s.rig.request(words[0], password)
	method := credential.PAP
	for i := 2; i < len(words); i += 2 {
		value := words[i+1]
		var err error
		switch words[i] {
		case "by":
			var known bool
			if method, known = methods[value]; !known {
				err = fmt.Errorf("there is no method %q", value)
			}
			if method == credential.MAC {
				q.Calling = nil // that of other logins is another device
			}
		case "from":
			var source netip.Addr
			if source, err = netip.ParseAddr(value); err == nil {
				q.Source = netip.AddrPortFrom(source, 3000)
			}
		case "calling":
			q.Calling = []byte(value)
		case "called":
			q.Called = []byte(value)
		case "nas":
			q.NAS = []byte(value)
		case "with":
			name, text, _ := strings.Cut(value, "=")
			more, _ := q.Attributes.(attributes)
			if more == nil {
				more = attributes{}
			}
			more[name] = append(more[name], []byte(text))
			q.Attributes = more
		case "port":
			var port uint64
			port, err = strconv.ParseUint(value, 10, 32)
			q.NASPort = uint32(port)
		default:
			err = fmt.Errorf("%q is not understood", words[i])
		}
		if err != nil {
			return nil, err
		}
	}
	s.asks(q)
	if q.Protocol == "tacacs" { // only an ASCII login has further rounds
		q.Continues = q.Continues && method == credential.ASCII
	}
	return prove(s.t, q, method, password), nil
}

// typed returns what is typed for a password, its codes filled in.
func (s *scenario) typed(name, text string) (string, error) {
	if strings.Contains(text, "{otp}") {
		device := s.devices[name]
		if device == nil {
			return "", fmt.Errorf("%s has no device", name)
		}
		text = strings.ReplaceAll(text, "{otp}", s.code(device))
	}
	if strings.Contains(text, "{sent}") {
		if len(s.post.taken) == 0 {
			return "", errors.New("nothing was sent")
		}
		text = strings.ReplaceAll(text, "{sent}", s.post.taken[len(s.post.taken)-1].Values.Code)
	}
	return text, nil
}

// enrol reads NAME otp, NAME pin DIGITS, or NAME push LABEL.
func (s *scenario) enrol(words []string) error {
	switch {
	case len(words) == 2 && words[1] == "otp":
		s.devices[words[0]] = s.device(words[0], "token")
		return nil
	case len(words) == 3 && words[1] == "pin":
		kept, err := pin.DefaultPolicy().Keep([]byte(words[2]), s.ring, login.FactorContext(nil, words[0], "pin"))
		if err != nil {
			return err
		}
		s.propose(&event.FactorPut{User: words[0], Id: "pin", Kind: uint32(login.PIN), Data: kept})
		return nil
	}
	if len(words) == 3 && words[1] == "push" {
		s.pushes[words[2]] = s.pushDevice(words[0], words[2])
		return nil
	}
	return errors.New("a factor is otp, pin and its digits, or push and a label")
}

// attributes are attributes of a request, by the names under which fakeWire knows them.
type attributes map[string][][]byte

// AppendValues implements RequestAttributes.
func (a attributes) AppendValues(dst [][]byte, name any) [][]byte {
	return append(dst, a[name.(string)]...)
}

// login has a login simulated and decided, and tells what it got.
func (s *scenario) login(out *strings.Builder, words []string, traced, answers bool) error {
	s.cases++
	line := strings.Join(words, " ")
	q, err := s.request(words)
	if err != nil {
		return err
	}
	if answers {
		q.State = s.states[words[0]]
	}
	if q.Client == nil {
		fmt.Fprintf(out, "%s -> no answer: no service provider claims %s\n", line, q.Source.Addr())
		return nil
	}
	return s.tell(out, line, words[0], q, traced)
}

// enable reads NAME PASSWORD LEVEL and what may follow a login.
func (s *scenario) enable(out *strings.Builder, words []string, traced bool) error {
	s.cases++
	line := strings.Join(words, " ")
	level, err := strconv.ParseInt(words[2], 10, 8)
	if err != nil {
		return err
	}
	q, err := s.request(append(slices.Clone(words[:2]), words[3:]...))
	if err != nil {
		return err
	}
	q.Enable = int8(level)
	return s.tell(out, line, words[0], q, traced)
}

// tell has a request simulated and decided, and tells the outcome.
func (s *scenario) tell(out *strings.Builder, line, name string, q *Request, traced bool) error {
	again := *q
	taken := len(s.post.taken)
	told := s.simulate(&again, Circumstances{Verifier: s.aside})
	if len(s.post.taken) != taken {
		return errors.New("the simulation has sent a message")
	}
	d := s.decide(q)
	fmt.Fprintf(out, "%s -> %s %s\n", line, d.Verdict, d.Reason)
	if d.Verdict == event.Challenge {
		s.states[name] = bytes.Clone(d.State)
		fmt.Fprintf(out, "  shown: %s\n", numberShown.ReplaceAllString(d.Message, "number NN")) // another one each time
		s.number, _ = strings.CutPrefix(numberShown.FindString(d.Message), "number ")
	}
	for _, reply := range d.Replies {
		for _, item := range strings.Split(reply.(string), "\n") {
			fmt.Fprintf(out, "  reply %s\n", item)
		}
	}
	for _, r := range d.Released {
		fmt.Fprintf(out, "  release %s: %s\n", r.Attribute.Wire, strings.Join(stringsOf(r.Values), ", "))
	}
	if d.Verdict == event.Accept {
		s.logins[name] = d.ID
		if d.Privilege >= 0 {
			fmt.Fprintf(out, "  privilege %d\n", d.Privilege)
		}
	}
	found := s.found(q)
	s.lane.Flush() // a login that fails counts for the next one
	s.engine.Flush()
	return s.compare(out, found, told, traced)
}

// compare tells the steps, and holds a decision against what was simulated.
func (s *scenario) compare(out *strings.Builder, found, told *event.Decided, traced bool) error {
	if traced {
		for i, step := range found.Steps {
			code, subject := trace.StepCode(step.Code), step.Subject
			if code == trace.ChallengeAnswered {
				subject = "ID" // another one each time
			}
			fmt.Fprintf(out, "  %d. %s\n", i+1, code.Words(subject, step.Detail))
		}
	}
	if !proto.Equal(comparable(found), comparable(told)) {
		return fmt.Errorf("it was simulated as %s\n%s", told.Reason, wordsOf(told))
	}
	return nil
}

// authorize reads NAME and what may follow it, a colon and arguments.
func (s *scenario) authorize(out *strings.Builder, words []string, traced bool) error {
	s.cases++
	line := strings.Join(words, " ")
	colon := slices.Index(words, ":")
	if colon < 1 || colon%2 != 1 {
		return errors.New("an authorization is a name, pairs of words, a colon and arguments")
	}
	a := s.rig.authorization(words[0])
	for i := 1; i < colon; i += 2 {
		switch value := words[i+1]; words[i] {
		case "from":
			a.Source = netip.AddrPortFrom(netip.MustParseAddr(value), 3000)
		case "level":
			level, err := strconv.ParseInt(value, 10, 8)
			if err != nil {
				return err
			}
			a.Level = int8(level)
		case "port":
			a.Port = []byte(value)
		case "remote":
			a.RemoteAddress = []byte(value)
		default:
			return fmt.Errorf("%q is not understood", words[i])
		}
	}
	a.Client = a.Cache.ClientFor(document.TypeTacacs, a.Source.Addr())
	for _, w := range words[colon+1:] {
		a.Args = append(a.Args, []byte(strings.ReplaceAll(w, "~", " ")))
	}
	told, err := s.rehearse(a)
	if err != nil {
		return err
	}
	d := s.authorized(a)
	fmt.Fprintf(out, "%s -> %s %s\n", line, d.Verdict, d.Reason)
	if d.Replace {
		out.WriteString("  instead:\n")
	}
	for _, arg := range d.Args {
		fmt.Fprintf(out, "  %s\n", arg)
	}
	found, err := Simulation{s.engine}.Authorized(a)
	if err != nil {
		return err
	}
	s.lane.Flush()
	s.engine.Flush()
	return s.compare(out, found, told, traced)
}

// rehearse has an authorization simulated.
func (s *scenario) rehearse(a *Authorization) (*event.Decided, error) {
	again := &Authorization{
		Protocol: a.Protocol, Cache: a.Cache, Client: a.Client, Source: a.Source, Name: a.Name, Level: a.Level, Args: a.Args, Port: a.Port,
		RemoteAddress: a.RemoteAddress, Arrived: a.Arrived, Deadline: a.Deadline, Done: a.Done,
	}
	aside := s.engine.Simulate(Circumstances{})
	aside.NewLane().Authorize(again)
	return aside.Authorized(again)
}

// asks finds the client that a request is of: a RADIUS one, or else one of TACACS+.
func (s *scenario) asks(q *Request) {
	if q.Client = q.Cache.ClientFor(document.TypeRadius, q.Source.Addr()); q.Client == nil {
		if q.Client = q.Cache.ClientFor(document.TypeTacacs, q.Source.Addr()); q.Client != nil {
			q.Protocol, q.NASPort, q.Port = "tacacs", 0, []byte("tty1")
		}
	}
	q.Enable = -1
	switch {
	case q.Client == nil || q.Client.Spec == nil:
	case q.Client.Spec.Radius != nil:
		q.Continues, q.Appends = q.Client.Spec.Radius.Challenges(), q.Client.Spec.Radius.Appends()
	case q.Client.Spec.Tacacs != nil:
		q.Continues, q.Appends = q.Client.Spec.Tacacs.Challenges(), q.Client.Spec.Tacacs.Appends()
	}
}

// found returns what there is to be known of a decision, whether it was recorded or not.
func (s *scenario) found(q *Request) *event.Decided {
	d, err := Simulation{s.engine}.Decided(q)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func stringsOf(values [][]byte) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// session reads start|interim|stop NAME SESSION.
func (s *scenario) session(out *strings.Builder, words []string) error {
	status, known := map[string]uint32{"start": event.StatusStart, "interim": event.StatusInterim, "stop": event.StatusStop}[words[0]]
	if !known || len(words) != 3 {
		return errors.New("a session is start, interim or stop, a name and an id")
	}
	a := s.record(status, words[2])
	a.Record.UserName, a.Record.Login = []byte(words[1]), s.logins[words[1]]
	s.lane.Account(a)
	if a.Err != nil {
		return a.Err
	}
	fmt.Fprintf(out, "%s -> of %s\n", strings.Join(words, " "), a.Record.User)
	return nil
}

func (s *scenario) hasher(d *datadriven.TestData) string {
	s.bench.set(func(b *bench) {
		b.refuse, b.fail = nil, nil
		switch {
		case d.HasArg("works"):
		case d.HasArg("full"):
			b.refuse = credential.ErrQueueFull
		case d.HasArg("fails"):
			b.fail = credential.ErrHasherFailed
		case d.HasArg("late"):
			b.fail = credential.ErrDeadline
		default:
			d.Fatalf(s.t, "a hasher works, is full, fails or is late")
		}
	})
	return "ok"
}

// present lets documents be held against those in force.
type present struct{ *state.State }

// Document implements document.Lookup.
func (p present) Document(key string) *document.Document {
	kind, name, _ := strings.Cut(key, "/")
	stored, ok := p.State.Document(kind, name)
	if !ok {
		return nil
	}
	d, err := document.FromStored(kind, stored.Name, stored.Spec)
	if err != nil {
		return nil
	}
	return d
}

// Referrers implements document.Lookup; it is asked for deletions only, which are not validated here.
func (present) Referrers(string) iter.Seq[string] { return func(func(string) bool) {} }
