# SPDX-License-Identifier: Apache-2.0
# The everyday commands. Each installs what it needs (on Debian and Ubuntu) and is done quickly when
# nothing is missing or changed. SKIP_DEPS=1 leaves packages alone; CMAKE_ARGS is handed to CMake,
# CTEST_ARGS to ctest.
.DEFAULT_GOAL := help

DEPS := $(if $(SKIP_DEPS),true,scripts/install-deps.sh)
PEERS := $(if $(SKIP_DEPS),true,scripts/install-peers.sh)
PROFILE ?= quick
RESULT ?= results/latest.json
PYTHON ?= python3
# Recipes read these as "$$RESULT", so that no blank or quote in them splits or ends a word.
export RESULT PROFILE MODEL FORMATS_ARGS DEMO_ARGS
SOURCES = $(shell git ls-files '*.cc' '*.h')

# The Python package into .venv, with the kernels of the release build.
INSTALL_PACKAGE = .venv/bin/pip install --quiet --disable-pip-version-check '.[test]' \
  --config-settings=cmake.define.QUANTBENCH_PREBUILT=$(CURDIR)/build/release/kernels/libquantbench.a

define build_and_test
	cmake --preset $(1) $(CMAKE_ARGS)
	cmake --build --preset $(1)
	ctest --preset $(1) $(CTEST_ARGS)
endef

define run_bench
	cmake --preset $(1) $(CMAKE_ARGS)
	cmake --build --preset $(1) --target quantbench
	@status=0; \
	mkdir -p "$$(dirname -- "$$RESULT")"; \
	build/$(1)/bench/quantbench --profile="$$PROFILE" --benchmark_out="$$RESULT" || status=$$?; \
	if [ -f "$$RESULT" ]; then $(MAKE) -s --no-print-directory results-of-bench || \
	  echo "No report; the results are in '$$RESULT', and 'make report' tries again." >&2; fi; \
	exit $$status
endef

define formats_tools
	$(DEPS)
	cmake --preset release $(CMAKE_ARGS)
	cmake --build --preset release --target quantbench --target model_pass
	$(subst .[test],.,$(INSTALL_PACKAGE))
endef

define static_binary
	scripts/library-source.sh build/deps benchmark
	cmake --preset $(1) $(CMAKE_ARGS)
	cmake --build --preset $(1)
	install -m 755 build/$(1)/bench/quantbench build/quantbench-$(2)
	@if readelf -d build/quantbench-$(2) | grep NEEDED; then echo "not static" >&2; exit 1; fi
	@ls -l build/quantbench-$(2)
endef

.PHONY: help bench bench-peers test test-clang test-asan test-aarch64 test-avx512 test-results test-python minsize-check \
  format format-check tidy report results-of-bench readme formats formats-tables demo picture predict dist dist-aarch64 venv clean

help:  ## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

bench:  ## build, verify and time everything; PROFILE=smoke|quick|full, raw results in RESULT; report
	$(DEPS)
	$(call run_bench,release)

bench-peers:  ## the same, beside other projects' kernels, which it installs
	$(DEPS)
	$(PEERS)
	$(call run_bench,peers)

# The file of a run is filed away under its machine and made into a report beside it.
results-of-bench: venv
	-.venv/bin/quantbench-validate --store "$$RESULT"
	.venv/bin/quantbench-report "$$RESULT" --output "$$(dirname -- "$$RESULT")/report"

report: venv  ## results/report.html and .md, of the newest results or of FILES="a.json b.json ..."
	.venv/bin/quantbench-report $(FILES)

readme: venv  ## tables and picture of the README and docs/results.md, of FILES=results/<machine>/<file>.json
	.venv/bin/quantbench-report $(FILES) --readme README.md docs/results.md
	$(MAKE) -s --no-print-directory picture

formats: venv  ## which format for MODEL=<.safetensors, .gguf, .npz> on this CPU; FORMATS_ARGS: its options
	@test -n "$$MODEL" || { echo "usage: make formats MODEL=model.safetensors" >&2; exit 2; }
	$(formats_tools)
	.venv/bin/quantbench-formats "$$MODEL" $$FORMATS_ARGS

formats-tables: venv  ## the same for the notebook's weights and a small real encoder: results/formats, pictures
	$(formats_tools)
	scripts/formats-tables.sh
	$(MAKE) -s --no-print-directory picture

demo:  ## the notebook, and what each format loses of its layer; DEMO_ARGS: options of quantization_demo
	$(DEPS)
	cmake --preset release $(CMAKE_ARGS)
	cmake --build --preset release --target quantization_demo
	build/release/examples/quantization_demo $$DEMO_ARGS

