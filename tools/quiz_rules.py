"""The rules of a lesson's quiz: five questions whose choices are folded answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode

QUESTIONS = 5
CHOICES = (3, 4)
MOST_WORDS = 190  # in a cell with a question and the explanation of each choice
LEAST_EXPLANATION = 5  # words
MOST_LONGEST = 2  # questions whose right choice is the longest
MOST_SAME_PLACE = 3  # questions whose right choice stands at the same place
QUESTION = re.compile(r"\*\*(\d)\. .+?\*\*", re.DOTALL)
CHOICE = re.compile(
    r"<details><summary>(.+?)</summary>\n\n(.+?)\n\n</details>", re.DOTALL
)
VERDICT = re.compile(r"\*\*(Right|No)\.\*\*\s")


def is_question(cell: NotebookNode) -> bool:
    """Return whether a cell is a question of a quiz."""
    return cell.cell_type == "markdown" and bool(QUESTION.match(cell.source))


def check_quiz(cells: list[NotebookNode]) -> Iterator[str]:
    """Yield what is wrong with the quiz of a lesson, and with its place."""
    titles = [cell.source.split("\n", 1)[0] for cell in cells]
    places = ["## Exercises", "## Quiz", "## References"]
    if [title for title in titles if title in places] != places:
        yield f"there should be one each of {', '.join(places)}, in this order."
        return
    start, end = (titles.index(place) for place in places[1:])
    if any(cell.cell_type == "code" for cell in cells[start:]):
        yield "from the quiz on there should be no code."
    questions = [cell.source for cell in cells[start + 1 : end] if is_question(cell)]
    numbers = [int(QUESTION.match(question)[1]) for question in questions]
    if numbers != list(range(1, QUESTIONS + 1)) or end - start - 1 != QUESTIONS:
        yield (
            f"the quiz has {end - start - 1} cells with the questions {numbers}; there "
            f"should be {QUESTIONS}, each a cell that begins '**1. …**' and so on."
        )
    choices = [CHOICE.findall(question) for question in questions]
    for number, question, found in zip(numbers, questions, choices, strict=True):
        for problem in check_question(question, found):
            yield f"quiz, question {number}: {problem}"
    yield from check_balance(choices)


def check_balance(questions: list[list[tuple[str, str]]]) -> Iterator[str]:
    """Yield how a reader could guess the right choices by their look."""
    places, longest = [], 0
    for choices in questions:
        lengths = [len(re.sub(r"<.*?>", "", summary)) for summary, _ in choices]
        for place, (_, text) in enumerate(choices):
            if text.startswith("**Right.**"):
                places.append(place)
                longest += lengths[place] == max(lengths)
    if longest > MOST_LONGEST:
        yield (
            f"the right choice is the longest in {longest} questions of the quiz, at "
            f"most {MOST_LONGEST}."
        )
    same = max(map(places.count, places), default=0)
    if same > MOST_SAME_PLACE:
        yield (
            f"the right choice has the same place in {same} questions of the quiz, at "
            f"most {MOST_SAME_PLACE}."
        )


def check_question(question: str, choices: list[tuple[str, str]]) -> Iterator[str]:
    """Yield what is wrong with the (summary, explanation) pairs of one question."""
    if len(choices) != question.count("<details"):
        yield (
            "a choice should be '<details><summary>…</summary>', an empty line, the "
            "explanation, an empty line, '</details>'."
        )
    if len(choices) not in CHOICES:
        yield f"{len(choices)} choices; there should be 3 or 4."
    verdicts = [VERDICT.match(text) for _, text in choices]
    if [verdict[1] for verdict in verdicts if verdict].count("Right") != 1:
        yield "exactly one explanation should begin '**Right.** '."
    for (summary, text), verdict in zip(choices, verdicts, strict=True):
        if re.search(r"[$`]|\*\*", summary):
            yield f"the summary {summary!r} is HTML: no $, backtick or ** in it."
        if not verdict:
            yield f"{text[:30]!r} should begin '**Right.** ' or '**No.** '."
        elif len(text[verdict.end() :].split()) < LEAST_EXPLANATION:
            yield f"{text!r} should explain, in {LEAST_EXPLANATION} words at least."
