"""The course's own lessons keep the rules, and their notebooks are up to date.

That they run is for nbmake to show, which executes each of them.
"""

import pytest
from build_notebooks import check, stray
from check_lessons import check_lesson
from lesson_files import LESSONS, find_lessons, number_of


@pytest.mark.parametrize("lesson", find_lessons(), ids=lambda lesson: lesson.stem)
def test_notebook_was_executed_from_this_lesson(lesson):
    assert check(lesson) == []


@pytest.mark.parametrize("lesson", find_lessons(), ids=lambda lesson: lesson.stem)
def test_lesson_keeps_the_rules(lesson):
    assert check_lesson(lesson) == []


def test_every_notebook_has_a_lesson():
    assert stray() == []


def test_every_lesson_is_numbered_and_every_deep_dive_has_its_lesson():
    assert sorted(LESSONS.glob("*.py")) == find_lessons()
    numbers = {number_of(lesson) for lesson in find_lessons()}
    assert {number[:2] for number in numbers} <= numbers
