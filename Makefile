# `make` lists what there is.

# With an exported CDPATH, `cd` goes elsewhere and prints where.
unexport CDPATH
export PREFIX DESTDIR LUADIR LIBDIR DIST SOURCE_URL CHECK
.DEFAULT_GOAL := help
.PHONY: help run test test-image bench lint lib install package abi docs clean

help: ## List the targets
	@echo 'route_native: token checks for OpenResty'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start the gateway with a demo desktop (PORT=8080 RUN_DIR=.run WORKERS=auto DEMO=1)
	@exec scripts/run.sh

test: ## Install what the tests need, then run the lints, the Rust tests and the specs
	@exec scripts/test.sh

bench: ## Measure the gateway side by side with its limits (QUICK=1 RUNS=9 BENCH_OUT=docs/bench/results.json)
	@exec bench/run.sh

test-image: ## Build Dockerfile.jammy on a stand-in base and send a token through its result (root, Debian or Ubuntu)
	@exec scripts/test-image.sh

lint: ## Formatting, clippy, luacheck, a fresh reference and one version, with warnings as errors
	@exec scripts/lint.sh

lib: ## Build the shared library alone, as it is installed
	@scripts/build-library.sh

# Without cargo on the PATH, as under sudo, what `make lib` has built is installed.
install: ## Install library, Lua modules and configuration (PREFIX=/usr/local DESTDIR= LUADIR= LIBDIR=)
	@if command -v cargo > /dev/null; then scripts/build-library.sh; fi
	@scripts/install.sh

package: ## Build a binary rock and a tarball (DIST=dist)
	@scripts/package.sh

abi: ## Write include/route_native.h and lua/route_native/core/cdef.lua from src/ffi/
	@UPDATE_ABI=1 cargo test --quiet --release --test abi

docs: ## Write docs/reference/ from the comments of the public Lua modules (CHECK=1: only fail when it is stale)
	@scripts/docs.sh

clean: ## Remove what was built and run
	rm -rf target .run dist
