# Trine. `make run` starts a node on loopback with examples; `make test` runs everything that must hold.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X trine/appliance/node.version=$(VERSION)

# The versions of the tools that lint and generate; they are Go modules, run without being installed.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Go source below the agreed folders, generated code left out.
SOURCES := $(shell git ls-files '*.go' 2>/dev/null | grep -v '\.pb\.go$$')

FUZZTIME ?= 10m

.PHONY: build run test lint bench bench-web bench-memory bench-restart bench-log bench-parts bench-needs robust fuzz generate pictures test-needs clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/trine ./cmd/trine

run: build
	./bin/trine serve --data ./data --quickstart

# Everything that must hold, lint included. The tests come last, so that the last lines are go test's; three packages at a time, since many wait.
# Nodes have passwords hashed by processes that run when nothing else wants the cores. The tests run like that as well, else the compilers would starve those.
test: test-needs lint build
	$(shell command -v chrt > /dev/null && echo chrt --idle 0) $(GO) test -p 3 -timeout 14m ./...

# What the tests drive comes from Debian; as root it is installed, otherwise what is missing is named.
test-needs:
	@.ci/test-needs

lint:
	@out=$$($(GO) run $(GOFUMPT) -l $(SOURCES)) || exit 1; if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# The product beside FreeRADIUS, bare echoes and a bare HTTPS server, two cores, an hour; results go to bench/results.
# BENCHFLAGS such as "-turns 1 -window 5s -only PAP" make it shorter.
bench: build bench-needs
	$(GO) run ./bench machine radius tacacs passwords web webmemory $(BENCHFLAGS)

# OpenID Connect alone: beside a bare HTTPS server, in a storm of password logins, and with 10,000 identity providers.
bench-web: build
	$(GO) run ./bench web webmemory $(BENCHFLAGS)

# A million people and sessions: memory, seals, collection; and the time from start to the first answer.
bench-memory: build
	$(GO) run ./bench memory $(BENCHFLAGS)

bench-restart: build
	$(GO) run ./bench restart $(BENCHFLAGS)

# The log with the node's own views behind it, on one core: records a second, records an fsync, bytes written for a byte of payload
# over windows with seals in them, and how long a lone record takes.
bench-log:
	GOMAXPROCS=1 taskset -c 0 $(GO) test ./appliance/node -run '^$$' -bench '^BenchmarkLog$$' -benchtime 1000000x
	GOMAXPROCS=1 taskset -c 0 $(GO) test ./appliance/node -run '^$$' -bench '^BenchmarkLone$$' -benchtime 2000x

# Times and allocations of the parts. Compare runs with benchstat; nothing here is asserted.
bench-parts:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# What is measured beside us comes from Debian; as root it is installed, and not started.
bench-needs:
	@.ci/bench-needs

# A cluster of real nodes is hurt under load by the seed, for the time. ROBUSTFLAGS such as "-runs 100 -log runs.log" or "-nodes 5" do more.
SEED ?= 0
TIME ?= 60s
robust: test-needs
	$(GO) run ./bench/robust -seed $(SEED) -time $(TIME) $(ROBUSTFLAGS)

# Every fuzz target in turn, FUZZTIME altogether.
fuzz:
	@.ci/fuzz $(FUZZTIME)

generate:
	$(GO) generate ./...

# The pictures of every page in light and dark that docs/pages.md shows, taken by the tests in Debian's Chromium.
pictures: test-needs
	rm -rf docs/screenshots
	$(GO) test -count 1 ./appliance/node/browser -update

clean:
	rm -rf bin
