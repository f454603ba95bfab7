"""``coldbench export``: what other programs read is what the records hold."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldbench.core.errors import BadInput
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.records.export import runs_of
from coldbench.records.record import Record, load, save
from tests.helpers import EARLIER, assert_one_clear_line, coldbench, edited

FULL = EARLIER / "full"
TABLE = FULL / "table-3.json"


@pytest.fixture(scope="module")
def superres() -> dict[str, dict[str, Record]]:
    """Method -> label -> the measured record, of Table 3 at full size."""
    found: dict[str, dict[str, Record]] = {}
    for record in load(TABLE):
        if record.measured:
            found.setdefault(record.where.method, {})[record.metric.label] = record
    return found


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def cards(output: Path, *arguments: str, records: Path = TABLE) -> dict[str, list[dict[str, Any]]]:
    """The files of model cards that the command says it wrote, by their path below the folder."""
    done = coldbench("export", records, "--to", "model-card", "--output", output, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert sorted(paths) == sorted(output.rglob("*.yaml"))
    return {str(path.relative_to(output)): yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def test_a_model_card_has_every_number_of_the_model(tmp_path: Path, superres: dict[str, dict[str, Record]]) -> None:
    found = cards(tmp_path)
    assert len(found) == 2, "the degraded images are the work of no model"
    for path, entries in found.items():
        folder, hidden, name = path.split("/")
        assert (folder, hidden) == ("mnist-superres", ".eval_results")
        records = superres[name.split("-")[2]]
        assert [entry["value"] for entry in entries] == [record.value for record in records.values()]
        assert {entry["dataset"]["id"] for entry in entries} == {"ylecun/mnist"}
        tasks = ["superres-fd-mnist-cnn", "superres-ssim", "superres-rmse"]
        assert [entry["dataset"]["task_id"] for entry in entries] == tasks
    (direct,) = [entries for path, entries in found.items() if "direct" in path]
    for told in (
        "direct SSIM, higher is better, 95 % interval 0.72",
        "10000 images, seed 0, protocol paper",
        "mode area",
    ):
        assert told in direct[1]["notes"]


def test_a_model_card_keeps_to_the_hub_s_schema(tmp_path: Path) -> None:
    """As https://huggingface.co/docs/hub/eval-results has it: what is required, and nothing that it does not know."""
    known = {"dataset", "value", "verifyToken", "date", "source", "evaluation_framework", "notes"}
    for entries in cards(tmp_path, records=FULL).values():
        for entry in entries:
            assert {"dataset", "value"} <= entry.keys() <= known
            assert {"id", "task_id"} <= entry["dataset"].keys() <= {"id", "task_id", "revision"}
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry["dataset"]["id"])
            assert re.fullmatch(r"[a-z0-9-]+", entry["dataset"]["task_id"])
            assert isinstance(entry["value"], float)


