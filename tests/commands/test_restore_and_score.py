"""``coldbench restore``, ``coldbench score``, and what ``--save-images`` and ``--per-image`` keep."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coldbench.commands.request import Request
from coldbench.commands.restore import Given, restore
from coldbench.core.errors import BadInput
from coldbench.evaluation import given_images
from coldbench.evaluation.details import SavedImages
from coldbench.records.record import load
from tests.helpers import assert_one_clear_line, coldbench
from tests.pages.blocks import typed_commands

PAGE = (Path(__file__).parents[2] / "docs" / "restore-and-score.md").read_text(encoding="utf-8")
COMMANDS = typed_commands(PAGE)
METRICS = ("--metrics", "FID,SSIM,RMSE,PSNR", "--features", "mnist-cnn", "--quiet")


def run(folder: Path, *more: str | Path, table: str = "2", images: int = 6) -> Path:
    """Measure a row of MNIST with all of its images saved; returns where."""
    options = ("--rows", "mnist", "--images", str(images), *METRICS, "--output", folder / "run")
    done = coldbench("run", "--table", table, *options, "--save-images", folder / "saved", *more)
    assert done.returncode == 0, done.stderr
    return folder / "saved" / f"table-{table}-mnist"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a measurement of inpainting, its images and the scores of each."""
    folder = tmp_path_factory.mktemp("measured")
    run(folder, "--per-image", folder / "each.csv")
    return folder


@pytest.fixture
def saved(measured: Path) -> Path:
    return measured / "saved" / "table-2-mnist"


def values(folder: Path, method: str) -> dict[str, float | None]:
    (path,) = folder.glob("table-*.json")
    return {each.metric.label: each.value for each in load(path) if each.where.method == method and each.measured}


def arrays(folder: Path) -> np.ndarray:
    return np.stack([np.load(path) for path in sorted(folder.glob("*.npy"))])


def test_all_images_are_saved_with_what_they_are_made_of(saved: Path) -> None:
    kinds = ["degraded", "direct", "mask", "original", "sampled"]
    assert sorted(path.name for path in saved.iterdir() if path.is_dir()) == kinds
    for kind in kinds:
        assert [path.name for path in sorted((saved / kind).iterdir())] == [f"{i:06d}.npy" for i in range(6)]
    assert arrays(saved / "original").dtype == np.float32
    assert json.loads((saved / "images.json").read_text())["degradation"]["name"] == "inpaint"


def test_scores_of_saved_images_are_those_of_the_run(measured: Path, saved: Path, tmp_path: Path) -> None:
    for method, original in (("sampled", str(saved / "original")), ("direct", "mnist")):
        done = coldbench("score", saved / method, original, *METRICS, "--output", tmp_path / method)
        assert done.returncode == 0, done.stderr
        found, wanted = values(tmp_path / method, "restored"), values(measured / "run", method)
        assert set(found) == set(wanted) == {"FD[mnist-cnn]", "SSIM", "RMSE", "PSNR"}
        assert found == pytest.approx(wanted, abs=1e-6, rel=1e-6)
    assert coldbench("show", next((tmp_path / "sampled").glob("*.json"))).returncode == 0


@pytest.mark.parametrize(("style", "rounding"), [("png", 1 / 510), ("png16", 1 / 131070)])
def test_png_rounds_as_stated(style: str, rounding: float, saved: Path, tmp_path: Path) -> None:
    png = run(tmp_path, "--save-format", style, images=3)
    done = coldbench("score", png / "sampled", png / "original", *METRICS, "--output", tmp_path / "score")
    assert done.returncode == 0, done.stderr
    from coldbench.data.float_images import read_floats

    for name in ("000000", "000001", "000002"):
        exact = np.load(saved / "sampled" / f"{name}.npy").clip(0, 1)
        found = read_floats(png / "sampled" / f"{name}.png").numpy()
        assert 0 < np.abs(found - exact).max() <= rounding + 1e-6


def test_what_no_png_can_hold_is_kept_as_floats(tmp_path: Path) -> None:
    snow = run(tmp_path, "--save-format", "png", "--methods", "degraded", table="4", images=3)
    assert [path.name for path in sorted((snow / "flakes").iterdir())] == [f"{i:06d}.npy" for i in range(3)]
    assert [path.name for path in sorted((snow / "degraded").iterdir())] == [f"{i:06d}.png" for i in range(3)]
    assert np.load(snow / "flakes" / "000000.npy").shape == (2, 32, 32)


