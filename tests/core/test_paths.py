"""The user's folder, wherever it is said to be; and what is at a path, or why nobody can tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coldbench.core.errors import BadInput
from coldbench.core.paths import at_home, data_folder, exists, home, is_file, is_folder, writable_home


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A link to itself."""
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path / "loop"


def test_the_variable_or_the_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLDBENCH_HOME", "~/mine")
    assert home() == tmp_path / "mine"
    assert data_folder() == tmp_path / "mine" / "data"
    monkeypatch.delenv("COLDBENCH_HOME")
    assert home() == tmp_path / ".cache" / "coldbench"
    assert data_folder(tmp_path / "data") == tmp_path / "data"


def unusable(tmp_path: Path) -> dict[str, str]:
    """What the variable may hold and cannot mean -> why."""
    (tmp_path / "file").touch()
    return {
        "~no-such-user/only-here": "names nobody's home folder",
        str(tmp_path / "loop" / "x"): "symbolic links",
        str(tmp_path / ("n" * 256)): "File name too long",
        str(tmp_path / "file"): "it is no folder",
    }


@pytest.mark.usefixtures("loop")
def test_a_folder_that_cannot_be_used_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, reason in unusable(tmp_path).items():
        monkeypatch.setenv("COLDBENCH_HOME", value)
        for ask in (home, writable_home):
            with pytest.raises(BadInput, match=f"{reason}.*: set COLDBENCH_HOME to "):
                ask()
        assert [at_home("models", "registry.toml") for _ in range(2)] == [None, None]
        (told,) = capsys.readouterr().err.splitlines()
        assert told.endswith("until then there is only what ships with coldbench")
        assert str(data_folder() / "MNIST") == "$COLDBENCH_HOME/data/MNIST"


def test_a_folder_that_cannot_be_made_is_found_out_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path / "file" / "x"))
    assert at_home("models", "registry.toml") is None
    with pytest.raises(BadInput, match=r"cannot write to .*file/x \(Not a directory\): set COLDBENCH_HOME"):
        writable_home()


def test_what_is_at_a_path(tmp_path: Path, loop: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    kinds = {"file": (True, False, True), ".": (True, True, False), "pipe": (True, False, False)}
    for name in ("absent", "dangling", "absent/file", "file/below"):
        kinds[name] = (False, False, False)
    for name, expected in kinds.items():
        path = tmp_path / name
        assert (exists(path), is_folder(path), is_file(path)) == expected, name
    for path in (loop, tmp_path / ("n" * 256), tmp_path / "a\0b"):
        for ask in (exists, is_folder, is_file):
            with pytest.raises(BadInput, match="cannot look at"):
                ask(path)


def under(limits: dict[str, str], *command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command without HOME, and if the superuser runs these tests with such limits of ``setpriv``."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    setpriv = ["setpriv", *(word for limit in limits.items() for word in limit)] if os.geteuid() == 0 else []
    return subprocess.run(
        [*setpriv, sys.executable, "-m", "coldbench", *command], env={**kept, **environment}, cwd=cwd,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


ROW = ("run", "--table", "3", "--rows", "mnist", "--images", "4", "--methods", "degraded", "--quiet", "--output", "out")
READS_ALL = "+dac_override,+dac_read_search"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs the superuser and setpriv")
def test_shipped_rows_run_without_any_home(tmp_path: Path) -> None:
    """Neither HOME nor a user of that number, as in a container; who may read what the interpreter is made of."""
    tmp_path.chmod(0o777)
    unknown = {"--reuid": "54321", "--inh-caps": READS_ALL, "--ambient-caps": READS_ALL}
    done = under(unknown, *ROW, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| MNIST     | Degraded |" in done.stdout
    assert "~/.cache/coldbench names nobody's home folder: set COLDBENCH_HOME to" in done.stderr
    done = under(unknown, "train", "mnist-superres", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("coldbench: ~/.cache/coldbench names nobody's home folder")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="the superuser needs setpriv")
def test_shipped_rows_run_where_the_home_is_somebody_else_s(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0)
    limited = {"--bounding-set": "-dac_override,-dac_read_search"}
    for home_folder in (secret, secret / "home"):
        done = under(limited, *ROW, cwd=tmp_path, COLDBENCH_HOME=str(home_folder))
        assert done.returncode == 0, done.stderr
        assert "| MNIST     | Degraded |" in done.stdout
        assert f"{home_folder} (Permission denied): set COLDBENCH_HOME to another" in done.stderr
    done = under(limited, "train", "mnist-superres", cwd=tmp_path, COLDBENCH_HOME=str(secret))
    assert done.returncode == 2
    assert "(Permission denied): set COLDBENCH_HOME to another" in done.stderr.splitlines()[-1]
