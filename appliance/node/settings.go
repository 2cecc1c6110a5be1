package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"trine/protocols/tacacs"
)

// Settings are what one node is told at its start. Everything else is documents, which the cluster shares.
//
// Each setting has one name: it is the flag --NAME, the environment variable TRINE_NAME (capitals, - as _), and the key NAME
// of the file that --config names. A flag beats the environment, which beats the file, which beats the default.
type Settings struct {
	Data       string
	Quickstart bool

	NodeName string

	ClusterListen  string
	ClusterAddress string
	Join           string

	RadiusAuthentication []string
	RadiusAccounting     []string
	RadiusLoops          int
	RadiusDictionary     []string

	TacacsListen         []string
	TacacsTLSListen      []string
	TacacsTLSCertificate string
	TacacsTLSKey         string
	TacacsTLSAuthorities string
	TacacsTLSRevocations string
	TacacsProxies        []string
	TacacsLoops          int
	TacacsMaxBody        int

	WebListen      []string
	WebCertificate string
	WebKey         string

	OIDCPrivateAddresses []string

	GeoDatabase string

	ManagementListen      string
	ManagementCertificate string
	ManagementKey         string

	LogFormat string
	LogLevel  string

	PasswordCache  int
	WorkerParallel int
	TraceAccepts   int
	Retention      []string
	DecisionBytes  int64
	SealBytes      int64
	MinimumFree    int64
	ShutdownWithin time.Duration
}

// setting binds a field to its name. The kind of the field decides how text is read.
type setting struct {
	name  string
	usage string
	field any // *string, *bool, *int, *int64, *[]string, *time.Duration
}

// DefaultSettings returns the settings of a node that is told nothing: it listens on loopback only.
func DefaultSettings() *Settings {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "node"
	}
	return &Settings{
		Data:                 "./data",
		NodeName:             name,
		RadiusAuthentication: []string{"127.0.0.1:1812"},
		RadiusAccounting:     []string{"127.0.0.1:1813"},
		TacacsListen:         []string{"127.0.0.1:49"},
		TacacsMaxBody:        tacacs.DefaultMaxBody,
		WebListen:            []string{"127.0.0.1:1443"},
		ManagementListen:     "127.0.0.1:1444",
		LogFormat:            "text",
		LogLevel:             "info",
		PasswordCache:        200_000,
		TraceAccepts:         100,
		DecisionBytes:        4 << 30,
		SealBytes:            64 << 20,
		MinimumFree:          256 << 20,
		ShutdownWithin:       10 * time.Second,
	}
}