def test_a_model_card_is_read_by_the_hub_s_library(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", minversion="1.3")
    for entries in cards(tmp_path).values():
        parsed = hub.parse_eval_result_entries(entries)
        assert [each.value for each in parsed] == [entry["value"] for entry in entries]
        assert hub.eval_result_entries_to_yaml(parsed) == entries


def test_a_small_number_is_a_number_in_yaml(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-05 as a word."""
    save([edited(each, value=1e-5) if each.measured else each for each in load(TABLE)], tmp_path / "t.json")
    values = [
        entry["value"] for entries in cards(tmp_path / "out", records=tmp_path / "t.json").values() for entry in entries
    ]
    assert set(values) == {1e-5}


def test_generated_images_are_another_task(tmp_path: Path) -> None:
    entries = [entry for each in cards(tmp_path, records=FULL / "table-5.json").values() for entry in each]
    assert {entry["dataset"]["task_id"] for entry in entries} == {"generation-fd-mnist-cnn"}
    assert any("start channel-means" in entry["notes"] for entry in entries)


def test_images_of_one_s_own_have_the_id_that_is_given(tmp_path: Path) -> None:
    own = [edited(each, request={**each.request, "data": "folder:mine"}) for each in load(TABLE)]
    save(own, tmp_path / "t.json")
    done = coldbench("export", tmp_path / "t.json", "--to", "model-card", "--output", tmp_path / "out")
    assert_one_clear_line(done, 2, "no id of MNIST on the Hugging Face Hub is known: give it with --hub-dataset")
    assert not (tmp_path / "out").exists()
    found = cards(tmp_path / "out", "--hub-dataset", "me/my.digits", records=tmp_path / "t.json")
    assert {entry["dataset"]["id"] for entries in found.values() for entry in entries} == {"me/my.digits"}


def test_events_are_read_back_by_tensorboard(
    tmp_path: Path, offline: None, superres: dict[str, dict[str, Record]]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    for _ in range(2):  # what is there already is replaced
        done = coldbench("export", TABLE, "--to", "tensorboard", "--output", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    folders = sorted(tmp_path.iterdir())
    assert [folder / "events.out.tfevents.coldbench" for folder in folders] == sorted(map(Path, done.stdout.split()))
    for folder in folders:
        records = superres[folder.name.split("-")[2]]
        events = EventAccumulator(str(folder)).Reload()
        for tag, label in (("FD/mnist-cnn", "FD[mnist-cnn]"), ("SSIM", "SSIM"), ("RMSE", "RMSE")):
            ends = records[label].interval or ()
            for name, value in zip((tag, f"{tag}/low", f"{tag}/high"), (records[label].value, *ends), strict=True):
                (event,) = events.Scalars(name)
                assert (event.step, event.value) == (0, pytest.approx(value, rel=1e-6))
        stored = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        hparams = metadata.parse_session_start_info_plugin_data(stored).hparams
        assert hparams["degradation.mode"].string_value == "area"
        assert hparams["images"].number_value == 10_000


@pytest.fixture
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's switch is in the environment; it is not left there."""
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    yield
    os.environ.pop("MLFLOW_DISABLE_TELEMETRY", None)


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it needs
def test_runs_are_read_back_by_mlflow(
    tmp_path: Path, offline: None, quiet_environment: None, superres: dict[str, dict[str, Record]]
) -> None:
    command = ("export", TABLE, "--to", "mlflow", "--output", tmp_path)
    for _ in range(2):  # what is there already is not written twice
        done = coldbench(*command)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'mlflow.db'}\n", "")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("coldbench").experiment_id])
    assert len(runs) == 3
    for run in runs:
        records = superres[run.data.params["method"]]
        ssim = records["SSIM"]
        assert ssim.interval is not None
        assert [run.data.metrics[name] for name in ("SSIM", "SSIM/low", "SSIM/high")] == [ssim.value, *ssim.interval]
        assert run.data.metrics["FD/mnist-cnn"] == records["FD[mnist-cnn]"].value
        assert run.data.params["degradation.mode"] == "area"
        assert run.info.status == "FINISHED"
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db"}


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_was_cut_off_is_written_again(tmp_path: Path, quiet_environment: None) -> None:
    from mlflow.tracking import MlflowClient

    (tmp_path / "tracking").mkdir()
    client = MlflowClient(f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}")
    experiment = client.create_experiment("coldbench")
    (name,) = [run.name for run in runs_of(load(TABLE)) if run.first.where.method == "direct"]
    client.create_run(experiment, run_name=name, tags={"coldbench.run": name})
    assert coldbench("export", TABLE, "--to", "mlflow", "--output", tmp_path / "tracking").returncode == 0
    found = client.search_runs([experiment], f"tags.`coldbench.run` = '{name}'")
    assert sorted(run.info.status for run in found) == ["FINISHED", "RUNNING"]


@pytest.mark.filterwarnings("ignore")
def test_a_store_that_is_none_is_left_alone(tmp_path: Path, quiet_environment: None) -> None:
    store = tmp_path / "mlflow.db"
    store.write_text("no data base, but more than a header of one" * 20, encoding="utf-8")
    before = store.read_bytes()
    done = coldbench("export", TABLE, "--to", "mlflow", "--output", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"MLflow, on {store}, failed: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("to", "package"), [("mlflow", "mlflow"), ("mlflow", "sqlalchemy"), ("mlflow", "alembic"), ("tensorboard",) * 2]
)
def test_without_the_extra_it_is_named(to: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else found(name, *rest)
    )
    done = coldbench("export", TABLE, "--to", to, "--output", tmp_path / "out")
    assert_one_clear_line(done, 3, "pip install 'coldbench[tracking]'")
    assert not (tmp_path / "out").exists()


def test_names_of_runs_are_names_of_files() -> None:
    """Those of one's own code are ``module:attribute``."""
    own = [
        edited(each, identity={"checkpoint": "my.module:restore"}, where={"method": "a/b:c"}) for each in load(TABLE)
    ]
    (run,) = {run.name for run in runs_of(own[4:8])}
    assert re.fullmatch(r"my\.module-restore-a-b-c-[0-9a-f]{12}", run)


def test_two_values_of_one_number_are_not_merged(superres: dict[str, dict[str, Record]]) -> None:
    record = superres["direct"]["SSIM"]
    assert len(runs_of([record, edited(record, where={"table": "evaluate"})])) == 1
    with pytest.raises(BadInput, match=r"two values of direct SSIM of mnist-superres, .* and 0\.5: export one file"):
        runs_of([record, edited(record, value=0.5)])


@pytest.mark.parametrize("other", [{"images": 9}, {"seed": 1}, {"checkpoint_sha256": "1" * 64}])
def test_what_makes_another_number_makes_another_run(
    other: dict[str, Any], superres: dict[str, dict[str, Record]]
) -> None:
    record = superres["direct"]["SSIM"]
    assert len(runs_of([record, edited(record, identity=other)])) == 2


def broken(folder: Path) -> None:
    """What cannot be exported, or not to there."""
    (folder / "empty").mkdir()
    (folder / "file").write_text("[", encoding="utf-8")
    records = load(TABLE)
    save([each for each in records if not each.measured], folder / "missing.json")
    save([each for each in records if each.where.method == "degraded"], folder / "degraded.json")
    save([edited(each, identity={"checkpoint_sha256": RANDOM_WEIGHTS}) for each in records], folder / "random.json")


@pytest.mark.parametrize("to", ["model-card", "mlflow", "tensorboard"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("absent", "--output", "out"), 3, "no records *.json in absent"),
        (("empty", "--output", "out"), 3, "no records *.json in empty"),
        (("file", "--output", "out"), 2, "file does not hold records of schema"),
        (("missing.json", "--output", "out"), 2, "nothing to export: no record was measured"),
        (("random.json", "--output", "out"), 2, "nothing to export: no record was measured with weights"),
        (("", "--output", "out"), 2, "it is empty; was a variable not set?"),
        (("--output", "out"), 2, "Missing argument 'RECORDS...'"),
        ((str(TABLE),), 2, "Missing option '--output'"),
        ((str(TABLE), "--output", ""), 2, "it is empty; was a variable not set?"),
        ((str(TABLE), "--output", "file"), 2, "cannot write file"),
        ((str(TABLE), "--output", "file/out"), 2, "cannot write file"),
    ],
)
def test_bad_input_is_one_line(to: str, arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    broken(tmp_path)
    assert_one_clear_line(coldbench("export", *arguments, "--to", to, cwd=tmp_path), code, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("degraded.json", "--to", "model-card"), "nothing for a model card: no record is of a checkpoint"),
        ((str(TABLE), "--to", "model-card", "--hub-dataset", "mnist"), "'mnist' is no id of a data set on the Hugging"),
        ((str(TABLE), "--to", "mlflow", "--hub-dataset", "a/b"), "--hub-dataset is for --to model-card: leave it out"),
        ((str(TABLE), "--to", "wandb"), "'wandb' is not one of 'model-card', 'mlflow', 'tensorboard'"),
    ],
)
def test_options_that_do_not_fit_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    broken(tmp_path)
    assert_one_clear_line(coldbench("export", *arguments, "--output", "out", cwd=tmp_path), 2, message)
    assert not (tmp_path / "out").exists()
