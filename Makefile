SHELL := /bin/bash
.DELETE_ON_ERROR:

LINT_VERSION := v2.15.0
LINT := $(shell go env GOPATH)/bin/golangci-lint-$(LINT_VERSION)
VULN_VERSION := v1.9.0
VULN := $(shell go env GOPATH)/bin/govulncheck-$(VULN_VERSION)
HELM4 := $(shell go env GOPATH)/bin/helm-v4.3.1
HELM3 := $(shell go env GOPATH)/bin/helm-v3.22.0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO_FILES := $(shell find . -name '*.go' -not -path './node_modules/*' -o -name '*.lua' -not -path './node_modules/*')
WEB_FILES := $(shell find api/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*')
FUZZTIME ?= 20s
BENCHTIME ?= 2s

.PHONY: help run build web image test install chart lint vulncheck unit e2e client conformance soak chaos chaos-short compose-e2e k8s-e2e interop hostile incidents bench microbench fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## the gateway on an embedded Redis, with a demo page
	bin/gateway dev $(ARGS)

build: bin/gateway ## the binary, with the demo page in it

bin/gateway: $(GO_FILES) go.mod go.sum api/web/dist/index.html
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/gateway

web: api/web/dist/index.html ## the demo page

bin/interop: $(GO_FILES) go.mod go.sum
	go build -race -o $@ ./deploy/e2e/interop

api/web/dist/index.html: $(WEB_FILES)
	cd api/web && npm ci --no-audit --no-fund && npm run build
	@touch $@

image: web ## the container image, as gateway:$(VERSION); the pages are built here, so that it needs no Node
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --build-arg COMMIT=$$(git rev-parse HEAD) -t gateway:$(VERSION) $(ARGS) .
	@size=$$(docker image inspect -f '{{.Size}}' gateway:$(VERSION)); \
	  if [ "$$size" -ge 25000000 ]; then echo "image: $$size bytes, 25 MB or more" >&2; exit 1; fi

test: install lint unit conformance e2e chaos-short ## everything that has to pass

install: ## the Debian packages that the tests need
	@.ci/install

$(LINT):
	@echo "lint: building golangci-lint $(LINT_VERSION), once per machine"
	GOBIN=$(dir $(LINT)).golangci-lint go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(dir $(LINT)).golangci-lint/golangci-lint $@

$(VULN):
	GOBIN=$(dir $(VULN)).govulncheck go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	mv $(dir $(VULN)).govulncheck/govulncheck $@

chart: $(HELM4) $(HELM3) ## the chart's tests with Helm 4 and 3; `make test` has them with 4
	HELM="$^" go test -count=1 ./charts

# Helm 3 takes the Kubernetes version that it assumes without a cluster from its linker.
HELM_STAMP = -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=33

$(HELM4) $(HELM3):
	@echo "helm: building $(notdir $@), once per machine"
	CGO_ENABLED=0 GOBIN=$(dir $@).$(notdir $@) go install -ldflags '-s -w $(HELM_STAMP)' helm.sh/helm/$(firstword $(subst ., ,$(patsubst helm-%,%,$(notdir $@))))/cmd/helm@$(patsubst helm-%,%,$(notdir $@))
	mv $(dir $@).$(notdir $@)/helm $@

lint: $(LINT) vulncheck ## golangci-lint, with the import rules between the packages, and vulncheck
	$(LINT) run ./...

vulncheck: $(VULN) ## known vulnerabilities in what the program calls
	@.ci/vulncheck $(VULN)

unit: $(HELM4) ## unit and integration tests with the race detector; coverage of the packages that the promises rest on
	@mkdir -p coverage
	cd deploy/e2e && npm ci --no-audit --no-fund
	@# Some packages wait more than they compute. The conformance suite is a target of its own, with the race detector too.
	HELM="$(HELM4)" go test -race -p 3 -timeout 15m -coverprofile coverage/unit.out $$(go list ./... | grep -v /deploy/e2e/conformance$$)
	@.ci/coverage 85 coverage/unit.out streams presence adapter node node/engine node/limits

e2e: build bin/interop client ## real nodes, Redis, HAProxy, official Socket.IO clients and a browser
	cd deploy/e2e && npm ci --no-audit --no-fund && npm test

interop: build bin/interop ## servers of Node's and of Go's in one cluster, feature by feature; UPDATE=1 writes deploy/INTEROP.md
	cd deploy/e2e && npm ci --no-audit --no-fund && node --test --test-reporter=spec matrix.test.mjs

client: ## the npm package for frontends: its types held to the schemas, what must not compile, its example page
	cd deploy/client && npm ci --no-audit --no-fund && npm test
	cd deploy/client/example && npm ci --no-audit --no-fund && npm run build

CONFORMANCE = go test -count=1 ./deploy/e2e/conformance

conformance: ## the Engine.IO v4 and Socket.IO v5 suite, on the gateway's engine and on Node's, with the list of its cases
	cd deploy/e2e && npm ci --no-audit --no-fund
	go run ./deploy/e2e/conformance/report $(ARGS)

SOAK ?= 100000

soak: ## SOAK connections of all kinds: goroutines, files and heap are back at the start
	$(CONFORMANCE) -timeout 30m -v -run TestNothingLeaks -engine=ours -soak $(SOAK) $(ARGS)

LEDGER = cd deploy/e2e && npm ci --no-audit --no-fund && cd ../.. && go run ./deploy/e2e/ledger

chaos: build ## every fault three times, 300 official clients on 3 nodes (the storm: 5,000 light ones): what was lost, repeated, reordered
	$(LEDGER) -fault all -runs 3 -clients 300 -nodes 3 $(ARGS)

chaos-short: build ## two of the faults, once, with 60 clients
	$(LEDGER) -fault kill-node,redis-restart -runs 1 -clients 60 -nodes 3 -deliveries 4000 $(ARGS)

compose-e2e: web ## docker-compose.yml with images made here: figures, and what clients lose by a killed node and a roll
	deploy/compose/e2e

k8s-e2e: ## the chart on the Kubernetes of KUBECONFIG: install, upgrade under load, deleted and evicted pods; see deploy/k8s/e2e
	deploy/k8s/e2e

ATTACK ?= 10m

hostile: build ## malformed traffic for ATTACK, a burst of bad handshakes and a slow reader: what good clients notice; goroutines and heap
	go run ./deploy/e2e/hostile -duration $(ATTACK) $(ARGS)
	go test -count=1 -timeout 60m -v -run TestAttackLeavesNothing ./cmd/gateway -attack $(ATTACK) -attack-clients 500

incidents: build install ## Redis stopped, a deaf node, a storm and the like, watched by a real Prometheus: metric, alert, runbook, operators' page
	cd deploy/e2e && npm ci --no-audit --no-fund && npm run incidents -- $(ARGS)

bench: ## the gateway beside Node's Socket.IO and centrifuge, into deploy/bench/RESULTS.md; needs two quiet cores for about an hour
	cd deploy/bench/peers/node && npm ci --no-audit --no-fund
	go build -o bin/bench ./deploy/bench && bin/bench $(ARGS)

microbench: ## throughput of the parts; figures are comparable within one run only
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./streams ./adapter ./presence ./node

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "fuzz: $$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$package; \
	  done; \
	done

clean: ## what the targets made
	rm -rf bin coverage api/web/node_modules deploy/e2e/node_modules deploy/client/node_modules deploy/client/dist deploy/client/example/node_modules deploy/client/example/dist deploy/bench/peers/node/node_modules
	find api/web/dist -type f -not -name .keep -delete
