package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"trine/appliance/admin"
	"trine/appliance/cluster"
	"trine/appliance/delivery"
	"trine/appliance/fetch"
	"trine/appliance/worker"
	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/certificate"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/protocols/oidc"
	"trine/protocols/radius"
	"trine/protocols/radius/dictionary"
	"trine/protocols/tacacs"
	"trine/protocols/web"
	"trine/raftstore"
	"trine/raftstore/transport"
)

// Names in the data directory.
const (
	nodeKeyName   = "node.key"       // the node's own key, for which cluster keys are wrapped
	addressesName = "addresses.json" // where the running node listens
	logDirectory  = "log"            // raftstore's
)

// flushEvery is how often what was decided off the loops is handed to the log.
const flushEvery = 5 * time.Millisecond

// catchUpWithin bounds how long a start waits for the log to be applied. A node that has no leader starts all the same, with
// what it knows: logins go on.
const catchUpWithin = 30 * time.Second

// Node is one running node. Its life: Start, Wait, Stop.
type Node struct {
	settings *Settings
	logger   *slog.Logger
	clock    func() time.Time

	identity cluster.Holder   // empty: this node is alone
	mesh     *transport.TLS   // the way to the other nodes; nil: the same
	care     *cluster.Service // nil: the same
	own      *secret.NodeKey
	again    chan string             // why the node is to start again; one at most
	ended    context.CancelCauseFunc // ends a start that is under way

	views       *state.State
	store       *raftstore.Store
	keyring     *secret.Keyring
	names       *dictionary.Dictionary // of RADIUS attributes
	policies    *policy.Compiler
	revocations *certificate.Revocations
	passwords   *worker.Passwords
	scripts     *worker.Scripts
	verifier    *credential.Verifier
	delivery    *delivery.Service
	geo         *geoFile // nil: there is no geo database
	engine      *engine.Engine
	telling     atomic.Pointer[telling] // nil: nobody is told of sessions yet
	radius      atomic.Pointer[radius.Server]
	tacacs      atomic.Pointer[tacacs.Server]
	devices     atomic.Pointer[deviceTLS] // nil: TACACS+ is not answered within TLS
	web         atomic.Pointer[web.Front] // nil: browsers are not answered
	webFiles    *webCertificate
	admin       *admin.Server

	management net.Listener
	serving    chan struct{} // closed once the node serves
	started    time.Time
	announced  bool // the file of addresses is this node's

	background sync.WaitGroup
	cancel     context.CancelFunc
}

// Addresses are where a node listens, with the ports that the system chose.
type Addresses struct {
	RadiusAuthentication []string `json:"radiusAuthentication"`
	RadiusAccounting     []string `json:"radiusAccounting"`
	Tacacs               []string `json:"tacacs"`
	TacacsTLS            []string `json:"tacacsTLS"`
	Web                  []string `json:"web"`
	Management           string   `json:"management"`
	Cluster              string   `json:"cluster,omitempty"`
}

// Start starts a node and returns when it serves. An error says which part could not start and what to do; everything that
// was started before is stopped again.
func Start(ctx context.Context, s *Settings, logger *slog.Logger) (*Node, error) {
	clock, err := systemClock()
	if err != nil {
		return nil, err
	}
	return startAt(ctx, s, logger, clock)
}

