"""A run that is killed goes on, and ends in the record of one that was not."""

from __future__ import annotations

import dataclasses
import hashlib
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from coldbench import mean_over_images
from coldbench.commands.output import keeper as keeper_of
from coldbench.core.errors import BadInput
from coldbench.evaluation.restoration import Task, measure
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Scores
from coldbench.metrics.audit import AUDITED
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import find_metrics
from coldbench.records.folder import claimed
from coldbench.records.record import load
from tests.helpers import assert_one_clear_line, coldbench, edited, interruptible, restoration_task

#: A metric from outside the package: the brightest pixel of an image.
BRIGHTEST = mean_over_images("Brightest", lambda x, y: x.amax((1, 2, 3)), better="lower")
COMMAND = [sys.executable, "-m", "coldbench", "run", "--table", "3", "--rows", "mnist", "--quiet"]


def record(folder: Path) -> list[object]:
    """The records without what a resumed run cannot share with another one: clocks, and the revision meanwhile."""
    return [edited(each, cost=None, conditions={"revision": ""}) for each in load(folder / "table-3.json")]


def task(images: int, batch_size: int) -> Task:
    """Super-resolution in one step, scored by every kind of metric in two feature spaces."""
    made = restoration_task(
        "mnist-superres",
        images,
        batch_size,
        metrics=("FID", "KID", "SSIM", "RMSE", "PSNR", f"{__name__}:BRIGHTEST"),
        timesteps=1,
    )
    corners = FeatureSpace("corners", hashlib.sha256(b"corners").hexdigest(), lambda x: x[:, :, ::16, ::16].flatten(1))
    return dataclasses.replace(made, features=[*made.features, corners])


