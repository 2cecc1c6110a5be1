package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"trine/bench/packets"
)

// FreeRADIUSCommand is the server of Debian's package freeradius.
const FreeRADIUSCommand = "/usr/sbin/freeradius"

// FreeRADIUS is Debian's FreeRADIUS with what the measurement needs and nothing else: people in a file, accounting to a detail file
// that is not synced, nothing logged.
type FreeRADIUS struct {
	*Process
	Auth, Acct netip.AddrPort
	dir        string
}

// freeRADIUSConfig is the whole configuration. Nothing in it waits, logs or looks up a name.
const freeRADIUSConfig = `
name = freeradius
prefix = /usr
exec_prefix = /usr
sysconfdir = %[1]s
localstatedir = %[1]s
sbindir = /usr/sbin
raddbdir = %[1]s
confdir = ${raddbdir}
libdir = /usr/lib/freeradius
logdir = %[1]s/log
radacctdir = %[1]s/log/radacct
run_dir = %[1]s/run
db_dir = %[1]s
pidfile = ${run_dir}/freeradius.pid
max_request_time = 30
cleanup_delay = 5
max_requests = 262144
hostname_lookups = no
log {
	destination = files
	file = ${logdir}/radius.log
	auth = no
}
security {
	max_attributes = 200
	reject_delay = 1
	status_server = yes
}
proxy_requests = no
thread pool {
	start_servers = 5
	max_servers = 32
	min_spare_servers = 3
	max_spare_servers = 10
	max_requests_per_server = 0
	max_queue_size = 65536
	auto_limit_acct = no
}
client loopback {
	ipaddr = 127.0.0.1
	secret = %[2]s
	require_message_authenticator = yes
}
modules {
	files {
		usersfile = ${raddbdir}/users
	}
	pap {
		normalise = no
	}
	chap {
	}
	mschap {
		use_mppe = yes
		require_encryption = yes
		require_strong = yes
	}
	expr {
	}
	detail {
		filename = ${radacctdir}/%%{%%{Packet-Src-IP-Address}:-%%{Packet-Src-IPv6-Address}}/detail-%%Y%%m%%d
		escape_filenames = no
		permissions = 0600
		header = "%%t"
	}
}
policy {
	$INCLUDE /etc/freeradius/3.0/policy.d/accounting
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[3]d
		recv_buff = 8388608
	}
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = %[4]d
		recv_buff = 8388608
	}
	authorize {
		chap
		mschap
		files
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
	}
	preacct {
		acct_unique
	}
	accounting {
		detail
	}
}
`

// PrepareFreeRADIUS writes a configuration below dir, with the first users of package packets.
func PrepareFreeRADIUS(dir, secret string, users int) (*FreeRADIUS, error) {
	if _, err := os.Stat(FreeRADIUSCommand); err != nil {
		return nil, fmt.Errorf("FreeRADIUS is not installed (Debian package freeradius): %w", err)
	}
	auth, acct, err := twoPorts()
	if err != nil {
		return nil, err
	}
	var people strings.Builder
	for i := range users {
		fmt.Fprintf(&people, "%s Cleartext-Password := \"%s\"\n", packets.User(i), packets.Password(i))
	}
	err = errors.Join(
		write(dir, "radiusd.conf", fmt.Sprintf(freeRADIUSConfig, dir, secret, auth.Port(), acct.Port())),
		write(dir, "dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n"),
		write(dir, "users", people.String()),
		os.MkdirAll(filepath.Join(dir, "run"), 0o755),
	)
	if err != nil {
		return nil, err
	}
	return &FreeRADIUS{Auth: auth, Acct: acct, dir: dir}, nil
}

// twoPorts returns two UDP addresses on loopback that nobody has at the moment.
func twoPorts() (a, b netip.AddrPort, err error) {
	first, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return a, b, fmt.Errorf("find a free port: %w", err)
	}
	defer first.Close()
	second, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return a, b, fmt.Errorf("find a free port: %w", err)
	}
	defer second.Close()
	return first.LocalAddr().(*net.UDPAddr).AddrPort(), second.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// Version returns what FreeRADIUS calls itself.
func (f *FreeRADIUS) Version() string {
	out, err := exec.Command(FreeRADIUSCommand, "-v").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil {
		return "unknown version"
	}
	_, version, _ := strings.Cut(line, "Version ")
	version, _, _ = strings.Cut(version, ",")
	if out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "freeradius").Output(); err == nil {
		version += " (Debian " + string(out) + ")"
	}
	return version
}

// Start starts the server on the given cores and waits until it is ready. What it accounted before is removed.
func (f *FreeRADIUS) Start(ctx context.Context, cores string) (err error) {
	if err := os.RemoveAll(filepath.Join(f.dir, "log")); err != nil {
		return fmt.Errorf("remove what was logged before: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(f.dir, "log", "radacct"), 0o755); err != nil {
		return fmt.Errorf("make the log's folder: %w", err)
	}
	log := filepath.Join(f.dir, "log", "radius.log")
	if f.Process, err = start(cores, nil, FreeRADIUSCommand, "-f", "-d", f.dir); err != nil {
		return err
	}
	return f.until(ctx, "start FreeRADIUS", readyWithin, func() error { return contains(log, "Ready to process requests") })
}

func contains(file, text string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return nil
		}
	}
	return fmt.Errorf("%s does not say %q yet", file, text)
}
