"""Mistakes that matter, made on purpose in a copy of the package: each must turn a check or a test red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Attributes:
        name: what it is.
        file: below benchmark/coldbench.
        right, wrong: the code, before and after.
        caught_by: arguments of ``python -m``.
        message: what the catcher says.
    """

    name: str
    file: str
    right: str
    wrong: str
    caught_by: tuple[str, ...]
    message: str

    def line(self) -> str:
        """Of the manual's table."""
        command = " ".join(word for word in self.caught_by if not word.startswith("-q") and word != "--quiet")
        return f"| {self.name} | `{command}` | {self.message} |"


CHECK = ("coldbench", "check", "--quiet", "--table")
MUTATIONS = [
    Mutation(
        "s and s-1 swapped in Algorithm 2", "diffusion/sampling.py",
        "return x - harsher + milder", "return x - milder + harsher", (*CHECK, "3"), "numbers did not pass",
    ),
    Mutation(
        "time index shifted", "diffusion/checkpoints.py",
        "torch.full((chunk,), s - 1,", "torch.full((chunk,), s,", (*CHECK, "3"), "numbers did not pass",
    ),
    Mutation(
        "last batch dropped", "evaluation/loop.py",
        "while scores.done < run.stop:", "while scores.done + batch_size <= run.stop:",
        (*CHECK, "3"), "64 images were measured instead of 100",
    ),
    Mutation(
        "SSIM with the window of a biased width", "metrics/pixelwise.py",
        "taps, sigma = SSIM_TAPS, 1.5", "taps, sigma = SSIM_TAPS, 1.6", (*CHECK, "3"), "audit failed: the SSIM",
    ),
    Mutation(
        "SSIM with sample covariances", "metrics/pixelwise.py",
        "covariance = local_mean(x * y) - mean_x * mean_y",
        "covariance = 121 / 120 * (local_mean(x * y) - mean_x * mean_y)",
        (*CHECK, "3"), "audit failed: the SSIM",
    ),
    Mutation(
        "covariance divided by N", "metrics/frechet.py",
        "return self.scatter / (self.count - 1)", "return self.scatter / self.count",
        (*CHECK, "3"), "audit failed: the FD",
    ),
    Mutation(
        "RMSE without its root", "metrics/pixelwise.py",
        "return math.sqrt(self.squares / self.values)", "return (self.squares / self.values)",
        (*CHECK, "3"), "audit failed: the RMSE",
    ),
    Mutation(
        "one wrong tap in the blur's kernel", "diffusion/degradations/blur.py",
        "    return (weights / weights.sum()).double()",
        "    weights[0] *= 1.01\n    return weights.double() / weights.sum()",
        (*CHECK, "1"), "numbers did not pass",
    ),
    Mutation(
        "circular instead of reflect padding", "diffusion/degradations/blur.py",
        '0.35 + i / 100, "reflect")', '0.35 + i / 100, "circular")',
        ("pytest", "-q", "tests/diffusion/test_degradations.py", "-k", "blur"), "failed",
    ),
    Mutation(
        "images drawn by their place in the batch", "diffusion/degradations/inpaint.py",
        "for i in indices", "for i in range(len(indices))",
        ("pytest", "-q", "tests/evaluation/test_restoration.py::test_batch_size_changes_no_result[mnist-inpaint]"),
        "failed",
    ),
]  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the code, to spoil."""
    package = tmp_path / "benchmark" / "coldbench"
    shutil.copytree(ROOT / "benchmark" / "coldbench", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("models", "results", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    return package


def catch(package: Path, caught_by: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *caught_by, *(["-p", "no:cacheprovider"] if "pytest" in caught_by else [])]
    folder = package.parents[1]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mistake_is_caught(mutation: Mutation, package: Path) -> None:
    source = (package / mutation.file).read_text(encoding="utf-8")
    assert source.count(mutation.right) == 1, "the code has changed: change the mutation"
    (package / mutation.file).write_text(source.replace(mutation.right, mutation.wrong), encoding="utf-8")
    done = catch(package, mutation.caught_by)
    assert done.returncode == 1, done.stdout + done.stderr
    assert mutation.message in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("caught_by", sorted({mutation.caught_by for mutation in MUTATIONS}))
def test_nothing_is_caught_where_there_is_no_mistake(caught_by: tuple[str, ...], package: Path) -> None:
    done = catch(package, caught_by)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_manual_lists_the_mistake(mutation: Mutation) -> None:
    assert f"\n{mutation.line()}\n" in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


#: A metric from inside of the package: one new file, and one line.
METRIC = """
from coldbench.metrics.metric import mean_over_images

MAE = mean_over_images("MAE", lambda x, y: (x - y).abs().mean(dim=(1, 2, 3)), better="lower")
"""


@pytest.mark.slow
def test_a_metric_is_one_file_and_one_line(package: Path) -> None:
    (package / "metrics" / "absolute.py").write_text(METRIC, encoding="utf-8")
    registry = package / "metrics" / "metric.py"
    line = '"RMSE": "coldbench.metrics.pixelwise:RMSE",'
    added = registry.read_text(encoding="utf-8").replace(line, f'{line} "MAE": "coldbench.metrics.absolute:MAE",')
    registry.write_text(added, encoding="utf-8")
    asked = ("--table", "3", "--rows", "mnist", "--methods", "degraded", "--metrics", "mae", "--images", "20")
    done = catch(package, ("coldbench", "run", "--quiet", *asked, "--output", str(package.parent / "out")))
    assert done.returncode == 0, done.stderr
    assert " MAE |" in done.stdout
