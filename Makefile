# `make` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test lint abi clean

help: ## List the targets
	@echo 'route_native: token checks for OpenResty'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

run: ## Build and start the gateway with a demo desktop (PORT=8080 RUN_DIR=.run WORKERS=auto DEMO=1)
	@exec scripts/run.sh

test: ## Install what the tests need, then run the lints, the Rust tests and the specs
	@exec scripts/test.sh

lint: ## Formatting, clippy and luacheck, with warnings as errors
	@exec scripts/lint.sh

abi: ## Write include/route_native.h and lua/route_native/cdef.lua anew from src/ffi.rs
	@UPDATE_ABI=1 cargo test --quiet --release --test abi

clean: ## Remove what was built and run
	rm -rf target .run