func (s *Settings) table() []setting {
	return []setting{
		{"data", "the node's data `directory`; it is made if it does not exist", &s.Data},
		{"quickstart", "on an empty log, apply the example documents: client 127.0.0.0/8 with secret testing123 over RADIUS and TACACS+, users alice and bob", &s.Quickstart},
		{"node-name", "the node's `name` in status and events (default: the host's name)", &s.NodeName},
		{"cluster-listen", "`address` on which other nodes of the cluster reach this one, usually with port 1445 (default: none, the node is alone)", &s.ClusterListen},
		{"cluster-address", "`name` or address with a port that other nodes dial (default: cluster-listen)", &s.ClusterAddress},
		{"join", "join a cluster by a `token` of `trine cluster token`, with an empty data directory; ignored once the node has joined. Other users can see flags: better set TRINE_JOIN", &s.Join},
		{"radius-authentication", "`addresses` on which RADIUS logins are answered; [::]:1812 and 0.0.0.0:1812 stand for every local address", &s.RadiusAuthentication},
		{"radius-accounting", "`addresses` on which RADIUS accounting is answered", &s.RadiusAccounting},
		{"radius-loops", "event `loops` for packets, each with a socket for every address (0: three for four cores, the rest is the log's)", &s.RadiusLoops},
		{"radius-dictionary", "dictionary `files` in FreeRADIUS syntax, read on top of the built-in ones", &s.RadiusDictionary},
		{"tacacs-listen", "`addresses` on which TACACS+ is answered (with --quickstart: 127.0.0.1:4949)", &s.TacacsListen},
		{"tacacs-tls-listen", "`addresses` on which TACACS+ over TLS 1.3 is answered (RFC 9887; usual port 300; default: none)", &s.TacacsTLSListen},
		{"tacacs-tls-certificate", "PEM `file` with the certificate chain of TACACS+ over TLS; it is read again when it changes", &s.TacacsTLSCertificate},
		{"tacacs-tls-key", "PEM `file` with the private key of tacacs-tls-certificate", &s.TacacsTLSKey},
		{"tacacs-tls-authorities", "PEM `file` with the authorities whose certificates devices prove over TLS", &s.TacacsTLSAuthorities},
		{"tacacs-tls-revocations", "`file` with the certificate revocation lists of tacacs-tls-authorities and of those below them, in PEM, or one in DER; it is read again when it changes, and a certificate of which no list in force tells is refused (default: none are asked for)", &s.TacacsTLSRevocations},
		{"tacacs-proxies", "`addresses` or prefixes whose connections to TACACS+ begin with a PROXY header (version 1 or 2)", &s.TacacsProxies},
		{"tacacs-loops", "event `loops` for connections (0: three for four cores)", &s.TacacsLoops},
		{"tacacs-max-body", "longest body of a TACACS+ packet that is accepted, in `bytes`; a longer one ends its connection", &s.TacacsMaxBody},
		{"web-listen", "`addresses` on which browsers are answered (HTTPS); `none`: on none", &s.WebListen},
		{"web-certificate", "PEM `file` with the certificate chain of the web front, for identity providers that have none of their own; it is read again when it changes (default: self-signed, kept in the data directory)", &s.WebCertificate},
		{"web-key", "PEM `file` with the private key of web-certificate", &s.WebKey},
		{"oidc-private-addresses", "`addresses` and prefixes of private networks in which clients of OpenID Connect may have their keys, sectors and logout endpoints, which this node then calls (default: none)", &s.OIDCPrivateAddresses},
		{"geo-database", "MMDB `file` with the countries and places of addresses, for adaptive rules; it is read again when it changes (default: none)", &s.GeoDatabase},
		{"management-listen", "`address` of the management listener (HTTPS: API, metrics, health)", &s.ManagementListen},
		{"management-certificate", "PEM `file` with the management listener's certificate chain (default: self-signed, kept in the data directory)", &s.ManagementCertificate},
		{"management-key", "PEM `file` with the private key of management-certificate", &s.ManagementKey},
		{"log-format", "`format` of the log on standard error: text or json", &s.LogFormat},
		{"log-level", "least `level` that is logged: debug, info, warn or error", &s.LogLevel},
		{"password-cache", "`number` of verified passwords kept in memory (0: none; each Argon2id login then takes its full time)", &s.PasswordCache},
		{"worker-parallel", "`number` of passwords hashed at once, in a process that yields to everything else (0: one a core)", &s.WorkerParallel},
		{"trace-accepts", "keep the full trace of one accept in `n` (rejects always keep theirs; 0: of none)", &s.TraceAccepts},
		{"retention", "how long events are kept, as `class=age` such as decision=30d or accounting=400d; classes left out are kept for ever", &s.Retention},
		{"decision-bytes", "cap on the history of decisions on disk, in `bytes`; the oldest goes first (0: none)", &s.DecisionBytes},
		{"seal-bytes", "size of the log, in `bytes`, at which it is sealed: written to history and the checkpoint, and cut", &s.SealBytes},
		{"minimum-free", "free disk space below which records are refused while logins go on, in `bytes`", &s.MinimumFree},
		{"shutdown-within", "`time` that a stopping node takes at most to answer what is under way", &s.ShutdownWithin},
	}
}

// Flags defines a flag for every setting, and --config, on flags. Read finishes the work once they are parsed.
func (s *Settings) Flags(flags *pflag.FlagSet) {
	flags.String("config", "", "YAML `file` with settings, by the names of these flags")
	for _, t := range s.table() {
		switch field := t.field.(type) {
		case *string:
			flags.StringVar(field, t.name, *field, t.usage)
		case *bool:
			flags.BoolVar(field, t.name, *field, t.usage)
		case *int:
			flags.IntVar(field, t.name, *field, t.usage)
		case *int64:
			flags.Int64Var(field, t.name, *field, t.usage)
		case *[]string:
			flags.StringSliceVar(field, t.name, *field, t.usage)
		case *time.Duration:
			flags.DurationVar(field, t.name, *field, t.usage)
		}
	}
}

// Environment returns the name of the environment variable of a setting.
func Environment(name string) string {
	return "TRINE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Read completes settings whose flags were parsed: it adds what the environment and the file say where no flag does, and
// checks the whole. The error names every setting that is wrong, where it was said, and what is expected.
func (s *Settings) Read(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	file, err := flags.GetString("config")
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if value, ok := lookup("TRINE_CONFIG"); ok && !flags.Changed("config") {
		file = value
	}
	said := map[string]*yaml.Node{}
	if file != "" {
		if said, err = readSettingsFile(file); err != nil {
			return err
		}
	}
	var wrong []error
	heard := map[string]bool{}
	for _, t := range s.table() {
		node := said[t.name]
		delete(said, t.name)
		if heard[t.name] = flags.Changed(t.name) || node != nil; flags.Changed(t.name) {
			continue
		}
		variable := Environment(t.name)
		if text, ok := lookup(variable); ok {
			heard[t.name] = true
			if err := set(t.field, strings.Split(text, ",")); err != nil {
				wrong = append(wrong, fmt.Errorf("environment variable %s: %w", variable, err))
			}
			continue
		}
		if node == nil {
			continue
		}
		texts, err := texts(node)
		if err == nil {
			err = set(t.field, texts)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s: %w", file, node.Line, t.name, err))
		}
	}
	for name, node := range said {
		wrong = append(wrong, fmt.Errorf("%s:%d: no setting is called %q; `trine serve --help` lists them", file, node.Line, name))
	}
	if s.Quickstart && !heard["tacacs-listen"] { // 49 is for those who may
		s.TacacsListen = []string{"127.0.0.1:4949"}
	}
	if len(s.WebListen) == 1 && s.WebListen[0] == "none" {
		s.WebListen = nil
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(append(wrong, s.check()...)...)
}

func readSettingsFile(file string) (map[string]*yaml.Node, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read settings file: %w", err)
	}
	said := map[string]*yaml.Node{}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("read settings file %s: %w", file, err)
	}
	if len(document.Content) == 0 {
		return said, nil
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: expected `setting: value` lines", file, top.Line)
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		name := top.Content[i].Value
		if said[name] != nil {
			return nil, fmt.Errorf("%s:%d: setting %q is said twice, first in line %d", file, top.Content[i].Line, name, said[name].Line)
		}
		said[name] = top.Content[i+1]
	}
	return said, nil
}