def start(folder: Path, images: int) -> subprocess.Popen[bytes]:
    command = [*COMMAND, "--images", str(images), "--batch-size", "8", "--output", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def saved(folder: Path) -> int:
    """When the newest state in an output folder was written, in ns; 0 where there is none."""
    return max((path.stat().st_mtime_ns for path in (folder / ".resume").glob("table-*.pt")), default=0)


class Kill(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("stop", [16, 32, 40])
def test_a_measurement_taken_up_again_gives_the_same_bits(stop: int, tmp_path: Path) -> None:
    whole = measure(task(40, 16))
    assert len(whole.values) == 3 * (2 * 2 + 4)
    keeper = Keeper(tmp_path / "s.pt", {"a": 1})
    seen = 0

    def watch(images: int) -> None:
        nonlocal seen
        seen += images
        if seen > stop:
            raise Kill

    with pytest.raises(Kill) if stop < 40 else pytest.MonkeyPatch.context():
        measure(task(40, 16), watch, keeper)
    resumed: list[int] = []
    outcome = measure(task(40, 16), resumed.append, Keeper(tmp_path / "s.pt", {"a": 1}))
    assert resumed[0] in (*range(16, stop + 1, 16), stop), "a state is saved when it is due, and at the end"
    assert resumed[0] == 40 or stop < 40
    assert list(outcome.estimates.items()) == list(whole.estimates.items())
    assert outcome.deviations == whole.deviations
    for kind, images in whole.gallery.items():
        assert torch.equal(images, outcome.gallery[kind])


def test_what_came_of_a_finished_measurement_is_not_measured_again(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "s.pt", {"a": 1})
    whole = measure(task(40, 16), keeper=keeper)
    unable = dataclasses.replace(task(40, 16), restore=None)
    seen: list[int] = []
    again = measure(unable, seen.append, keeper)
    assert seen == [40]
    assert list(again.estimates.items()) == list(whole.estimates.items())
    assert (again.deviations, again.warnings) == (whole.deviations, whole.warnings)
    assert (again.seconds, again.network_seconds) == (whole.seconds, whole.network_seconds)


def killed(folder: Path, images: int = 40) -> list[Path]:
    """The files of the features that a measurement leaves behind which is killed after 24 images."""
    done = 0

    def watch(images: int) -> None:
        nonlocal done
        done += images
        if done > 24:
            raise Kill

    with pytest.raises(Kill):
        measure(task(images, 16), watch, Keeper(folder / "s.pt", {"a": 1}))
    return sorted(folder.glob("s.*.f32"))


def test_the_state_on_disk_is_the_features_and_a_few_pictures(tmp_path: Path) -> None:
    """The rest does not grow with the number of images: of 10,000 in many dimensions, it is less than a tenth."""
    files = killed(tmp_path)
    kinds = len(("original", *task(40, 16).methods))
    assert len(files) == 2 * kinds
    features = sum(path.stat().st_size for path in files)
    assert features == kinds * 32 * (128 + 4) * 4, "the batch that was not saved is there, too"
    pictures = kinds * AUDITED * 32 * 32 * 4
    assert (tmp_path / "s.0.pt").stat().st_size < pictures + 150_000
    keeper = Keeper(tmp_path / "s.pt", {"a": 1})
    measure(task(40, 16), keeper=keeper)
    assert [path.name for path in tmp_path.iterdir()] == ["s.pt"], "they go when the outcome is known"


@pytest.mark.parametrize("harm", ["gone", "short", "changed"])
def test_features_that_are_not_those_of_the_state_are_named(harm: str, tmp_path: Path) -> None:
    path = killed(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes({"short": content[:99], "changed": content}.get(harm, content))
    if harm == "gone":
        path.unlink()
    with pytest.raises(BadInput, match=r"s\.0\.pt is damaged \(.+\): begin anew with --fresh"):
        measure(task(40, 16), keeper=Keeper(tmp_path / "s.pt", {"a": 1}))


def test_a_state_of_other_settings_is_not_taken_up(tmp_path: Path) -> None:
    Keeper(tmp_path / "s.pt", {"seed": 0}).save(few_scores(), now=True)
    other, same = (Keeper(tmp_path / "s.pt", {"seed": seed}) for seed in (1, 0))
    assert other.done() == []
    assert other.taken_up(blank, 0).done == 0
    assert same.done() == [range(3)]
    scores = same.taken_up(blank, 0)
    assert scores.done == 3
    assert scores.outcome().estimates == few_scores().outcome().estimates


def blank(start: int, state: Path | None) -> Scores:
    return Scores(["degraded"], find_metrics(("SSIM",)), [], images=3, start=start, groups=2)


def few_scores() -> Scores:
    scores = blank(0, None)
    images = torch.linspace(0, 1, 3 * 256).reshape(3, 1, 16, 16)
    scores.update(range(3), {"original": images, "degraded": images / 2})
    return scores


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.0.pt").write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"s\.0\.pt is damaged \(.+\): begin anew with --fresh"):
        Keeper(tmp_path / "s.pt", {}).done()


def test_saving_takes_a_small_part_of_the_time(tmp_path: Path) -> None:
    keeper, scores = Keeper(tmp_path / "s.pt", {}), few_scores()
    keeper.save(scores, now=False)
    state = tmp_path / "s.0.pt"
    first = state.stat().st_mtime_ns
    keeper.save(scores, now=False)
    assert state.stat().st_mtime_ns == first
    keeper.save(scores, now=True)
    assert state.stat().st_mtime_ns > first


def test_two_commands_on_one_folder_do_not_meet(tmp_path: Path) -> None:
    with claimed(tmp_path / "out"):
        done = subprocess.run(
            [*COMMAND, "--images", "8", "--output", str(tmp_path / "out")], capture_output=True, text=True, check=False
        )
    assert_one_clear_line(done, 2, "another command is writing to")
    assert not list((tmp_path / "out").iterdir())


def test_interruption_is_resumable_and_says_so(tmp_path: Path) -> None:
    command = interruptible(*COMMAND[3:], "--images", "160", "--batch-size", "8")
    process = subprocess.Popen([*command, "--output", str(tmp_path)], stderr=subprocess.PIPE, text=True)
    while not saved(tmp_path):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "coldbench: interrupted; the same command resumes from here"
    (state,) = (tmp_path / ".resume").glob("*.pt")
    done = torch.load(state, weights_only=True)["scores"]["done"]
    assert 0 < done < 160
    assert start(tmp_path, 160).wait() == 0


def stopped(folder: Path, identity: dict[str, int]) -> None:
    """A command that saves something and comes to a bad end."""
    with claimed(folder) as claim:
        keeper_of(claim, "row", identity).save(few_scores(), now=True)
        raise Kill


def states_in(folder: Path) -> int:
    return len(list((folder / ".resume").glob("*.pt")))


def test_a_command_that_ends_well_takes_its_own_states_along_and_no_others(tmp_path: Path) -> None:
    for seed in (0, 1):
        with pytest.raises(Kill):
            stopped(tmp_path, {"seed": seed})
    assert states_in(tmp_path) == 2
    with claimed(tmp_path) as claim:
        assert keeper_of(claim, "row", {"seed": 1}).done() == [range(3)]
    assert states_in(tmp_path) == 1
    with claimed(tmp_path) as claim:
        assert keeper_of(claim, "row", {"seed": 0}).done() == [range(3)]
    assert not list(tmp_path.iterdir())


def test_features_of_a_part_that_an_earlier_version_left_go_with_it(tmp_path: Path) -> None:
    """Of several processes, too, which divide the images otherwise than those that left it."""
    with claimed(tmp_path, alone=False) as claim:
        path = keeper_of(claim, "row", {"seed": 0, "code": "new"}).path
        for part in (f"{path.stem}.416.pt", f"{path.stem}.416.0.f32"):
            (path.parent / part).write_bytes(b"left")
    assert not list(tmp_path.iterdir())


def test_fresh_forgets(tmp_path: Path) -> None:
    with pytest.raises(Kill):
        stopped(tmp_path, {"seed": 0})
    with claimed(tmp_path, fresh=True):
        assert states_in(tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_only_one_command_at_a_time_has_a_folder(tmp_path: Path) -> None:
    """Four processes take and leave it as fast as they can; whoever has it looks whether somebody else has."""
    script = (
        "import sys, time, pathlib\n"
        "from coldbench.records.folder import claimed\n"
        "from coldbench.core.errors import BadInput\n"
        "folder, mark = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1] + '.mark')\n"
        "end, had = time.monotonic() + 2, 0\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        with claimed(folder):\n"
        "            mark.touch(exist_ok=False)\n"
        "            had += 1\n"
        "            mark.unlink()\n"
        "    except BadInput as error:\n"
        "        assert 'another command' in str(error), error\n"
        "assert had\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0


def test_what_a_killed_command_was_writing_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / ".coldbench-abc.png").write_bytes(b"half a picture")
    (tmp_path / "other" / "pictures").mkdir(parents=True)
    (tmp_path / "other" / "pictures" / ".coldbench-abc.png").write_bytes(b"of another command")
    with claimed(tmp_path):
        assert not list((tmp_path / "pictures").iterdir())
        assert list((tmp_path / "other" / "pictures").iterdir())


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    """Files may not grow beyond 200,000 bytes: room for the degraded row's records, not for the states of the next."""
    assert coldbench(*COMMAND[3:], "--images", "8", "--methods", "degraded", "--output", tmp_path).returncode == 0
    finished = (tmp_path / "table-3.json").read_bytes()
    process = subprocess.run(
        [*COMMAND, "--images", "64", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert_one_clear_line(process, 2, "cannot write")
    assert (tmp_path / "table-3.json").read_bytes() == finished
    assert start(tmp_path, 64).wait() == 0
