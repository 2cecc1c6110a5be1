package web

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"trine/engine/document"
	"trine/protocols/internal/proxy"
)

// behind are documents whose port is like the options say.
func behind(options string) string {
	return strings.Replace(house, "ports: [{port: PORT}]", "ports: [{port: PORT, "+options+"}]", 1)
}

// raw sends bytes from an address of this machine, over TLS or not, and returns the status and body of the answer; 0 where there is none.
func (r *rig) raw(from string, over bool, before, request string, config ...*tls.Config) (int, string) {
	r.t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", r.front.Addrs()[0].String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, before)
	if over {
		t := &tls.Config{ServerName: "localhost"}
		if len(config) > 0 {
			t = config[0]
		}
		t.InsecureSkipVerify = true //nolint:gosec // a test
		s := tls.Client(c, t)
		if s.Handshake() != nil {
			return 0, ""
		}
		c = s
	}
	_, _ = io.WriteString(c, request)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

func asks(path string, header ...string) string {
	text := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for i := 0; i+1 < len(header); i += 2 {
		text += header[i] + ": " + header[i+1] + "\r\n"
	}
	return text + "\r\n"
}

func TestForwardedAddressIsBelievedFromTheProxyAlone(t *testing.T) {
	r := newRig(t, behind("reverseProxy: {incomingAddresses: [127.0.0.1, 127.0.0.2]}"))
	for _, x := range []struct {
		from   string
		header []string
		want   string
	}{
		{"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.5"}, "203.0.113.5"},
		{"127.0.0.9", []string{"X-Forwarded-For", "203.0.113.5"}, "127.0.0.9"},
		{"127.0.0.1", []string{"X-Forwarded-For", "198.51.100.1, 203.0.113.5"}, "203.0.113.5"}, // what the browser sent itself is in front
		{"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.5, 127.0.0.2"}, "203.0.113.5"},    // by two proxies
		{"127.0.0.1", []string{"X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "203.0.113.5"}, "203.0.113.5"},
		{"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.5:4711"}, "203.0.113.5"},
		{"127.0.0.1", []string{"X-Forwarded-For", "[2001:db8::1]:443"}, "2001:db8::1"},
		{"127.0.0.1", []string{"X-Forwarded-For", "::ffff:203.0.113.5"}, "203.0.113.5"},
		{"127.0.0.1", nil, "127.0.0.1"},
		{"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.5, unknown"}, "127.0.0.1"},
		{"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.5, "}, "127.0.0.1"},
		{"127.0.0.1", []string{"X-Forwarded-For", "203.0.113.5:99999"}, "127.0.0.1"},
		{"127.0.0.1", []string{"X-Forwarded-For", "evil.example.org"}, "127.0.0.1"},
		{"127.0.0.1", []string{"X-Forwarded-For", strings.Repeat("127.0.0.2, ", 4000) + "127.0.0.2"}, "127.0.0.2"},
		{"127.0.0.1", []string{"Forwarded", "for=203.0.113.5", "X-Real-IP", "203.0.113.5", "X-Client-IP", "203.0.113.5", "True-Client-IP", "203.0.113.5"}, "127.0.0.1"},
	} {
		if status, body := r.raw(x.from, true, "", asks("/fast", x.header...)); status != 200 || body != x.want {
			t.Errorf("from %s with %.60q: %d %q, want %q", x.from, x.header, status, body, x.want)
		}
	}
	// Nothing that a request says of scheme, host or port gets into a page.
	for _, from := range []string{"127.0.0.1", "127.0.0.9"} {
		_, plain := r.raw(from, true, "", asks("/protected"))
		_, told := r.raw(from, true, "", asks("/protected", "X-Forwarded-Host", "evil.example.org", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "81", "X-Forwarded-Prefix", "/evil", "Forwarded", "host=evil.example.org;proto=http", "X-Original-URL", "/evil", "X-Rewrite-URL", "/evil", "X-HTTP-Method-Override", "DELETE"))
		if plain == "" || len(plain) != len(told) || strings.Contains(told, "evil") {
			t.Errorf("from %s the page changes:\n%s", from, told)
		}
	}
}

