"""``coldbench check``: what it measures again, what it makes of it, and what ``--update`` writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from coldbench import mean_over_images
from coldbench.cli import main
from coldbench.commands import check as commands
from coldbench.core.errors import BadInput, CheckFailed, Interrupted
from coldbench.evaluation.scores import Scores
from coldbench.records import record as stored
from coldbench.records.comparison import render_stored
from coldbench.records.record import Record, load, save
from tests.helpers import assert_one_clear_line, changed, coldbench, edited

#: A metric from outside the package: the brightest pixel of an image.
BRIGHTEST = mean_over_images("Brightest", lambda x, y: x.amax((1, 2, 3)), better="lower")
OLD = Path(__file__).parents[1] / "records" / "schema2"


def a_reference(folder: Path, tables: str, *arguments: str | Path) -> list[Record]:
    """Records of some degraded rows on 20 images, which cost no network."""
    common = ("--methods", "degraded", "--images", "20", "--features", "none", "--quiet", "--output", folder)
    for table in tables:
        done = coldbench("run", "--table", table, *common, *(arguments or ("--rows", "mnist")))
        assert done.returncode == 0, done.stderr
    return load(folder / f"table-{tables[-1]}.json")


def own_images(folder: Path) -> Path:
    path = folder / "mine.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (20, 40, 50, 3), dtype=np.uint8))
    return path


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What a check in JSON says of each number."""
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_check_is_clean_in_another_process_with_other_batches(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "coldbench", "check", "--table", "3", "--batch-size", "10", "--quiet"]
    done = subprocess.run(
        [*command, "--junit", str(tmp_path / "c.xml")], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ElementTree.parse(tmp_path / "c.xml").getroot().get("failures") == "0"


@pytest.mark.slow
def test_check_in_bfloat16_is_within_its_tolerance() -> None:
    found = lines(coldbench("check", "--table", "4", "--dtype", "bfloat16", "--quiet", "--format", "json"))
    assert all(line["distance"] > 0 for line in found if line["method"] != "degraded")


def test_a_moved_number_fails_the_check_until_it_is_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = a_reference(tmp_path, "3")
    save(changed(before, "degraded", "SSIM", value=0.9), tmp_path / "table-3.json")
    command = ["check", "--reference", str(tmp_path), "--quiet"]
    with pytest.raises(CheckFailed, match="1 same, 1 moved: 1 of 2 numbers did not pass"):
        main(command, standalone_mode=False)
    capsys.readouterr()
    main([*command, "--update"], standalone_mode=False)
    assert "1 same, 1 moved" in capsys.readouterr().out, "what moved is shown before it is forgotten"
    main(command, standalone_mode=False)
    assert [each.value for each in load(tmp_path / "table-3.json")] == [each.value for each in before]


def test_an_update_writes_only_what_moved(tmp_path: Path) -> None:
    """A number within its tolerance stays bit for bit: else small drifts would add up from update to update."""
    before = a_reference(tmp_path, "3")
    (rmse,) = [each for each in before if each.metric.name == "RMSE"]
    assert rmse.value is not None
    drifted = changed(before, "degraded", "RMSE", value=rmse.value + 1e-5, conditions={"revision": "earlier"})
    missing = [edited(before[0], status="missing", value=None, interval=None, where={"method": "direct"})]
    save([*changed(drifted, "degraded", "SSIM", value=0.9), *missing], tmp_path / "table-3.json")
    assert coldbench("check", "--reference", tmp_path, "--quiet", "--update").returncode == 0
    after = load(tmp_path / "table-3.json")
    (kept,) = [each for each in after if each.metric.name == "RMSE"]
    assert kept == next(each for each in drifted if each.metric.name == "RMSE")
    assert after[-1] == missing[0], "what was not measured stays as it was"
    assert [each.value for each in after[:1]] == [each.value for each in before[:1]]
    content = (tmp_path / "table-3.json").read_bytes()
    assert coldbench("check", "--reference", tmp_path, "--quiet", "--update").returncode == 0
    assert (tmp_path / "table-3.json").read_bytes() == content, "nothing had moved"
    table = tmp_path / "table-3.md"
    whole = render_stored(after, "markdown")
    for before_it_was_killed in ("old", whole):
        table.write_text(before_it_was_killed, encoding="utf-8")
        assert coldbench("check", "--reference", tmp_path, "--quiet", "--update").returncode == 0
        assert table.read_text(encoding="utf-8") == whole


def test_a_check_of_some_metrics_keeps_the_others(tmp_path: Path) -> None:
    before = a_reference(tmp_path, "3")
    save(changed(before, "degraded", "SSIM", value=0.9), tmp_path / "table-3.json")
    check = ("check", "--reference", tmp_path, "--quiet", "--metrics", "ssim", "--format", "json")
    assert [line["metric"] for line in json.loads(coldbench(*check).stdout)] == ["SSIM"]
    assert coldbench(*check, "--update").returncode == 0
    assert [each.value for each in load(tmp_path / "table-3.json")] == [each.value for each in before]
    done = coldbench("check", "--reference", tmp_path, "--quiet", "--metrics", "PSNR")
    assert (done.returncode, done.stderr) == (1, "coldbench: nothing to compare: 0 of 0 numbers did not pass\n")


@pytest.mark.parametrize("change", ["weights", "dtype", "gone"])
def test_an_update_does_not_forget_what_was_not_measured_again(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers of another identity or arithmetic, or gone: nothing is written, and the command fails."""
    records = a_reference(tmp_path, "3")
    kept = {
        "weights": [edited(each, identity={"checkpoint_sha256": "0" * 64}) for each in records],
        "dtype": [edited(each, conditions={"dtype": "bfloat16"}) for each in records],
        "gone": [*records, edited(records[-1], where={"row": "celeba"})],
    }[change]
    save(kept, tmp_path / "table-3.json")
    before = (tmp_path / "table-3.json").read_bytes()
    with pytest.raises(CheckFailed, match="cannot be updated"):
        main(["check", "--reference", str(tmp_path), "--quiet", "--update"], standalone_mode=False)
    assert "3 mnist" in capsys.readouterr().out
    assert (tmp_path / "table-3.json").read_bytes() == before


def request(record: Record, **changes: object) -> dict[str, Any]:
    return {**record.request, **changes}


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("3", ("--set", "timesteps=2", "--transform", "zoom")),
        ("1", ("--set", "std=1e+1")),
        ("3", ("--protocol", "released", "--set", "mode=bicubic", "--seed", "3")),
        ("2", ("--protocol", "released")),
    ],
)
def test_records_of_a_changed_row_are_measured_with_the_change(
    table: str, changes: tuple[str, ...], tmp_path: Path
) -> None:
    a_reference(tmp_path, table, "--rows", "mnist", *changes)
    found = lines(coldbench("check", "--reference", tmp_path, "--quiet", "--format", "json"))
    assert len(found) == 2
    assert {line["distance"] for line in found} == {0}


def test_a_setting_is_stored_as_what_it_is(tmp_path: Path) -> None:
    record = a_reference(tmp_path, "1", "--rows", "mnist", "--set", "std=1e+1")[-1]
    assert record.identity.protocol == "paper", "the protocol's name carries no settings"
    assert record.identity.degradation["std"] == 10
    assert record.changes == {"std": 10}


MINE = """
[tables.mine]
caption = "Mine"
methods = ["degraded"]
metrics = ["SSIM", "{brightest}"]
[[tables.mine.rows]]
dataset = "mnist"
checkpoint = "mnist-superres"
transform = "zoom"
"""


def my_table(folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_text(MINE.format(brightest=f"{__name__}:BRIGHTEST"))
    return path


@pytest.mark.parametrize(("asked", "measured"), [(("--transform", "native"), "native"), ((), "zoom")])
def test_a_transform_of_ones_own_is_stored_where_the_row_has_another(
    asked: tuple[str, ...], measured: str, tmp_path: Path
) -> None:
    run = ("run", "--table", my_table(tmp_path), "--images", "20", "--quiet", "--output", tmp_path / "out")
    assert coldbench(*run, *asked).returncode == 0
    (record, _) = load(tmp_path / "out" / "table-mine.json")
    assert record.identity.transform == measured
    found = lines(coldbench("check", "--reference", tmp_path / "out", "--quiet", "--format", "json"))
    assert {line["distance"] for line in found} == {0}


def test_metrics_and_features_from_outside_are_checked(tmp_path: Path) -> None:
    """Records call them by their names, and say what they were asked for as."""
    features = "tests.example_plugin:mean_colours"
    run = ("run", "--table", my_table(tmp_path), "--metrics", f"FID,{__name__}:BRIGHTEST", "--features", features)
    assert coldbench(*run, "--images", "20", "--quiet", "--output", tmp_path / "out").returncode == 0
    check = ("check", "--reference", tmp_path / "out", "--quiet", "--format", "json")
    found = lines(coldbench(*check))
    assert [(line["metric"], line["features"]) for line in found] == [("FID", "mean-colours"), ("Brightest", "")]
    assert {line["distance"] for line in found} == {0}
    assert [line["metric"] for line in lines(coldbench(*check, "--metrics", f"{__name__}:BRIGHTEST"))] == ["Brightest"]
    records = load(tmp_path / "out" / "table-mine.json")
    assert records[-1].metric.tolerances["float32 cpu"] == 1e-3
    save(changed(records, "degraded", "Brightest", value=2.0), tmp_path / "out" / "table-mine.json")
    assert coldbench(*check).returncode == 1


def test_records_of_an_evaluation_are_checked(tmp_path: Path) -> None:
    plugin = "tests.example_plugin"
    done = coldbench(
        "evaluate", f"{plugin}:sharpen", "--degradation", f"{plugin}:Fade", "--set", "timesteps=5",
        "--data", f"{plugin}:checkers", "--features", f"{plugin}:mean_colours", "--quiet", "--output", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = lines(coldbench("check", "--reference", tmp_path, "--quiet", "--format", "json"))
    assert {line["method"] for line in found} == {"degraded", "sampled", "direct"}
    assert {line["status"] for line in found} == {"same"}


def test_records_of_a_comparison_are_checked(tmp_path: Path) -> None:
    plugin = "tests.example_plugin"
    done = coldbench(
        "compare", "direct", "degraded", "--model", f"{plugin}:sharpen", "--degradation", f"{plugin}:Fade",
        "--set", "timesteps=5", "--data", f"{plugin}:checkers", "--images", "20", "--features", "none", "--quiet",
        "--output", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    found = lines(coldbench("check", "--reference", tmp_path, "--quiet", "--format", "json"))
    assert [(line["method"], line["metric"]) for line in found] == [
        (method, metric) for method in ("direct", "degraded") for metric in ("SSIM", "RMSE")
    ]
    save(changed(load(path), "degraded", "RMSE", value=0.9), path)
    assert coldbench("check", "--reference", tmp_path, "--quiet", "--update").returncode == 0
    assert "B - A" in path.with_suffix(".md").read_text(), "a comparison is written as one"


def test_a_check_that_is_stopped_resumes_with_the_next_table(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_reference(tmp_path, "34")
    command = ["check", "--reference", str(tmp_path)]
    seen: list[str] = []
    measure = commands.measure_plan

    def stop_at_table_4(plan: Any, *rest: Any) -> Any:
        if plan.row.table == "4":
            raise KeyboardInterrupt
        return measure(plan, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(commands, "measure_plan", stop_at_table_4)
        with pytest.raises(Interrupted):
            main(command, standalone_mode=False)
    (state,) = (own_home / "check").glob("*/.resume/*.pt")
    update = Scores.update
    monkeypatch.setattr(Scores, "update", lambda scores, *batch: (seen.append("batch"), update(scores, *batch))[1])
    main(command, standalone_mode=False)
    assert seen == ["batch"], "of Table 4, not of Table 3"
    assert not state.exists()
    state.parent.mkdir(exist_ok=True)
    state.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="begin anew with --fresh"):
        main(command, standalone_mode=False)
    main([*command, "--fresh"], standalone_mode=False)


def test_junit_is_there_whatever_happens(tmp_path: Path) -> None:
    a_reference(tmp_path, "3")
    done = coldbench("check", "--reference", tmp_path, "--junit", "/proc/nowhere/c.xml")
    assert_one_clear_line(done, 2, "cannot write /proc/nowhere/c.xml")
    assert "same" not in done.stderr, "it said so before it measured"
    assert coldbench("check", "--reference", tmp_path, "--junit", tmp_path / "c.xml").returncode == 0
    assert ElementTree.parse(tmp_path / "c.xml").getroot().get("failures") == "0"
    (tmp_path / "table-3.json").write_text("damaged")
    assert coldbench("check", "--reference", tmp_path, "--junit", tmp_path / "c.xml").returncode == 2
    (error,) = ElementTree.parse(tmp_path / "c.xml").getroot().iter("error")
    assert "does not hold records" in error.get("message", "")


def test_records_of_own_images_are_checked_on_them(tmp_path: Path) -> None:
    """They say where these are; ``--data`` says it where they have moved."""
    images = own_images(tmp_path)
    a_reference(tmp_path, "3", "--rows", "cifar10", "--data", f"npz:{images}")
    check = ("check", "--reference", tmp_path, "--quiet")
    assert coldbench(*check).returncode == 0
    moved = images.rename(tmp_path / "elsewhere.npz")
    assert_one_clear_line(coldbench(*check), 2, "mine.npz")
    data = ("--data", f"npz:{moved}")
    assert coldbench(*check, *data).returncode == 0
    a_reference(tmp_path, "3")
    assert coldbench(*check, *data, "--update").returncode == 0, "MNIST's row has its own images, and its own place"
    a_reference(tmp_path / "other", "3")
    done = coldbench("check", "--reference", tmp_path / "other", *data)
    assert_one_clear_line(done, 2, "was measured on images of --data: leave it out")


def test_records_of_schema_2_are_checked_and_updated(tmp_path: Path) -> None:
    cells = [each for each in json.loads((OLD / "table-1.json").read_text()) if each["metric"] in ("SSIM", "RMSE")]
    cells[0]["value"] = 0.9
    (tmp_path / "table-1.json").write_text(json.dumps(cells))
    check = ("check", "--reference", tmp_path, "--quiet")
    assert "1 same, 1 moved" in coldbench(*check, "--update").stdout
    found = load(tmp_path / "table-1.json")
    assert [each.schema_version for each in found] == [5, 2]
    assert coldbench(*check).returncode == 0


def test_records_of_schema_2_do_not_say_where_own_images_are(tmp_path: Path) -> None:
    cells = [each for each in json.loads((OLD / "table-3.json").read_text()) if each["metric"] == "SSIM"]
    (tmp_path / "table-3.json").write_text(json.dumps([cell | {"data": "npz:mine.npz"} for cell in cells]))
    done = coldbench("check", "--reference", tmp_path, "--quiet")
    assert_one_clear_line(done, 2, "mnist was measured on images of npz:mine.npz: say where with --data")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "mnist was measured from Python: no command measures it again"),
        ({"command": "run"}, "the record of mnist does not say what measures it again: it lacks 'table'"),
        ({"command": "evaluate"}, "the record of mnist does not say what measures it again: it lacks 'dataset'"),
    ],
)
def test_records_that_no_command_has_again_say_so(request_: dict[str, Any], message: str, tmp_path: Path) -> None:
    records = a_reference(tmp_path, "3")
    save([edited(each, request=request_) for each in records], tmp_path / "table-3.json")
    assert_one_clear_line(coldbench("check", "--reference", tmp_path, "--quiet"), 2, message)


def test_a_row_of_several_measurements_is_refused(tmp_path: Path) -> None:
    records = a_reference(tmp_path, "3")
    save(changed(records, "degraded", "SSIM", identity={"seed": 7}), tmp_path / "table-3.json")
    done = coldbench("check", "--reference", tmp_path, "--quiet")
    assert_one_clear_line(done, 2, "the reference of mnist mixes numbers of several N, seeds or protocols")


def unable(*_: object) -> None:
    raise BadInput("the disk is full")


def test_what_was_measured_is_kept_until_it_has_been_told(tmp_path: Path, own_home: Path) -> None:
    """The disk is full when the reference is to be written: the next attempt need not measure."""
    records = a_reference(tmp_path, "3")
    save(changed(records, "degraded", "SSIM", value=0.9), tmp_path / "table-3.json")
    check = ("check", "--reference", tmp_path, "--quiet", "--update")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "save", unable)
        assert coldbench(*check).returncode == 2
        patch.setattr(Scores, "update", unable)
        assert coldbench(*check).returncode == 2
    assert list((own_home / "check").glob("*/.resume/*.pt"))
    assert coldbench(*check).returncode == 0
    assert not list((own_home / "check").glob("*/.resume"))


def test_an_update_renews_the_table_beside_the_records(tmp_path: Path) -> None:
    records = a_reference(tmp_path, "3")
    save(changed(records, "degraded", "SSIM", value=0.5), tmp_path / "table-3.json")
    before = (tmp_path / "table-3.md").read_text()
    (tmp_path / "table-3.md").write_text("stale")
    assert coldbench("check", "--reference", tmp_path, "--quiet", "--update").returncode == 0
    assert (tmp_path / "table-3.md").read_text() == before


def test_a_row_whose_data_are_gone_does_not_stop_the_others(tmp_path: Path) -> None:
    here = a_reference(tmp_path, "3")
    gone = [
        edited(
            each,
            where={"row": "celeba", "title": "CelebA"},
            identity={"checkpoint": "celeba-superres", "data": "CelebA"},
            request=request(each, row="celeba", dataset="celeba"),
        )
        for each in here
    ]
    save([*here, *gone], tmp_path / "table-3.json")
    done = coldbench("check", "--reference", tmp_path, "--quiet")
    assert done.returncode == 1
    assert "2 same, 2 gone" in done.stdout
    assert "gone: CelebA-HQ images are not at" in done.stdout
    save(gone, tmp_path / "table-3.json")
    assert_one_clear_line(
        coldbench("check", "--reference", tmp_path, "--quiet"), 3, "nothing could be measured: CelebA-HQ images are not"
    )


@pytest.mark.slow
def test_records_of_random_weights_are_checked_with_them(tmp_path: Path) -> None:
    run = ("run", "--table", "3", "--rows", "celeba", "--methods", "direct", "--images", "2", "--features", "none")
    np.savez(tmp_path / "mine.npz", images=np.zeros((2, 128, 128, 3), dtype=np.uint8))
    data = ("--data", f"npz:{tmp_path / 'mine.npz'}")
    assert coldbench(*run, "--allow-random-weights", *data, "--output", tmp_path).returncode == 0
    done = coldbench("check", "--reference", tmp_path, "--quiet", *data)
    assert done.returncode == 0, done.stderr


def test_references_that_are_not_there(tmp_path: Path) -> None:
    assert_one_clear_line(coldbench("check", "--reference", tmp_path), 3, f"no records *.json in {tmp_path}")
    assert_one_clear_line(coldbench("check", "--table", "7"), 2, "no reference of table 7")
    (tmp_path / "table-3.json").write_text("damaged")
    assert_one_clear_line(coldbench("check", "--reference", tmp_path), 2, "does not hold records")


def test_only_some_tables_of_a_folder_are_checked(tmp_path: Path) -> None:
    a_reference(tmp_path, "34")
    shutil.copy(tmp_path / "table-3.json", tmp_path / "mine.json")
    for table, expected in (("4", "4"), ("mine", "3")):
        found = lines(coldbench("check", "--reference", tmp_path, "--table", table, "--quiet", "--format", "json"))
        assert {line["table"] for line in found} == {expected}
