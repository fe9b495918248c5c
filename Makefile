# Fieldscope on Debian or Ubuntu: each target installs what is missing, then runs. A second call starts at once.
#   make demo    the whole chain on the simulated microscope, without a window; files in demo-out/
#   make run     the window
#   make test    ruff, mypy and the tests
#   make clean   remove what these have made
# On Windows and macOS: pip install .    then: fieldscope

VENV := .venv
BIN := $(VENV)/bin
QT_LIBRARIES := libgl1 libegl1 libxkbcommon0 libfontconfig1 libglib2.0-0 libdbus-1-3 \
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0 libxcb-render-util0 libxcb-xkb1 libxkbcommon-x11-0 \
    libxcb-randr0 libxcb-shape0
TEST_TOOLS := xvfb xauth xdotool imagemagick

.PHONY: demo run test clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/fieldscope demo --out demo-out --overwrite
	@echo "Look at demo-out/demo.png. For the window: make run"

run: $(VENV)/installed $(VENV)/qt-libraries
	$(BIN)/fieldscope

test: $(VENV)/installed-for-tests $(VENV)/qt-libraries $(VENV)/test-tools
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf $(VENV) demo-out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml .ci/install-python
	bash .ci/install-python $(VENV) .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	bash .ci/install-python $(VENV) ".[test]"
	touch $@

$(VENV)/qt-libraries: | $(VENV)/installed
	bash .ci/install-system $(QT_LIBRARIES)
	touch $@

$(VENV)/test-tools: | $(VENV)/installed
	bash .ci/install-system $(TEST_TOOLS)
	touch $@
