# SPDX-License-Identifier: Apache-2.0
#
# `make` alone lists the targets. Everything needs Go only; test, demo and cluster-* also need root on Debian or Ubuntu,
# and install what is missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Nothing here needs C, and one setting for all means that go compiles every package once.
export CGO_ENABLED := 0

# Tools are built by go, once, and kept in its cache.
TOOL          := go tool -modfile=hack/tools/go.mod
CONTROLLERGEN := $(TOOL) controller-gen
KUSTOMIZE     := $(TOOL) kustomize
LINT          := $(TOOL) golangci-lint-kube-api-linter
CLUSTER       := hack/cluster/cluster

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# IMG is the manager's image, and by that the image of purge Jobs. The default names the binary that was built last, so a
# new build rolls out and the same build does not.
IMG ?= dataretention.dev/retention-operator:dev-$(shell sha256sum bin/retention-operator | cut -c1-12)

# KUBECONFIG from the environment wins; else the local cluster's if there is one; else kubectl's own default.
LOCAL_KUBECONFIG := $(CURDIR)/.cluster/kubeconfig
KUBECONFIG ?= $(wildcard $(LOCAL_KUBECONFIG))
ifneq ($(KUBECONFIG),)
export KUBECONFIG
else
unexport KUBECONFIG
endif
ON_LOCAL := $(filter $(realpath $(LOCAL_KUBECONFIG)),$(realpath $(KUBECONFIG)))

# A machine's own kubectl may be too old for the local cluster, or missing.
KUBECTL ?= $(if $(ON_LOCAL),,$(shell command -v kubectl))
ifeq ($(KUBECTL),)
override KUBECTL = $(shell $(CLUSTER) assets | tail -n 1)/kubectl
endif

##@ Start here

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show expired personal data disappear, and the proof of it.
	hack/demo/demo.sh

.PHONY: demo-down
demo-down: ## Remove what the demo left: its PostgreSQL, and the local cluster.
	hack/demo/demo.sh down
	$(CLUSTER) down

.PHONY: test
test: ## Run all tests against a real Kubernetes and a real PostgreSQL, which it sets up and removes.
	hack/tools/test.sh unit api e2e cluster

.PHONY: verify
verify: generate manifests lint tidy-check test-tools ## Check that generated files, style, walls and modules are in order.
	@git diff --stat --exit-code HEAD || { echo "verify: commit these differences" >&2; exit 1; }
	@untracked=$$(git ls-files --others --exclude-standard); \
	if [[ -n $$untracked ]]; then printf 'verify: untracked files:\n%s\n' "$$untracked" >&2; exit 1; fi

##@ Develop

.PHONY: generate
generate: ## Generate DeepCopy methods.
	$(CONTROLLERGEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate CRDs from api/ and the manager's role from controllers/.
	$(CONTROLLERGEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(CONTROLLERGEN) rbac:roleName=manager-role paths=./controllers/... output:rbac:artifacts:config=config/rbac

.PHONY: fmt
fmt: ## Format the Go code.
	$(LINT) fmt

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: ## Run golangci-lint, with the walls of the design and the conventions of Kubernetes APIs.
	$(LINT) run ./...
	cd hack/cluster && go tool -modfile=../tools/go.mod golangci-lint-kube-api-linter run --config ../../.golangci.yml ./...
	cd hack/tools && go tool golangci-lint-kube-api-linter run --config ../../.golangci.yml ./...

.PHONY: lint-fix
lint-fix: ## Let golangci-lint repair what it can.
	$(LINT) run --fix ./...

# The modules under hack/cluster/ that wrap Kubernetes, containerd and CoreDNS are left out: go mod tidy would fetch all
# that their tests need.
TIDY_MODULES := . hack/tools hack/cluster

.PHONY: tidy
tidy: ## Tidy the modules.
	for m in $(TIDY_MODULES); do go -C $$m mod tidy; done

.PHONY: tidy-check
tidy-check:
	for m in $(TIDY_MODULES); do go -C $$m mod tidy -diff; done

.PHONY: build
build: ## Build bin/retention-operator, a static binary.
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/retention-operator .

.PHONY: run
run: install build ## Run the manager on this machine, against the cluster of KUBECONFIG.
	bin/retention-operator manager --purge-image=$(IMG) --namespace=default --ledger-dir=$(if $(ON_LOCAL),.cluster,bin)/ledger

##@ Test

.PHONY: test-short
test-short: ## Run the quick tests of packages that need no server.
	go test -short ./internal/...

.PHONY: test-unit
test-unit: ## Run the tests that need no Kubernetes, some of them against a real PostgreSQL.
	hack/tools/test.sh unit

.PHONY: test-api
test-api: ## Run the tests of api/, controllers/ and internal/purgejob against a real API server.
	hack/tools/test.sh api

.PHONY: test-e2e
test-e2e: ## Run the tests of test/e2e in the local cluster.
	hack/tools/test.sh e2e

.PHONY: test-cluster
test-cluster: ## Run the tests of the local cluster itself.
	hack/tools/test.sh cluster

# -count=1: go would not see that .golangci.yml changed, since it lies outside the module of the test.
.PHONY: test-tools
test-tools: ## Prove the walls: break each one, and see the linter complain.
	go -C hack/tools test -count=1 ./...

##@ Deploy

.PHONY: cluster-up
cluster-up: ## Bring up the local cluster; its kubeconfig is .cluster/kubeconfig.
	$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Remove the local cluster and all it left.
	$(CLUSTER) down

.PHONY: image
image: build ## Pack bin/retention-operator into bin/image.tar, an OCI image, without a container engine.
	$(CLUSTER) image -binary bin/retention-operator -name $(IMG) -entrypoint /retention-operator -user 65532 -out bin/image.tar

.PHONY: install
install: ## Install the CRDs into the cluster of KUBECONFIG.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side --force-conflicts -f -

.PHONY: uninstall
uninstall: ## Remove the CRDs, and with them every policy and request; what was stated about them stays in the ledger. Do this before undeploy.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

# The local cluster gets the image that was just built; any other cluster must be able to pull IMG.
.PHONY: deploy
deploy: $(if $(ON_LOCAL),image) ## Install the operator into the cluster of KUBECONFIG (elsewhere than in the local cluster: IMG=…).
ifneq ($(ON_LOCAL),)
	$(CLUSTER) load bin/image.tar
else ifeq ($(origin IMG),file)
	@echo "deploy: say which image this cluster shall pull: make deploy IMG=registry.example/retention-operator:v1" >&2; exit 1
endif
	hack/tools/render.sh $(IMG) | $(KUBECTL) apply --server-side --force-conflicts -f -
	$(KUBECTL) -n retention-system rollout status deployment/retention-controller-manager --timeout=180s
	$(KUBECTL) -n retention-system rollout status statefulset/retention-ledger --timeout=180s

.PHONY: undeploy
undeploy: ## Remove the operator; CRDs, policies, all evidence and the namespace with its keys stay.
	$(KUSTOMIZE) build config/default | $(KUBECTL) delete --ignore-not-found -l 'app.kubernetes.io/component notin (crd, evidence)' -f -

.PHONY: build-installer
build-installer: ## Write dist/install.yaml, all that IMG=… needs in one file.
ifeq ($(origin IMG),file)
	@echo "build-installer: say which image it shall install: make build-installer IMG=registry.example/retention-operator:v1" >&2; exit 1
endif
	mkdir -p dist
	hack/tools/render.sh $(IMG) >dist/install.yaml