// startAt is Start with a clock of the caller's.
func startAt(ctx context.Context, s *Settings, logger *slog.Logger, clock func() time.Time) (_ *Node, err error) {
	n := &Node{settings: s, logger: logger, clock: clock, started: clock(), serving: make(chan struct{}), again: make(chan string, 1), views: state.New(), keyring: secret.NewKeyring()}
	ctx, n.ended = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ShutdownWithin)
			defer cancel()
			err = errors.Join(err, n.Stop(stopping))
		}
	}()
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return nil, refusal(fmt.Errorf("make the data directory: %w", err))
	}
	if info, err := os.Stat(s.Data); err == nil && info.Mode().Perm()&0o077 != 0 {
		logger.Warn("the data directory is open to other users; close it with chmod 700", "data", s.Data, "mode", info.Mode().Perm())
	}
	if err := n.newCompiler(); err != nil {
		return nil, err
	}
	if err := n.openLog(ctx); err != nil {
		return nil, refusal(err)
	}
	if err := n.startEngine(ctx); err != nil {
		return nil, err
	}
	if err := n.startListeners(ctx); err != nil {
		return nil, err
	}
	if s.Quickstart {
		if err := n.quickstart(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.writeAddresses(); err != nil {
		return nil, err
	}
	close(n.serving)
	return n, nil
}

// openLog reads the node's key, opens the log, waits until it is applied, and opens the cluster keys.
func (n *Node) openLog(ctx context.Context) error {
	kept, err := n.settings.retention()
	if err != nil {
		return err
	}
	if n.own, err = ownKey(n.settings.Data); err != nil {
		return err
	}
	if err := n.enterCluster(ctx, n.own); err != nil {
		return err
	}
	free := n.settings.MinimumFree
	config := raftstore.Config{
		Dir: filepath.Join(n.settings.Data, logDirectory), NodeName: n.settings.NodeName, Machine: machine{n.views}, Clock: n.clock,
		Logger: n.logger, Bootstrap: n.mesh == nil, Retention: kept, SealBytes: n.settings.SealBytes, Watermarks: [3]int64{4 * free, 2 * free, free},
		Restart: n.startAgain,
	}
	if n.mesh != nil {
		config.Mesh, config.Node = n.mesh, n.identity.Load().Node
	}
	n.store, err = raftstore.Open(ctx, config)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if err := n.awaitKeys(ctx); err != nil {
		return fmt.Errorf("wait for the cluster's state: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	if err := n.store.Barrier(waiting); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("apply the log: %w", context.Cause(ctx))
		}
		n.logger.Warn("no leader yet: the node serves with what it knows; nothing can be recorded until there is one", "error", err)
	}
	if err := becomeAlone(ctx, n.settings.Data, n.store.Status().Node, n.views, n.store); err != nil {
		return err
	}
	if err := openKeys(ctx, n.keyring, n.own, n.store.Status().Node, n.views, n.store); err != nil {
		return err
	}
	return n.settleCluster(n.own)
}

// newCompiler makes the compiler of policies. It listens to the views, so it is made before anything is applied to them.
func (n *Node) newCompiler() error {
	n.views.OnSSOEnded(n.ssoEnded)
	var err error
	if n.names, err = dictionaries(n.settings.RadiusDictionary); err != nil {
		return err
	}
	n.revocations = certificate.NewRevocations(fetch.New(fetch.Options{}), certificate.Limits{})
	n.policies, err = policy.NewCompiler(policy.Config{
		State: n.views, Wires: map[string]policy.Wire{document.TypeRadius: radius.NewWire(n.names), document.TypeTacacs: tacacs.Wire{}, document.TypeOIDC: oidc.Wire{}, document.TypeOIDCDynamic: oidc.Wire{}}, Keyring: n.keyring, Logger: n.logger, Clock: n.clock,
		Revoked: login.NewRevoked(n.revocations),
	})
	if err != nil {
		return fmt.Errorf("compile the policies: %w", err)
	}
	return nil
}

// startEngine compiles what the log holds, now that its secrets open, and starts the worker, the engine and what runs beside them.
func (n *Node) startEngine(ctx context.Context) error {
	n.policies.Recompile()
	var err error
	if n.passwords, err = worker.NewPasswords(worker.Config{Parallel: n.settings.WorkerParallel, Logger: n.logger}); err != nil {
		return fmt.Errorf("start the worker for passwords: %w", err)
	}
	if n.scripts, err = worker.NewScripts(worker.Config{Logger: n.logger}); err != nil {
		return fmt.Errorf("start the worker for scripts: %w", err)
	}
	cache := n.settings.PasswordCache
	if cache == 0 {
		cache = -1
	}
	n.verifier, err = credential.New(credential.Config{Keyring: n.keyring, Hasher: n.passwords, CacheSize: cache, Clock: n.clock})
	if err != nil {
		return fmt.Errorf("start the verifier of passwords: %w", err)
	}
	if n.settings.GeoDatabase != "" {
		n.geo = &geoFile{path: n.settings.GeoDatabase, logger: n.logger}
		if err := n.geo.load(); err != nil {
			return err
		}
	}
	n.delivery = delivery.New(delivery.Config{Documents: n.views, Keyring: n.keyring, Clock: n.clock, Logger: n.logger})
	n.engine = engine.New(engine.Config{
		People: n.views, Policies: n.policies.Holder(), Log: log{n.store}, Verifier: n.verifier, Scripts: n.scripts, Keyring: n.keyring, Messenger: n.delivery, Places: n.places(), Clock: n.clock, Logger: n.logger,
		TraceAccepts: n.settings.TraceAccepts, SessionsEnded: n.sessionsEnded,
	})
	n.telling.Store(&telling{n.store.Status().Node, n.engine})
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.background.Go(func() { _ = n.policies.Run(running) })
	n.background.Go(func() { n.flush(running) })
	if n.geo != nil {
		n.background.Go(func() { n.geo.follow(running) })
	}
	n.careForCluster(running)
	n.background.Go(func() { n.engine.Rehash(running) })
	n.background.Go(func() { keepDecoy(running, n.verifier, n.policies.Holder(), n.logger) })
	sweeper := &sweeper{views: n.views, store: n.store, engine: n.engine, clock: n.clock, logger: n.logger}
	n.background.Go(func() { sweeper.run(running) })
	return nil
}

// telling is who is told of sessions of single sign-on that a record of this node has ended. It is there once the log is applied, so nobody is told anew of what was before
// the start.
type telling struct {
	node   uint64
	engine *engine.Engine
}

func (n *Node) ssoEnded(at state.Stamp, ended []state.SSO) {
	if t := n.telling.Load(); t != nil && at.Node == t.node {
		t.engine.SessionsEnded(ended)
	}
}

func (n *Node) flush(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.engine.Flush()
		}
	}
}

