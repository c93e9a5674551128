"""Compares numbers in prose with results/; an invisible comment says where they stand.

71.6 %<!-- results: GLOB KEY [STAT] [- GLOB KEY [STAT]] -->

GLOB is the name of a file in results/ without ".json", with `*` for several; KEY a
dotted path into each (`history.val_accuracy.-1` is the last of a list); STAT what is
made of the values found: mean (if none is named), min, max, std (ddof = 1) or median.
With a minus the second is subtracted. The number stands right before the comment, on
the same line, with a unit or without; before % and points, the value is taken times
100. A comment may run on in the next line, but not with the minus.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lesson_files import ROOT

RESULTS = ROOT / "results"
COMMENT = re.compile(r"<!--\s*results?\b:?(.*?)-->", re.DOTALL | re.IGNORECASE)
NUMBER = re.compile(
    r"(?<![\w.,])([-−]?\d[\d,]*(?:\.\d+)?)(?:\s?(%|points?|s|min|minutes|×))?\**\Z"
)
STATS = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "std": statistics.stdev,
    "median": statistics.median,
}
TERM = re.compile(rf"(\S+) (\S+)(?: ({'|'.join(STATS)}))?")


def wrong_numbers(text: str, folder: Path = RESULTS) -> Iterator[str]:
    """Yield a sentence for each number that is not the one its comment names."""
    for comment in COMMENT.finditer(text):
        number = NUMBER.search(text[: comment.start()])
        where = f"{number[0] if number else '…'}{' '.join(comment[0].split())}"
        if number is None:
            yield f"{where}: no number stands right before it, on its line."
        elif re.search(r"\n[-+*#>]", comment[0]):
            yield f"{where}: a line of a comment must not look like that of a list."
        else:
            try:
                value = value_of(comment[1], folder)
            except ValueError as error:
                yield f"{where}: {error}"
                continue
            yield from (f"{where}: {said}" for said in compared(number, value))


def compared(number: re.Match, value: float) -> Iterator[str]:
    """Yield what is wrong with a number, at the precision in which it is printed."""
    printed = number[1].replace(",", "").replace("−", "-")
    decimals = len(printed.partition(".")[2])
    if number[2] in ("%", "point", "points"):
        value *= 100
    if abs(value - float(printed)) > 0.5 * 10**-decimals + 1e-9:
        yield f"the number should be {value:.{decimals}f}."


def value_of(terms: str, folder: Path) -> float:
    """Return what one term, or the difference of two, comes to.

    Raises:
        ValueError: a term cannot be read, or what it names is not there.
    """
    values = []
    for term in " ".join(terms.split()).split(" - "):
        found = TERM.fullmatch(term)
        if not found:
            raise ValueError(f"{term!r} should be GLOB KEY [{'|'.join(STATS)}].")
        files, key, stat = found.groups(default="mean")
        paths = sorted(folder.glob(f"{files}.json"))
        if not paths:
            raise ValueError(f"no file results/{files}.json was found.")
        if stat == "std" and len(paths) == 1:
            raise ValueError(f"results/{files}.json is one run; std needs two.")
        values.append(STATS[stat]([number_at(path, key) for path in paths]))
    if len(values) > 2:
        raise ValueError("there should be one term, or two with a minus between.")
    return values[0] - sum(values[1:])


def number_at(path: Path, key: str) -> float:
    """Return the number in a result under a dotted key.

    Raises:
        ValueError: there is none.
    """
    value: Any = json.loads(path.read_text("utf-8"))
    for part in key.split("."):
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (LookupError, TypeError, ValueError):
            raise ValueError(f"{path.name} has no {part!r} of {key!r}.") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key!r} of {path.name} is not a number.")
    return value
