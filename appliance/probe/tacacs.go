package probe

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nwaples/tacplus"

	"trine/protocols/tacacs/wire"
)

// The methods of a TACACS+ login, beside MethodPAP and MethodCHAP.
const (
	MethodASCII = "ascii" // the server asks, RFC 8907 section 5.4.2.1
	MethodNone  = "none"  // no login: what comes after one is asked for at once, as a device does that knows people by keys
)

// TacacsMethods returns the names of the methods of a TACACS+ login. MS-CHAP is none of them: the client's library does not speak it.
func TacacsMethods() []string { return []string{MethodASCII, MethodPAP, MethodCHAP, MethodNone} }

// NoLevel as Visit.Enable is no change of the privilege level.
const NoLevel = -1

// Visit is what somebody does on a device that asks a TACACS+ server about it: a login, and what is asked for after it.
type Visit struct {
	Server string     // host:port
	Secret string     // the shared secret; within TLS there is none
	TLS    *DeviceTLS // nil: without TLS

	User     string
	Password string
	Method   string // one of TacacsMethods; empty means ASCII
	// Ask answers what the server asks for beside name and password: a second factor, a new password. hidden says that what is typed must not be
	// shown. An error of it gives the login up. nil: nobody can be asked, which is ErrQuestion.
	Ask func(question string, hidden bool) (string, error)

	Enable         int    // the privilege level to rise to after the login, or NoLevel
	EnablePassword string // what is typed for it; empty means Password

	Services  []string // services to have authorized after the login, such as "shell"
	Arguments []string // what is sent with each of them, such as "protocol=ip"
	Commands  []string // command lines to have authorized then
	Account   bool     // whether a start and a stop record are sent around services and commands

	Port          string // the line on the device; empty means "trine"
	RemoteAddress string // where the person is

	SingleConnect bool          // whether to offer to have everything on one connection
	Timeout       time.Duration // how long each answer is waited for; 0 means 5 s
}

// Exchange is one request of a visit and what came of it.
type Exchange struct {
	Request   string        `json:"request"` // "login", "enable 15", "start", "service shell", "command show version", "stop"
	Status    string        `json:"status"`  // the last answer's, by its name in RFC 8907
	Passed    bool          `json:"passed"`
	Questions []string      `json:"questions,omitempty"` // what the person was asked, in order
	Message   string        `json:"message,omitempty"`   // what the last answer had for the person to read
	Arguments []string      `json:"arguments,omitempty"` // of an authorization
	Took      time.Duration `json:"-"`                   // waiting for the server, without what a person took to answer
	Micros    int64         `json:"micros"`              // Took in microseconds
}

// Visited is what came of a visit.
type Visited struct {
	Passed        bool       `json:"passed"`                  // whether each of the exchanges did
	SingleConnect bool       `json:"singleConnect,omitempty"` // whether the server agreed to it
	Connections   int        `json:"connections"`             // how many it took
	Exchanges     []Exchange `json:"exchanges"`
}

var (
	// ErrTacacsMethod means that a method's name is unknown.
	ErrTacacsMethod = errors.New("unknown method: want ascii, pap, chap or none (the client's library does not speak MS-CHAP)")
	// ErrClosed means that the server ended the connection without an answer.
	ErrClosed = errors.New("the server closed the connection without an answer: is this machine's address among a service provider's sourceIPs")
	// ErrGarbled means that an answer makes no sense under the shared secret.
	ErrGarbled = errors.New("the answer makes no sense")
	// ErrQuestion means that the server asked for something, and nobody was there to answer.
	ErrQuestion = errors.New("the server asks for something that nobody is there to answer")
	// ErrUnanswered means that no answer came in time.
	ErrUnanswered = errors.New("no answer in time")
	// errEmptyTacacsSecret means that there is no secret, and no TLS in its place.
	errEmptyTacacsSecret = errors.New("without TLS there must be a shared secret")
)

// visitor is a visit under way.
type visitor struct {
	*Visit
	client *tacplus.Client
	line   *line
	out    *Visited
	level  uint8
	began  time.Time
	task   string
}

// Do goes through the visit. It ends with the first login or enable that does not pass; authorizations that are denied do not end it. An answer
// that says no is no error. With an error, what came before it is returned as well.
func (v Visit) Do(ctx context.Context) (*Visited, error) {
	if v.Timeout <= 0 {
		v.Timeout = 5 * time.Second
	}
	if v.Port == "" {
		v.Port = "trine"
	}
	if v.Method == "" {
		v.Method = MethodASCII
	}
	if v.EnablePassword == "" {
		v.EnablePassword = v.Password
	}
	l, err := newLine(&v)
	if err != nil {
		return nil, err
	}
	var task [4]byte
	// Read never fails: it ends the process instead.
	_, _ = rand.Read(task[:])
	w := &visitor{Visit: &v, line: l, out: &Visited{Passed: true, Exchanges: []Exchange{}}, level: 1, task: hex.EncodeToString(task[:])}
	w.client = &tacplus.Client{
		Addr: v.Server, DialContext: l.dial,
		ConnConfig: tacplus.ConnConfig{Secret: l.secret, Mux: v.SingleConnect, Log: func(...any) {}}, // what it would log comes back as an error
	}
	defer w.client.Close()
	if err = w.run(ctx); err != nil {
		w.out.Passed = false
	}
	w.out.SingleConnect, w.out.Connections = l.agreed.Load(), int(l.dialled.Load())
	return w.out, err
}

