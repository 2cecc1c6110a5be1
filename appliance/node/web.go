package node

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"trine/appliance/admin"
	"trine/engine/state"
	"trine/protocols/web"
)

// startWeb opens the listeners for browsers, if there are any.
func (n *Node) startWeb() error {
	s := n.settings
	if len(s.WebListen) == 0 {
		return nil
	}
	n.webFiles = &webCertificate{certificate: s.WebCertificate, key: s.WebKey, clock: n.clock, logger: n.logger}
	if s.WebCertificate == "" {
		n.webFiles.certificate, n.webFiles.key = filepath.Join(s.Data, WebCertificateFile), filepath.Join(s.Data, webKeyFile)
		if err := ensureSelfSigned(n.webFiles.certificate, n.webFiles.key, "web", s.NodeName, s.WebListen, n.clock()); err != nil {
			return err
		}
	}
	if err := n.webFiles.load(); err != nil {
		return err
	}
	provider, err := n.newOpenID()
	if err != nil {
		return err
	}
	front, err := web.New(web.Config{
		Listen: s.WebListen, Engine: n.engine, People: n.views, Policies: n.policies.Holder(), Keyring: n.keyring, Certificate: n.webFiles.current, Clock: n.clock, Logger: n.logger,
		Protocols: []web.Protocol{provider},
	})
	if err != nil {
		return err
	}
	provider.Attach(front)
	if err := front.Start(); err != nil {
		return err
	}
	n.web.Store(front)
	for _, port := range front.UnusedPorts() {
		n.logger.Warn("no listener of this node has a port of an identity provider, so what it says about that port counts for nothing here", "port", port, "web_listen", s.WebListen)
	}
	return nil
}

// sessionsEnded has the front tell service providers of sessions that have ended.
func (n *Node) sessionsEnded(ended []state.SSO) {
	if front := n.web.Load(); front != nil {
		front.Ended(ended)
	}
}

// webCertificate is the certificate of the web front, of files that are read again when they change.
type webCertificate struct {
	certificate, key string
	clock            func() time.Time
	logger           *slog.Logger

	mu     sync.Mutex
	last   *tls.Certificate
	read   [2]time.Time // when each file was written that is in use
	looked time.Time
}

func (w *webCertificate) written() (at [2]time.Time, err error) {
	for i, name := range [...]string{w.certificate, w.key} {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

func (w *webCertificate) load() error {
	written, err := w.written()
	if err != nil {
		return fmt.Errorf("load the certificate of the web front: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(w.certificate, w.key)
	if err != nil {
		return fmt.Errorf("load the certificate of the web front %s with key %s: %w", w.certificate, w.key, err)
	}
	w.last, w.read, w.looked = &pair, written, w.clock()
	return nil
}

// current returns the certificate of the files as they are. Files that cannot be read leave it as it was.
func (w *webCertificate) current() *tls.Certificate {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	if now.Sub(w.looked) < lookEvery {
		return w.last
	}
	w.looked = now
	written, err := w.written()
	if err == nil && written == w.read {
		return w.last
	}
	if err == nil {
		err = w.load()
	}
	if err != nil {
		w.logger.Error("the certificate of the web front could not be read again; the one before stays in use", "error", err)
		return w.last
	}
	w.logger.Info("the certificate of the web front was read again")
	return w.last
}

// webStats is called from the first scrape on, which may come before browsers are answered.
func (n *Node) webStats() admin.WebStats {
	front := n.web.Load()
	if front == nil {
		return admin.WebStats{}
	}
	s := front.Stats()
	return admin.WebStats{
		Requests: s.Requests, Pages: s.Pages, Logins: s.Logins, Refused: s.Refused, Logouts: s.Logouts, Accepted: s.Accepted, Rejected: s.Rejected, Displaced: s.Displaced,
		CallsDone: s.CallsDone, CallsFailed: s.CallsFailed, CallsDropped: s.CallsDropped, UnknownHosts: s.UnknownHosts, BadForms: s.BadFlows,
		Connections: s.Connections, CallsWaiting: s.CallsWaiting,
	}
}
