"""`course doctor`: what would keep the lessons from running here.

Nothing heavy is imported: PyTorch is tried in a process of its own, so that a broken
one is a line of the report.
"""

import os
import re
import textwrap
from collections.abc import Callable

from course_classroom.doctor import machine, places
from course_classroom.doctor.lines import Line, Lines

WIDTH = 80
INDENT = " " * 20
MEND_INDENT = " " * 4  # leaves room for the path of a folder
QUOTED = "'[^']*'|\"[^\"]*\""


def doctor() -> int:
    """Print the report; return 0 if nothing keeps the lessons from running, else 1."""
    checks: dict[str, Callable[[], Lines]] = {
        "PyTorch": machine.check_torch,
        "packages": machine.check_packages,
        "profile": machine.check_profile,
        "memory": machine.check_memory,
        "folders": places.check_folders,
        "data": places.check_data,
        "network": places.check_network,
    }
    marks = []
    for what, check in checks.items():
        try:
            lines = list(check())
        except Exception as error:  # whatever is broken here, the rest is looked at
            lines = [Line("note", what, f"could not be looked at ({error})")]
        for line in lines:
            marks.append(line.mark)
            _show(line)
    counts = f"{marks.count('problem')} problem(s), {marks.count('note')} note(s)"
    if "problem" in marks:
        print(f"\n{counts}: mend what is a problem, then run this again.")
        return 1
    print(f"\n{counts}: nothing prevents the lessons from running.")
    return 0


def _show(line: Line) -> None:
    text = f"{line.mark:<8} {line.what:<10} {line.text}"
    lines = textwrap.wrap(text, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False)
    if line.mend:
        lines += [f"{INDENT}mend it with:", _pasteable(line.mend)]
    print("\n".join(lines), flush=True)


def _pasteable(command: str) -> str:
    """Return a command in lines that the shell reads as one; no word is broken."""
    goes_on = " ^" if os.name == "nt" else " \\"
    held = re.sub(QUOTED, lambda quoted: quoted[0].replace(" ", "\0"), command)
    lines = textwrap.wrap(
        held,
        WIDTH - len(goes_on),
        initial_indent=MEND_INDENT,
        subsequent_indent=MEND_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{goes_on}\n".join(lines).replace("\0", " ")
