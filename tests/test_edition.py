"""The checks and the start page in Chinese: every message, whole and nothing else."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lesson_code import verdict
from message_templates import templates

import course_classroom
from course_classroom import checks
from course_classroom.checks.reporting import Wrong, exercise
from course_classroom.edition import in_chinese

SOURCES = sorted(Path(checks.__file__).parent.glob("*.py"))
CATALOGUE = json.loads(
    Path(course_classroom.__file__).with_name("zh.json").read_text("utf-8")
)
# Words that are filled in, and the start page's.
SHORT = {"nothing", "many", "few", "lesson", "exercises", "Solution"}
SHORT |= {"to read", "to solve", "to compute", "{0} min", "{0} s"}
SHORT |= {"To run it, copy it into a cell of your own."}
SHORT |= {"**{0} of {1} exercises are solved.**", "The next one: {0}, in {1}."}
# What a check compares with: faults by their names, and parts of PyTorch's messages.
NO_MESSAGES = {"eval() missing", "gradients never zeroed", "labels shuffled"}
NO_MESSAGES |= {"rate too high", "ReLU before the addition", "scheduler never stepped"}
NO_MESSAGES |= {"test images leaked", "wrong statistics", "cannot assign"}
NO_MESSAGES |= {"no attribute 'downsample'", "must match the size"}
NO_MESSAGES |= {"could not infer output dtype", "Boolean value of Tensor"}
NO_MESSAGES |= {"total steps", "class {0}"}
# The rows of a table, which stay English in both editions.
NO_MESSAGES |= {"validation, mixed", "labels agreed", "highest rate", "last rate"}
NO_MESSAGES |= {"negative in a branch", "mean pixel"}


def test_every_message_of_the_checks_has_its_chinese_and_none_is_left_over():
    messages = {text for source in SOURCES for text in templates(source)}
    assert messages - NO_MESSAGES == CATALOGUE.keys() - SHORT
    assert messages >= NO_MESSAGES
    assert CATALOGUE.keys() >= SHORT


@pytest.mark.parametrize("english", CATALOGUE)
def test_a_message_is_filled_with_the_same_values_and_ends_alike(english):
    chinese = CATALOGUE[english]
    slots = [sorted(re.findall(r"\{\d\}", text)) for text in (english, chinese)]
    assert slots[0] == slots[1]
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert not re.search("[\u4e00-\u9fff][,:;?!]", chinese)
    ends = {".": "。", "?": "？"}
    assert english[-1] not in ends or chinese[-1] == ends[english[-1]]


def test_values_stay_and_shorter_messages_are_put_into_longer_ones():
    found = in_chinese(
        "Depth 20 with 10 classes gives 5; that is 464 too few. "
        "Hint: does the stem still count?"
    )
    parts = [CATALOGUE[key] for key in ("does the stem still count?", "few")]
    assert found.endswith(f"提示：{parts[0]}")
    assert parts[1] in found
    assert re.findall(r"\d+", found) == ["20", "10", "5", "464"]
    assert not re.search("[a-z]{2}", found)
    assert in_chinese("Something new of 3 parts.") == "Something new of 3 parts."


@exercise(hint="work on a copy.")
def doubles(answer: Callable[[int], int]):
    if answer(3) != 6:
        raise Wrong("wrong. Hint: work on a copy.")
    return "True or False"


@pytest.mark.parametrize("folder", ["zh", "en"])
def test_the_notebooks_folder_has_the_checks_language(
    folder, tmp_path, monkeypatch, capsys
):
    def say(message):
        return CATALOGUE[message] if folder == "zh" else message

    def prints(x):
        print("a\n" * 8)
        return 2 * x

    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    hint = say("work on a copy.")
    asked = f"提示：{hint}" if folder == "zh" else f" Hint: {hint}"
    assert verdict(doubles, None, capsys)[1] == [f"{say('Not solved yet.')}{asked}"]
    assert verdict(doubles, lambda x: x, capsys)[1] == [f"✗ {say('wrong.')}{asked}"]
    *_, more, right = verdict(doubles, prints, capsys)[1]
    assert right == f"✓ {say('True or False')}"
    assert more == say("… and {0} more lines of your function.").format(4)
    (line,) = verdict(doubles, lambda x: x.a, capsys)[1]
    assert ("您" in line or "你" in line) == (folder == "zh")
    assert "'int' object has no attribute 'a'" in line
