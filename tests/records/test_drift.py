"""Whether numbers have moved: the comparison itself, and the two commands that make it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from coldbench.cli import main
from coldbench.commands import check as commands
from coldbench.commands.output import States
from coldbench.commands.run import Measured, RunOptions
from coldbench.core.errors import BadInput, CheckFailed, Interrupted
from coldbench.evaluation.scores import Tally
from coldbench.records import record as results
from coldbench.records.drift import TOLERANCES, Status, compare_records
from coldbench.records.drift_report import junit, render
from coldbench.records.record import Cell
from coldbench.tables.tables import Row
from tests.helpers import assert_one_clear_line, coldbench

ROOT = Path(__file__).parents[2]
QUICK = ROOT / "results" / "reference" / "quick"


def changed(cells: list[Cell], method: str, metric: str, **values: object) -> list[Cell]:
    return [
        dataclasses.replace(cell, **values) if (cell.method, cell.metric) == (method, metric) else cell
        for cell in cells
    ]


def measured(cells: list[Cell], method: str, metric: str) -> Cell:
    return next(cell for cell in cells if (cell.method, cell.metric, cell.status) == (method, metric, "measured"))


def test_the_same_records_have_not_moved(cells: list[Cell]) -> None:
    drifts = compare_records(cells, cells)
    assert len(drifts) == 9
    assert all(drift.status == Status.SAME and drift.distance == 0 for drift in drifts)


@pytest.mark.parametrize(("metric", "relative"), [("SSIM", False), ("RMSE", False), ("FD", True)])
def test_numbers_move_beyond_their_tolerance(metric: str, relative: bool, cells: list[Cell]) -> None:
    value = measured(cells, "sampled", metric).value
    unit = TOLERANCES[metric]["float32", "cpu"] * (value if relative else 1)
    for factor, status in ((0.9, Status.SAME), (-0.9, Status.SAME), (1.1, Status.MOVED), (-1.1, Status.MOVED)):
        drifts = compare_records(cells, changed(cells, "sampled", metric, value=value + factor * unit))
        assert [drift.status for drift in drifts if drift.status != Status.SAME] == (
            [status] if status == Status.MOVED else []
        )


@pytest.mark.parametrize(
    "difference",
    [
        {"images": 99}, {"seed": 1}, {"protocol": "released"}, {"checkpoint_sha256": "0" * 64},
        {"data_sha256": "0" * 64}, {"features_sha256": "0" * 64},
    ],
)  # fmt: skip
def test_other_identities_are_refused_even_if_the_value_is_the_same(
    difference: dict[str, object], cells: list[Cell]
) -> None:
    drifts = compare_records(cells, changed(cells, "direct", "FD", **difference))
    (refused,) = [drift for drift in drifts if drift.status == Status.REFUSED]
    assert next(iter(difference)) in refused.reason
    assert not refused.passed


def test_a_refusal_shows_what_differs(cells: list[Cell]) -> None:
    then = changed(cells, "direct", "SSIM", protocol="paper+timesteps=6")
    now = changed(cells, "direct", "SSIM", protocol="paper+timesteps=60")
    (refused,) = [drift for drift in compare_records(then, now) if drift.status == Status.REFUSED]
    assert refused.reason == "protocol was paper+timesteps=6, is paper+timesteps=60"


@pytest.mark.parametrize(("interval", "status"), [(0.01, Status.MOVED), (10.0, Status.SAME)])
def test_small_distances_are_held_against_themselves_or_their_interval(
    interval: float, status: Status, cells: list[Cell]
) -> None:
    then = changed(cells, "direct", "FD", value=0.05, low=0.05 - interval / 2, high=0.05 + interval / 2)
    drifts = compare_records(then, changed(cells, "direct", "FD", value=0.0509))
    assert [drift.status for drift in drifts if drift.cell.metric == "FD"][-1] == status


def test_what_is_gone_fails_and_what_is_new_does_not(cells: list[Cell]) -> None:
    fewer = [cell for cell in cells if (cell.method, cell.metric) != ("direct", "SSIM")]
    (gone,) = [drift for drift in compare_records(cells, fewer) if drift.status != Status.SAME]
    assert (gone.status, gone.passed) == (Status.GONE, False)
    (new,) = [drift for drift in compare_records(fewer, cells) if drift.status != Status.SAME]
    assert (new.status, new.passed) == (Status.NEW, True)


def test_a_number_that_is_there_twice_is_refused(cells: list[Cell]) -> None:
    with pytest.raises(BadInput, match="two records of direct RMSE of mnist-superres in table 3"):
        compare_records(cells, [*cells, measured(cells, "direct", "RMSE")])


def test_a_faster_dtype_has_its_own_tolerance_but_not_for_blur(cells: list[Cell]) -> None:
    moved = measured(cells, "sampled", "SSIM").value + 0.005
    assert not compare_records(cells, changed(cells, "sampled", "SSIM", value=moved))[4].passed
    fast = changed(cells, "sampled", "SSIM", value=moved, dtype="bfloat16")
    assert all(drift.passed for drift in compare_records(cells, fast))
    blur = [dataclasses.replace(cell, degradation="blur") for cell in cells]
    drifts = compare_records(blur, changed(blur, "sampled", "SSIM", value=0.1, dtype="bfloat16"))
    assert {drift.status for drift in drifts} == {Status.SAME, Status.EXEMPT}


def test_a_gpu_may_round_otherwise(cells: list[Cell]) -> None:
    value = measured(cells, "sampled", "RMSE").value + 3e-4
    gpu = changed(cells, "sampled", "RMSE", value=value, device="NVIDIA H100 80GB HBM3")
    assert all(drift.passed for drift in compare_records(cells, gpu))


def test_junit_is_what_ci_systems_read(cells: list[Cell]) -> None:
    drifts = compare_records(cells, changed(cells, "sampled", "RMSE", value=0.5))
    suite = ElementTree.fromstring(junit(drifts, "coldbench"))
    assert (suite.get("tests"), suite.get("failures")) == ("9", "1")
    (failed,) = [case for case in suite if len(case)]
    assert failed.get("name") == "sampled RMSE"
    assert "moved" in failed[0].get("message", "")


@pytest.mark.parametrize("style", ["markdown", "latex", "html", "csv", "json"])
def test_formats(style: str, cells: list[Cell]) -> None:
    text = render(compare_records(cells, changed(cells, "sampled", "RMSE", value=0.5)), "t", style)
    assert "moved" in text
    assert "0.5" in text


def test_diff_of_two_files(tmp_path: Path, cells: list[Cell]) -> None:
    same, other = tmp_path / "a.json", tmp_path / "b.json"
    results.save(cells, same)
    results.save(changed(cells, "sampled", "RMSE", value=0.5), other)
    done = coldbench("diff", same, same)
    assert done.returncode == 0
    assert "9 same" in done.stdout
    done = coldbench("diff", same, other)
    assert done.returncode == 1
    assert " moved |" in done.stdout
    assert done.stderr == "coldbench: 8 same, 1 moved: 1 of 9 numbers did not pass\n"
    other.write_text("[]")
    assert coldbench("diff", other, other).returncode == 1
    other.write_text('[{"value": 1}]')
    assert_one_clear_line(coldbench("diff", same, other), 2, "does not hold records of schema 2")
    assert_one_clear_line(coldbench("diff", same, tmp_path / "c.json"), 2, "No such file")


@pytest.mark.parametrize("command", ["'diff', path, path", "'show', path"])
def test_stored_records_are_read_without_waiting_for_torch(command: str) -> None:
    program = (
        f"import sys; from coldbench.cli import main; path = {str(QUICK / 'table-3.json')!r}\n"
        f"main([{command}], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_check_is_clean_in_another_process_with_other_batches(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "coldbench", "check", "--table", "3", "--batch-size", "10", "--quiet"]
    done = subprocess.run(
        [*command, "--junit", str(tmp_path / "c.xml")], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ElementTree.parse(tmp_path / "c.xml").getroot().get("failures") == "0"


def test_check_in_bfloat16_is_within_its_tolerance() -> None:
    done = coldbench("check", "--table", "3", "--dtype", "bfloat16", "--quiet", "--format", "json")
    assert done.returncode == 0, done.stdout
    distances = [line["distance"] for line in json.loads(done.stdout) if line["method"] != "degraded"]
    assert all(distance > 0 for distance in distances)


def test_a_moved_number_fails_the_check_until_it_is_the_reference(
    tmp_path: Path, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    results.save(changed(cells, "sampled", "SSIM", value=0.1), tmp_path / "table-3.json")
    command = ["check", "--reference", str(tmp_path), "--quiet"]
    with pytest.raises(CheckFailed, match="8 same, 1 moved: 1 of 9 numbers did not pass"):
        main(command, standalone_mode=False)
    capsys.readouterr()
    main([*command, "--update"], standalone_mode=False)
    assert "8 same, 1 moved" in capsys.readouterr().out, "what moved is shown before it is forgotten"
    main(command, standalone_mode=False)
    assert [cell for cell in results.load(tmp_path / "table-3.json") if cell.status == "missing"] == [
        cell for cell in cells if cell.status == "missing"
    ], "what was not measured stays as it was"


@pytest.mark.parametrize("change", ["weights", "dtype", "gone"])
def test_an_update_does_not_forget_what_was_not_measured_again(
    change: str, tmp_path: Path, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers of another identity or arithmetic, or gone: nothing is written, and the command fails."""
    kept = {
        "weights": [dataclasses.replace(cell, checkpoint_sha256="0" * 64) for cell in cells],
        "dtype": [dataclasses.replace(cell, dtype="bfloat16") for cell in cells],
        "gone": [*cells, dataclasses.replace(measured(cells, "direct", "SSIM"), checkpoint="cifar10-superres")],
    }[change]
    results.save(kept, tmp_path / "table-3.json")
    before = (tmp_path / "table-3.json").read_bytes()
    with pytest.raises(CheckFailed, match="cannot be updated"):
        main(["check", "--reference", str(tmp_path), "--quiet", "--update"], standalone_mode=False)
    assert "3 mnist-superres" in capsys.readouterr().out
    assert (tmp_path / "table-3.json").read_bytes() == before


