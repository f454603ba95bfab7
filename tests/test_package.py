"""Wheel and sdist hold everything that they need: both are built, checked, installed elsewhere, and measure there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import coldbench

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built of it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.mark.slow
def test_twine_accepts_both(built: Path) -> None:
    files = sorted(built.iterdir())
    assert [path.name for path in files] == [
        f"coldbench-{coldbench.__version__}-py3-none-any.whl",
        f"coldbench-{coldbench.__version__}.tar.gz",
    ]
    assert run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files, cwd=built).count("PASSED") == 2


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".whl", ".tar.gz"])
def test_it_measures_where_it_is_installed(ending: str, built: Path, tmp_path: Path) -> None:
    """Without its libraries, which are those of this environment, and out of sight of the checkout."""
    (path,) = built.glob(f"*{ending}")
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, path, cwd=tmp_path)
    where = run(sys.executable, "-c", "import coldbench; print(coldbench.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(where.strip()).is_relative_to(site)
    run(sys.executable, "-m", "coldbench", "check", "--table", "3", "--quiet", cwd=tmp_path, PYTHONPATH=str(site))


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_manual_read(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "Dockerfile",
        "tox.ini",
        "CITATION.cff",
        "docs/conf.py",
        "tests/test_package.py",
        "models/registry.toml",
    ):
        assert needed in names
    assert any(name.startswith("results/celeba/") for name in names)
    assert not any("generated/" in name or "__pycache__" in name for name in names)


@pytest.mark.slow
def test_the_wheel_holds_no_more_than_runs(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"coldbench", f"coldbench-{coldbench.__version__}.dist-info"}
    assert path.stat().st_size < 50e6


def test_the_image_is_given_what_the_wheel_is_built_of() -> None:
    """.dockerignore leaves out everything that it does not name."""
    first, *lines = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#"))
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    project = settings["project"]
    needed = ["pyproject.toml", project["readme"], *project["license-files"], *wheel]
    assert first == "*"
    assert [path for path in needed if not any(Path(path).is_relative_to(each) for each in kept)] == []


def test_citation_and_changelog_know_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == coldbench.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## [Unreleased]\n" in changelog
    released = re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)
    assert not released or released[0] == coldbench.__version__
