"""The plan for a day with a GPU: rehearsed, packed, stopped when its time is over."""

import os
import subprocess
import sys

import gpu_day
import pytest
from gpu_day import Job


def test_every_kind_of_run_passes_its_rehearsal():
    done = subprocess.run(
        [sys.executable, gpu_day.__file__, "--rehearse", "--processes", "2"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 not begun, 0 failed" in done.stdout


def test_a_packed_set_is_the_same_on_the_other_machine(
    photo_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("COURSE_DATA", str(photo_folder))
    gpu_day.main(["--pack", "cifar10", str(tmp_path / "cifar10.tar.xz")])
    assert "MiB" in capsys.readouterr().out
    monkeypatch.setattr(gpu_day, "plan", lambda **_: [])
    out = tmp_path / "out"
    assert gpu_day.main([str(tmp_path / "cifar10.tar.xz"), "--out", str(out)]) == 0
    sent = {p.name: p.read_bytes() for p in photo_folder.rglob("*.png")}
    arrived = {p.name: p.read_bytes() for p in (out / "data").rglob("*.png")}
    assert arrived == sent
    with pytest.raises(SystemExit, match=r"There is no .*imagenet32: set COURSE_DATA"):
        gpu_day.main(["--pack", "imagenet32", str(tmp_path / "b.tar.xz")])


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Commands that write to a file when they begin and when they end."""
    log = tmp_path / "log"
    monkeypatch.setattr(gpu_day, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    (tmp_path / "out").mkdir()
    program = (
        "import sys; name, code = sys.argv[1:]; log = open({log!r}, 'a', 1);"
        "print('begin', name, file=log);"
        "open({results!r} + name + '.json', 'w').write('{{}}');"
        "print('end', name, file=log); sys.exit(int(code))"
    ).format(log=str(log), results=str(tmp_path / "results") + "/")
    monkeypatch.setattr(
        Job,
        "command",
        lambda job, rehearsal: [
            sys.executable,
            "-c",
            program,
            job.tool,
            *job.arguments,
        ],
    )
    return log


def test_runs_that_are_timed_have_the_machine_for_themselves(jobs, tmp_path, capsys):
    planned = [
        Job("a", ("0",)),
        Job("b", ("1",), alone=True, statuses=(0, 1)),
        Job("c", ("3",)),
    ]
    failed = gpu_day.deal(planned, 60, 3, tmp_path / "out")
    lines = [f"{what} {name}" for name in "abc" for what in ("begin", "end")]
    assert jobs.read_text().splitlines() == lines
    assert failed == planned[2:]
    assert "FAILED: Job(tool='c'" in capsys.readouterr().out
    copied = {path.name for path in (tmp_path / "out").iterdir()}
    assert copied == {"a.json", "b.json", "c.json"}


def test_when_the_time_is_over_what_runs_is_stopped(tmp_path, monkeypatch, capsys):
    forever = [sys.executable, "-c", "import signal; signal.pause()"]
    monkeypatch.setattr(Job, "command", lambda job, rehearsal: forever)
    gpu_day.deal([Job("a", ()), Job("b", ())], 0.3, 1, tmp_path)
    said = capsys.readouterr().out
    assert "Not finished: Job(tool='a'" in said
    assert "1 not begun, 0 failed" in said


def test_a_record_written_just_before_the_end_is_kept(tmp_path, monkeypatch):
    results, out = tmp_path / "results", tmp_path / "out"
    results.mkdir()
    out.mkdir()
    monkeypatch.setattr(gpu_day, "RESULTS", results)
    program = (
        "import pathlib, signal;"
        f"pathlib.Path({str(results / 'a.json')!r}).write_text('{{}}'); signal.pause()"
    )
    command = [sys.executable, "-c", program]
    monkeypatch.setattr(Job, "command", lambda job, rehearsal: command)
    times = iter([0, 0])  # began; then until the record is there

    def now():
        return next(times, 0 if not (results / "a.json").is_file() else 100)

    monkeypatch.setattr(gpu_day.time, "monotonic", now)
    gpu_day.deal([Job("a", ())], 60, 1, out)
    assert (out / "a.json").is_file()


def test_several_processes_share_the_gpu_by_cudas_service(tmp_path, monkeypatch):
    log, control = tmp_path / "log", tmp_path / "nvidia-cuda-mps-control"
    monkeypatch.setattr(gpu_day.shutil, "which", lambda name: None)
    with gpu_day.shared_gpu():  # there is none
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    said = f'echo "$@" >> {log}; echo $CUDA_MPS_PIPE_DIRECTORY >> {log}'
    control.write_text(f'#!/bin/sh\n{said}\n[ "$1" = -d ] || cat >> {log}\n')
    control.chmod(0o755)
    monkeypatch.setattr(gpu_day.shutil, "which", lambda name: str(control))
    monkeypatch.setattr(gpu_day, "USE_GPU", "")
    with gpu_day.shared_gpu():
        folder = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
        assert log.read_text().splitlines() == ["-d", folder]
    assert log.read_text().splitlines()[2:] == ["", folder, "quit"]
    assert not os.path.exists(folder)
    monkeypatch.setattr(gpu_day, "USE_GPU", "raise SystemExit(1)")
    with gpu_day.shared_gpu():  # it serves nobody, so nobody is sent there
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert log.read_text().splitlines()[-1] == "quit"
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
