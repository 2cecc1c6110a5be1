package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"trine/bench/packets"
)

// Trine is a node of ours.
type Trine struct {
	*Process
	Auth, Acct        netip.AddrPort
	Tacacs, TacacsTLS netip.AddrPort
	Web               netip.AddrPort // where browsers are served; set before a start, it is the address to take
	binary            string
	data              string
	client            *http.Client
}

// trineDocuments let loopback ask, and keep passwords in the forms that are given for %[2]s.
const trineDocuments = `kind: UserType
name: default
spec:
  password:
    keep: [%[2]s]
---
kind: IdentityProvider
name: local
spec:
  type: local
  publicID: https://trine.example.com
  profiles:
    radius:
      enabled: true
    tacacs:
      enabled: true
---
kind: ServiceProvider
name: loopback
spec:
  type: radius
  publicID: loopback
  radius:
    sourceIPs: [127.0.0.0/8]
    secret: %[1]s
`

// OpenTrine names a node by its binary and its data directory.
func OpenTrine(binary, data string) *Trine {
	t := &Trine{binary: binary, data: data}
	socket := filepath.Join(data, "trine.sock")
	t.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	return t
}

// People are who is put into a data directory.
type People struct {
	N         int
	Forms     string // in which their passwords are kept, separated by commas
	Typical   bool   // with ten attributes and five groups each
	Group     string // that everybody is in; empty: none
	Documents string // more of them
}

// PrepareTrine makes a data directory with the first users of package packets, and leaves the node stopped.
func PrepareTrine(ctx context.Context, binary, data, secret string, people People) (*Trine, error) {
	t := OpenTrine(binary, data)
	if err := t.Start(ctx, allCores); err != nil {
		return nil, err
	}
	defer t.Kill()
	documents := fmt.Sprintf(trineDocuments, secret, people.Forms) + people.Documents
	columns := "userName,password"
	if people.Typical {
		columns += ",groups"
		for i := range typicalAttributes {
			documents += fmt.Sprintf("---\nkind: AttributeDefinition\nname: attribute%d\nspec: {description: one of ten}\n", i)
			columns += fmt.Sprintf(",attributes.attribute%d", i)
		}
		for i := range typicalGroups {
			documents += fmt.Sprintf("---\nkind: Group\nname: department-%d\n", i)
		}
	}
	if err := t.Command(ctx, documents, "apply", "-f", "-", "--yes"); err != nil {
		return nil, err
	}
	if people.Group != "" {
		columns += ",groups"
	}
	file := data + ".csv"
	defer os.Remove(file)
	for from := 0; from < people.N; from += importRows {
		if err := people.write(file, columns, from, min(from+importRows, people.N)); err != nil {
			return nil, fmt.Errorf("write people: %w", err)
		}
		if err := t.Command(ctx, "", "user", "import", file); err != nil {
			return nil, err
		}
	}
	return t, t.Stop()
}

// allCores is every core that there may be: taskset takes those that there are.
const allCores = "0-1023"

const (
	typicalAttributes = 10 // of a person
	typicalGroups     = 30 // of which a person is in five
)

// importRows is how many people are in one file: an import is bounded.
const importRows = 250_000

func (p *People) write(file, columns string, from, to int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, columns)
	for i := from; i < to; i++ {
		fmt.Fprintf(w, "%s,%s", packets.User(i), packets.Password(i))
		if p.Typical {
			fmt.Fprint(w, ",")
			for g := range 5 {
				if g > 0 {
					fmt.Fprint(w, ";")
				}
				fmt.Fprintf(w, "department-%d", (i+7*g)%typicalGroups)
			}
			for a := range typicalAttributes {
				fmt.Fprintf(w, ",value %d", i*a)
			}
		}
		if p.Group != "" {
			fmt.Fprintf(w, ",%s", p.Group)
		}
		fmt.Fprintln(w)
	}
	return errors.Join(w.Flush(), f.Close())
}

// Command runs a command of the CLI on the node, with the text as its input.
func (t *Trine) Command(ctx context.Context, input string, arguments ...string) error {
	c := exec.CommandContext(ctx, t.binary, append(arguments, "--data", t.data)...)
	c.Stdin = strings.NewReader(input)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("trine %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	return nil
}

// Output runs a command of the CLI on the node and returns what it writes to standard output.
func (t *Trine) Output(ctx context.Context, arguments ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, t.binary, append(arguments, "--data", t.data)...)
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("trine %s: %w: %s", strings.Join(arguments, " "), err, complaint.String())
	}
	return out, nil
}

// Version returns what the binary calls itself.
func (t *Trine) Version() string {
	out, err := exec.Command(t.binary, "version").Output()
	if err != nil {
		return "unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return "unknown version"
	}
	return fields[len(fields)-1]
}

// Start starts the node on the given cores and waits until it serves.
func (t *Trine) Start(ctx context.Context, cores string, arguments ...string) (err error) {
	file := filepath.Join(t.data, "addresses.json")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the addresses of an earlier run: %w", err)
	}
	web := "127.0.0.1:0"
	if t.Web.IsValid() {
		web = t.Web.String()
	}
	arguments = append([]string{
		"serve", "--data", t.data, "--radius-authentication", "127.0.0.1:0", "--radius-accounting", "127.0.0.1:0", "--tacacs-listen", "127.0.0.1:0",
		"--management-listen", "127.0.0.1:0", "--web-listen", web,
	}, arguments...)
	if t.Process, err = start(cores, nil, t.binary, arguments...); err != nil {
		return err
	}
	return t.until(ctx, "start Trine", readyWithin, func() error { return t.readAddresses(file) })
}

// Ready waits until a node that began again serves, and reads its addresses.
func (t *Trine) Ready(ctx context.Context) error {
	return t.until(ctx, "start Trine", readyWithin, func() error { return t.readAddresses(filepath.Join(t.data, "addresses.json")) })
}

func (t *Trine) readAddresses(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var a struct{ RadiusAuthentication, RadiusAccounting, Tacacs, TacacsTLS, Web []netip.AddrPort }
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	t.Auth, t.Acct, t.Tacacs = a.RadiusAuthentication[0], a.RadiusAccounting[0], a.Tacacs[0]
	if len(a.Web) > 0 {
		t.Web = a.Web[0]
	}
	if len(a.TacacsTLS) > 0 {
		t.TacacsTLS = a.TacacsTLS[0]
	}
	return nil
}

// Metrics are the values of /metrics, by name and, for those with labels, also by name{labels}; the former is then their sum.
type Metrics map[string]float64

// Metrics asks the node.
func (t *Trine) Metrics(ctx context.Context) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://trine/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := t.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: %s %w", response.Status, err)
	}
	m := Metrics{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if i := strings.LastIndexByte(line, '}'); i >= 0 { // label values may hold spaces
			name, value = line[:i+1], strings.TrimSpace(line[i+1:])
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read metrics: line %q: %w", line, err)
		}
		m[name] = v
		if bare, _, ok := strings.Cut(name, "{"); ok {
			m[bare] += v
		}
	}
	return m, nil
}
