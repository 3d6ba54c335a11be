# On a machine with Python 3.11 or later and venv, `make demo`, `make check` and `make test` install all
# that they use below .venv: see `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
# Says when a step begins and ends, and shows what it printed if it fails.
STEP := @$(PYTHON) tools/step.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

TOOLCHAIN := $(VENV)/toolchain
LOADERS := .venv-loaders
LOADER_TESTS := $(patsubst tests/loaders/%/requirements.txt,%,$(wildcard tests/loaders/*/requirements.txt))
FLINK := $(VENV)/flink
FLINK_LIBRARIES := 1.19.3
# Programs in Go beside the Python SDK: any minor release of Beam 2 works with any other.
BEAM := 2.77.0
AIRFLOW := $(VENV)/airflow
KUBERNETES := $(VENV)/kubernetes
OPERATOR := 1.10.0
OPERATOR_SHA256 := b1f44814e17514fa8395c61b329a3ee9087123a5bda5b21fe1a495d5182c30b6
KUBERNETES_SCHEMAS := 1.37.0

.PHONY: help demo check test setup lint types docs fuzz bench bench-peers bench-startup bench-growth \
    bench-narratives bench-full bench-examples bench-formats bench-loading bench-evaluate bench-pixels bench-memory \
    bench-incremental bench-rebuilds bench-flink loaders $(LOADER_TESTS:%=loaders-%) toolchain flink \
    prism kubernetes airflow clean

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/python -m pipelines.synthesize --output $(DEMO)/open-images --images 200
	$(BIN)/python -m pipelines.build \
	    --annotations $(DEMO)/open-images/annotations \
	    --images $(DEMO)/open-images/images \
	    --masks $(DEMO)/open-images/masks \
	    --output $(DEMO)/dataset
	$(BIN)/python -m pipelines.draw $(DEMO)/dataset --output $(DEMO)/examples.png

help:
	@echo 'make demo    a small corpus, built and drawn, in demo/'
	@echo 'make check   at each change: lint, types, and the quick tests, which need Python alone'
	@echo 'make docs    the pages of docs/ with an API reference, in site/'
	@echo 'make test    all tests, after make setup'
	@echo 'make loaders tests of other libraries that load what was written, in .venv-loaders: 10 GB'
	@echo 'make setup   what the tests use: Java and Go, Flink, Prism, schemas of Kubernetes, Airflow'
	@echo 'make flink   (or prism, kubernetes, airflow) one of these'
	@echo 'make fuzz    drawn and mutated inputs, for about an hour; SEED=… repeats a run'
	@echo 'make bench   benchmarks; bench-… in the Makefile are others'
	@echo 'make clean   removes .venv, .venv-loaders, demo and site'

# What a contributor runs at each change.
check: lint types
	$(BIN)/python -m pytest --quick

# JAVA_HOME may name a Java that Flink doesn't run on: what `setup` found or installed is taken.
test: setup
	env -u JAVA_HOME $(BIN)/python -m pytest

# Each folder of tests has an environment of its own, as some libraries exclude one another.
loaders: $(LOADER_TESTS:%=loaders-%)

$(LOADER_TESTS:%=loaders-%): loaders-%: $(LOADERS)/%/installed
	$(LOADERS)/$*/bin/python -m pytest -n 2 tests/loaders/$*

$(LOADERS)/%/installed: tests/loaders/%/requirements.txt setup.py
	@$(PYTHON) -m venv $(LOADERS)/$*
	@$(LOADERS)/$*/bin/python -m pip install --quiet --upgrade pip
	$(STEP) '$* libraries' $(LOADERS)/$*/bin/python -m pip install --quiet --requirement $<
	$(if $(wildcard $(<D)/requirements-no-deps.txt),$(STEP) '$* without their own' \
	    $(LOADERS)/$*/bin/python -m pip install --quiet --no-deps \
	    --requirement $(<D)/requirements-no-deps.txt)
	@touch $@

# Several at once: most of it is waiting for servers, but for two builds in Go.
setup:
	@$(MAKE) --silent --no-print-directory --jobs 5 $(VENV)/installed flink prism kubernetes airflow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed
	$(BIN)/pyrefly check

# Strict: a link, an anchor or a name that isn't there ends it.
docs: $(VENV)/docs
	$(BIN)/mkdocs build

# Far more drawn inputs than `make test` tries, from another seed each time: make fuzz SEED=…
SEED := $(shell date +%s)
FUZZ = $(BIN)/python -m tests.fuzz

fuzz: $(VENV)/installed
	$(FUZZ) tests.fuzz.picture_targets:jpeg_picture --seed $(SEED) --count 20000
	$(FUZZ) tests.fuzz.picture_targets:png_picture --seed $(SEED) --count 20000
	$(FUZZ) tests.fuzz.picture_targets:png_structure --seed $(SEED) --count 20000 --mebibytes 1500
	$(FUZZ) tests.fuzz.picture_targets:mask --seed $(SEED) --count 10000
	$(FUZZ) tests.fuzz.picture_targets:zip_archive --seed $(SEED) --count 10000
	$(FUZZ) tests.fuzz.picture_targets:tar_archive --seed $(SEED) --count 5000
	$(FUZZ) tests.fuzz.picture_targets:zip_claims --seed $(SEED) --count 20000
	$(FUZZ) tests.fuzz.picture_targets:tar_claims --seed $(SEED) --count 10000
	$(FUZZ) tests.fuzz.trust_targets:url --seed $(SEED) --count 200000
	$(FUZZ) tests.fuzz.trust_targets:elements --seed $(SEED) --count 50000
	$(FUZZ) tests.fuzz.version_targets:flipped_bit --seed $(SEED) --count 2000 --mebibytes 1024
	$(FUZZ) tests.fuzz.version_targets:damaged_file --seed $(SEED) --count 2000 --mebibytes 1024
	$(FUZZ) tests.fuzz.version_targets:added_file --seed $(SEED) --count 500 --mebibytes 1024
	$(FUZZ) tests.fuzz.input_targets:drawn_folder --seed $(SEED) --count 20000
	$(FUZZ) tests.fuzz.input_targets:changed_input --seed $(SEED) --count 500 --seconds 60 --mebibytes 2000
	$(FUZZ) tests.fuzz.selection_targets:drawn_selection --seed $(SEED) --count 300 --seconds 60 --mebibytes 2000
	$(FUZZ).signals --seed $(SEED) --count 160
	$(FUZZ).signals --seed $(SEED) --count 40 --runner flink
	$(FUZZ) tests.fuzz.table_targets:table --seed $(SEED) --count 30000
	$(FUZZ) tests.fuzz.table_targets:class_file --seed $(SEED) --count 20000
	$(FUZZ) tests.fuzz.table_targets:image_list --seed $(SEED) --count 20000

# Figures are printed; RESULTS=benchmarks/RESULTS.md replaces their section there too. WORK=DIR keeps
# the corpora for other targets, and needs 2.4 GB for a million images.
BENCH_FLAGS = $(if $(RESULTS),--results $(RESULTS)) $(if $(WORK),--work $(WORK))
FULL := 9178275

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks.annotations $(BENCH_FLAGS)

bench-peers: $(VENV)/bench
	$(BIN)/python -m benchmarks.annotations --title "A million images" --images 1000000 \
	    --groupbykey_images 0 --repeats 5 $(BENCH_FLAGS)

bench-startup: $(VENV)/bench
	$(BIN)/python -m benchmarks.startup $(BENCH_FLAGS)

bench-growth: $(VENV)/bench
	$(BIN)/python -m benchmarks.scaling --one_worker_images 1000000 --repeats 3 $(BENCH_FLAGS)

bench-narratives: $(VENV)/bench
	$(BIN)/python -m benchmarks.scaling --title "Narratives of the published length" \
	    --images 1000000 --narrative_bytes 33000 $(BENCH_FLAGS)

# All of V7, and DuckDB on the same: 22 GB of input, as much again meanwhile.
bench-full: $(VENV)/bench
	$(BIN)/python -m benchmarks.scaling --title "Full size" --images 100000,1000000,$(FULL) \
	    $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.annotations --title "Full size: peers" --images $(FULL) \
	    --groupbykey_images 0 --programs csv,json,cat --duckdb_memory_limit 12GB $(BENCH_FLAGS)

bench-examples: $(VENV)/bench
	$(BIN)/python -m benchmarks.tfrecord_examples $(BENCH_FLAGS)

# PYTHONS=venv/bin/python,… names environments with the libraries of formats, instead of those that
# `make loaders` makes.
bench-formats: $(VENV)/installed
	$(BIN)/python -m benchmarks.formats $(if $(PYTHONS),--environments $(PYTHONS)) $(BENCH_FLAGS)

# Loaders are looked for in the environments of `make loaders`, or of PYTHONS.
bench-evaluate: $(VENV)/installed
	$(BIN)/python -m benchmarks.evaluation $(if $(PYTHONS),--environments $(PYTHONS)) $(BENCH_FLAGS)

bench-loading: $(VENV)/installed
	$(BIN)/python -m benchmarks.loading $(if $(PYTHONS),--environments $(PYTHONS)) $(BENCH_FLAGS)

bench-pixels: $(VENV)/installed
	$(BIN)/python -m benchmarks.pixels $(BENCH_FLAGS)

bench-memory: $(VENV)/installed
	$(BIN)/python -m benchmarks.memory

bench-incremental: $(VENV)/bench
	$(BIN)/python -m benchmarks.incremental $(BENCH_FLAGS)

bench-rebuilds: $(VENV)/bench
	$(BIN)/python -m benchmarks.rebuilds $(BENCH_FLAGS)

bench-flink: $(VENV)/installed flink
	$(BIN)/python -m benchmarks.flink

# Java and Go, the machine's own where they will do.
toolchain: $(TOOLCHAIN)/installed

$(TOOLCHAIN)/installed: tools/toolchain.py | $(VENV)/made
	@$(BIN)/python -m venv $(TOOLCHAIN)
	$(STEP) 'Java and Go' $(BIN)/python tools/toolchain.py $(abspath $(TOOLCHAIN))
	@touch $@

# Beam's job server for Flink, the program that starts its workers, and Flink itself.
flink: $(FLINK)/job-server.jar $(FLINK)/boot $(FLINK)/lib-$(FLINK_LIBRARIES)

# FLINK_JOB_SERVER_JAR, a path or URL, names a job server that was put together elsewhere.
JOB_SERVER := org.apache.beam.runners.flink.FlinkJobServerDriver
ifdef FLINK_JOB_SERVER_JAR
.PHONY: $(FLINK)/job-server.jar
$(FLINK)/job-server.jar: | $(TOOLCHAIN)/installed
	$(STEP) 'job server' $(TOOLCHAIN)/bin/python tools/jars.py take '$(FLINK_JOB_SERVER_JAR)' $@ $(JOB_SERVER)
else
$(FLINK)/job-server.jar: runners/flink/jars.txt | $(TOOLCHAIN)/installed
	$(STEP) 'job server' $(TOOLCHAIN)/bin/python tools/jars.py merge $< $@ $(JOB_SERVER)
endif

GO_INSTALL := $(TOOLCHAIN)/tools/go install

$(FLINK)/boot: setup.py | $(TOOLCHAIN)/installed
	$(STEP) 'boot' env GOBIN=$(abspath $(FLINK)) $(GO_INSTALL) \
	    github.com/apache/beam/sdks/v2/python/container@v$(BEAM)
	@mv $(FLINK)/container $@
	@touch $@

$(FLINK)/lib-$(FLINK_LIBRARIES): | $(VENV)/made
	@rm -rf $(FLINK)/sdist
	$(STEP) 'Flink' $(BIN)/python -m pip download --quiet --no-deps \
	    --no-binary apache-flink-libraries --dest $(FLINK)/sdist \
	    apache-flink-libraries==$(FLINK_LIBRARIES)
	@tar --extract --gzip --file $(FLINK)/sdist/*.tar.gz --directory $(FLINK)/sdist \
	    --strip-components 2 --wildcards '*/deps/lib/flink-dist-*' '*/deps/lib/log4j-*'
	@mv $(FLINK)/sdist/lib $@
	@rm -r $(FLINK)/sdist

# Beam's runner in Go; the first build takes some minutes.
prism: $(VENV)/prism/built-$(BEAM)

$(VENV)/prism/built-$(BEAM): | $(TOOLCHAIN)/installed
	$(STEP) 'Prism' env GOBIN=$(abspath $(VENV))/prism $(GO_INSTALL) \
	    github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)
	@touch $@

# Schemas that the manifests are checked against: the operator's own, and those of Kubernetes.
kubernetes: $(KUBERNETES)/operator-$(OPERATOR) $(KUBERNETES)/schemas-$(KUBERNETES_SCHEMAS)

$(KUBERNETES)/operator-$(OPERATOR): | $(TOOLCHAIN)/installed
	$(STEP) 'Flink operator' $(TOOLCHAIN)/bin/python tools/jars.py fetch \
	    org.apache.flink:flink-kubernetes-operator-api:$(OPERATOR) $(OPERATOR_SHA256) $@

$(KUBERNETES)/schemas-$(KUBERNETES_SCHEMAS): | $(VENV)/made
	$(STEP) 'Kubernetes' $(BIN)/python -m pip download --quiet --no-deps --only-binary :all: \
	    --dest $@ kubernetes-validate==$(KUBERNETES_SCHEMAS)

# Airflow in an environment of its own, for the test of the DAG. Nothing is to be resolved: all that
# it needs is in the list.
airflow: $(AIRFLOW)/installed

$(AIRFLOW)/installed: runners/schedules/airflow-requirements.txt | $(VENV)/made
	@$(BIN)/python -m venv --clear $(AIRFLOW)
	$(STEP) 'Airflow' $(AIRFLOW)/bin/python -m pip install --quiet --no-deps --requirement $<
	@touch $@

$(VENV)/bench $(VENV)/docs: $(VENV)/%: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) $(LOADERS) $(DEMO) site

$(VENV)/installed: setup.py | $(VENV)/made
	$(STEP) 'Python' $(BIN)/python -m pip install --quiet --editable '.[tensorflow,test]'
	@touch $@

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(STEP) 'environment' $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@
