# Needs Go 1.26 and make. What else a target needs, it installs or names.

GOLANGCI_LINT_VERSION := v2.15.0
GOTESTSUM_VERSION := v1.13.0
GORELEASER_VERSION := v2.17.0
GOBIN := $(shell go env GOPATH)/bin
GOLANGCI_LINT := $(GOBIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build ./pipesteward, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o pipesteward ./cmd/pipesteward

.PHONY: demo
demo: ## show the whole thing with a simulated GitLab and Slack
	go run ./cmd/pipesteward demo

# gotestsum prints each package when it ends, and of what fails what it said.
GOTESTSUM := go run gotest.tools/gotestsum@$(GOTESTSUM_VERSION) --format pkgname --

# Tests of these packages run in one goroutine each: of rules, only expressions share
# data. The race detector would find nothing in them, and make them take ten times as long.
UNRACED = $$(go list ./rules/... | grep -v /expression)

# So do these tests, which call await.Unraced. The one that is taken over waits for
# leases, and shares a Redis: it runs with the race detector.
UNRACED_TESTS := ^Test(Simulated|Fleet|SlackFailsInEveryWay|StatesOfAnySequence)|Killed

.PHONY: test
test: cc redis browser ## run all tests, with the race detector where goroutines share data, in under three minutes on two cores
	@$(MAKE) --no-print-directory -k unraced raced

# `make lint` runs vet.
.PHONY: unraced
unraced:
	$(GOTESTSUM) -vet=off $(UNRACED)
	$(GOTESTSUM) -vet=off -run '^TestCostlyRulesDelayNoOtherTeam$$' ./cmd/pipesteward
	$(GOTESTSUM) -vet=off -run '$(UNRACED_TESTS)' -skip 'KilledAtAnyStepAndTakenOver' ./actions $(addprefix ./actions/,breaker follow gitlabnotify ledger notify requests sweep)

# Redis and processes wait for each other: packages in parallel use the cores
# meanwhile. What takes longest starts first. A raced process would sleep for a
# second at its end.
.PHONY: raced
raced: export GORACE := atexit_sleep_ms=0
raced:
	$(GOTESTSUM) -race -vet=off -p 4 -timeout 30m ./cmd/pipesteward ./store/redis ./store/bolt $$(go list ./... | grep -vxF "$(UNRACED)")

.PHONY: short
short: redis ## run the tests but those that take long, in under 40 seconds on two cores
	go test -short ./...

.PHONY: soak
soak: export TMPDIR := $(or $(TMPDIR),/tmp)
soak: redis ## the tests that take minutes: kill the program at every step, and replicas and Redis while 20,000 deliveries come
	go test -run 'Killed|DeferredIsToldOnce' -timeout 30m ./actions ./actions/breaker ./actions/sweep -args -kill-each 1
	go test -run 'Killed|StormOfFailures|SlackFailsInEveryWay' -timeout 30m ./actions/notify -args -kill-each 1 -full-burst
	go test -run '^TestSlackFaults$$' -v -timeout 30m ./cmd/pipesteward -args -slack.pipelines 200
	go test -run '^TestCutShort$$' -timeout 30m ./actions/catchup -args -kill-each 1
	go test -run '^TestBackupIsRestored$$' -v -timeout 30m ./cmd/pipesteward -args -backup.deliveries 2000
	go test -run '^TestSoak$$' -v -timeout 30m ./cmd/pipesteward -args -soak.deliveries 20000 -soak.kills 2m
	go test -run '^TestGitLabsEdges$$' -v -timeout 30m ./cmd/pipesteward -args -edges.for 1m

# The tests come first: the linter gives up after its timeout if it has to compile all that they need.
# None is cached: Go would not see that a file outside of their module has changed, which is what they check.
.PHONY: deploy
deploy: redis systemd promtool rpm $(GOLANGCI_LINT) ## check deploy/ without a container engine
	cd deploy/check && go mod tidy -diff && go test -count 1 -timeout 30m ./... && $(GOLANGCI_LINT) run -c ../../.golangci.yml ./...

# GoReleaser is large: the first run takes many minutes to build it.
GORELEASER := go run github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)

.PHONY: release-check
release-check: ## make what a tag releases, in dist/, but images and signatures, SBOMs only if syft is installed, and publish nothing
	$(GORELEASER) check
	$(GORELEASER) release --snapshot --clean --skip=docker,sign,publish$$(command -v syft >/dev/null || echo ,sbom)

.PHONY: bench
bench: redis ## run the benchmarks that deploy/BENCHMARKS.md quotes, some 15 minutes
	go test -run '^$$' -bench . -benchmem ./handlers/webhook ./rules ./store/... ./actions/index ./actions/report ./actions/backtest ./handlers/page
	go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./cmd/pipesteward

