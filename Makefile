# Everything here sets up .venv first, if it is missing or no longer fits.
#   make course      run the lessons, with a site of them in build/course/
#                    (their deep dives, too: LESSONS=all; some only: LESSONS="01 01b")
#   make site        the course site, from notebooks/ as they are, in build/site/
#   make lab         JupyterLab on your own copy of the lessons, in my_course/
#   make test        every test, and every notebook
#   make notebooks   build notebooks/ from lessons/ (some only: LESSONS="01 01b")
#   make bench       measure the speed of training, as ratios; some minutes
#   make bench-minutes   measure accuracy after 1, 3, 10 and 30 minutes; hours, resumable
#   make results-03  record lesson 03's runs, three seeds, on the data of COURSE_DATA
#   make results-06  record lesson 06's comparisons, three seeds; downloads 0.6 GB
#   make wheelhouse DIR=wheels   every package, to install without a network later
#                    (for others, too: PLATFORMS="linux macos windows")
#   make clean       remove what was built; runs/, data/ and my_course/ stay
# make course LANGUAGE=zh and make lab LANGUAGE=zh: the lessons in Chinese
# Options: PYTHON=python3.12   TORCH_INDEX=address of PyTorch's CPU packages
#          WHEELS=wheels, to install from a wheelhouse
#          HOSTED=address of the hosted edition, for the site's buttons to Colab

PYTHON ?= python3
TORCH_INDEX ?=
WHEELS ?=
DIR ?= wheels
PLATFORMS ?=
LESSONS ?=
LAB_ARGS ?=
PY := .venv/bin/python
export TORCH_INDEX WHEELS

.DEFAULT_GOAL := help
.PHONY: help setup course site lab test notebooks bench bench-minutes results-03 \
  results-06 wheelhouse clean

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

setup:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install \
	Python 3.11 or newer, or name it: make course PYTHON=python3.12"; exit 1; }
	@$(PYTHON) tools/make_venv.py

course: setup
	@$(PY) tools/run_course.py $(LESSONS)

site: setup
	@$(PY) tools/build_site.py

lab: setup
	@$(PY) tools/lab.py $(LAB_ARGS)

# On two cores, one thread each: twice as fast as one after the other on both. A file's
# tests stay together, and the notebooks, which take the longest, come first.
test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  --cov --nbmake --nbmake-timeout=1800 notebooks tests

notebooks: setup
	@$(PY) tools/check_lessons.py $(LESSONS)
	@$(PY) tools/build_notebooks.py $(LESSONS)

bench: setup
	@$(PY) tools/bench.py

bench-minutes: setup
	@$(PY) tools/bench_minutes.py
	@$(PY) tools/update_readme.py

results-03: setup
	@$(PY) tools/record_lesson.py 03
	@$(PY) tools/update_readme.py

results-06: setup
	@$(PY) tools/transfer_study.py
	@$(PY) tools/transfer_study.py --ways norms-frozen --per-class 30
	@$(PY) tools/transfer_study.py --backbone cifar10
	@$(PY) tools/transfer_study.py --backbone resnet34
	@$(PY) tools/record_tutorials.py
	@$(PY) tools/update_readme.py

wheelhouse: setup
	@$(PY) tools/wheelhouse.py "$(DIR)" $(PLATFORMS)

clean:
	rm -rf build dist .pytest_cache .ruff_cache .coverage* *.egg-info
	find . \( -path ./.venv -o -path ./runs -o -path ./data -o -path ./my_course \) \
	  -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -print0 \
	  | xargs -0 rm -rf
