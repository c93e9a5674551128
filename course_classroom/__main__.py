"""`python -m course_classroom` is the command `course`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - python3 may be another one
    sys.exit(
        "The course needs Python 3.11 or newer, this is {}.{}; set up another one: "
        "make setup PYTHON=python3.12".format(*sys.version_info[:2])
    )

from course_classroom.cli import main

sys.exit(main())