def test_archives_hold_all_images(saved: Path, tmp_path: Path) -> None:
    npz = run(tmp_path, "--save-format", "npz", "--batch-size", "4")
    assert [path.name for path in sorted((npz / "sampled").iterdir())] == ["000000-000005.npz"]
    with np.load(npz / "sampled" / "000000-000005.npz") as archive:
        assert np.abs(archive["images"] - arrays(saved / "sampled")).max() < 1e-5
        assert list(archive["names"]) == [f"{i:06d}" for i in range(6)]
    done = coldbench("score", npz / "sampled", saved / "original", *METRICS, "--output", tmp_path / "score")
    assert done.returncode == 0, done.stderr


def test_batches_of_another_size_lose_no_image(tmp_path: Path) -> None:
    saved, images = SavedImages(tmp_path, "npz", ("direct",)), torch.rand(8, 1, 4, 4)
    for batch in (range(8), range(2, 4), range(2), range(4, 8)):
        saved.write(batch, {"direct": images[batch.start : batch.stop]})
        assert not saved.missing(range(8))
        assert torch.equal(saved.first("direct", 8, 8), images)
    names = [path.name for path in sorted((tmp_path / "direct").iterdir())]
    assert names == ["000000-000001.npz", "000002-000003.npz", "000004-000007.npz"]


def test_other_images_of_a_data_set_are_another_task(saved: Path, tmp_path: Path) -> None:
    digests = set()
    for name, first in (("head", 0), ("tail", 3)):
        (tmp_path / name).mkdir()
        for image in range(first, first + 3):
            shutil.copy(saved / "sampled" / f"{image:06d}.npy", tmp_path / name)
        options = ("--metrics", "SSIM", "--output", tmp_path / f"{name}-score")
        assert coldbench("score", tmp_path / name, "mnist", *options).returncode == 0
        (path,) = (tmp_path / f"{name}-score").glob("*.json")
        digests |= {record.identity.data_sha256 for record in load(path)}
    whole = {record.identity.data_sha256 for record in load(saved.parents[1] / "run" / "table-2.json")}
    assert len(digests) == 2
    assert len(digests & whole) == 1


def test_the_output_is_no_part_of_the_input(saved: Path) -> None:
    folder = saved / "degraded"
    done = coldbench("restore", folder, "--model", "mnist-inpaint", "--output", folder / "restored")
    assert_one_clear_line(done, 2, "lies in")


def test_the_scores_of_every_image_make_up_those_of_all(measured: Path) -> None:
    with (measured / "each.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["row", "name", "index", "method", "SSIM", "RMSE", "PSNR"]
    assert len(lines) == 3 * 6
    for method in ("degraded", "sampled", "direct"):
        own, whole = [line for line in lines if line["method"] == method], values(measured / "run", method)
        assert [line["index"] for line in own] == list("012345")
        assert np.mean([float(line["SSIM"]) for line in own]) == pytest.approx(whole["SSIM"], abs=1e-12)
        assert np.mean([float(line["PSNR"]) for line in own]) == pytest.approx(whole["PSNR"], abs=1e-12)
        squares = np.mean([float(line["RMSE"]) ** 2 for line in own])
        assert squares**0.5 == pytest.approx(whole["RMSE"], abs=1e-12)


def test_images_of_folders_keep_their_names(tmp_path: Path) -> None:
    for name in ("b/x", "a"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32), len(name) * 50, np.uint8)).save(tmp_path / "mine" / f"{name}.png")
    options = ("--metrics", "RMSE", "--methods", "degraded", "--output", tmp_path / "out", "--quiet")
    each = tmp_path / "each.csv"
    done = coldbench(
        "evaluate", "mnist-superres", "--data", f"folder:{tmp_path / 'mine'}", *options, "--per-image", each
    )
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[1] for line in each.read_text().splitlines()[1:]] == ["a.png", "b/x.png"]


