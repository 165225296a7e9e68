# Two commands on a fresh machine: `make demo` and `make test`. Both are quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test real check clean help

help:
	@echo "make demo   install, fine-tune the shipped base model, gate it, write the report"
	@echo "make test   every check that CI runs (tox)"
	@echo "make check  lint, types and layers only"
	@echo "make real   the tests on real public data named by SLMCHECK_TEST_DATA"

$(VENV)/created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) install --quiet -e ".[all]" -c constraints.txt
	touch $@

$(VENV)/tox: $(VENV)/created constraints.txt
	$(PIP) install --quiet tox -c constraints.txt
	touch $@

$(VENV)/developer: $(VENV)/installed
	$(PIP) install --quiet -e ".[dev]" -c constraints.txt
	touch $@

demo: $(VENV)/installed
	$(BIN)/slmcheck demo

test: $(VENV)/tox
	$(BIN)/tox run

check: $(VENV)/tox
	$(BIN)/tox run -e lint,types,layers

real: $(VENV)/developer
	$(BIN)/python -m pytest tests -m real -rs

clean:
	rm -rf $(VENV) .tox build dist slmcheck-demo
