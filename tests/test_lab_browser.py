"""`make lab` in a real browser: the start page, a lesson run, an exercise answered."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import lab
import psutil
import pytest

LESSON = "02_full_network"  # draws figures, and trains nothing
PROGRAM = (
    "import sys, lab; from pathlib import Path\n"
    "lab.MY_COURSE = Path(sys.argv[1])\n"
    "sys.exit(lab.main(sys.argv[2:]))"
)
ANSWER = """def depth_in_the_name(block, layers):
    return {}


check.depth_in_the_name(depth_in_the_name)
"""
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
CODE = f"{NOTEBOOK}.content.widgets.filter(cell => cell.model.type === 'code')"
RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
ALL_RAN = f"""() => {CODE}.every(cell => cell.model.executionCount)
  && {NOTEBOOK}.sessionContext.session.kernel.status === 'idle'"""
OUTPUTS = f"{CODE}.flatMap(cell => cell.model.outputs.toJSON())"
IS_EXERCISE = "cell => (cell.model.getMetadata('tags') || []).includes('exercise')"
TO_START = f"""() => {{
  window.jupyterapp.commands.execute('docmanager:open', {{path: '{lab.START}'}});
}}"""
READY = f"""name => window.jupyterapp && {NOTEBOOK}?.content?.widgets
  && {NOTEBOOK}.context.path === name
  && {NOTEBOOK}.sessionContext?.session?.kernel?.status === 'idle'"""
EXERCISE = f"{CODE}.find({IS_EXERCISE})"
ACTIVE = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active"
TO_EXERCISE = f"""() => {{
  const content = {NOTEBOOK}.content;
  content.activeCellIndex = content.widgets.findIndex({IS_EXERCISE});
  content.mode = 'edit';
  return content.scrollToItem(content.activeCellIndex, 'start');
}}"""


@pytest.fixture
def address(tmp_path):
    """The address of a JupyterLab that `make lab` opened on a copy of the lessons."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    options += ["--ServerApp.port_retries=0", "--IdentityProvider.token="]
    options += ["--LabApp.expose_app_in_browser=True"]
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "COURSE_RUNS")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "my_course"), *options],
        cwd=Path(lab.__file__).parent,
        env=os.environ
        | {name: str(tmp_path / name) for name in places}
        | {
            "COURSE_PROFILE": "quick",
            "COURSE_DATA": "built-in",
            "JUPYTER_PREFER_ENV_PATH": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "is running at" in line:
            break
    else:
        pytest.fail("JupyterLab did not start:\n" + "".join(printed))
    yield f"http://127.0.0.1:{port}"
    family = [*psutil.Process(process.pid).children(recursive=True), process]
    for member in family:
        member.kill()
    process.communicate()


@pytest.fixture
def page(browser):
    """A tab of Chromium."""
    return browser.new_page(viewport={"width": 1366, "height": 900})


def answer(page, value):
    """Type an answer into the exercise, run it, and return what the check says."""
    page.evaluate(TO_EXERCISE)
    editor = page.locator(f"{ACTIVE} .cm-content")
    editor.click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(ANSWER.format(value))
    count = page.evaluate(f"{EXERCISE}.model.executionCount")
    page.keyboard.press("ControlOrMeta+Enter")
    page.wait_for_function(
        f"before => {EXERCISE}.model.executionCount > before"
        f" && {NOTEBOOK}.sessionContext.session.kernel.status === 'idle'",
        arg=count,
    )
    return page.locator(f"{ACTIVE} .jp-OutputArea").inner_text()


def test_from_the_start_page_a_lesson_runs_and_an_exercise_is_answered(address, page):
    page.goto(address, timeout=120_000)
    page.wait_for_function(READY, arg=lab.START, timeout=120_000)
    row = page.locator("tr", has_text="The number in the name")
    assert "○ ★ The number in the name" in row.inner_text()
    row.get_by_role("link").click()
    page.wait_for_function(READY, arg=f"{LESSON}.ipynb", timeout=120_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function(ALL_RAN, timeout=600_000)
    verdicts = page.evaluate(f"{OUTPUTS}.map(output => output.text || '')")
    assert sum("Not solved yet" in text for text in verdicts) == 3
    assert not any("✓" in text for text in verdicts)  # no solution ran

    menus = page.locator(".lm-MenuBar-itemLabel").all_inner_texts()
    assert "Help" in menus
    assert "Nbgrader" not in menus  # those are for teachers

    outputs = page.evaluate(OUTPUTS)
    assert [o for o in outputs if o["output_type"] == "error"] == []
    page.evaluate(
        f"""() => {NOTEBOOK}.content.scrollToItem({NOTEBOOK}.content.widgets.findIndex(
            cell => cell.model.type === 'code' && cell.model.outputs.toJSON().some(
                output => output.data && output.data['image/png'])), 'end')"""
    )
    figure = page.locator(".jp-OutputArea-output img").first
    figure.wait_for()
    assert figure.evaluate("image => image.naturalWidth") > 100

    wrong = answer(page, "2 * sum(layers)")
    assert "✗" in wrong
    assert "Hint:" in wrong
    each = "(2 if block is models.BasicBlock else 3)"
    right = answer(page, f"2 + {each} * sum(layers)")
    assert "✓" in right
    assert "✗" not in right

    page.evaluate(TO_START)
    page.wait_for_function(READY, arg=lab.START, timeout=120_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function(ALL_RAN, timeout=120_000)
    assert "✓ ★ The number in the name" in row.inner_text()
