"""`course doctor`: what would keep the lessons from running here.

Nothing heavy is imported: PyTorch is tried in a process of its own, so that a broken
one is a line of the report.
"""

from collections.abc import Callable

from course_classroom.doctor import machine, places
from course_classroom.doctor.lines import Line, Lines


def doctor() -> int:
    """Print the report; return 0 if nothing keeps the lessons from running, else 1."""
    torch = machine.TorchProbe()
    checks: dict[str, Callable[[], Lines]] = {
        "Python": machine.check_python,
        "packages": machine.check_packages,
        "profile": machine.check_profile,
        "threads": machine.check_threads,
        "memory": machine.check_memory,
        "disk": places.check_disk,
        "runs": places.check_runs,
        "cache": places.check_cache,
        "data": places.check_data,
        "network": places.check_network,
        "PyTorch": torch.check,  # last: it has been on its way meanwhile
    }
    marks = []
    for what, check in checks.items():
        for line in _safely(what, check):
            marks.append(line.mark)
            print(f"{line.mark:<8} {line.what:<10} {line.text}", flush=True)
    counts = f"{marks.count('problem')} problem(s), {marks.count('note')} note(s)"
    if "problem" in marks:
        print(f"\n{counts}: mend what is a problem, then run this again.")
        return 1
    print(f"\n{counts}: nothing prevents the lessons from running.")
    return 0


def _safely(what: str, check: Callable[[], Lines]) -> Lines:
    try:
        yield from check()
    except Exception as error:  # whatever is broken here, the rest is looked at
        yield Line("note", what, f"could not be looked at ({error})")