def test_parquet_holds_the_same(measured: Path, saved: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pandas as pd

    for name in ("each.csv", "each.parquet"):
        options = ("--metrics", "SSIM,RMSE", "--output", tmp_path / "o", "--quiet", "--per-image", tmp_path / name)
        assert coldbench("score", saved / "sampled", "mnist", *options).returncode == 0
    frames = [pd.read_csv(tmp_path / "each.csv", dtype={"name": str}), pd.read_parquet(tmp_path / "each.parquet")]
    pd.testing.assert_frame_equal(*frames)


def test_images_that_are_gone_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was stopped has a state; its images may be gone meanwhile."""
    from coldbench.commands import run as command

    class Kill(Exception):
        pass

    def kill(*_: object) -> None:
        raise Kill

    options = Request(images=4, metrics=("RMSE",), methods=("degraded",), save_images=tmp_path / "saved", quiet=True)
    with monkeypatch.context() as patched:
        patched.setattr(command, "save_row", kill)
        with pytest.raises(Kill):
            command.run_table("3", options, rows=["mnist"], output=tmp_path / "run")
    there = tmp_path / "saved" / "table-3-mnist" / "original" / "000002.npy"
    before = there.read_bytes()
    there.unlink()
    command.run_table("3", options, rows=["mnist"], output=tmp_path / "run")
    assert there.read_bytes() == before


def test_restored_images_are_those_of_the_run(saved: Path, tmp_path: Path) -> None:
    done = coldbench(
        *("restore", saved / "degraded", "--model", "mnist-inpaint", "--context", saved / "mask", "--quiet"),
        *("--methods", "sampled,direct", "--save-format", "npy", "--output", tmp_path / "again"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "again" / method) for method in ("sampled", "direct")]
    for method in ("sampled", "direct"):
        assert np.abs(arrays(tmp_path / "again" / method) - arrays(saved / method)).max() < 1e-5
    assert (tmp_path / "again" / "contact-sheet.png").is_file()


@pytest.mark.parametrize(("table", "context"), [("1", ""), ("3", ""), ("4", "flakes")])
def test_other_degradations_are_undone_alike(table: str, context: str, tmp_path: Path) -> None:
    whole = run(tmp_path, table=table, images=3)
    given = Given(
        images=whole / "degraded",
        model={"1": "mnist-blur", "3": "mnist-superres", "4": "mnist-snow"}[table],
        context=whole / context if context else None,
    )
    restore(given, Request(save_format="npy", quiet=True), tmp_path / "again")
    assert np.abs(arrays(tmp_path / "again" / "sampled") - arrays(whole / "sampled")).max() < 1e-5


def test_a_killed_restore_goes_on_with_what_is_missing(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given(images=saved / "degraded", model="mnist-inpaint")
    request = Request(methods=("direct",), save_format="npy", quiet=True)
    restore(given, request, tmp_path / "out")
    whole = arrays(tmp_path / "out" / "direct")
    for name in ("000001", "000004"):
        (tmp_path / "out" / "direct" / f"{name}.npy").unlink()
    (tmp_path / "out" / "direct" / ".coldbench-half.npy").write_bytes(b"half")
    seen: list[range] = []
    real = given_images._restored

    def watched(task: object, restorer: object, positions: range, *more: object) -> object:
        seen.append(positions)
        return real(task, restorer, positions, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(given_images, "_restored", watched)
    restore(given, request, tmp_path / "out")
    assert seen == [range(1, 2), range(4, 5)]
    assert np.abs(arrays(tmp_path / "out" / "direct") - whole).max() < 1e-5
    assert not list((tmp_path / "out").rglob(".coldbench-*"))


def test_from_the_severity_that_is_told(tmp_path: Path) -> None:
    """Algorithm 2 from x_s, step by step."""
    import torch

    from coldbench.diffusion.building import build_degradation
    from coldbench.diffusion.catalog import find_entry
    from coldbench.diffusion.checkpoints import Restorer, load_network

    entry = find_entry("mnist-superres")
    degradation = build_degradation(entry.degradation)
    R = Restorer(load_network(entry), torch.device("cpu"))
    x0 = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = x_2 = degradation(x0, 2)
    (tmp_path / "in").mkdir()
    for number, image in enumerate(x_2):
        np.save(tmp_path / "in" / f"{number}.npy", ((image + 1) / 2).numpy())
    with torch.inference_mode():
        for s in (2, 1):
            estimate = R(x, s)
            x = x - degradation(estimate, s) + degradation(estimate, s - 1)
    given = Given(images=tmp_path / "in", model="mnist-superres", severity=2, trajectory=True)
    restore(given, Request(save_format="npy", quiet=True), tmp_path / "out")
    assert np.abs(arrays(tmp_path / "out" / "sampled") - ((x + 1) / 2).numpy()).max() < 1e-5
    steps = sorted(path.name for path in (tmp_path / "out" / "trajectory" / "sampled" / "0").iterdir())
    assert steps == ["estimate-0001.npy", "estimate-0002.npy", "x-0001.npy", "x-0002.npy"]


def test_generated_images_score_as_in_the_run(tmp_path: Path) -> None:
    options = ("--images", "4", "--features", "mnist-cnn", "--quiet")
    saved = ("--save-images", tmp_path / "saved", "--output", tmp_path / "run")
    done = coldbench("evaluate", "mnist-noise", "--methods", "estimated-noise", *options, *saved)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "saved").glob("*/estimated-noise")
    against = ("--against", "mnist", "--train", "--features", "mnist-cnn", "--quiet", "--output", tmp_path / "score")
    assert coldbench("score", folder, *against).returncode == 0
    found, wanted = values(tmp_path / "score", "generated"), values(tmp_path / "run", "estimated-noise")
    assert found == pytest.approx(wanted, abs=1e-6, rel=1e-6)


def bad(tmp_path: Path, saved: Path, case: str) -> tuple[tuple[str | Path, ...], str]:
    """A command with something wrong, and what is said of it."""
    few, wide = tmp_path / "few", tmp_path / "wide"
    few.mkdir()
    wide.mkdir()
    shutil.copy(saved / "original" / "000003.npy", few / "other.npy")
    for path in (saved / "original").iterdir():
        np.save(wide / path.name, np.zeros((1, 32, 40), np.float32))
    (tmp_path / "empty").mkdir()
    holes = ("restore", saved / "degraded", "--model", "mnist-inpaint", "--output", tmp_path / "out")
    cases: dict[str, tuple[tuple[str | Path, ...], str]] = {
        "pairs": (("score", saved / "sampled", few), "6 restored without original: 000000, 000001"),
        "sizes": (("score", saved / "sampled", wide), "restored images are 1x32x32 and their originals 1x32x40"),
        "empty": (("score", tmp_path / "empty", "mnist"), "it is empty"),
        "nothing": (("score", saved / "sampled"), "say what the images are compared with"),
        "no mask": (holes, "inpaint needs the mask of every image: give it with --context"),
        "wrong mask": ((*holes, "--context", saved / "original"), "a mask is no hole of this degradation"),
        "lacking mask": ((*holes, "--context", few), "has no mask of 000000"),
        "severity": ((*holes, "--severity", "51"), "severity 51 is none of this degradation, which has 1 to 50"),
        "wide": (("restore", wide, "--model", "mnist-blur", "--output", tmp_path / "o"), "32x40 pixels"),
        "table": (("score", saved / "sampled", "mnist", "--per-image", "x.txt"), "must end in .csv or .parquet"),
        "dtype": ((*holes, "--dtype", "auto"), "name the arithmetic"),
    }
    return cases[case]


@pytest.mark.parametrize(
    "case",
    [
        *("pairs", "sizes", "empty", "nothing", "no mask", "wrong mask", "lacking mask"),
        *("severity", "wide", "table", "dtype"),
    ],
)
def test_bad_input_is_one_line(case: str, saved: Path, tmp_path: Path) -> None:
    command, message = bad(tmp_path, saved, case)
    assert_one_clear_line(coldbench(*command, "--quiet", cwd=tmp_path), 2, message)


def test_a_failed_restore_leaves_the_folder_free(saved: Path, tmp_path: Path) -> None:
    given = Given(images=saved / "degraded", model="mnist-inpaint")
    with pytest.raises(BadInput, match="needs the mask"):
        restore(given, Request(quiet=True), tmp_path / "out")
    restore(Given(images=saved / "degraded", model="mnist-superres"), Request(quiet=True), tmp_path / "out")


def test_images_of_something_else_are_not_mixed_in(saved: Path, tmp_path: Path) -> None:
    restore(
        Given(images=saved / "degraded", model="mnist-superres"),
        Request(methods=("degraded",), quiet=True),
        tmp_path / "out",
    )
    with pytest.raises(BadInput, match="holds images of another model"):
        restore(
            Given(images=saved / "original", model="mnist-superres"),
            Request(methods=("direct",), quiet=True),
            tmp_path / "out",
        )


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {line.split()[1] for line in COMMANDS} == {"run", "score", "evaluate", "statistics", "restore", "compare"}
    for line in COMMANDS:
        done = coldbench(*shlex.split(line)[1:], "--quiet")
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout
    assert re.search(r"\| +p \(sign\) +\| +p \(Wilcoxon\)", done.stdout)
