# `make` lists the targets.

# With an exported CDPATH, `cd` goes elsewhere and prints where.
unexport CDPATH
export PREFIX DESTDIR LUADIR LIBDIR DIST SOURCE_URL CHECK
.DEFAULT_GOAL := help
SECONDS ?= 60
TARGET ?=
.PHONY: help run test fuzz test-image bench lint lib install package abi docs clean

help: ## List the targets
	@echo 'route_native: token checks for OpenResty'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start the gateway with a demo desktop (PORT=8080 RUN_DIR=.run WORKERS=auto DEMO=1 TLS=0)
	@exec scripts/run.sh

test: ## Install the programs for the tests, then run the lints, the Rust tests and the specs
	@exec scripts/test.sh

fuzz: ## Fuzz the readers of foreign bytes for a time (SECONDS=60 TARGET=tokens,jwk; all targets share it by default)
	@FUZZ_SECONDS='$(SECONDS)' FUZZ_TARGET='$(TARGET)' scripts/fuzz.sh

bench: ## Measure the gateway against its limits (QUICK=1 RUNS=9 BENCH_OUT=docs/bench/results.json)
	@exec bench/run.sh

test-image: ## Build Dockerfile.jammy on a local base and send a token through the image (root, Debian or Ubuntu)
	@exec scripts/test-image.sh

lint: ## Check formatting, clippy, luacheck, the reference and the version, with warnings as errors
	@exec scripts/lint.sh

lib: ## Build only the shared library, for installation
	@scripts/build-library.sh

# Without cargo on the PATH, as under sudo, `make install` installs the result of `make lib`.
install: ## Install library, Lua modules and configuration (PREFIX=/usr/local DESTDIR= LUADIR= LIBDIR=)
	@if command -v cargo > /dev/null; then scripts/build-library.sh; fi
	@scripts/install.sh

package: ## Build a binary rock and a tarball (DIST=dist)
	@scripts/package.sh

abi: ## Write include/route_native.h and lua/route_native/core/cdef.lua from src/ffi/
	@UPDATE_ABI=1 cargo test --quiet --release --test abi

docs: ## Write docs/reference/ from the comments of the public Lua modules (CHECK=1: only fail if it is stale)
	@scripts/docs.sh

clean: ## Remove target/, .run/ and dist/
	rm -rf target .run dist
