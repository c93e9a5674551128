"""The rules of a lesson are checked, each broken in a small lesson made for it."""

import pytest
from check_lessons import check_lesson, count_words
from sample_lessons import GOOD, QUIZ, choice, question


@pytest.fixture
def problems_of(tmp_path):
    """Return a function that checks a lesson given as text."""

    def check(text):
        lesson = tmp_path / "01_sums.py"
        lesson.write_text(text, encoding="utf-8")
        return check_lesson(lesson)

    return check


def test_good_lesson_keeps_the_rules(problems_of):
    assert problems_of(GOOD) == []


LONG_CELL = "# %%\n" + "x = 1\n" * 31
LONG_CLASS = "# %%\nclass A:\n" + "    x = 1\n" * 45
FAIR_CLASS = (
    "# %%\nclass A:\n"
    '    """One.\n\n    Two\n    three.\n    """\n\n' + "    x = 1  # why\n" * 44
)
PROSE = "# %% [markdown]\n# " + "word " * 121 + "\n"


def before_exercises(addition):
    """Return the good lesson with more cells in front of its exercises."""
    title = "# %% [markdown]\n# ## Exercises\n"
    assert GOOD.count(title) == 1
    return GOOD.replace(title, f"{addition}\n{title}")


STUB = '# %% tags=["exercise"]\ndef f():\n    pass\n\n\ncheck(f)\n'


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        (LONG_CELL, "31 code lines, at most 30"),
        (LONG_CLASS, "46 code lines, at most 45"),
        (PROSE, "121 words of prose, at most 120"),
        ('# %% tags=["solutions"]\nx = 1\n', "unknown tag 'solutions'"),
        ('# %% tags=["setup"]\nx = 1\n', "2 setup cells"),
        ("# %%\nx = 1\n\n# %%\ny = 1\n", "third code cell in a row"),
        ("# %%\n# !pip install torch\n", "installs something"),
        (STUB, "has no solution"),
        (
            STUB + '# %% tags=["solution"]\ndef g():\n    pass\n\n\ncheck(f)\n',
            "does not define ['f']",
        ),
        (
            STUB + '# %% tags=["solution"]\ndef f():\n    pass\n\n\ncheck(f, 2)\n',
            "same call",
        ),
        ('# %% tags=["solution"]\nx = 1\n', "does not follow its exercise"),
    ],
)
def test_rule_broken_is_named(problems_of, addition, complaint):
    prose = "# %% [markdown]\n# Prose.\n\n" if complaint[:5] != "third" else ""
    (problem,) = problems_of(before_exercises(prose + addition))
    assert complaint in problem
    assert problem.startswith("01_sums")


def test_docstrings_comments_and_formulas_do_not_count(problems_of):
    assert problems_of(before_exercises("# %%\n# why\n" + FAIR_CLASS[5:])) == []
    assert count_words("A [link](https://a.b/c d) – $x + y$ and $$a\nb$$ end") == 4
    assert count_words("<details><summary>Two <code>words</code></summary>") == 2


FIFTH = question(5, right=2)
SECOND_CHOICE = choice("Two.", "No", "One and 2 are 3.")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("# ## Quiz", "# ## Test", "one each of ## Exercises, ## Quiz, ## References"),
        (
            "# ## References",
            "# ## References\n\n# %%\nx = 1",
            "there should be no code",
        ),
        (FIFTH, "", "4 cells with the questions [1, 2, 3, 4]"),
        (FIFTH, question(6, right=2), "the questions [1, 2, 3, 4, 6]"),
        (FIFTH, FIFTH + "\n# %% [markdown]\n# More.\n", "6 cells with the questions"),
        (SECOND_CHOICE, "", "2 choices; there should be 3 or 4"),
        (SECOND_CHOICE, 3 * SECOND_CHOICE, "5 choices; there should be 3 or 4"),
        ("**Right.** One and 2 are 3.", "**No.** One and 2 are 3.", "exactly one"),
        ("**No.** One and 2 are 3.", "**Right.** One and 2 are 3.", "exactly one"),
        ("**No.** One and 2 are 3.", "**Yes.** One and 2 are 3.", "should begin"),
        ("**Right.** One and 2 are 3.", "**Right.** Three it is.", "5 words at least"),
        ("<summary>Three.", "<summary>$3$.", "is HTML"),
        ("<summary>Three.", "<summary>`3`.", "is HTML"),
        ("<summary>Three.", "<summary>**3**.", "is HTML"),
        ("Three.</summary>\n#", "Three.</summary>", "a choice should be"),
        ("are 3.\n#\n# </details>\n", "are 3.\n#\n", "a choice should be"),
    ],
)
def test_wrong_quiz_is_named(problems_of, old, new, complaint):
    start = GOOD.rindex(old)
    problems = problems_of(GOOD[:start] + new + GOOD[start + len(old) :])
    assert any(complaint in problem for problem in problems)


def test_quiz_stands_between_exercises_and_references(problems_of):
    before, after = GOOD.split("# ## Quiz")
    swapped = f"{before}# ## References{after}".removesuffix("References\n") + "Quiz\n"
    (problem,) = problems_of(swapped)
    assert "in this order" in problem


@pytest.mark.parametrize(
    ("right", "complaint"),
    [
        ((2, 2, 0, 1, 1), ""),
        ((2, 2, 0, 1, 2), "is the longest in 3 questions"),
        ((1, 1, 0, 1, 2), ""),
        ((1, 1, 0, 1, 1), "has the same place in 4 questions"),
    ],
)
def test_right_choice_is_not_to_be_guessed_by_its_look(problems_of, right, complaint):
    quiz = "".join(question(n, place) for n, place in enumerate(right, 1))
    problems = problems_of(GOOD.replace(QUIZ, quiz))
    assert len(problems) == bool(complaint)
    assert all(complaint in problem for problem in problems)


def test_question_may_be_longer_than_other_prose(problems_of):
    def with_words(count):
        extra = "word " * (count - count_words(FIFTH.split("\n", 2)[2]))
        return GOOD.replace("**5. ", f"**5. {extra}")

    assert problems_of(with_words(190)) == []
    (problem,) = problems_of(with_words(191))
    assert "191 words of prose, at most 190" in problem
