"""The rules of a lesson are checked, each broken in a small lesson made for it."""

import pytest
from check_lessons import check_lesson, size_line
from lesson_files import find_lessons, read_lesson
from measure import count_words, measured
from sample_lessons import GOOD, QUIZ, choice, exercise, question


@pytest.fixture
def problems_of(tmp_path):
    """Return a function that checks a lesson given as text."""

    def check(text, name="01_sums"):
        lesson = tmp_path / f"{name}.py"
        lesson.write_text(text, encoding="utf-8")
        minutes = measured(read_lesson(lesson).cells).reading_minutes
        card = f"**Reading** {minutes} minutes"
        lesson.write_text(text.replace(CARD, card), encoding="utf-8")
        return check_lesson(lesson)

    return check


CARD = "**Reading** 3 minutes"


def test_good_lesson_keeps_the_rules(tmp_path):
    lesson = tmp_path / "01_sums.py"
    lesson.write_text(GOOD, encoding="utf-8")
    assert check_lesson(lesson) == []


LONG_CELL = "# %%\n# why\n" + "x = 1\n" * 26
LONG_CLASS = "# %%\nclass A:\n" + "    x = 1\n" * 45
FAIR_CLASS = (
    "# %%\nclass A:\n"
    '    """One.\n\n    Two\n    three.\n    """\n\n' + "    x = 1  # why\n" * 44
)
PROSE = "# %% [markdown]\n# " + "word " * 121 + "\n"


def many(cell, number, between="# %% [markdown]\n# Prose.\n\n"):
    """Return as many copies of a cell, with prose between them."""
    return (f"{between}{cell}\n" * number).removeprefix(between)


def before_exercises(addition):
    """Return the good lesson with more cells in front of its exercises."""
    title = "# %% [markdown]\n# ## Exercises\n"
    assert GOOD.count(title) == 1
    return GOOD.replace(title, f"{addition}\n{title}")


STUB = '# %% tags=["exercise"]\ndef f():\n    pass\n\n\ncheck(f)\n'


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        (LONG_CELL, "26 code lines, at most 25"),
        (LONG_CLASS, "46 code lines, at most 45"),
        (PROSE, "121 words of prose, at most 120"),
        ('# %% tags=["solutions"]\nx = 1\n', "unknown tag 'solutions'"),
        ('# %% tags=["setup"]\nx = 1\n', "2 setup cells"),
        (many("# %%\n# x\n", 3, ""), "third code cell in a row"),
        ("# %%\nx = 1  # x\n", "should begin with a comment that names its goal"),
        (
            many(PROSE.replace("121", "120").replace("word " * 121, "word " * 120), 26),
            "words, at most 3000",
        ),
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
    problems = problems_of(before_exercises(prose + addition))
    assert sum(complaint in problem for problem in problems) == 1
    assert all(problem.startswith("01_sums") for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (CARD, "**Reading** 2 minutes", "the card should say '**Reading** 3 minutes"),
        ("· **exercises** 25 minutes ·", "·", "**exercises** 25 minutes ·"),
        ("# ### ★★ Twice", "# ### ★ Twice", "exercises of [1, 1, 3] stars"),
        ("# ## Summary", "# ## Results", "one each of ## Three questions from before"),
        (
            "<details><summary>Two?</summary>\n#\n# Three.\n#\n# </details>",
            "Two?",
            "2 folded answers",
        ),
        (
            '# %% tags=["setup"]\n',
            '# %% tags=["setup"]\n' + "x = 1\n" * 12,
            "13 code lines, at most 12",
        ),
    ],
)
def test_measure_not_kept_is_named(tmp_path, old, new, complaint):
    assert old in GOOD
    lesson = tmp_path / "01_sums.py"
    lesson.write_text(GOOD.replace(old, new), encoding="utf-8")
    problems = check_lesson(lesson)
    assert sum(complaint in problem for problem in problems) == 1


DIVE = """# %% [markdown]
# # 01b Sums
#
# CARD · **run time** quick CPU about 1 s
# (two quiet cores), full GPU not measured

# %% tags=["setup"]
import math
""".replace("CARD", CARD)


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ("", ""),
        (
            many(LONG_CELL.replace("x = 1\n", "", 1), 9),
            "225 visible lines, at most 200",
        ),
        (QUIZ, ""),
        ("# %% [markdown]\n# ## Quiz\n", "has no quiz"),
        (exercise(1) + exercise(2) + exercise(2), "3 exercises, at most 2"),
    ],
)
def test_deep_dive_has_a_measure_of_its_own(problems_of, addition, complaint):
    problems = problems_of(f"{DIVE}\n{addition}", "01b_sums")
    assert bool(problems) == bool(complaint)


def test_docstrings_comments_and_formulas_do_not_count(problems_of):
    assert problems_of(before_exercises("# %%\n# why\n" + FAIR_CLASS[5:])) == []
    assert count_words("A [link](https://a.b/c d) – $x + y$ and $$a\nb$$ end") == 4
    assert count_words("<details><summary>Two <code>words</code></summary>") == 2


def test_quiz_folds_references_and_comments_are_not_read(tmp_path):
    lesson = tmp_path / "01_sums.py"
    lesson.write_text(GOOD, encoding="utf-8")
    before = size_line(lesson)
    assert "visible lines 17/350, collapsed lines 1/120, code cells 11/32" in before
    text = GOOD.replace("# ## References", "# ## References\n#\n# One, two.")
    text = text.replace("# Four.", "# Four, five.").replace("**1. ", "**1. Now, ")
    text = text.replace("# Double it.", "# Double<!-- by two --> it.")
    lesson.write_text(text, encoding="utf-8")
    assert size_line(lesson) == before


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), ["01_sums", "01b_more", "02_all"]),
        (("01",), ["01_sums"]),
        (("02", "01b"), ["01b_more", "02_all"]),
        (("01_s",), ["01_sums"]),
    ],
)
def test_a_number_names_a_lesson_or_its_deep_dive(tmp_path, names, found):
    for name in ("02_all", "01b_more", "01_sums", "notes"):
        (tmp_path / f"{name}.py").touch()
    assert [lesson.stem for lesson in find_lessons(names, tmp_path)] == found
    with pytest.raises(SystemExit, match="No lesson begins with '02b'"):
        find_lessons(["02b"], tmp_path)


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
    assert any("in this order" in problem for problem in problems_of(swapped))


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