// run makes the exchanges in their order.
func (w *visitor) run(ctx context.Context) error {
	if w.Method != MethodNone {
		start, err := w.login()
		if err != nil {
			return err
		}
		if err := w.authenticate(ctx, "login", start, w.Password); err != nil || !w.out.Passed {
			return err
		}
	}
	if w.Enable != NoLevel {
		start := w.start(tacplus.AuthenTypeASCII)
		start.AuthenService, start.PrivLvl = tacplus.AuthenServiceEnable, uint8(w.Enable)
		if err := w.authenticate(ctx, "enable "+strconv.Itoa(w.Enable), start, w.EnablePassword); err != nil || !w.out.Passed {
			return err
		}
		w.level = uint8(w.Enable)
	}
	w.began = time.Now()
	if w.Account {
		if err := w.account(ctx, "start", tacplus.AcctFlagStart, "start_time="+unix(w.began)); err != nil {
			return err
		}
	}
	for _, service := range w.Services {
		args := []string{"service=" + service}
		if service == "shell" {
			args = append(args, "cmd=") // RFC 8907 section 8.2: an exec is a shell without a command
		}
		if err := w.authorize(ctx, "service "+service, append(args, w.Arguments...)); err != nil {
			return err
		}
	}
	for _, command := range w.Commands {
		if err := w.authorize(ctx, "command "+command, commandArguments(command)); err != nil {
			return err
		}
	}
	if w.Account {
		end := time.Now()
		return w.account(ctx, "stop", tacplus.AcctFlagStop, "start_time="+unix(w.began), "stop_time="+unix(end),
			"elapsed_time="+strconv.Itoa(int(end.Sub(w.began).Seconds())))
	}
	return nil
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// commandArguments returns a command line as devices send it.
func commandArguments(command string) []string {
	args := []string{"service=shell"}
	for i, word := range strings.Fields(command) {
		name := "cmd-arg="
		if i == 0 {
			name = "cmd="
		}
		args = append(args, name+word)
	}
	return append(args, "cmd-arg=<cr>")
}

// start returns the beginning of an authentication.
func (w *visitor) start(kind uint8) *tacplus.AuthenStart {
	return &tacplus.AuthenStart{
		Action: tacplus.AuthenActionLogin, PrivLvl: w.level, AuthenType: kind, AuthenService: tacplus.AuthenServiceLogin,
		User: w.User, Port: w.Port, RemAddr: w.RemoteAddress,
	}
}

// login returns the beginning of the login.
func (w *visitor) login() (*tacplus.AuthenStart, error) {
	switch w.Method {
	case MethodASCII:
		return w.start(tacplus.AuthenTypeASCII), nil
	case MethodPAP:
		start := w.start(tacplus.AuthenTypePAP)
		start.Data = []byte(w.Password)
		return start, nil
	case MethodCHAP: // RFC 8907 section 5.4.2.3
		start := w.start(tacplus.AuthenTypeCHAP)
		data := make([]byte, 1+16, 1+16+md5.Size)
		_, _ = rand.Read(data)
		sum := md5.Sum(append(append([]byte{data[0]}, w.Password...), data[1:]...))
		start.Data = append(data, sum[:]...)
		return start, nil
	}
	return nil, fmt.Errorf("method %q: %w", w.Method, ErrTacacsMethod)
}

// authenticate goes through an authentication, answering what is asked for.
func (w *visitor) authenticate(ctx context.Context, request string, start *tacplus.AuthenStart, password string) error {
	x := Exchange{Request: request}
	var reply *tacplus.AuthenReply
	var session *tacplus.ClientSession
	err := w.wait(ctx, &x, func(ctx context.Context) (err error) {
		reply, session, err = w.client.SendAuthenStart(ctx, start)
		return err
	})
	for err == nil && session != nil {
		var said string
		if said, err = w.say(&x, reply, &password); err != nil {
			giveUp, done := context.WithTimeout(context.WithoutCancel(ctx), w.Timeout)
			_ = session.Abort(giveUp, "") // whether or not it arrives: the connection ends with the visit
			done()
			return fmt.Errorf("%s: %w", request, err)
		}
		err = w.wait(ctx, &x, func(ctx context.Context) (err error) {
			reply, err = session.Continue(ctx, said)
			return err
		})
		if err == nil && !asks(reply) {
			session = nil
		}
	}
	if err != nil {
		return err
	}
	x.Status, x.Passed, x.Message = wire.AuthenStatus(reply.Status).String(), reply.Status == tacplus.AuthenStatusPass, reply.ServerMsg
	w.add(x)
	return nil
}

func asks(r *tacplus.AuthenReply) bool {
	switch r.Status {
	case tacplus.AuthenStatusGetUser, tacplus.AuthenStatusGetPass, tacplus.AuthenStatusGetData:
		return true
	}
	return false
}

// say returns what the person answers: the name and the password once, and then what he says when he is asked.
func (w *visitor) say(x *Exchange, reply *tacplus.AuthenReply, password *string) (string, error) {
	x.Questions = append(x.Questions, reply.ServerMsg)
	switch {
	case reply.Status == tacplus.AuthenStatusGetUser && w.User != "":
		return w.User, nil
	case reply.Status == tacplus.AuthenStatusGetPass && *password != "":
		said := *password
		*password = ""
		return said, nil
	case w.Ask == nil:
		return "", fmt.Errorf("%w: %q", ErrQuestion, reply.ServerMsg)
	}
	return w.Ask(reply.ServerMsg, reply.NoEcho)
}

// authorize has a service or a command authorized.
func (w *visitor) authorize(ctx context.Context, request string, args []string) error {
	x := Exchange{Request: request}
	var reply *tacplus.AuthorResponse
	err := w.wait(ctx, &x, func(ctx context.Context) (err error) {
		method, kind := w.proved()
		reply, err = w.client.SendAuthorRequest(ctx, &tacplus.AuthorRequest{
			AuthenMethod: method, PrivLvl: w.level, AuthenType: kind, AuthenService: tacplus.AuthenServiceLogin,
			User: w.User, Port: w.Port, RemAddr: w.RemoteAddress, Arg: args,
		})
		return err
	})
	if err != nil {
		return err
	}
	x.Status, x.Message, x.Arguments = wire.AuthorStatus(reply.Status).String(), reply.ServerMsg, reply.Arg
	x.Passed = reply.Status == tacplus.AuthorStatusPassAdd || reply.Status == tacplus.AuthorStatusPassRepl
	w.add(x)
	return nil
}

// account sends a record of the session.
func (w *visitor) account(ctx context.Context, request string, flags uint8, args ...string) error {
	x := Exchange{Request: request}
	var reply *tacplus.AcctReply
	err := w.wait(ctx, &x, func(ctx context.Context) (err error) {
		method, kind := w.proved()
		reply, err = w.client.SendAcctRequest(ctx, &tacplus.AcctRequest{
			Flags: flags, AuthenMethod: method, PrivLvl: w.level, AuthenType: kind, AuthenService: tacplus.AuthenServiceLogin,
			User: w.User, Port: w.Port, RemAddr: w.RemoteAddress, Arg: append(append([]string{"task_id=" + w.task}, args...), "service=shell"), // RFC 8907 section 8.3: those of accounting come first
		})
		return err
	})
	if err != nil {
		return err
	}
	x.Status, x.Passed, x.Message = wire.AcctStatus(reply.Status).String(), reply.Status == tacplus.AcctStatusSuccess, reply.ServerMsg
	w.add(x)
	return nil
}

// proved returns what the device says of how it knows the person.
func (w *visitor) proved() (method, kind uint8) {
	switch w.Method {
	case MethodASCII:
		return tacplus.AuthenMethodTACACSPlus, tacplus.AuthenTypeASCII
	case MethodPAP:
		return tacplus.AuthenMethodTACACSPlus, tacplus.AuthenTypePAP
	case MethodCHAP:
		return tacplus.AuthenMethodTACACSPlus, tacplus.AuthenTypeCHAP
	}
	return tacplus.AuthenMethodNotSet, 0
}

func (w *visitor) add(x Exchange) {
	x.Micros = x.Took.Microseconds()
	w.out.Passed = w.out.Passed && x.Passed
	w.out.Exchanges = append(w.out.Exchanges, x)
}

// wait sends a request and waits for its answer.
func (w *visitor) wait(ctx context.Context, x *Exchange, send func(context.Context) error) error {
	within, done := context.WithTimeout(ctx, w.Timeout)
	defer done()
	sent := time.Now()
	err := send(within)
	x.Took += time.Since(sent)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", x.Request, w.why(ctx, err))
}

// why says in plain words why there is no answer.
func (w *visitor) why(ctx context.Context, err error) error {
	var network *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s within %s: %w", w.Server, w.Timeout, ErrUnanswered)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no server listens on %s: %w", w.Server, err)
	case errors.Is(err, ErrClosed), errors.Is(err, ErrGarbled):
		return err
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w (%w)", ErrClosed, err)
	case errors.As(err, &network):
		return fmt.Errorf("speak to %s: %w", w.Server, err)
	}
	return fmt.Errorf("ask %s: %w", w.Server, err)
}