def test_records_of_a_changed_row_are_measured_with_the_change(tmp_path: Path) -> None:
    run = ("run", "--table", "3", "--rows", "mnist", "--methods", "degraded", "--images", "20", "--output", tmp_path)
    assert coldbench(*run, "--set", "timesteps=2", "--transform", "zoom", "--quiet").returncode == 0
    done = coldbench("check", "--reference", tmp_path, "--quiet", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert {line["distance"] for line in json.loads(done.stdout)} == {0}


@pytest.mark.parametrize(
    "change",
    [{"schema_version": 99}, {"value": None}, {"value": "abc"}, {"metric": "LPIPS"}, {"dtype": "float16"},
     {"table": 9}, {"value": float("nan")}, {"versions": "x"}, {"method": 3}, {"protocol": None}, {"features": []},
     {"value": 10**400}, {"images": {}}, {"seed": "0"}, {"seed": True}, {"checkpoint_sha256": 7}, {"dataset": None}],
)  # fmt: skip
def test_records_edited_by_hand_are_refused(change: dict[str, object], tmp_path: Path, cells: list[Cell]) -> None:
    record = dataclasses.asdict(measured(cells, "direct", "SSIM")) | change
    (tmp_path / "a.json").write_text(json.dumps([record]))
    with pytest.raises(BadInput, match="does not hold records of schema 2"):
        results.load(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(BadInput, match="does not hold records of schema 2"):
        results.load(tmp_path / "a.json")


def a_reference(folder: Path, tables: str, *arguments: str | Path) -> None:
    """Records of some degraded rows on 20 images."""
    common = ("--methods", "degraded", "--images", "20", "--features", "none", "--quiet", "--output", folder)
    for table in tables:
        assert coldbench("run", "--table", table, *common, *(arguments or ("--rows", "mnist"))).returncode == 0


def test_a_check_that_is_stopped_goes_on_with_the_next_table(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_reference(tmp_path, "34")
    command = ["check", "--reference", str(tmp_path)]
    seen: list[str] = []
    measure_rows = commands.measure_rows

    def stop_at_table_4(rows: Sequence[Row], options: RunOptions, states: States) -> Iterator[Measured]:
        if options.table == "4":
            raise KeyboardInterrupt
        return measure_rows(rows, options, states)

    with monkeypatch.context() as patch:
        patch.setattr(commands, "measure_rows", stop_at_table_4)
        with pytest.raises(Interrupted):
            main(command, standalone_mode=False)
    (state,) = (own_home / "check").glob("*/.resume/*.pt")
    update = Tally.update
    monkeypatch.setattr(Tally, "update", lambda tally, *batch: (seen.append("batch"), update(tally, *batch))[1])
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
    (tmp_path / "table-3.json").write_text("damaged")
    assert coldbench("check", "--reference", tmp_path, "--junit", tmp_path / "c.xml").returncode == 2
    (error,) = ElementTree.parse(tmp_path / "c.xml").getroot().iter("error")
    assert "does not hold records" in error.get("message", "")


def test_records_of_own_images_are_checked_on_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=np.random.default_rng(0).integers(0, 256, (20, 40, 50, 3), dtype=np.uint8))
    data = ("--data", f"npz:{tmp_path / 'mine.npz'}")
    a_reference(tmp_path, "3", "--rows", "cifar10", *data)
    check = ("check", "--reference", tmp_path, "--quiet")
    assert_one_clear_line(
        coldbench(*check), 2, "was measured on images of npz:mine.npz: say where they are with --data"
    )
    done = coldbench(*check, *data)
    assert done.returncode == 0, done.stderr
    a_reference(tmp_path, "3")
    assert coldbench(*check, *data, "--update").returncode == 0, "MNIST's row has its own images, and its own place"
    assert "| MNIST " in (tmp_path / "table-3.md").read_text()
    a_reference(tmp_path / "other", "3")
    done = coldbench("check", "--reference", tmp_path / "other", *data)
    assert_one_clear_line(done, 2, "was measured on images of --data: leave it out")


def test_what_was_measured_is_kept_until_it_has_been_told(tmp_path: Path, own_home: Path) -> None:
    """The disk is full when the reference is to be written: the next attempt need not measure."""
    a_reference(tmp_path, "3")
    check = ("check", "--reference", tmp_path, "--quiet", "--update")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "save", unable)
        assert coldbench(*check).returncode == 2
        patch.setattr(Tally, "update", unable)
        assert coldbench(*check).returncode == 2
    assert list((own_home / "check").glob("*/.resume/*.pt"))
    assert coldbench(*check).returncode == 0
    assert not list((own_home / "check").glob("*/.resume"))


def unable(*_: object) -> None:
    raise BadInput("the disk is full")


def test_an_update_renews_the_table_beside_the_records(tmp_path: Path) -> None:
    a_reference(tmp_path, "3")
    cells = results.load(tmp_path / "table-3.json")
    results.save(changed(cells, "degraded", "SSIM", value=0.5), tmp_path / "table-3.json")
    before = (tmp_path / "table-3.md").read_text()
    (tmp_path / "table-3.md").write_text("stale")
    assert coldbench("check", "--reference", tmp_path, "--quiet", "--update").returncode == 0
    assert (tmp_path / "table-3.md").read_text() == before


def test_a_row_whose_data_are_gone_does_not_stop_the_others(tmp_path: Path, cells: list[Cell]) -> None:
    a_reference(tmp_path, "3")
    here = results.load(tmp_path / "table-3.json")
    gone = [dataclasses.replace(cell, checkpoint="celeba-superres", dataset="CelebA", data="CelebA") for cell in here]
    results.save([*here, *gone], tmp_path / "table-3.json")
    done = coldbench("check", "--reference", tmp_path, "--quiet")
    assert done.returncode == 1
    assert "2 same, 2 gone" in done.stdout
    assert "gone: CelebA-HQ images are not at" in done.stdout
    results.save(gone, tmp_path / "table-3.json")
    assert_one_clear_line(
        coldbench("check", "--reference", tmp_path, "--quiet"), 3, "nothing could be measured: CelebA-HQ images are not"
    )


def test_records_of_random_weights_are_checked_with_them(tmp_path: Path) -> None:
    run = ("run", "--table", "3", "--rows", "celeba", "--methods", "direct", "--images", "2", "--features", "none")
    np.savez(tmp_path / "mine.npz", images=np.zeros((2, 128, 128, 3), dtype=np.uint8))
    data = ("--data", f"npz:{tmp_path / 'mine.npz'}")
    assert coldbench(*run, "--allow-random-weights", *data, "--output", tmp_path).returncode == 0
    done = coldbench("check", "--reference", tmp_path, "--quiet", *data)
    assert done.returncode == 0, done.stderr


def test_what_is_gone_says_why(cells: list[Cell]) -> None:
    gone = [
        dataclasses.replace(cell, value=None, status="missing", reason="no weights: coldbench train x")
        if cell.method == "direct"
        else cell
        for cell in cells
    ]
    reasons = {drift.reason for drift in compare_records(cells, gone) if drift.status == Status.GONE}
    assert reasons == {"no weights: coldbench train x"}


def test_junit_tells_what_stopped_the_measuring() -> None:
    suite = ElementTree.fromstring(junit([], "coldbench", "audit failed"))
    assert suite[0][0].get("message") == "audit failed"


def test_references_that_are_not_there(tmp_path: Path) -> None:
    assert_one_clear_line(coldbench("check", "--reference", tmp_path), 3, "no references table-*.json in")
    assert_one_clear_line(coldbench("check", "--table", "7"), 2, "no reference of table 7")
    (tmp_path / "table-3.json").write_text("damaged")
    assert_one_clear_line(coldbench("check", "--reference", tmp_path), 2, "does not hold records")


def test_a_full_stdout_is_told_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "coldbench", "show", str(QUICK / "table-3.json")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "coldbench: cannot write to stdout: No space left on device\n")
