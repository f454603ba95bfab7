"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coldbench.records.record import Record, load
from tests.helpers import EARLIER

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many processes as cores: more threads than one in each would wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

SHARED = Path(os.environ.get("COLDBENCH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data that does not ship; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data not at {SHARED}: set COLDBENCH_SHARED")
    return SHARED


@pytest.fixture(autouse=True, scope="session")
def heeded_interrupts() -> None:
    """Tests interrupt themselves: a process started in the background of a shell would ignore that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own models, data or weights."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("COLDBENCH_HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    return home


@pytest.fixture
def own_registry(own_home: Path) -> Path:
    """Where the user's own registry is to be written."""
    path = own_home / "models" / "registry.toml"
    path.parent.mkdir()
    return path


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """Quick records of Table 3."""
    return load(EARLIER / "quick" / "table-3.json")


@pytest.fixture
def images() -> Tensor:
    """Two colour images of smooth noise, (2, 3, 32, 32) in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear") * 2 - 1
