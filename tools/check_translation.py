"""Says where the Chinese lessons lag behind the English ones, or differ from them.

python tools/check_translation.py [01 02 …]         exits with 1 if anything does
python tools/check_translation.py --stale           only what is stale or missing
python tools/check_translation.py --english 01      a lesson's text, to be translated
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lesson_files import find_lessons, is_dive, read_lesson
from translation import check, prose_of, read_prose, to_translate


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the problems, a line each; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="only these, such as 01 02")
    parser.add_argument("--stale", action="store_true", help="stale or missing only")
    parser.add_argument("--english", action="store_true", help="print what there is")
    options = parser.parse_args(arguments)
    lessons = [p for p in find_lessons(options.lessons) if not is_dive(p)]
    problems = []
    for lesson in lessons:
        notebook, path = read_lesson(lesson), prose_of(lesson)
        if options.english:
            print(to_translate(notebook))
            continue
        found = check(notebook, read_prose(path) if path.is_file() else {})
        if options.stale:
            found = [line for line in found if " is stale" in line or " is mis" in line]
        problems += [f"{path.name}: {problem}" for problem in found]
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    if not problems and not options.english:
        print(f"{len(lessons)} translations agree with their lessons.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