func TestClearHTTPIsSpokenWithTheProxyAlone(t *testing.T) {
	r := newRig(t, behind("encryption: false, reverseProxy: {port: 443, incomingAddresses: [127.0.0.1]}"))
	if status, body := r.raw("127.0.0.1", false, "", asks("/fast", "X-Forwarded-For", "203.0.113.5")); status != 200 || body != "203.0.113.5" {
		t.Errorf("the proxy: %d %s", status, body)
	}
	if status, body := r.raw("127.0.0.9", false, "", asks("/fast", "X-Forwarded-For", "127.0.0.1")); status != 400 || !strings.Contains(body, "TLS only") {
		t.Errorf("another: %d %s", status, body)
	}
	for _, from := range []string{"127.0.0.1", "127.0.0.9"} {
		if status, _ := r.raw(from, true, "", asks("/fast")); status != 200 {
			t.Errorf("%s over TLS: %d", from, status)
		}
	}
	// Forms are of the address that the outside sees.
	b := r.browser().get("/go?sp=shop&id=1")
	path, form := b.form(0)
	form.Set("name", "alice")
	form.Set("secret", "wonderland")
	b.post(path, form).with(403)
	b.post(path, form, "Origin", "https://localhost").says("done request 1 alice")
	for _, options := range []string{"reverseProxy: {incomingAddresses: [127.0.0.1]}", "acceptClientCertificate: false"} { // with encryption nobody speaks clear HTTP
		if status, _ := newRig(t, behind(options)).raw("127.0.0.1", false, "", asks("/fast")); status != 400 {
			t.Errorf("%s: %d", options, status)
		}
	}
}