FUZZTIME ?= 30s

.PHONY: fuzz
fuzz: ## look for inputs that break rule files, rule tests, expressions, texts or hooks: FUZZTIME=30s each
	go test -run '^$$' -fuzz '^FuzzLoad$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./rules
	go test -run '^$$' -fuzz '^FuzzLoadTests$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./rules/ruletest
	go test -run '^$$' -fuzz '^FuzzCondition$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./rules
	go test -run '^$$' -fuzz '^FuzzTemplate$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./rules
	go test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./handlers/webhook

.PHONY: generate
generate: ## make the tables of the documents, their tables of contents, the diagram and the JSON Schemas from the code
	go test ./rules/rulefile ./rules/expression ./rules/failureclass ./rules/lint ./rules/templates -run '^TestGenerated' -args -update
	go test ./store/keys -run '^TestTable' -update
	go test ./cmd/pipesteward -run '^(TestGenerated|TestPackagesAreDrawn$$)' -update

.PHONY: translated
translated: ## say that the translations of a section are true again: SECTION=README.md#try-it
	go test ./cmd/pipesteward -run '^TestTranslations$$' -args -translated '$(SECTION)'

.PHONY: pictures
pictures: chromium ## draw the pictures of the documents: what the program posts to Slack, and the page
	go test ./deploy/pictures -args -update
	cd deploy/pictures && for page in *.html; do \
	  chromium --headless --no-sandbox --log-level=3 --hide-scrollbars --force-device-scale-factor=2 --window-size=760,2000 --screenshot=$${page%.html}.png "file://$$PWD/$$page" && \
	  mogrify -trim +repage -strip +dither -colors 64 $${page%.html}.png || exit 1; done
	go test ./cmd/pipesteward -run TestPageInBrowser
	cp bin/page/picture-1280-light.png deploy/pictures/page.png && mogrify -crop 1280x420+0+0 +repage -strip +dither -colors 64 deploy/pictures/page.png

.PHONY: lint
lint: $(GOLANGCI_LINT) ## check format, imports between layers, lengths, common mistakes, and what is generated in the documents
	go mod tidy -diff
	go test ./rules/rulefile ./rules/expression ./rules/failureclass ./rules/lint ./rules/templates -run '^TestGenerated'
	go test ./store/keys
	go test ./cmd/pipesteward -run '^(TestGenerated|TestPackagesAre)'
	$(GOLANGCI_LINT) run ./...

# The race detector needs a C compiler.
.PHONY: cc
cc:
	@command -v $$(go env CC) >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy gcc libc6-dev; \
	  else echo "the race detector needs a C compiler: install gcc (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; fi; }

# The store's tests start real Redis servers.
.PHONY: redis
redis:
	@command -v redis-server >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && RUNLEVEL=1 apt-get install -qy redis-server; \
	  else echo "the tests need redis-server 7: install it (Debian: apt-get install redis-server)" >&2; exit 1; fi; }

# The tests of the page use it in a browser.
.PHONY: browser
browser:
	@command -v chromium >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy chromium fonts-dejavu-core; \
	  else echo "the tests of the page need Chromium: install it (Debian: apt-get install chromium)" >&2; exit 1; fi; }

# promtool checks the alerts; Debian has it in the package of the server, which is not started.
.PHONY: promtool
promtool:
	@command -v promtool >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && RUNLEVEL=1 apt-get install -qy --no-install-recommends prometheus; \
	  else echo "the alerts need promtool: install Prometheus (Debian: apt-get install prometheus)" >&2; exit 1; fi; }

# The rpm is installed, too, whatever this machine's own packages are.
.PHONY: rpm
rpm:
	@command -v rpm >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy rpm; \
	  else echo "the check of the rpm needs rpm: install it (Debian: apt-get install rpm)" >&2; exit 1; fi; }

# Chromium photographs pages with Slack's font and with emojis, mogrify makes the pictures small.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null && command -v mogrify >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy chromium fonts-lato fonts-noto-color-emoji fonts-dejavu-core imagemagick; \
	  else echo "pictures need Chromium, ImageMagick and fonts: install them (Debian: apt-get install chromium fonts-lato fonts-noto-color-emoji fonts-dejavu-core imagemagick)" >&2; exit 1; fi; }

# systemd-analyze checks the unit.
.PHONY: systemd
systemd:
	@command -v systemd-analyze >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy systemd; \
	  else echo "the check of the unit needs systemd-analyze: install systemd (Debian: apt-get install systemd)" >&2; exit 1; fi; }

$(GOLANGCI_LINT):
	GOFLAGS= GOBIN=$(GOBIN)/.golangci-lint go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(GOBIN)/.golangci-lint/golangci-lint $@
	rmdir $(GOBIN)/.golangci-lint
