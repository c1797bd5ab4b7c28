# Works from any current folder: make, make -C FOLDER, make -f FOLDER/Makefile. Only sh, python and make are needed.
PROFILE ?= smoke
RECIPE ?= srgan
DATA ?= starter
SEED ?= 0

quote = '$(subst ','\'',$(1))'
# This file's folder. Make's own path functions split at spaces, so the shell takes the path apart.
ROOT := $(shell f=$$(printf '%s' $(call quote,$(MAKEFILE_LIST)) | sed 's/^ //'); cd "$$(dirname "$$f")" && pwd)
root := $(call quote,$(ROOT))
python := $(root)/.venv/bin/python

# As srkit itself sets it, where it is imported before torch.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup course test test-lowest mutants lab app bench gpu site
help:
	@echo 'make course   install what is missing, run the notebooks, write figures/$(PROFILE)'
	@echo '              PROFILE=smoke|laptop|gpu RECIPE=srgan DATA=starter|NAME|FOLDER SEED=0 ONLY=03,05 RUNS=FOLDER FIGURES=FOLDER'
	@echo 'make test     install what is missing, check the style, run the tests and the notebooks in a temporary folder'
	@echo 'make test-lowest   the same tests with exactly the lowest versions that pyproject.toml allows, in .venv-lowest'
	@echo 'make mutants  does any test see a formula that is wrong? Hours; stopped, it goes on; ROOM=health takes one module'
	@echo 'make lab      JupyterLab on the notebooks'
	@echo 'make app      notebook 07 as a web page for a class; PORT=8866 HOST=127.0.0.1 SESSIONS=4 RUNS=FOLDER'
	@echo 'make site     the course as a web site, in build/site, with the notebooks run, again where they or srkit changed'
	@echo 'make bench    speed against plain PyTorch on this machine'
	@echo 'make gpu      what only a GPU can show, each part within its own time; PARTS="cuda bench", see tests/on_a_gpu.py'
	@echo 'PYTHON=python3.12 chooses the Python that makes .venv (3.11 or newer).'

# The stamp holds the folder and pyproject.toml, and is written last: a stopped install is done again, a finished one is not.
# find-links is pointed at an empty folder, because a directory of wheels there can offer a torch that does not fit PyPI's
# torchvision; indexes that pip is configured for stay in force. The path is relative since pip splits it at spaces.
setup:
	@cd $(root) || exit 1; \
	stamp() { pwd; cat pyproject.toml; }; \
	if [ -x .venv/bin/python ] && stamp | cmp -s - .venv/installed; then exit 0; fi; \
	recent='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! { .venv/bin/python -c "$$recent" && .venv/bin/python -m pip --version; } >/dev/null 2>&1; then \
	  for py in $(if $(PYTHON),$(call quote,$(PYTHON)),python3 python3.13 python3.12 python3.11 python); do \
	    if "$$py" -c "$$recent" >/dev/null 2>&1; then break; fi; py=; \
	  done; \
	  if [ -z "$$py" ]; then \
	    echo 'srkit needs Python 3.11 or newer$(if $(PYTHON), and $(PYTHON) is not): install one, then: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; \
	  fi; \
	  "$$py" -m venv --clear .venv || { \
	    echo '.venv could not be made: on Debian and Ubuntu install python3-venv, elsewhere see the message above.' >&2; exit 1; }; \
	fi; \
	echo 'Installing srkit into .venv: a few minutes, up to 6 GB with the GPU libraries of torch.'; \
	rm -f .venv/installed; mkdir -p .venv/no-links && \
	PIP_FIND_LINKS=.venv/no-links .venv/bin/python -m pip install --disable-pip-version-check -e '.[app,dev,export,kaggle,models]' || { \
	  echo 'The installation stopped: mend what pip says above and run the same command again.' >&2; exit 1; }; \
	.venv/bin/python -c 'import torchvision' || { \
	  echo 'torch and torchvision do not fit each other: look for a wheel folder or extra index in "pip config list", delete .venv, and run the same command again.' >&2; exit 1; }; \
	stamp > .venv/installed.new && mv .venv/installed.new .venv/installed