// startListeners opens the management listener, then RADIUS and TACACS+, and records that the node came up.
func (n *Node) startListeners(ctx context.Context) error {
	if err := n.startAdmin(); err != nil {
		return err
	}
	server, err := radius.Start(radius.Config{
		Authentication: n.settings.RadiusAuthentication, Accounting: n.settings.RadiusAccounting, Loops: loopsOf(n.settings.RadiusLoops),
		NewLane:  func() radius.Lane { return n.engine.NewLane() },
		Policies: n.policies.Holder(), Cluster: n.store.Status().Cluster, Keyring: n.keyring, Clock: n.clock, Logger: n.logger,
	})
	if err != nil {
		return err
	}
	n.radius.Store(server)
	if err := n.startTacacs(); err != nil {
		return err
	}
	if err := n.startWeb(); err != nil {
		return err
	}
	if !n.store.HasLeader() {
		return nil
	}
	var b event.Builder
	status := n.store.Status()
	if err := b.Add(event.TypeNodeStarted, event.ClassSystem, nil, &event.NodeStarted{Node: status.Node, Name: n.settings.NodeName, Version: Version()}); err != nil {
		return err
	}
	if _, err := propose(ctx, n.store, b.Bytes()); err != nil {
		n.logger.Warn("the start of this node could not be recorded", "error", err)
	}
	return nil
}

// Addresses returns where the node listens.
func (n *Node) Addresses() Addresses {
	server := n.radius.Load()
	a := Addresses{Management: n.management.Addr().String()}
	if n.mesh != nil {
		a.Cluster = n.mesh.Addr().String()
	}
	for i := range n.settings.RadiusAuthentication {
		a.RadiusAuthentication = append(a.RadiusAuthentication, server.AuthenticationAddr(i).String())
	}
	for i := range n.settings.RadiusAccounting {
		a.RadiusAccounting = append(a.RadiusAccounting, server.AccountingAddr(i).String())
	}
	if t := n.tacacs.Load(); t != nil {
		for i := range n.settings.TacacsListen {
			a.Tacacs = append(a.Tacacs, t.PlainAddr(i).String())
		}
		for i := range n.settings.TacacsTLSListen {
			a.TacacsTLS = append(a.TacacsTLS, t.SecureAddr(i).String())
		}
	}
	if f := n.web.Load(); f != nil {
		for _, address := range f.Addrs() {
			a.Web = append(a.Web, address.String())
		}
	}
	return a
}

// writeAddresses tells whoever has the data directory where the node listens; the file appears whole.
func (n *Node) writeAddresses() error {
	text, err := json.MarshalIndent(n.Addresses(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode the node's addresses: %w", err)
	}
	path := filepath.Join(n.settings.Data, addressesName)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the node's addresses: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the node's addresses: %w", err)
	}
	n.announced = true
	return nil
}

// Wait returns when ctx ends (nil), when a part of the node has failed, or when it is to start again within its process (an error that Serve knows).
func (n *Node) Wait(ctx context.Context) error {
	server := n.radius.Load()
	var devices, out, browsers <-chan struct{} // never, where TACACS+ is not answered or the node is alone
	if n.mesh != nil {
		out = n.mesh.Out()
	}
	if t := n.tacacs.Load(); t != nil {
		devices = t.Done()
	}
	if f := n.web.Load(); f != nil {
		browsers = f.Done()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-server.Done():
		return fmt.Errorf("the RADIUS server ended: %w", server.Err())
	case reason := <-n.again:
		return &againError{reason}
	case <-out:
		return errRemoved
	case <-browsers:
		return fmt.Errorf("the web front ended: %w", n.web.Load().Err())
	case <-devices:
		return fmt.Errorf("the TACACS+ server ended: %w", n.tacacs.Load().Err())
	}
}

// Stop drains and stops the node within ctx, in the opposite order of its start. What was answered is kept whatever happens.
func (n *Node) Stop(ctx context.Context) error {
	var failed []error
	if server := n.radius.Load(); server != nil {
		failed = append(failed, server.Stop(ctx))
	}
	if server := n.tacacs.Load(); server != nil {
		failed = append(failed, server.Stop(ctx))
	}
	if f := n.web.Load(); f != nil {
		failed = append(failed, f.Stop(ctx))
	}
	if n.admin != nil {
		failed = append(failed, n.admin.Shutdown(ctx))
	}
	if n.delivery != nil {
		failed = append(failed, n.delivery.Close(ctx))
	}
	if n.passwords != nil {
		failed = append(failed, n.passwords.Close(ctx))
	}
	if n.scripts != nil {
		failed = append(failed, n.scripts.Close(ctx))
	}
	if n.revocations != nil {
		n.revocations.Close()
	}
	if n.cancel != nil {
		n.cancel()
		n.background.Wait()
		n.engine.Flush()
	}
	if n.store != nil {
		failed = append(failed, n.store.Close(ctx))
	}
	if n.mesh != nil {
		failed = append(failed, n.mesh.Close())
	}
	n.ended(nil)
	if n.announced {
		if err := os.Remove(filepath.Join(n.settings.Data, addressesName)); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
