package node

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"trine/appliance/worker"
)

// asNode is the environment variable that makes this test binary a node, so that tests can kill one. As `trine` does, the
// node starts its own binary again as its worker.
const asNode = "TRINE_TEST_AS"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(worker.Main(os.Stdin, os.Stdout))
	}
	if os.Getenv(asNode) == "serve" {
		os.Exit(serveForTest(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func serveForTest(arguments []string) int {
	settings := DefaultSettings()
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	settings.Flags(flags)
	err := flags.Parse(arguments)
	if err == nil {
		err = settings.Read(flags, func(string) (string, bool) { return "", false })
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = Serve(ctx, settings)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