picture: venv  ## the README's picture, of the results file that its tables name
	$(DEPS) --browser
	.venv/bin/python -m quantbench_results.picture

predict: venv  ## results/predicted: a pipeline model (llvm-mca) of the hot loops, x86-64 and AArch64
	$(DEPS) --aarch64 --llvm
	cmake --preset release $(CMAKE_ARGS)
	cmake --build --preset release --target quantbench_kernels
	cmake --preset aarch64-qemu $(CMAKE_ARGS)
	cmake --build --preset aarch64-qemu --target quantbench_kernels
	.venv/bin/quantbench-predict build/release build/aarch64-qemu --measured README.md

dist:  ## build/quantbench-x86_64: one static binary for any x86-64
	$(DEPS)
	$(call static_binary,dist,x86_64)

dist-aarch64:  ## build/quantbench-aarch64: the same for any AArch64
	$(DEPS) --aarch64
	$(call static_binary,dist-aarch64,aarch64)

test:  ## build and test, as every change must pass
	$(DEPS)
	$(call build_and_test,release)

test-clang:  ## the same, built by clang, warnings are errors
	$(DEPS) --clang
	$(call build_and_test,release-clang)

test-asan:  ## under AddressSanitizer and UBSan
	$(DEPS)
	$(call build_and_test,asan-ubsan)

test-aarch64:  ## cross-compiled for AArch64, under qemu: correctness only
	$(DEPS) --aarch64
	$(call build_and_test,aarch64-qemu)

# All that the variants do but the long sweeps; AVX512_TESTS='*/avx512*' is everything. With
# AVX512_CPU=sapphire_rapids, AVX512_LEVELS=amx and AVX512_TESTS='*/amx-*Shape*' it is those of AMX
# (scripts/emulate-x86.sh --help says what that asks of Bochs).
AVX512_TESTS ?= */avx512:*/avx512vnni-*TheCaches*:*EveryQuotient*:*StrideOverAll*:*ManyRows*:*UnderMany*:*Extreme*:*EveryShapeBetweenGuardPages*:Notebook*S8.*:Notebook*S4.*
AVX512_CPU ?= tigerlake
AVX512_LEVELS ?= avx512,avx512vnni
AVX512_PROGRAMS = $(addprefix test_,convert absmax quantize_s8 quantize_s4 matmul_a32 matmul_a8 matmul_abf16)

test-avx512:  ## the AVX-512 variants on a CPU emulated by BOCHS=<bochs 3.0 or newer>: correctness only
	$(DEPS) --bochs
	cmake --preset release $(CMAKE_ARGS)
	cmake --build --preset release --target $(AVX512_PROGRAMS)
	scripts/emulate-x86.sh --cpu $(AVX512_CPU) QB_REQUIRE_ISA=$(AVX512_LEVELS) \
	  GTEST_FILTER='$(AVX512_TESTS)' $(addprefix build/release/tests/,$(AVX512_PROGRAMS))

test-results: venv  ## of the results tools; the report in a real browser if Chromium is there
	.venv/bin/pytest -n auto results

# The module is linked with the release build's library, so that the kernels are compiled once.
test-python: venv  ## the Python package, built and installed into .venv
	$(DEPS) --python
	cmake --preset release $(CMAKE_ARGS)
	cmake --build --preset release --target quantbench_kernels
	$(INSTALL_PACKAGE)
	.venv/bin/pytest python/tests
	.venv/bin/pytest results/tests/test_model.py

minsize-check:  ## the symbol check in a build that inlines little (docs/decisions/0002-odr.md)
	$(DEPS)
	cmake --preset minsize $(CMAKE_ARGS)
	cmake --build --preset minsize --target symbol_check_inputs
	ctest --preset minsize -L symbols

format:  ## clang-format every source; each says its licence in the first line
	$(DEPS) --lint
	scripts/licence.sh --add
	clang-format -i $(SOURCES)

format-check:  ## fail where that would change something
	$(DEPS) --lint
	scripts/licence.sh
	clang-format --dry-run -Werror $(SOURCES)

tidy:  ## clang-tidy over the library and its tests
	$(DEPS) --clang --lint
	cmake --preset release-clang $(CMAKE_ARGS)
	clang-tidy --quiet -p build/release-clang $(filter %.cc,$(filter kernels/core/% tests/% bench/%,$(SOURCES)))

venv: .venv/installed  ## the Python environment of the results tools, in .venv

.venv/installed: results/requirements.txt results/pyproject.toml
	$(DEPS) --python
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r results/requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e results
	touch $@

clean:  ## remove every build
	rm -rf build .venv .venv-peers
