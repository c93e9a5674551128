"""Numbers in prose are compared with results made up for it.

`check_lesson` asks it of every lesson, and test_notebooks that of the course's own.
"""

import json

import pytest
from check_lessons import check_lesson
from numbers_in_prose import wrong_numbers
from sample_lessons import GOOD

RUNS = {
    "a-seed0": {"accuracy": 0.7144, "history": {"loss": [2.0, 0.5]}, "done": True},
    "a-seed1": {"accuracy": 0.7184, "history": {"loss": [2.0, 0.7]}, "none": None},
    "a-seed2": {"accuracy": 0.7152, "history": {"loss": [2.0, 0.75]}},
    "b": {"accuracy": 0.75, "minutes": 12.34, "images": 50000},
}


@pytest.fixture
def folder(tmp_path):
    for name, run in RUNS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(run))
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "It is 71.6 %<!-- results: a-seed* accuracy --> of them.",
        "It is **72%**<!-- results: a-seed* accuracy mean -->.",
        "71.4 to 71.8 %<!-- results: a-seed* accuracy max -->",
        "66.0–71.5\u00a0%<!-- results: a-seed* accuracy median -->",
        "(0.2 points<!-- results:\na-seed* accuracy\nstd -->)",
        "0.65<!-- results: a-seed* history.loss.-1 -->",
        "0.5<!-- results: a-seed* history.loss.1 min --> s",
        "−3.4 points<!-- results: a-* accuracy - b accuracy -->",
        "-3.6 %<!-- results: a-* accuracy min - b accuracy max -->",
        "12.3 min<!-- results: b minutes --> on 50,000<!-- results: b images -->",
        "0.75 ×<!-- results: b accuracy --> <!-- another comment -->",
    ],
)
def test_right_number_passes(folder, text):
    assert list(wrong_numbers(text, folder)) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("71.7 %<!-- results: a-* accuracy -->", "the number should be 71.6."),
        ("71.60 %<!-- results: b accuracy -->", "the number should be 75.00."),
        ("71<!-- results: a-seed0 accuracy -->", "the number should be 1."),
        ("71.6 %<!-- results: c-* accuracy -->", "no file results/c-*.json"),
        ("71.6 %<!-- results: a-* loss -->", "a-seed0.json has no 'loss' of 'loss'"),
        ("2.0<!-- results: b history.loss.0 -->", "b.json has no 'history' of"),
        ("2.0<!-- results: a-* history.loss.2 -->", "has no '2' of"),
        ("2.0<!-- results: a-* history.loss -->", "is not a number"),
        ("1<!-- results: a-seed0 done -->", "is not a number"),
        ("1<!-- results: a-seed1 none -->", "is not a number"),
        ("0<!-- results: b accuracy std -->", "is one run; std needs two"),
        ("NUMBER %<!-- results: a-* accuracy -->", "no number stands right before"),
        ("71.6 % of them<!-- results: a-* accuracy -->", "no number stands right"),
        ("71.6 %\n<!-- results: a-* accuracy -->", "no number stands right before"),
        ("0<!-- results: b accuracy\n- b accuracy -->", "must not look like that of"),
        ("71.6 %<!-- result: a-* -->", "'a-*' should be GLOB KEY [mean|min|max"),
        ("71.6 %<!-- results: a-* accuracy first -->", "should be GLOB KEY [mean"),
        ("1<!-- results: b a - b a - b a -->", "b.json has no 'a' of 'a'"),
        ("1<!-- results: b images - b images - b images -->", "one term, or two"),
    ],
)
def test_wrong_number_or_comment_gets_one_sentence(folder, text, complaint):
    (problem,) = wrong_numbers(text, folder)
    assert complaint in problem
    assert "<!-- result" in problem


def test_wrong_number_of_a_lesson_is_named(tmp_path):
    lesson = tmp_path / "01_sums.py"
    comment = "99 %<!-- results: pretrained-cifar10 test_accuracy -->"
    lesson.write_text(GOOD.replace("Double it.", f"Double {comment} of it."), "utf-8")
    assert any("99 %<!-- results" in problem for problem in check_lesson(lesson))
