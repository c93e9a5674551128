"""nbgrader's settings for this course: what a submission gets, and what it may take."""

import os
import sys
import sysconfig

c = get_config()  # noqa: F821 (nbgrader brings it)
c.CourseDirectory.course_id = "resnet"

# Nothing is to stand where the solution was: the stub stands above it.
c.ClearSolutions.code_stub = {"python": ""}

# nbgrader calls its helper alembic by name: it is in the folder of this Python.
os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]

# What every submission gets: drawn images, no download, no checkpoints, no GPU.
os.environ |= {
    "COURSE_DATA": "built-in",
    "COURSE_OFFLINE": "1",
    "COURSE_PROFILE": "quick",
    "COURSE_RUNS": "runs",  # in the submission's own folder
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this Python, not a kernel of the same name
    "PYTHONWARNINGS": "ignore",  # to nbgrader, a line on stderr is a failure
}

# Seconds a cell may take. Then it is interrupted and fails; the next one runs. Where
# it has not obeyed after some more seconds, the whole submission is given up.
c.Execute.timeout = 60
c.Execute.interrupt_on_timeout = True
c.Execute.iopub_timeout = 20

# What a submission may take in all: seconds of computing, bytes of memory, and bytes
# of each file that it writes. The kernel sets its own limits before the first cell.
if sys.platform != "win32":
    limits = {"CPU": 300, "DATA": 4 * 2**30, "FSIZE": 100 * 2**20}
    lines = [f"r.setrlimit(r.RLIMIT_{key}, 2 * ({n},))" for key, n in limits.items()]
    code = "; ".join(["import resource as r", *lines, "del r"])
    c.Execute.extra_arguments = [f"--IPKernelApp.exec_lines={code}"]