// header2 returns a PROXY header of version 2.
func header2(command, family byte, body string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

func TestPROXYHeadersAreReadFromTheProxyAlone(t *testing.T) {
	r := newRig(t, behind("proxyProtocolV2: true, reverseProxy: {incomingAddresses: [127.0.0.1]}"), func(c *Config) { c.Limits.HeaderTime = 2 * time.Second })
	four := "\xcb\x00\x71\x05\x7f\x00\x00\x01\x12\x34\x01\xbb"
	a := netip.MustParseAddr("2001:db8::7").As16()
	six := string(a[:]) + string(a[:]) + "\x12\x34\x01\xbb"
	for _, x := range []struct{ name, before, want string }{
		{"version 2", header2(0x21, 0x11, four), "203.0.113.5"},
		{"version 2, IPv6", header2(0x21, 0x21, six), "2001:db8::7"},
		{"with more behind the addresses", header2(0x21, 0x11, four+"\x04\x00\x03abc"), "203.0.113.5"},
		{"of the proxy itself", header2(0x20, 0, ""), "127.0.0.1"},
		{"of no family", header2(0x21, 0, "x"), "127.0.0.1"},
		{"version 1", "PROXY TCP4 203.0.113.5 127.0.0.1 4660 443\r\n", "203.0.113.5"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 ::1 4660 443\r\n", "2001:db8::7"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"none", "", ""},
		{"another version", header2(0x31, 0x11, four), ""},
		{"another command", header2(0x22, 0x11, four), ""},
		{"another family", header2(0x21, 0x31, four), ""},
		{"datagrams", header2(0x21, 0x12, four), ""},
		{"too short", header2(0x21, 0x11, four[:11]), ""},
		{"too short for IPv6", header2(0x21, 0x21, six[:35]), ""},
		{"too long", header2(0x21, 0x11, four+strings.Repeat("x", 3000)), ""},
		{"another signature", strings.Replace(header2(0x21, 0x11, four), "QUIT", "QUID", 1), ""},
		{"version 1 of another family", "PROXY TCP4 2001:db8::7 ::1 4660 443\r\n", ""},
		{"version 1 of a zone", "PROXY TCP6 fe80::1%lo ::1 4660 443\r\n", ""},
		{"version 1 of a name", "PROXY TCP4 evil.example.org 127.0.0.1 4660 443\r\n", ""},
		{"version 1 of a wrong port", "PROXY TCP4 203.0.113.5 127.0.0.1 99999 443\r\n", ""},
		{"version 1 with a word too many", "PROXY TCP4 203.0.113.5 127.0.0.1 4660 443 x\r\n", ""},
		{"version 1 that does not end", "PROXY TCP4 " + strings.Repeat("2", 200), ""},
		{"half of one", header2(0x21, 0x11, four)[:20], ""},
	} {
		status, body := r.raw("127.0.0.1", true, x.before, asks("/fast", "X-Forwarded-For", "198.51.100.66"))
		want := x.want
		if want == "127.0.0.1" { // the proxy speaks for itself, and says of whom
			want = "198.51.100.66"
		}
		if body != want || (status == 200) != (want != "") {
			t.Errorf("a header %s: %d %q, want %q", x.name, status, body, want)
		}
		if status, body := r.raw("127.0.0.9", true, x.before, asks("/fast")); x.before == "" && body != "127.0.0.9" || x.before != "" && status == 200 {
			t.Errorf("a header %s of somebody else: %d %q", x.name, status, body)
		}
	}
	if status, _ := newRig(t, behind("reverseProxy: {incomingAddresses: [127.0.0.1]}")).raw("127.0.0.1", true, header2(0x21, 0x11, four), asks("/fast")); status == 200 {
		t.Error("a PROXY header is read where the port has none")
	}
}

func FuzzPROXYHeader(f *testing.F) {
	f.Add(header2(0x21, 0x11, "\xcb\x00\x71\x05\x7f\x00\x00\x01\x12\x34\x01\xbb"))
	f.Add("PROXY TCP4 203.0.113.5 127.0.0.1 4660 443\r\n")
	f.Add("PROXY UNKNOWN\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		in := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(text)), 4<<10)
		a, err := readProxy(in)
		if err != nil && a.IsValid() || a.Addr().Is4In6() || a.Addr().Zone() != "" {
			t.Fatalf("%v %v", a, err)
		}
		want, length, _ := proxy.Parse([]byte(text))
		if rest, _ := io.ReadAll(in); err == nil && (a != want || string(rest) != text[length:]) || err != nil && length > 0 {
			t.Fatalf("%v %v, and then %q; want %v, and then %q", a, err, rest, want, text[length:])
		}
	})
}

func TestVersionsAndSuitesThatAreExcludedAreNotOffered(t *testing.T) {
	const suite = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	only := func(least, most uint16) *tls.Config {
		return &tls.Config{ServerName: "localhost", MinVersion: least, MaxVersion: most, CipherSuites: []uint16{suite}}
	}
	for options, want := range map[string][2]bool{ // version 1.2 with the suite, version 1.3
		"acceptClientCertificate: false": {true, true}, "excludedProtocols: [TLSv1.2]": {false, true}, "excludedProtocols: [TLSv1.3]": {true, false},
		"excludedProtocols: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]": {false, true},
	} {
		r := newRig(t, behind(options))
		old, _ := r.raw("127.0.0.1", true, "", asks("/fast"), only(tls.VersionTLS12, tls.VersionTLS12))
		present, _ := r.raw("127.0.0.1", true, "", asks("/fast"), only(tls.VersionTLS13, tls.VersionTLS13))
		if got := [2]bool{old == 200, present == 200}; got != want {
			t.Errorf("%s: %v, want %v", options, got, want)
		}
		if ancient, _ := r.raw("127.0.0.1", true, "", asks("/fast"), only(tls.VersionTLS10, tls.VersionTLS11)); ancient == 200 {
			t.Errorf("%s: TLS 1.1 is spoken", options)
		}
	}
}

// certified are documents of a port with options, at which people log in by certificate.
func certified(options, authority string) string {
	return strings.Replace(behind(options), "authentication: {matrix: [{first: Password}]", "authentication: {matrix: [{first: Password}, {first: Certificate}], certificate: {revocation: \"off\", authorities: "+fmt.Sprintf("%q", authority)+"}", 1)
}

func TestClientCertificatesComeOverTLSOrFromTheProxyAlone(t *testing.T) {
	ca := newAuthority(t, "People")
	mine := ca.issue(t, "alice")
	forged := newAuthority(t, "People").issue(t, "alice")
	login := func(r *rig, header string, pair *tls.Certificate) string {
		b := r.browser()
		if pair != nil {
			b.http.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{*pair}
		}
		if header != "" {
			b.sends = []string{"X-Client-Cert", header}
		}
		b.get("/go?sp=shop&id=1")
		_, form := b.form(0)
		return b.post("/login", url.Values{"flow": {form.Get("flow")}, "factor": {"Certificate"}}).body
	}
	in := url.QueryEscape(string(pemOf(mine.Certificate[0])))
	for name, x := range map[string]struct {
		options, header string
		pair            *tls.Certificate
		want            bool
	}{
		"over TLS":                          {"acceptClientCertificate: true", "", mine, true},
		"over TLS of another authority":     {"acceptClientCertificate: true", "", forged, false},
		"over TLS where nobody asks":        {"acceptClientCertificate: false", "", mine, false},
		"from the proxy":                    {"certificateHeader: X-Client-Cert, reverseProxy: {incomingAddresses: [127.0.0.1]}", in, nil, true},
		"from the proxy, of another":        {"certificateHeader: X-Client-Cert, reverseProxy: {incomingAddresses: [127.0.0.1]}", url.QueryEscape(string(pemOf(forged.Certificate[0]))), nil, false},
		"from the proxy, no certificate":    {"certificateHeader: X-Client-Cert, reverseProxy: {incomingAddresses: [127.0.0.1]}", "(null)", nil, false},
		"from somebody else":                {"certificateHeader: X-Client-Cert, reverseProxy: {incomingAddresses: [192.0.2.1]}", in, nil, false},
		"from the proxy under another name": {"certificateHeader: X-Other, reverseProxy: {incomingAddresses: [127.0.0.1]}", in, nil, false},
		"without a proxy":                   {"acceptClientCertificate: true", in, nil, false},
	} {
		body := login(newRig(t, certified(x.options, string(pemOf(ca.certificate.Raw)))), x.header, x.pair)
		if strings.Contains(body, "done request 1 alice") != x.want {
			t.Errorf("%s: %s", name, body)
		}
	}
	// One that came twice is none.
	r := newRig(t, certified("certificateHeader: X-Client-Cert, reverseProxy: {incomingAddresses: [127.0.0.1]}", string(pemOf(ca.certificate.Raw))))
	b := r.browser().get("/go?sp=shop&id=1")
	_, form := b.form(0)
	q, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.origin+"/login", strings.NewReader(url.Values{"flow": {form.Get("flow")}, "factor": {"Certificate"}}.Encode()))
	q.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Client-Cert": {in, in}}
	if b.do(q); strings.Contains(b.body, "done request") {
		t.Error("a certificate that came twice logs in")
	}
}

// TestEveryFieldOfAPortIsInTheTable holds the document's fields against docs/web-security.md, which names the tests of each.
func TestEveryFieldOfAPortIsInTheTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "web-security.md"))
	if err != nil {
		t.Fatal(err)
	}
	for prefix, of := range map[string]any{"network.": document.Network{}, "ports.": document.Port{}, "reverseProxy.": document.ReverseProxy{}, "tls.": document.KeyPair{}, "lookAndFeel.": document.LookAndFeel{}} {
		for i := range reflect.TypeOf(of).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(of).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(page), "`"+prefix+name+"`") {
				t.Errorf("the page does not have `%s%s`", prefix, name)
			}
		}
	}
}