# DATA names a data set or a folder, seen from where make was called (-C or not).
course: setup
	@data=$(call quote,$(DATA)); here=$(call quote,$(PWD)); \
	if [ ! -e "$$data" ] && [ -e "$$here/$$data" ]; then data=$$here/$$data; fi; \
	exec $(python) -P -m srkit course --profile $(call quote,$(PROFILE)) --recipe $(call quote,$(RECIPE)) --data "$$data" \
	  --seed $(call quote,$(SEED)) $(if $(ONLY),--only $(call quote,$(ONLY))) \
	  $(if $(RUNS),--runs $(call quote,$(RUNS))) $(if $(FIGURES),--figures $(call quote,$(FIGURES)))

test: setup
	@cd $(root) && .venv/bin/python -m ruff check . && .venv/bin/python -m ruff format --check . && \
	exec .venv/bin/python -m pytest -n 2 --dist loadfile $(PYTEST)

# Every ">=" of pyproject.toml is made "==", in an environment of its own.
test-lowest: setup
	@cd $(root) && .venv/bin/python -m venv --clear .venv-lowest && mkdir .venv-lowest/no-links && \
	.venv/bin/python -c 'import re, tomllib; print(*re.findall(r"[\w-]+==[\d.]+", str(tomllib.load(open("pyproject.toml", "rb"))["project"]).replace(">=", "==")), sep="\n")' > .venv-lowest/lowest.txt && \
	PIP_FIND_LINKS=.venv-lowest/no-links .venv-lowest/bin/python -m pip install --disable-pip-version-check \
	  -c .venv-lowest/lowest.txt -e '.[app,dev,export,kaggle,models]' && \
	exec .venv-lowest/bin/python -m pytest $(PYTEST)

# Not in CI. What may be left is in tests/mutants/left.toml, with the reasons.
mutants: setup
	@cd $(root) && { .venv/bin/python -c 'import cosmic_ray' 2>/dev/null || \
	  PIP_FIND_LINKS=.venv/no-links .venv/bin/python -m pip install --disable-pip-version-check -e '.[mutants]'; } && \
	exec .venv/bin/python tests/mutants/run.py $(ROOM)

lab: setup
	@cd $(root) && exec .venv/bin/python -m jupyterlab notebooks

# Further limits: make app APP='--upload-mb 8 --pixels 400000 --seconds 60 --idle-minutes 15'
app: setup
	@exec $(python) -P -m srkit app $(if $(PORT),--port $(call quote,$(PORT))) $(if $(HOST),--host $(call quote,$(HOST))) \
	  $(if $(SESSIONS),--sessions $(call quote,$(SESSIONS))) $(if $(RUNS),--runs $(call quote,$(RUNS))) $(APP)

bench: setup
	@cd $(root) && exec .venv/bin/python -m pytest -q -s -m 'slow or not slow' tests/benchmarks

gpu: setup
	@cd $(root) && exec .venv/bin/python tests/on_a_gpu.py $(PARTS)

# Notebooks that were not run yet are run first. After the first time no network is needed.
site: setup
	@cd $(root) && { .venv/bin/python -c 'import myst_nb, furo, latex2mathml, nbgrader' 2>/dev/null || \
	  PIP_FIND_LINKS=.venv/no-links .venv/bin/python -m pip install --disable-pip-version-check -e '.[site]'; } && \
	{ ran=$$(ls -t runs/course-smoke/[0-9]*.ipynb 2>/dev/null | tail -n 1) && \
	  [ "$$(ls runs/course-smoke/[0-9]*.ipynb 2>/dev/null | wc -l)" -eq "$$(ls notebooks/[0-9]*.ipynb | wc -l)" ] && \
	  [ -z "$$(find notebooks/[0-9]*.ipynb srkit -type f -newer "$$ran" ! -name '*.pyc')" ] || \
	  .venv/bin/python -P -m srkit course; } && \
	exec env SRKIT_TRY_IT=1 .venv/bin/python -m sphinx -W --keep-going -E -b html docs build/site
