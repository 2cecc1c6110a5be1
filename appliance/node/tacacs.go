package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"trine/appliance/admin"
	"trine/protocols/stream"
	"trine/protocols/tacacs"
	"trine/protocols/tacacs/wire"
	"trine/protocols/tally"
)

// startTacacs opens the listeners of TACACS+, if there are any.
func (n *Node) startTacacs() error {
	s := n.settings
	if len(s.TacacsListen)+len(s.TacacsTLSListen) == 0 {
		return nil
	}
	c := tacacs.Config{
		Plain: s.TacacsListen, Secure: s.TacacsTLSListen, Loops: loopsOf(s.TacacsLoops), MaxBody: s.TacacsMaxBody,
		NewLane:  func() tacacs.Lane { return n.engine.NewLane() },
		Policies: n.policies.Holder(), Clock: n.clock, Logger: n.logger,
	}
	var err error
	if c.Proxies, err = prefixes(s.TacacsProxies); err != nil {
		return fmt.Errorf("tacacs-proxies: %w", err)
	}
	if len(s.TacacsTLSListen) > 0 {
		files := &deviceTLS{certificate: s.TacacsTLSCertificate, key: s.TacacsTLSKey, authorities: s.TacacsTLSAuthorities, revocations: s.TacacsTLSRevocations, clock: n.clock, logger: n.logger}
		if c.TLS, err = files.config(); err != nil {
			return err
		}
		n.devices.Store(files)
	}
	server, err := tacacs.Start(c)
	if err != nil {
		return err
	}
	n.tacacs.Store(server)
	return nil
}

// devicesExpire returns when the certificate of TACACS+ over TLS expires that is in use; zero if there is none. Like tacacsStats it may be called early.
func (n *Node) devicesExpire() time.Time {
	files := n.devices.Load()
	if files == nil {
		return time.Time{}
	}
	return files.current().Certificates[0].Leaf.NotAfter
}

// prefixes reads addresses and prefixes.
func prefixes(texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, other := netip.ParseAddr(text)
			if other != nil {
				return nil, fmt.Errorf("%q is neither an address nor a prefix such as 192.0.2.0/24", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// deviceTLS is the TLS of devices, of files that are read again when they change.
type deviceTLS struct {
	certificate, key, authorities string
	revocations                   string // empty: none are known, and none are asked for
	clock                         func() time.Time
	logger                        *slog.Logger

	mu     sync.Mutex
	last   *tls.Config
	read   [4]time.Time // when each file was written that is in use
	looked time.Time
}

// lookEvery is how often a handshake looks whether the files have changed.
const lookEvery = 10 * time.Second

// config reads the files and returns a configuration that follows them.
func (d *deviceTLS) config() (*tls.Config, error) {
	d.read, _ = d.written() // before they are read, so that a change meanwhile is seen later; a file that is not there fails below
	c, err := d.load()
	if err != nil {
		return nil, err
	}
	d.last, d.looked = c, d.clock()
	follow := c.Clone()
	follow.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return d.current(), nil }
	return follow, nil
}

// current returns the configuration of the files as they are. Files that cannot be read leave it as it was.
func (d *deviceTLS) current() *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock()
	if now.Sub(d.looked) < lookEvery {
		return d.last
	}
	d.looked = now
	written, err := d.written()
	if err == nil && written == d.read {
		return d.last
	}
	var c *tls.Config
	if err == nil {
		c, err = d.load()
	}
	if err != nil {
		d.logger.Error("the TLS certificates of TACACS+ could not be read again; those before stay in use", "error", err)
		return d.last
	}
	d.last, d.read = c, written
	d.logger.Info("the TLS certificates of TACACS+ were read again")
	return c
}

func (d *deviceTLS) written() (at [4]time.Time, err error) {
	for i, name := range [...]string{d.certificate, d.key, d.authorities, d.revocations} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

func (d *deviceTLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(d.certificate, d.key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate of TACACS+ %s with key %s: %w", d.certificate, d.key, err)
	}
	text, err := os.ReadFile(d.authorities)
	if err != nil {
		return nil, fmt.Errorf("load the authorities of devices: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("load the authorities of devices: %s has no certificate in PEM", d.authorities)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		// Agreeing on keys with ML-KEM, which comes first otherwise, costs as much as the rest of a handshake.
		CurvePreferences: []tls.CurveID{tls.CurveP256, tls.X25519},
	}
	if d.revocations != "" {
		r, err := readRevocations(d.revocations, d.clock)
		if err != nil {
			return nil, err
		}
		c.VerifyConnection = r.verify
	}
	return c, nil
}

// checkTacacs returns what is wrong with the settings of TACACS+.
func (s *Settings) checkTacacs() (wrong []error) {
	given := 0
	for _, name := range [...]string{s.TacacsTLSCertificate, s.TacacsTLSKey, s.TacacsTLSAuthorities} {
		if name != "" {
			given++
		}
	}
	switch {
	case len(s.TacacsTLSListen) > 0 && given < 3:
		wrong = append(wrong, errors.New("tacacs-tls-listen needs tacacs-tls-certificate, tacacs-tls-key and tacacs-tls-authorities: devices and node prove their certificates to each other (RFC 9887)"))
	case len(s.TacacsTLSListen) == 0 && (given > 0 || s.TacacsTLSRevocations != ""):
		wrong = append(wrong, errors.New("tacacs-tls-certificate, tacacs-tls-key, tacacs-tls-authorities and tacacs-tls-revocations are used with tacacs-tls-listen, which has no address"))
	}
	if _, err := prefixes(s.TacacsProxies); err != nil {
		wrong = append(wrong, fmt.Errorf("tacacs-proxies: %w", err))
	}
	if s.TacacsMaxBody < tacacs.MinBody || s.TacacsMaxBody > wire.MaxBody {
		wrong = append(wrong, fmt.Errorf("tacacs-max-body: expected %d to %d, found %d", tacacs.MinBody, wire.MaxBody, s.TacacsMaxBody))
	}
	if s.TacacsLoops < 0 || s.TacacsLoops > 256 {
		wrong = append(wrong, fmt.Errorf("tacacs-loops: expected 0 to 256, found %d", s.TacacsLoops))
	}
	return wrong
}

// tacacsStats is called from the first scrape on, which may come before TACACS+ is answered.
func (n *Node) tacacsStats() admin.TacacsStats {
	server := n.tacacs.Load()
	if server == nil {
		return admin.TacacsStats{}
	}
	s, t := server.Stats(), server.Connections()
	out := admin.TacacsStats{
		Requests: counts(s.Requests), Answers: counts(s.Answers), Rejects: counts(s.Rejects), Dropped: counts(s.Dropped), Latencies: latencies(s.Latencies),
		SingleConnect: s.SingleConnect, Sessions: s.Sessions, Logins: s.Logins, Records: s.Records,
		Connections: t.Open, HandshakesUnderWay: t.HandshakesUnderWay, Accepted: t.Accepted, Handshakes: t.Handshakes,
		BytesIn: t.BytesIn, BytesOut: t.BytesOut,
	}
	for cause, count := range t.Ended {
		if cause > 0 { // 0 is that of connections that are open
			out.Ended = append(out.Ended, admin.Count{Label: stream.Cause(cause).String(), Count: count})
		}
	}
	return out
}

func latencies(from []tally.Latency) []admin.Latency {
	bounds := tally.Bounds()
	var out []admin.Latency
	for i := range from {
		l := &from[i]
		out = append(out, admin.Latency{Kind: l.Kind, Method: l.Method, Bounds: bounds[:], Buckets: l.Buckets[:], Sum: l.Sum})
	}
	return out
}
