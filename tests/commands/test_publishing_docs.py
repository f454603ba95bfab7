"""docs/publishing.md: every command in it runs as written, on the records that ship."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from coldbench.core.paths import shipped
from coldbench.records.export_model_card import HUB_DATASETS
from tests.helpers import coldbench
from tests.pages.blocks import typed_commands

PAGE = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
COMMANDS = typed_commands(PAGE)


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it needs
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_runs(line: str, tmp_path: Path) -> None:
    shutil.copytree(shipped("results", "reference"), tmp_path / "results" / "reference")
    done = coldbench(*shlex.split(line)[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_page_has_both_commands_and_all_programs() -> None:
    assert {line.split()[1] for line in COMMANDS} == {"board", "export"}
    assert {line.split()[4] for line in COMMANDS if line.split()[1] == "export"} == {
        "model-card",
        "mlflow",
        "tensorboard",
    }
    assert all(f"`{name}`" in PAGE for name in HUB_DATASETS.values())
