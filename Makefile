# make paper   set-up, then rebuild every figure, table and notebook with the default profile, and compare with the committed
# make ablation  set-up, then train and score every compared method and every variant, in as many sittings as it takes
# make downstream  set-up, then ask the downstream tasks of every encoder (trains what `make ablation` has not)
# make release set-up, then train the shipped checkpoint anew, into runs/release (about two hours on one core)
# make test    set-up, then run the tests and the notebooks (solved: what a reader's cell holds untouched, the tests try)
# make quick   set-up, then the tests without training or rendering (two to three minutes)
# make lint    set-up, then ruff and the types of the public surface
# make lab     set-up, then open the notebooks
# make handout  set-up, then the notebooks for a class, with and without solutions, and the printed page (runs/handout)
# make book    set-up, then the notebooks and pages as a folder for a browser, offline (runs/book; adds Sphinx to .venv)
# make browser  set-up, then a page in which the model answers without Python (runs/browser); needs npm, and adds onnxruntime to .venv
# make screenshots  set-up, then the pictures of explorer, evidence sheet and book that the README shows (needs Debian's chromium)
# Another interpreter: make paper PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
LOCK := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
INSTALLED := .venv/.installed-$(LOCK)
BOOK := .venv/.book-$(shell cat constraints-book.txt | cksum | cut -d ' ' -f 1)
BROWSER := .venv/.browser-$(shell cat constraints-browser.txt | cksum | cut -d ' ' -f 1)
# The lock first and without resolving: where the index fails for one package, pip then stops at once (and is tried again)
# instead of backtracking through older versions of everything. The second step adds torch and what it needs here.
LOCKED := $(BIN)/python -m pip install --no-deps -r constraints.txt

.PHONY: paper ablation downstream release test quick lint lab handout book browser screenshots setup

paper: setup
	$(BIN)/ssacl rebuild
	$(BIN)/ssacl rebuild --verify

ablation: setup
	$(BIN)/ssacl ablation --processes 2

downstream: setup
	$(BIN)/ssacl downstream --processes 2

# Ours in it: a deeper stem, sides exchanged as negatives, findings read in the reports; the rest is the profile cpu.
RELEASE := --profile cpu --seed 0 --set threads=1 --set model.stem=deep --set training.loss_weights.side_exchange=1.0

release: setup
	$(BIN)/ssacl pretrain-start $(RELEASE) --set training.images=96000 --set training.learning_rate=1.5e-3 \
		--set training.warmup_images=4800 --out runs/start-deep
	$(BIN)/ssacl pretrain --half $(RELEASE) --set model.encoder_weights=runs/start-deep --set training.images=120000 \
		--set training.loss_weights.report_labels=1.0 --set training.head_studies=24000 --set training.head_epochs=20 \
		--set inference.evidence_masks=256 --set inference.evidence_smoothing_patches=0.75 --out runs/release
	$(BIN)/ssacl plus --profile cpu --half --weights runs/release --out runs/release

# Two processes with a thread each are faster than one with two: most tests are too small to share among threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST)
	$(BIN)/ssacl handout --out runs/handout
	$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout=600 runs/handout/solutions

quick: setup
	$(PYTEST) -m "not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: setup
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

handout: setup
	$(BIN)/ssacl handout

book: setup $(BOOK)
	$(BIN)/ssacl book $(if $(wildcard runs/browser/index.html),--model runs/browser)

browser: setup $(BROWSER)
	$(BIN)/ssacl browser-model

screenshots: setup
	$(BIN)/python tests/screenshots.py

setup: $(INSTALLED)
	$(BIN)/ssacl data get ct

# Looked at before anything is installed; the same range as requires-python in pyproject.toml.
RIGHT_PYTHON := import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else \
	"$(PYTHON) is Python %d.%d; 3.11 or 3.12 is needed: make $(MAKECMDGOALS) PYTHON=python3.12" % v)

$(INSTALLED):
	@$(PYTHON) -c '$(RIGHT_PYTHON)'
	$(PYTHON) -m venv .venv
	$(LOCKED) || $(LOCKED)
	$(BIN)/python -m pip install -e ".[test]" -c constraints.txt "torch>=2.11,<2.14"
	touch $@

# Only here, so that the other commands stay small. Its lock holds what the first one lacks, and nothing is resolved.
$(BROWSER): $(INSTALLED)
	$(BIN)/python -m pip install --no-deps -r constraints-browser.txt
	touch $@

$(BOOK): $(INSTALLED)
	$(BIN)/python -m pip install --no-deps -r constraints-book.txt
	touch $@
