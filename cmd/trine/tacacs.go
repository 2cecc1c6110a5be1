package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trine/appliance/probe"
)

// tacacsCommand is trine tacacs.
func (c *cli) tacacsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "tacacs", Short: "Try TACACS+ logins and authorizations", Args: cobra.ArbitraryArgs, RunE: parent}
	cmd.AddCommand(c.tacacsTestCommand())
	return cmd
}

// tacacsTestCommand is trine tacacs test.
func (c *cli) tacacsTestCommand() *cobra.Command {
	v := probe.Visit{Enable: probe.NoLevel}
	var files probe.DeviceTLS
	var password, command string
	var answers []string
	var stdin, secure bool
	var level int
	cmd := &cobra.Command{
		Use:   "test USER",
		Short: "Try a login as a device does, and what is asked for after it",
		Long: "Log in at a TACACS+ server as a device does, and tell what came back. The secret is that of a service provider whose sourceIPs hold\n" +
			"this machine's address; the password is asked for unless it is given. After the login come, where they are asked for, enable, a start\n" +
			"record, services, commands and a stop record. What the server asks for in an ascii login beside name and password, such as a one-time\n" +
			"password, is answered with --answer, or asked for on the terminal. The methods are ascii, pap and chap; MS-CHAP is not spoken, and none\n" +
			"leaves the login out. With --tls the device's certificate takes the place of the secret (RFC 9887).\n" +
			"Exit code 1 says that something was refused or that nobody answered.",
		Example: "  trine tacacs test alice --secret testing123\n" +
			"  trine tacacs test bob --secret testing123 --method pap --service shell --command 'show version' --account\n" +
			"  trine tacacs test alice --enable 15 --tls --certificate device.pem --key device.key --authorities ca.pem --tacacs 192.0.2.1:300",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, words []string) error {
			flags := cmd.Flags()
			v.User, v.Password, v.Secret = words[0], password, firstOf(v.Secret, os.Getenv("TRINE_TACACS_SECRET"))
			switch {
			case secure:
				v.TLS = &files
				if (files.Certificate == "") != (files.Key == "") {
					return usagef("--certificate and --key go together: give both or neither")
				}
			case files != (probe.DeviceTLS{}):
				return usagef("--certificate, --key, --authorities and --server-name are used with --tls")
			case v.Secret == "":
				return usagef("give the shared secret with --secret or in TRINE_TACACS_SECRET")
			}
			if flags.Changed("enable") {
				if level < 0 || level > 15 {
					return usagef("--enable %d is no privilege level: they are 0 to 15", level)
				}
				v.Enable = level
			}
			if flags.Changed("command") {
				if strings.TrimSpace(command) == "" {
					return usagef("--command is empty; a shell without a command is --service shell")
				}
				v.Commands = []string{command}
			}
			if v.Server == "" {
				v.Server = c.tacacsAddress(secure)
			}
			var err error
			if needed := v.Method != probe.MethodNone || v.Enable != probe.NoLevel && v.EnablePassword == ""; needed && password == "" {
				if v.Password, err = c.password(stdin, false); err != nil {
					return err
				}
			}
			v.Ask = c.answer(answers)
			found, err := v.Do(cmd.Context())
			if errors.Is(err, probe.ErrTacacsMethod) {
				return usageError{err}
			}
			if found == nil || err != nil && len(found.Exchanges) == 0 {
				return err
			}
			if shown := c.showVisited(found); shown != nil {
				return shown
			}
			if err == nil && !found.Passed {
				err = errors.New("not all of it was permitted; trine events --class decision shows the decision's id, and trine explain ID says why")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.Secret, "secret", "", "shared secret (TRINE_TACACS_SECRET)")
	f.StringVar(&password, "password", "", "password; better asked for or passed with --stdin, where other users cannot see it")
	f.BoolVar(&stdin, "stdin", false, "read the password from standard input")
	f.StringVar(&v.Method, "method", probe.MethodASCII, "ascii, pap, chap or none")
	f.StringArrayVar(&answers, "answer", nil, "`text` to answer what is asked for beside name and password; can be given more than once, in order")
	f.StringVar(&v.Server, "tacacs", "", "`address` of the TACACS+ server (default the node on --data, else 127.0.0.1:49, and 127.0.0.1:300 with --tls)")
	f.IntVar(&level, "enable", 0, "privilege `level` to rise to after the login (enable), 0 to 15")
	f.StringVar(&v.EnablePassword, "enable-password", "", "password of enable (default the same password)")
	f.StringArrayVar(&v.Services, "service", nil, "`service` to have authorized, such as shell or junos-exec; can be given more than once")
	f.StringArrayVar(&v.Arguments, "argument", nil, "further `argument` that is sent with each service, such as protocol=ip or priv-lvl*1; can be given more than once")
	f.StringVar(&command, "command", "", "`line` to have authorized as a command, such as 'show version'")
	f.BoolVar(&v.Account, "account", false, "send a start and a stop record around services and command")
	f.StringVar(&v.Port, "port", "trine", "`line` on the device that the person uses, to send")
	f.StringVar(&v.RemoteAddress, "remote-address", "", "`address` that the person comes from, to send")
	f.BoolVar(&v.SingleConnect, "single-connect", false, "offer to have everything on one connection")
	f.DurationVar(&v.Timeout, "timeout", 5*time.Second, "how long each answer is waited for")
	f.BoolVar(&secure, "tls", false, "speak over TLS 1.3, with the device's certificate and no secret")
	f.StringVar(&files.Certificate, "certificate", "", "PEM `file` with the device's certificate chain")
	f.StringVar(&files.Key, "key", "", "PEM `file` with the private key of --certificate")
	f.StringVar(&files.Authorities, "authorities", "", "PEM `file` with the authorities that may have issued the server's certificate (default the system's)")
	f.StringVar(&files.ServerName, "server-name", "", "`name` that the server's certificate must have (default the host of its address)")
	mustRegister(cmd, "method", fixed(probe.TacacsMethods()...))
	return cmd
}

// tacacsAddress returns where the node on the data directory answers TACACS+, or the usual port of this machine.
func (c *cli) tacacsAddress(secure bool) string {
	if secure {
		return firstOf(append(c.addresses().TacacsTLS, "127.0.0.1:300")...)
	}
	return firstOf(append(c.addresses().Tacacs, "127.0.0.1:49")...)
}

// answer returns how a server's questions are answered: with what the command line holds, and then by whoever sits at the terminal.
func (c *cli) answer(given []string) func(question string, hidden bool) (string, error) {
	return func(question string, hidden bool) (string, error) {
		if len(given) > 0 {
			said := given[0]
			given = given[1:]
			return said, nil
		}
		f, ok := c.in.(*os.File)
		if !ok || !isTerminal(c.in) {
			return "", usagef("the server asks %s and standard input is no terminal; answer with --answer", printable(question))
		}
		for line := range strings.Lines(question) {
			text := printable(strings.TrimRight(line, "\r\n"))
			if strings.HasSuffix(line, "\n") {
				fmt.Fprintln(c.err, text)
				continue
			}
			question = text
		}
		if hidden {
			return c.ask(f, question)
		}
		fmt.Fprint(c.err, question)
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read the answer: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
}

func (c *cli) showVisited(v *probe.Visited) error {
	return c.show(v, func(w io.Writer) error {
		for _, x := range v.Exchanges {
			status := c.paint(green, x.Status)
			if !x.Passed {
				status = c.paint(red, x.Status)
			}
			asked := ""
			if n := len(x.Questions); n > 0 {
				asked = ", " + counted(n, "question", "questions")
			}
			fmt.Fprintf(w, "%s: %s after %s%s\n", printable(x.Request), status, x.Took.Round(10*time.Microsecond), asked)
			for _, question := range x.Questions {
				fmt.Fprintf(w, "  asked: %s\n", printable(question))
			}
			if x.Message != "" {
				fmt.Fprintf(w, "  message: %s\n", printable(x.Message))
			}
			for _, argument := range x.Arguments {
				fmt.Fprintf(w, "  %s\n", printable(argument))
			}
		}
		if v.SingleConnect {
			fmt.Fprintln(w, "The server agreed to have all of it on one connection.")
		}
		return nil
	})
}
