package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"trine/appliance/admin/api"
)

// SocketName is the name of the administration socket in the data directory.
const SocketName = "trine.sock"

// maxSocketPath is the longest path of a Unix socket: sun_path less its final NUL.
const maxSocketPath = 107

// ServeSocket starts to answer on a Unix socket at path. Whoever can open the socket is an administrator, so it is made with
// mode 0600, and only root and the node's own user are let in. A socket that a dead process left is replaced; one that answers
// is an error.
func (s *Server) ServeSocket(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("listen on %s: the path is longer than the %d bytes that a Unix socket may have; choose a shorter data directory", path, maxSocketPath)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return fmt.Errorf("listen on %s: another process answers there", path)
	}
	// The socket gets its mode before anybody can find it under its name.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return fmt.Errorf("make a place for the socket: %w", err)
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		_ = ln.Close()
		return fmt.Errorf("put the socket at %s: %w", path, err)
	}
	s.socket = path
	s.serve(&peerListener{UnixListener: ln, owner: uint32(os.Geteuid())}, s.handler(peerAuthenticator{}, false))
	return nil
}

// Serve starts to answer HTTPS on ln: the API with API keys, and /metrics, /healthz and /readyz. It closes ln at [Server.Shutdown].
func (s *Server) Serve(ln net.Listener, config *tls.Config) {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.NextProtos = []string{"h2", "http/1.1"}
	s.serve(tls.NewListener(ln, config), s.handler(&keyAuthenticator{server: s}, isLoopback(ln.Addr())))
}

// serve runs an HTTP server on ln until Shutdown.
func (s *Server) serve(ln net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          s.httpLog(),
	}
	s.mu.Lock()
	s.servers = append(s.servers, srv)
	s.mu.Unlock()
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("administration listener failed", "address", ln.Addr().String(), "error", err)
		}
	}()
}

// Shutdown ends streams and jobs, lets requests under way finish until ctx is done, and closes the listeners.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stop) })
	s.mu.Lock()
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	var errs []error
	for _, srv := range servers {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop administration listener: %w", err), srv.Close())
		}
	}
	errs = append(errs, s.jobs.close(ctx))
	s.running.Wait()
	if s.socket != "" {
		if err := os.Remove(s.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove the administration socket: %w", err))
		}
	}
	return errors.Join(errs...)
}

// peerListener accepts connections of root and of the socket's owner, and names the peer in their remote address.
type peerListener struct {
	*net.UnixListener
	owner uint32
}

// Accept implements net.Listener.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err != nil || uid != 0 && uid != l.owner {
			_ = conn.Close()
			continue
		}
		return &peerConn{UnixConn: conn, uid: uid}, nil
	}
}

// peerUID asks the kernel which user opened the other end.
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("reach the socket: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, fmt.Errorf("reach the socket: %w", err)
	}
	if credErr != nil {
		return 0, fmt.Errorf("read the peer's credentials: %w", credErr)
	}
	return cred.Uid, nil
}

type peerConn struct {
	*net.UnixConn
	uid uint32
}

// RemoteAddr implements net.Conn; net/http hands it to requests as text.
func (c *peerConn) RemoteAddr() net.Addr { return peerAddr(c.uid) }

// peerAddr is the user at the other end of a Unix socket.
type peerAddr uint32

// Network implements net.Addr.
func (peerAddr) Network() string { return "unix" }

// String implements net.Addr.
func (a peerAddr) String() string { return peerPrefix + strconv.FormatUint(uint64(a), 10) }

const peerPrefix = "uid:"

// peerAuthenticator takes whoever got a connection on the socket for an administrator, under his name in the operating system.
type peerAuthenticator struct{}

func (peerAuthenticator) authenticate(r *http.Request) (Caller, error) {
	uid, ok := strings.CutPrefix(r.RemoteAddr, peerPrefix)
	if !ok {
		return Caller{}, api.NewProblem(http.StatusUnauthorized, api.ReasonUnauthorized, "the peer of the socket is not known")
	}
	name := "uid-" + uid
	if u, err := user.LookupId(uid); err == nil {
		name = u.Username
	}
	return Caller{By: "local:" + name, scopes: []string{ScopeAll}}, nil
}

// isLoopback reports whether a listener can be reached from this machine only.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
