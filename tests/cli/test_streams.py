"""Standard streams that are closed, full or broken: no number, no file and no exit code depends on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import coldbench

FEW = ("--table", "3", "--rows", "mnist", "--images", "4", "--methods", "degraded", "--features", "none")
NOISY = """
import contextlib, os
print("at import")
def R(x, s):
    print("in a call")
    for descriptor, words in ((1, b"from a library\\n"), (2, b"of an error\\n")):
        with contextlib.suppress(OSError):
            os.write(descriptor, words)
    os.system("echo from a process")
    return x
"""


def shell(redirection: str, *arguments: str, cwd: Path, code: int) -> subprocess.CompletedProcess[str]:
    """A command with its streams led elsewhere by bash."""
    line = f'"$0" -m coldbench "$@" {redirection}'
    command = ["bash", "-c", line, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"], ids=["closed", "full"])
def test_a_stderr_that_cannot_be_written_changes_nothing(redirection: str, tmp_path: Path) -> None:
    """With a progress bar, and with a library that writes to its descriptor."""
    (tmp_path / "mine.py").write_text(NOISY)
    evaluate = ("evaluate", "mine:R", "--degradation", "mnist-superres", "--data", "mnist", "--images", "4")
    done = shell(redirection, *evaluate, "--features", "none", "--output", "out", cwd=tmp_path, code=0)
    (path,) = (tmp_path / "out").glob("*.json")
    assert {each["identity"]["images"] for each in json.loads(path.read_text())} == {4}
    assert path.with_suffix(".md").read_text() == done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("list", "nothing"), 2), (("run", "--table", ""), 2), (("check", "--reference", "absent"), 3)],
)
def test_the_exit_code_of_an_error_needs_no_stderr(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    shell("2>/dev/full", *arguments, cwd=tmp_path, code=code)


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">/dev/full", 2), ("> >(true) 2> >(true)", 0), (">&- 2>/dev/full", 0)],
    ids=["full", "broken", "closed"],
)
def test_a_stdout_that_cannot_be_written_loses_no_record(redirection: str, code: int, tmp_path: Path) -> None:
    done = shell(redirection, "run", *FEW, "--output", "out", cwd=tmp_path, code=code)
    assert (tmp_path / "out" / "table-3.md").exists()
    assert json.loads((tmp_path / "out" / "table-3.json").read_text())
    assert not code or done.stderr.endswith("\ncoldbench: cannot write to stdout: No space left on device\n")


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",)])
def test_help_that_cannot_be_written_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = shell(">/dev/full", *arguments, cwd=tmp_path, code=2)
    assert done.stderr == "coldbench: cannot write to stdout: No space left on device\n"
    assert shell("> >(true)", *arguments, cwd=tmp_path, code=0).stderr == ""


def test_stdout_holds_results_alone_whatever_a_plugin_prints(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NOISY)
    evaluate = ("evaluate", "mine:R", "--degradation", "mnist-superres", "--data", "mnist", "--images", "4")
    options = ("--features", "none", "--format", "json", "--quiet")
    done = shell("", *evaluate, *options, cwd=tmp_path, code=0)
    assert len(json.loads(done.stdout)) > 2
    for said in ("at import", "in a call", "from a library", "from a process", "of an error"):
        assert said in done.stderr


def test_the_same_in_a_process_that_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As notebooks and tests call it: the streams are afterwards what they were."""
    (tmp_path / "mine_too.py").write_text("print('at import')\ndef R(x, s):\n    return x\n")
    evaluate = ("evaluate", "mine_too:R", "--degradation", "mnist-superres", "--data", "mnist", "--images", "4")
    before = sys.stdout, sys.stderr
    done = coldbench(*evaluate, "--features", "none", "--format", "json", "--quiet", cwd=tmp_path)
    assert (sys.stdout, sys.stderr) == before
    assert json.loads(done.stdout)
    assert done.stderr == "at import\n"
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_descriptors_are_not_used_up(tmp_path: Path) -> None:
    open_now: Callable[[], int] = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
    coldbench("list", "tables")
    before = open_now()
    for _ in range(3):
        coldbench("list", "tables")
    assert open_now() == before