func texts(node *yaml.Node) ([]string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		return []string{node.Value}, nil
	case yaml.SequenceNode:
		list := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("expected a list of plain values")
			}
			list = append(list, item.Value)
		}
		return list, nil
	}
	return nil, errors.New("expected a value or a list of values")
}

func set(field any, values []string) error {
	if list, ok := field.(*[]string); ok {
		*list = slices.DeleteFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" })
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("expected one value, found %d", len(values))
	}
	value := strings.TrimSpace(values[0])
	var err error
	switch field := field.(type) {
	case *string:
		*field = value
	case *bool:
		if *field, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("expected true or false, found %q", value)
		}
	case *int:
		if *field, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("expected a whole number, found %q", value)
		}
	case *int64:
		if *field, err = strconv.ParseInt(value, 10, 64); err != nil {
			return fmt.Errorf("expected a whole number, found %q", value)
		}
	case *time.Duration:
		if *field, err = time.ParseDuration(value); err != nil {
			return fmt.Errorf("expected a time such as 10s, found %q", value)
		}
	}
	return nil
}

// loopsOf returns how many event loops run: as many as are asked for, else three for four cores. What decisions and records cost beside the loops,
// to apply them, to seal the log, to collect garbage, is a quarter of it all; a loop that shares its core with that holds up whoever was assigned to it.
func loopsOf(asked int) int {
	if asked > 0 {
		return asked
	}
	return max(1, runtime.GOMAXPROCS(0)*3/4)
}

// check returns what is wrong with the settings as a whole.
func (s *Settings) check() []error {
	var wrong []error
	add := func(format string, values ...any) { wrong = append(wrong, fmt.Errorf(format, values...)) }
	if s.Data == "" {
		add("data: name the node's data directory")
	}
	for _, list := range []struct {
		name      string
		addresses []string
	}{
		{"radius-authentication", s.RadiusAuthentication},
		{"radius-accounting", s.RadiusAccounting},
		{"tacacs-listen", s.TacacsListen},
		{"tacacs-tls-listen", s.TacacsTLSListen},
		{"web-listen", s.WebListen},
		{"management-listen", []string{s.ManagementListen}},
	} {
		for _, address := range list.addresses {
			if _, err := netip.ParseAddrPort(address); err != nil {
				add("%s: %q is not an address with a port, such as 127.0.0.1:1812 or [::1]:1812", list.name, address)
			}
		}
	}
	if (s.ManagementCertificate == "") != (s.ManagementKey == "") {
		add("management-certificate and management-key go together: give both or neither")
	}
	if (s.WebCertificate == "") != (s.WebKey == "") {
		add("web-certificate and web-key go together: give both or neither")
	}
	if s.LogFormat != "text" && s.LogFormat != "json" {
		add("log-format: expected text or json, found %q", s.LogFormat)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		add("log-level: expected debug, info, warn or error, found %q", s.LogLevel)
	}
	if s.RadiusLoops < 0 || s.RadiusLoops > 256 {
		add("radius-loops: expected 0 to 256, found %d", s.RadiusLoops)
	}
	if s.PasswordCache < 0 {
		add("password-cache: expected 0 or more, found %d", s.PasswordCache)
	}
	if s.WorkerParallel < 0 || s.WorkerParallel > 64 {
		add("worker-parallel: expected 0 to 64, found %d", s.WorkerParallel)
	}
	if s.TraceAccepts < 0 {
		add("trace-accepts: expected 0 or more, found %d", s.TraceAccepts)
	}
	if s.SealBytes < 1<<20 {
		add("seal-bytes: expected at least %d (1 MiB), found %d", 1<<20, s.SealBytes)
	}
	if s.MinimumFree < 0 || s.DecisionBytes < 0 {
		add("minimum-free and decision-bytes: expected 0 or more")
	}
	if _, err := s.retention(); err != nil {
		wrong = append(wrong, err)
	}
	return append(append(wrong, s.checkCluster()...), s.checkTacacs()...)
}
