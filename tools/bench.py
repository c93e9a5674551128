"""Measures speed as ratios, each from one interleaved run.

python tools/bench.py                  every case: a table, and build/bench.json
python tools/bench.py --only a b       some cases
python tools/bench.py --repeats 15     more rounds than 7
python tools/bench.py --record bench   also into results/bench.json

Machines are noisy, so two ways are timed in turn, A B A B …, and the ratio is taken
pair by pair: what slows the machine slows both. The exit status is 1 where a goal is
missed. What is timed stands in bench_ways.py, what is compared in bench_cases.py; for
prediction, both in bench_prediction.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench_cases
from bench_cases import Row
from bench_prediction import against_one_by_one
from bench_ways import DEVICE
from recording import RESULTS

from course_utils.results import environment, markdown_table

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "bench.json"
# By the letters of results/bench.json; what d to g compared is measured no more.
CASES: dict[str, Callable[[int], list[Row]]] = {
    "a": bench_cases.against_plain,
    "b": bench_cases.against_steps,
    "c": bench_cases.data_path,
    "h": bench_cases.against_forward,
    "i": against_one_by_one,
    "j": bench_cases.against_products,
}
HEADS = (
    "case",
    "comparison",
    "images/s",
    "against, images/s",
    "ratio (min to max)",
    "goal",
    "note",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write the JSON; return the exit status."""
    options = parse(arguments)
    found: dict[str, list[Row]] = {}
    for letter in sorted(set(options.only)):
        print(f"Measuring ({letter}) …", file=sys.stderr, flush=True)
        found[letter] = CASES[letter](options.repeats)
    print(table(found))
    OUTPUT.parent.mkdir(exist_ok=True)
    text = json.dumps(record(found, options.repeats), indent=2, ensure_ascii=False)
    OUTPUT.write_text(text + "\n", encoding="utf-8")
    if options.record:
        path = RESULTS / f"{options.record}.json"
        path.write_text(text + "\n", encoding="utf-8")
    missed = [
        f"({letter}) {row.name}: {row.ratio:.3g}, wanted at least {row.goal:.3g}"
        for letter, rows in found.items()
        for row in rows
        if row.missed
    ]
    if missed:
        print(f"Goals missed: {'; '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = {"choices": CASES, "default": list(CASES), "metavar": "CASE"}
    parser.add_argument("--only", nargs="+", **cases)
    parser.add_argument("--repeats", type=int, default=7, metavar="ROUNDS")
    parser.add_argument("--record", metavar="NAME", help="into results/NAME.json too")
    return parser.parse_args(arguments)


def table(found: Mapping[str, Sequence[Row]]) -> str:
    """Return the rows of each case as a Markdown table."""
    rows = [cells(letter, row) for letter, rows in found.items() for row in rows]
    return markdown_table(HEADS, rows)


def cells(letter: str, row: Row) -> tuple[str, ...]:
    """Return one line of the table."""
    if not row.ours:
        return (letter, row.name, "", "", "", "", row.note)
    low, high = min(row.ratios), max(row.ratios)
    return (
        letter,
        row.name,
        f"{statistics.median(row.ours):.0f}",
        f"{statistics.median(row.theirs):.0f}",
        f"{row.ratio:.3g} ({low:.3g} to {high:.3g})",
        "" if row.goal is None else f"at least {row.goal:.3g}",
        row.note,
    )


def record(found: Mapping[str, Sequence[Row]], repeats: int) -> dict[str, Any]:
    """Return the machine and every measurement, as plain data."""
    return {
        **environment(DEVICE),
        "repeats": repeats,
        "rows": [
            {"case": letter, **plain(row)}
            for letter, rows in found.items()
            for row in rows
        ],
    }


def plain(row: Row) -> dict[str, Any]:
    """Return a row as plain data; a comparison not measured has no numbers."""
    result: dict[str, Any] = {"name": row.name, "goal": row.goal, "note": row.note}
    if row.ours:
        result |= {
            "ours_images_per_s": list(row.ours),
            "theirs_images_per_s": list(row.theirs),
            "ratio": row.ratio,
            "ratio_min": min(row.ratios),
            "ratio_max": max(row.ratios),
            "missed": row.missed,
        }
    return result


if __name__ == "__main__":
    sys.exit(main())
