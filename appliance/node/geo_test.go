package node

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// geoDatabase makes a database that has one network in one country.
func geoDatabase(t *testing.T, country string) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country"})
	if err != nil {
		t.Fatal(err)
	}
	_, network, err := net.ParseCIDR("81.2.69.0/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGeoDatabaseIsReadAgainWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	write := func(data []byte, at int) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(int64(at), 0) // the clock of the file system has its own grain
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	gb, se := geoDatabase(t, "GB"), geoDatabase(t, "SE")
	write(gb, 1)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &geoFile{path: path, logger: slog.New(slog.NewTextHandler(&log, nil))}
		country := func() string {
			p, _ := f.holder.Load().Lookup(netip.MustParseAddr("81.2.69.1"))
			return p.Country
		}
		if err := f.load(); err != nil || country() != "GB" {
			t.Fatal(err, country())
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.follow(ctx); close(ended) }()
		later := func(looks int) {
			time.Sleep(time.Duration(looks) * geoEvery)
			synctest.Wait()
		}
		later(3)
		if f.reloads.Load() != 1 {
			t.Error("a file that did not change was read again")
		}
		write(se, 2)
		later(1)
		if country() != "GB" {
			t.Error("a file was read that may still be written")
		}
		later(1)
		if country() != "SE" || f.problem.Load() != nil {
			t.Error("the new file is not in use", country())
		}
		write(gb[:len(gb)/2], 3)
		later(5)
		if country() != "SE" || f.failures.Load() != 1 || f.problem.Load() == nil || strings.Count(log.String(), "stays in use") != 1 || !strings.Contains(log.String(), path) {
			t.Errorf("%s, %d failures\n%s", country(), f.failures.Load(), log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		later(2)
		write(gb, 4)
		later(2)
		if country() != "GB" || f.problem.Load() != nil {
			t.Error("the mended file is not in use", country())
		}
		cancel()
		<-ended
	})
}

func TestNodeDoesNotStartWithAGeoDatabaseThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	s := DefaultSettings()
	s.Data, s.GeoDatabase = t.TempDir(), path
	s.RadiusAuthentication, s.RadiusAccounting, s.TacacsListen, s.WebListen, s.ManagementListen = nil, nil, nil, nil, "127.0.0.1:0"
	for _, text := range []string{"", "<html>404</html>"} {
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n, err := Start(t.Context(), s, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = n.Stop(context.Background())
			t.Fatal("it started")
		}
		if !strings.Contains(err.Error(), "geo database") || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	}
}
