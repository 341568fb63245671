# Pillion. `make demo` shows it on a real Kubernetes, `make test` proves it; `make help` lists the rest.

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS    := -s -w -X github.com/pillion-mesh/pillion/internal/version.Version=$(VERSION)
# grpcnotrace: without it grpc links text/template, with which every method of every type stays, a third of the size
GOBUILD    := CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '$(LDFLAGS)'
GOTESTSUM  := bin/gotestsum --format pkgname-and-test-fails --hide-summary=output --
UNIT       := ./api/... ./internal/... ./templates/... ./webhook/... ./test/arch/... ./test/ads/... ./test/app/... ./test/deps/... ./test/docs/... ./test/proxy/... ./sidecar/... .
AREA       ?= all
ARGS       ?=

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ What most people want

.PHONY: demo demo-clean test
demo: deps ## Start a real Kubernetes here, deploy Pillion, inject pods and send requests through their sidecars
	@go run ./test/demo

demo-clean: ## Remove what `make demo` left running
	@go run ./test/demo --clean

test: deps test-unit ## Run every test: unit, then integration (real API server) and e2e (real node), which mostly wait, side by side
	@$(MAKE) --no-print-directory -j2 test-integration test-e2e

.PHONY: test-unit test-integration test-e2e
test-unit: bin/gotestsum ## Run the tests beside the code, with the race detector
	@echo '== unit: pure code, network namespaces, real sockets'
	@$(GOTESTSUM) -race -timeout 15m $(UNIT)
	@echo '== unit: what must not allocate, without the race detector, which makes pools forget'
	@$(GOTESTSUM) -run Allocat ./internal/proxy/...
	@echo '== monitoring: alerts, evaluated by Prometheus (a module of its own)'
	@cd test/monitoring && ../../$(GOTESTSUM) ./...
	@echo '== proxyless: what the agent writes for gRPC, read by gRPC (a module of its own)'
	@cd test/proxyless && ../../$(GOTESTSUM) ./...

test-integration: bin/gotestsum ## Run the tests on a real API server, with the race detector
	@echo '== integration: real etcd and kube-apiserver'
	@$(GOTESTSUM) -p 1 -race -timeout 20m ./test/integration/...

test-e2e: bin/gotestsum ## Run the tests on a real node: kubelet, containerd, kube-proxy (root on Linux)
	@echo '== e2e: real node'
	@$(GOTESTSUM) -p 1 -parallel 4 -timeout 40m ./test/cluster/... ./test/demo/... ./test/e2e/...

.PHONY: bench
bench: ## Measure; AREA=inject, capture, size, xds or proxy prints a line a figure; without it all. ARGS are that area's options
	@$(if $(filter all proxy,$(AREA)),go run ./test/deps bench,true)
	@for area in $(if $(filter all,$(AREA)),inject capture size xds proxy,$(AREA)); do go run ./test/bench/$$area $(ARGS) || exit 1; done

##@ Build and deploy

.PHONY: build image deploy undeploy clean deps
build: ## Build the three binaries into bin/
	@$(GOBUILD) -o bin/pillion . && $(GOBUILD) -o bin/pillion-sidecar ./sidecar && $(GOBUILD) -o bin/pillion-capture ./sidecar/capture

image: ## Build all images as archives into dist/ (no container engine needed; Dockerfile does the same with one)
	@go run ./test/cluster image --tag '$(VERSION)' --out dist

deploy: ## Deploy the operator to the cluster kubectl points at
	kubectl apply -k config/default

undeploy: ## Remove the operator from the cluster kubectl points at
	kubectl delete -k config/default --ignore-not-found

clean: ## Remove what was built, and every test cluster of ours, also crashed ones
	@go run ./test/cluster clean
	@rm -rf bin dist

deps: ## Install what demo and tests need from the distribution, if it is missing and can be
	@go run ./test/deps

##@ For developers

.PHONY: generate verify lint
generate: bin/controller-gen ## Regenerate deep copies and the CRD
	@bin/controller-gen object paths=./api/...
	@bin/controller-gen crd paths=./api/... output:crd:dir=config/crd

verify: generate ## Fail if anything generated, go.mod or formatting is out of date
	@go mod tidy && go -C test/cluster/kube mod tidy && go -C test/cluster/certmanager mod tidy && go -C test/monitoring mod tidy && go -C test/proxyless mod tidy && go -C tools mod tidy
	@test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)"
	@git diff --exit-code && test -z "$$(git status --porcelain | tee /dev/stderr)"

lint: bin/golangci-lint ## Run golangci-lint, import rules included
	@bin/golangci-lint run ./...

bin/controller-gen: tools/go.mod
	@mkdir -p bin && go build -C tools -o ../bin/ sigs.k8s.io/controller-tools/cmd/controller-gen
bin/golangci-lint: tools/go.mod
	@mkdir -p bin && go build -C tools -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
bin/gotestsum: tools/go.mod
	@mkdir -p bin && go build -C tools -o ../bin/ gotest.tools/gotestsum
