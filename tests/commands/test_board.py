"""``coldbench board``: folders of records of many people, merged and ranked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from coldbench.core.paths import shipped
from coldbench.records.record import load, save
from tests.helpers import assert_one_clear_line, changed, coldbench
from tests.records.test_imports import leaves_out_torch

QUICK, FULL = (shipped("results", "reference", name) for name in ("quick", "full"))


def test_fresh_records_of_two_people_are_one_board(tmp_path: Path) -> None:
    """The degraded images are the same for both, and so is their number, whatever the batch."""
    few = ("--rows", "mnist", "--images", "20", "--metrics", "SSIM", "--quiet")
    for who, methods, batch in (("alice", "degraded,direct", "20"), ("bob", "degraded,sampled", "7")):
        more = ("--methods", methods, "--batch-size", batch, "--output", tmp_path / who)
        assert coldbench("run", "--table", "3", *few, *more).returncode == 0
    done = coldbench("board", "alice", "bob", "--format", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in json.loads(done.stdout) if line["kind"] == "measured here"]
    assert {line["method"]: line["from"] for line in lines} == {
        "direct": "alice",
        "sampled": "bob",
        "degraded": "alice, bob",
    }
    assert {line["task"] for line in lines} == {"Superres: 20 images of MNIST"}
    assert sorted(line["rank"] for line in lines) == [1, 2, 3]


def test_one_folder_will_do_and_so_will_a_file() -> None:
    folder, file = coldbench("board", QUICK), coldbench("board", QUICK / "table-3.json")
    assert (folder.returncode, file.returncode) == (0, 0)
    assert folder.stdout.count("\n## ") == 4
    assert file.stdout.count("## ") == 1


def test_a_folder_given_twice_is_one_folder() -> None:
    assert coldbench("board", QUICK, QUICK).stdout == coldbench("board", QUICK).stdout


def test_full_and_quick_are_other_tasks() -> None:
    text = coldbench("board", FULL, QUICK).stdout
    assert {f"## Blur: {n} images of MNIST" for n in ("100", "10,000")} <= set(text.splitlines())


def test_what_was_set_aside_is_left_out(tmp_path: Path) -> None:
    shutil.copy(QUICK / "table-3.json", tmp_path)
    (tmp_path / "earlier").mkdir()
    shutil.copy(QUICK / "table-1.json", tmp_path / "earlier")
    assert coldbench("board", tmp_path).stdout.count("## ") == 1


def test_what_disagrees_is_told_on_stderr(tmp_path: Path) -> None:
    records = load(QUICK / "table-3.json")
    sampled = [each.value for each in records if each.where.method == "sampled" and each.metric.label == "SSIM"]
    (value,) = filter(None, sampled)
    save(changed(records, "sampled", "SSIM", value=0.9), tmp_path / "table-3.json")
    done = coldbench("board", QUICK, tmp_path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: sampled SSIM of mnist-superres is {value:.6g} and 0.9")
    assert line.endswith(f"and 0.9 in {QUICK} and {tmp_path}")


def test_a_file_is_written_whole_and_its_path_printed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "board.html"
    done = coldbench("board", QUICK, "--format", "html", "--output", path)
    assert (done.returncode, done.stdout) == (0, f"{path}\n")
    assert path.read_text(encoding="utf-8") == coldbench("board", QUICK, "--format", "html").stdout


def test_it_is_read_without_torch() -> None:
    leaves_out_torch(f"from coldbench.cli import main; main(['board', {str(QUICK)!r}], standalone_mode=False)")


def broken(folder: Path) -> None:
    """What a board cannot be made of."""
    for name in ("empty", "damaged", "nothing"):
        (folder / name).mkdir()
    whole = (QUICK / "table-3.json").read_text(encoding="utf-8")
    (folder / "damaged" / "table-3.json").write_text(whole[: len(whole) // 2], encoding="utf-8")
    missing = [record for record in load(QUICK / "table-3.json") if not record.measured]
    save(missing, folder / "nothing" / "table-3.json")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("absent",), 3, "no records *.json in absent: coldbench run, evaluate and compare write such files"),
        (("empty",), 3, "no records *.json in empty"),
        ((str(QUICK), "damaged"), 2, "damaged/table-3.json does not hold records of schema"),
        (("nothing",), 2, "nothing to rank in nothing"),
        (("",), 2, "it is empty; was a variable not set?"),
        ((), 2, "Missing argument 'RECORDS...'"),
        ((str(QUICK), "--metric", ""), 2, "it is empty; was a variable not set?"),
        ((str(QUICK), "--metric", "PSNR"), 2, "no number of metric 'PSNR' in these records; they have FD[mnist-cnn]"),
        ((str(QUICK), "--format", "latex"), 2, "'latex' is not one of 'markdown', 'csv', 'json', 'html'"),
        ((str(QUICK), "--output", "empty"), 2, "cannot write empty: "),
        ((str(QUICK), "--output", "damaged/table-3.json/board.md"), 2, "cannot write damaged/table-3.json/board.md: "),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    broken(tmp_path)
    assert_one_clear_line(coldbench("board", *arguments, cwd=tmp_path), code, message)
