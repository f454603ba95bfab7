"""The catalogue: what can be named, what is at hand, and what supplies the rest."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from coldbench.commands.listing import KINDS
from coldbench.core import array_cache
from coldbench.tables.tables import paper_tables
from tests.helpers import assert_one_clear_line, coldbench

#: Something that each kind lists.
KNOWN = {
    "tables": "Deblurring",
    "models": "mnist-blur",
    "datasets": "celeba",
    "degradations": "superres",
    "samplers": "estimated-noise",
    "metrics": "KID",
    "features": "mnist-cnn",
    "networks": "ddpm-unet",
    "transforms": "centre S x S",
    "restorers": "module:attribute serves as well",
    "cache": "empty",
}


def listed(what: str) -> str:
    done = coldbench("list", what)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_everything_is_listed_by_kind_and_at_once() -> None:
    assert KNOWN.keys() == KINDS.keys()
    everything = coldbench("list").stdout
    for what, something in KNOWN.items():
        alone = listed(what)
        assert something in alone
        assert f"# {what}\n{alone.strip()}" in everything
        assert re.search(rf"\b{what}(,| \()", coldbench("list", "--help").stdout)


def test_tables_say_what_their_rows_lack_and_what_supplies_it() -> None:
    """Data and weights alike, in Tables 1 to 5 alike."""
    text = listed("tables")
    for table in paper_tables().values():
        part = text.partition(f"{table.name}  {table.caption}\n")[2]
        for row in table.rows:
            (line,) = re.findall(
                rf"^    {row.name} .*", part.partition("\n" + str(int(table.name) + 1) + "  ")[0], re.M
            )
            if row.dataset == "mnist":
                assert line.endswith("at hand")
            else:
                assert f"coldbench fetch {row.dataset}" in line
                lacks = f"no weights: coldbench train {row.checkpoint}, or coldbench import" in line
                assert lacks == (row.dataset != "cifar10")


def test_models_data_sets_features_and_metrics_say_what_supplies_them() -> None:
    models = listed("models")
    assert "coldbench train celeba-blur" in models
    assert re.search(r"mnist-blur\n +/.*mnist-blur.safetensors \(\w{12}\)", models)
    datasets = listed("datasets")
    assert "test images: 10,000" in datasets
    assert "training images: absent: the MNIST training images are not at" in datasets
    assert "coldbench fetch inception" in listed("features")
    assert re.search(r"mnist-cnn +at hand", listed("features"))
    assert "FID       lower is better" in listed("metrics")


def test_a_note_is_said_once() -> None:
    notes = re.findall(r"^\[\d+\] (.*(?:\n    .*)*)", listed("models"), re.MULTILINE)
    assert len(notes) > 5
    assert len(set(notes)) == len(notes)


@pytest.mark.parametrize(
    "line",
    [
        "image_size (required): S, in pixels.",
        "kernel_size (default 11): k, odd, in taps.",
        "std (default: none): kernel std in pixels",
        "routine (required; one of constant, constant-reflect, special-6, exponential, exponential-reflect)",
        "mode (default area; one of area, bilinear, bicubic)",
        "level (required; one of 1, 2, 3, 4)",
    ],
)
def test_degradations_tell_their_settings_defaults_and_choices(line: str) -> None:
    assert line in listed("degradations")


def test_samplers_tell_what_they_start_from() -> None:
    text = listed("samplers")
    assert re.search(r"^direct +from a degraded image: R\(x_T, T\)", text, re.MULTILINE)
    assert re.search(r"^ddpm +from noise: Ancestral sampling", text, re.MULTILINE)
    assert re.search(r"^broken-symmetry +from channel means", text, re.MULTILINE)


def test_a_plug_in_that_cannot_be_loaded_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    kinds = ("degradations", "networks", "datasets", "samplers", "metrics", "features")
    groups = [f"[coldbench.{kind}]\nbroken = no_such_module:thing\n" for kind in kinds]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(tmp_path)
    for kind in kinds:
        text = listed(kind)
        assert re.search(r"^broken +cannot be used: .* cannot be loaded: ModuleNotFoundError", text, re.MULTILINE)
        assert KNOWN[kind] in text


def test_an_empty_cache_is_told_with_its_limit_and_its_folder(own_home: Path) -> None:
    assert listed("cache").splitlines() == [
        "empty",
        "0 entries, 0.0 MiB; at most 4 GiB: $COLDBENCH_CACHE_GIB, 0 for no cache",
        f"{own_home / 'cache'}: its files may be deleted at any time",
    ]


def test_the_entries_of_the_cache_are_told_one_a_line(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one used last comes first; one that cannot be read hides no other."""
    for images in ("20", "1000"):
        path = own_home / "s.npz"
        done = coldbench("statistics", "mnist", "--features", "mnist-cnn", "--images", images, "--output", path)
        assert done.returncode == 0, done.stderr
    for entry in array_cache.entries():
        used = datetime(2026, 1, 2, 3, 4).timestamp() - entry.facts["images"]
        os.utime(entry.path, (used, used))
    (own_home / "cache" / "odd.safetensors").write_bytes(b"features")
    os.utime(own_home / "cache" / "odd.safetensors", (0, 0))
    monkeypatch.setenv(array_cache.LIMIT, "0.5")
    *lines, total, folder = listed("cache").splitlines()
    assert lines[:2] == [
        "MNIST, native, 32 pixels, N 20 from 0, mnist-cnn on cpu, batches of 64: 0.0 MiB, used 2026-01-02 03:03",
        "MNIST, native, 32 pixels, N 1,000 from 0, mnist-cnn on cpu, batches of 64: 0.5 MiB, used 2026-01-02 02:47",
    ]
    assert re.fullmatch(r"odd\.safetensors, damaged: 0\.0 MiB, used 19(69|70)-\d\d-\d\d \d\d:\d\d", lines[2])
    assert total == "3 entries, 0.5 MiB; at most 0.5 GiB: $COLDBENCH_CACHE_GIB, 0 for no cache"
    shutil.rmtree(folder.partition(": ")[0])
    assert listed("cache").startswith("empty\n")


def test_the_originals_of_a_table_are_in_the_cache_by_the_name_of_their_transform(tmp_path: Path) -> None:
    run = ("run", "--table", "3", "--rows", "mnist", "--methods", "degraded", "--images", "20", "--metrics", "FID")
    assert coldbench(*run, "--output", tmp_path, "--quiet").returncode == 0
    assert listed("cache").startswith("MNIST, native, 32 pixels, N 20 from 0, mnist-cnn on cpu, batches of 64: ")


def test_what_cannot_be_listed_is_named() -> None:
    assert_one_clear_line(coldbench("list", "modles"), 2, "'modles' cannot be listed; did you mean models")
