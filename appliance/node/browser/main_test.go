package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"trine/appliance/node"
	"trine/appliance/worker"
)

// asNode is the environment variable that makes this test binary a node. As `trine` does, the node starts its own binary again as its worker.
const asNode = "TRINE_TEST_AS"

var update = flag.Bool("update", false, "make the screenshots of docs/screenshots anew")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(worker.Main(os.Stdin, os.Stdout))
	}
	if os.Getenv(asNode) == "serve" {
		os.Exit(serve(os.Args[1:]))
	}
	flag.Parse()
	// Most of a test's time is waiting: for the browser, and for the answer to a wrong password, which is slow on purpose.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	status := m.Run()
	chromium.stop()
	if only.site != nil {
		if err := only.site.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = max(status, 1)
		}
		if status != 0 {
			fmt.Fprintf(os.Stderr, "the node said:\n%s", only.site.log)
		}
	}
	os.Exit(status)
}

func serve(arguments []string) int {
	settings := node.DefaultSettings()
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	settings.Flags(flags)
	err := flags.Parse(arguments)
	if err == nil {
		err = settings.Read(flags, func(string) (string, bool) { return "", false })
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = node.Serve(ctx, settings)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
