"""Whatever a file holds, a command ends with a number or one clear line: no traceback, no exit code 70.

Files are made in two ways: valid small ones with some bytes changed, and valid values with one part replaced by
something odd. The examples are the same in every run; ``COLDBENCH_FUZZ=1000 pytest tests/bad_input/test_fuzz.py`` draws
a thousand new ones for each test.
"""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from safetensors.torch import save

from coldbench.core.paths import shipped
from coldbench.diffusion.networks.convnext_unet import ConvNextUnet
from tests.helpers import coldbench

pytestmark = pytest.mark.filterwarnings("default")  # a warning is no error to whoever types the command

_DRAWN = int(os.environ.get("COLDBENCH_FUZZ", "0"))
_DEGRADED = ("run", "--table", "3", "--rows", "mnist", "--methods", "degraded", "--metrics", "RMSE", "--images", "2")
#: What a part of a file may be replaced by.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 3, 7, 33]),
    st.sampled_from([float("nan"), float("inf"), -1.5, 0.5]),
    st.text(max_size=5),
    st.sampled_from(["mnist", "blur", "absent:name", "a\nb", "../x", "folder:"]),
    st.lists(st.integers(-2, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(-2, 9), max_size=2),
)


def fuzzed(examples: int) -> settings:
    """So many examples, in a folder that they share."""
    return settings(
        max_examples=_DRAWN or examples,
        derandomize=not _DRAWN,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def changed(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with some bytes flipped, cut out or put in."""
    places = st.integers(0, max(len(content) - 1, 0))

    def apply(changes: list[tuple[str, int, bytes]]) -> bytes:
        out = bytearray(content)
        for how, place, bytes_ in changes:
            at = min(place, len(out))
            out[at : at + {"flip": len(bytes_), "insert": 0, "cut": 40, "end": len(out)}[how]] = (
                bytes_ if how in ("flip", "insert") else b""
            )
        return bytes(out)

    change = st.tuples(st.sampled_from(["flip", "insert", "cut", "end"]), places, st.binary(min_size=1, max_size=4))
    return st.lists(change, min_size=1, max_size=3).map(apply)


def replaced(value: Any) -> st.SearchStrategy[Any]:
    """The value with one of its parts left out, renamed, or replaced by something odd."""

    def apply(choice: int, odd: Any, how: str) -> Any:
        out = copy.deepcopy(value)
        paths = list(parts(out))
        *way, last = paths[choice % len(paths)]
        holder = out
        for step in way:
            holder = holder[step]
        if how == "gone":
            del holder[last]
        elif how == "renamed" and isinstance(holder, dict):
            holder[f"{last}x"] = holder.pop(last)
        else:
            holder[last] = odd
        return out

    return st.builds(apply, st.integers(0, 10_000), ODD, st.sampled_from(["odd", "odd", "odd", "gone", "renamed"]))


def parts(value: Any) -> list[tuple[Any, ...]]:
    """The ways to all parts of nested dicts and lists."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(key, *way) for key in keys for way in ((), *parts(value[key]))]


def toml(value: Any) -> str:
    """A value as TOML, inline; what TOML does not know is a word."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else json.dumps(str(value))


def document(value: Any) -> bytes:
    """The tables of a TOML file; something that is no table stands alone."""
    items = value.items() if isinstance(value, dict) else [("odd", value)]
    return "".join(f"{json.dumps(str(key))} = {toml(each)}\n" for key, each in items).encode("utf-8", "replace")


def assert_ends_well(done: subprocess.CompletedProcess[str]) -> None:
    """A result, or one line that says why there is none."""
    assert done.returncode in (0, 1, 2, 3), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.stderr.endswith("\n")
        assert done.stderr.removesuffix("\n").split("\n")[-1].startswith("coldbench: ")


def encoded(form: str) -> bytes:
    """A small grey image in a file of this format."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)).save(file, format=form)
    return file.getvalue()


def measured_folder(tmp_path: Path, content: bytes, suffix: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "pics"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "a.png").write_bytes(encoded("png"))
    (folder / f"b.{suffix}").write_bytes(content)
    return coldbench(*_DEGRADED, "--data", f"folder:{folder}", "--output", tmp_path / "out", "--quiet", "--fresh")


@pytest.mark.parametrize(("form", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("bmp", "bmp")])
def test_images(form: str, suffix: str, tmp_path: Path) -> None:
    @fuzzed(12)
    @given(changed(encoded(form)))
    def holds(content: bytes) -> None:
        assert_ends_well(measured_folder(tmp_path, content, suffix))

    holds()


def as_npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def measured_npz(tmp_path: Path, content: bytes) -> subprocess.CompletedProcess[str]:
    (tmp_path / "a.npz").write_bytes(content)
    where = ("--data", f"npz:{tmp_path / 'a.npz'}", "--output", tmp_path / "out")
    return coldbench(*_DEGRADED, *where, "--quiet", "--fresh")


def test_arrays(tmp_path: Path) -> None:
    shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
    odd = hnp.arrays(hnp.scalar_dtypes() | hnp.unsigned_integer_dtypes(sizes=(8,)), shapes)

    @fuzzed(30)
    @given(
        odd.map(lambda array: as_npz(images=array))
        | odd.map(lambda array: as_npz(other=array))
        | changed(as_npz(images=np.zeros((3, 32, 32, 1), np.uint8)))
    )
    def holds(content: bytes) -> None:
        assert_ends_well(measured_npz(tmp_path, content))

    holds()


@pytest.mark.parametrize("name", ["table-3.json", "comparison"])
def test_records(name: str, tmp_path: Path) -> None:
    """Of a table and of a comparison, shown in every format, and held against what they were."""
    shipping = shipped("results", "reference", "quick") / "table-3.json"
    stored = json.loads(shipping.read_text())[:3]
    if name == "comparison":
        against = {"against": "degraded", "value": 0.1, "interval": [0.0, 0.2], "paired": True, "verdict": ""}
        stored[-1]["differences"] = [{**against, "sign_test": 0.5, "wilcoxon": 0.5}]
    whole, path = tmp_path / "whole.json", tmp_path / "odd.json"
    whole.write_text(json.dumps(stored))
    assert coldbench("show", whole).returncode == 0
    odd = replaced(stored).map(lambda value: json.dumps(value).encode("utf-8", "replace"))

    @fuzzed(60)
    @given(odd | changed(json.dumps(stored).encode()), st.sampled_from(["markdown", "latex", "csv", "html", "json"]))
    def holds(content: bytes, style: str) -> None:
        path.write_bytes(content)
        assert_ends_well(coldbench("show", path, "--format", style, "--intervals"))
        assert_ends_well(coldbench("diff", whole, path, "--format", style))

    holds()


REGISTRY = """
[mine]
dataset = "mnist"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
weights = "mine.safetensors"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }
degradation = { name = "superres", image_size = 32, timesteps = 3, mode = "area" }
start = {}
transform = "native"
notes = "a note"
training = { steps = 3, batch_size = 4, lr = 1e-3, ema = 0.9 }

[mine.presets.quick]
training = { steps = 2 }
"""


def test_registries(own_registry: Path, tmp_path: Path) -> None:
    evaluate = ("evaluate", "mine", "--methods", "degraded", "--images", "2", "--metrics", "RMSE", "--quiet")
    odd = replaced(tomllib.loads(REGISTRY)).map(document)

    @fuzzed(40)
    @given(odd | changed(REGISTRY.encode()))
    def holds(content: bytes) -> None:
        own_registry.write_bytes(content)
        assert_ends_well(coldbench("list", "models"))
        assert_ends_well(coldbench(*evaluate, "--fresh", "--output", tmp_path / "out"))

    own_registry.write_text(REGISTRY)
    assert "mine" in coldbench("list", "models").stdout
    holds()


TABLE = """
[tables.mine]
caption = "A table"
methods = ["degraded"]
metrics = ["RMSE"]
source = "our report"

[[tables.mine.rows]]
dataset = "mnist"
checkpoint = "mnist-superres"
title = "Digits"
transform = "native"
note = "a note"
channels = 1
degradation = { name = "superres", image_size = 32, timesteps = 2, mode = "area" }
published = { degraded = { RMSE = "0.10" } }
"""


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    odd = replaced(tomllib.loads(TABLE)).map(document)

    @fuzzed(40)
    @given(odd | changed(TABLE.encode()))
    def holds(content: bytes) -> None:
        path.write_bytes(content)
        run = ("run", "--table", path, "--images", "2", "--methods", "degraded", "--features", "none", "--quiet")
        assert_ends_well(coldbench(*run, "--fresh", "--output", tmp_path / "out"))

    holds()


def checkpoint(write: Callable[[dict[str, Any]], bytes], **extra: Any) -> bytes:
    """A small network as the released code stores it, with something besides."""
    torch.manual_seed(0)
    network = ConvNextUnet(dim=8, dim_mults=(1, 2), channels=3).state_dict()
    return write({"ema": {f"denoise_fn.{name}": tensor for name, tensor in network.items()} | extra, "step": 1})


def by_torch(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def by_safetensors(content: dict[str, Any]) -> bytes:
    return save({name: tensor.clone() for name, tensor in content["ema"].items()})


#: Tensors that no such checkpoint has.
TENSORS = st.builds(
    lambda shape, kind: torch.ones(shape, dtype=kind),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64]),
)
NAMES = st.sampled_from(["denoise_fn.final_conv.1.bias", "gaussian_kernels.0.weight", "alphas_cumprod", "step", "odd"])


def test_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    odd = st.dictionaries(NAMES, TENSORS | ODD, max_size=2).map(lambda extra: checkpoint(by_torch, **extra))
    other = (ODD | st.dictionaries(st.sampled_from(["ema", "model", "step"]), ODD)).map(by_torch)
    command = ("import", path, "--as", "mine", "--like", "cifar10-superres")

    @fuzzed(40)
    @given(odd | other | changed(checkpoint(by_torch)) | changed(checkpoint(by_safetensors)))
    def holds(content: bytes) -> None:
        path.write_bytes(content)
        assert_ends_well(coldbench(*command, "--force"))
        assert_ends_well(coldbench(*command, "--weights-key", "."))

    path.write_bytes(checkpoint(by_torch))
    assert coldbench(*command).returncode == 0
    holds()
