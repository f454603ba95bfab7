"""Models of the hub: found in its cache without the net, fetched from a hub of our own, and told when absent."""

from __future__ import annotations

import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from coldbench.core.errors import BadInput, Missing
from coldbench.core.paths import shipped
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import load_network
from coldbench.diffusion.elsewhere import load_elsewhere
from coldbench.diffusion.hub_models import HubModel, hub_model
from tests.tiny_unet import save_tiny_unet

constants = pytest.importorskip("huggingface_hub.constants", reason="models of the hub need the extra [hub]")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOISE = {"name": "noise", "image_size": 32, "timesteps": 20, "channels": 1}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty; the hub is not to be asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def snapshot(cache: Path, repository: str) -> Path:
    """Where the files of a repository are, once they have been fetched; they are yet to be put there."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    files = folder / "snapshots" / COMMIT
    files.mkdir(parents=True)
    return files


def test_a_unet_is_found_without_the_net(cache: Path) -> None:
    files = snapshot(cache, "owner/unet")
    unet = save_tiny_unet(files, scheduler={})
    predictor = load_elsewhere("hub:owner/unet", build_degradation(NOISE))
    assert predictor.prediction == "eps"
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        by_hand = unet(x, torch.tensor([3, 3])).sample
        torch.testing.assert_close(predictor.network.eval()(x, torch.tensor([3, 3])), by_hand)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_of_weights_is_a_network_of_the_paper_s(suffix: str, cache: Path) -> None:
    weights = snapshot(cache, "owner/blur") / f"blur.{suffix}"
    entry = find_entry("mnist-blur")
    if suffix == "pt":
        torch.save({"ema": load_network(entry).state_dict()}, weights)
    else:
        shutil.copy(shipped("models", "mnist-blur.safetensors"), weights)
    predictor = load_elsewhere(f"hub:owner/blur:blur.{suffix}", build_degradation(entry.degradation))
    x, time = torch.zeros(1, 1, 32, 32), torch.tensor([4])
    with torch.inference_mode():
        torch.testing.assert_close(predictor.eval()(x, time), load_network(entry)(x, time))


def test_what_is_absent_names_the_command_that_gets_it(cache: Path) -> None:
    for name in ("hub:owner/name", "hub:owner/name:weights.safetensors"):
        with pytest.raises(Missing, match=f"^{name} is not here: coldbench fetch {name}$"):
            load_elsewhere(name, build_degradation(NOISE))
    assert not cache.exists()


def test_what_was_fetched_in_part_is_not_taken_for_a_model(cache: Path) -> None:
    files = snapshot(cache, "owner/unet")
    save_tiny_unet(files)
    (files / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(Missing, match="not here, or not all of it: coldbench fetch hub:owner/unet"):
        load_elsewhere("hub:owner/unet", build_degradation(NOISE))


@pytest.mark.parametrize("name", ["hub:", "hub:name", "hub:a/b/c", "hub:a/b:", "hub:a/b:../../secret", "hub:a b/c"])
def test_names_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"is neither hub:OWNER/NAME nor hub:OWNER/NAME:FILE"):
        hub_model(name)


def test_names_that_the_hub_does_not_allow_are_refused(cache: Path) -> None:
    for ask in (hub_model("hub:-a/b..c").path, hub_model("hub:-a/b..c").fetch):
        with pytest.raises(BadInput, match=r"hub:-a/b..c names no repository of the hub"):
            ask()


def test_without_the_library_the_extra_is_named() -> None:
    with mock.patch.dict(sys.modules, {"huggingface_hub": None}):
        for ask in (hub_model("hub:a/b").path, hub_model("hub:a/b").fetch):
            with pytest.raises(Missing, match=r"need huggingface_hub: pip install 'coldbench\[hub\]'"):
                ask()


def test_without_diffusers_the_extra_is_named(tmp_path: Path) -> None:
    save_tiny_unet(tmp_path)
    with (
        mock.patch.dict(sys.modules, {"diffusers": None}),
        pytest.raises(Missing, match=r"need diffusers: pip install 'coldbench\[hub\]'"),
    ):
        load_elsewhere(f"diffusers:{tmp_path}", build_degradation(NOISE))


def test_without_the_net_a_fetch_says_so(cache: Path) -> None:
    for name in ("hub:owner/name", "hub:owner/name:weights.safetensors"):
        with pytest.raises(Missing, match=f"^{name} could not be downloaded: ") as told:
            hub_model(name).fetch(quiet=True)
        assert "\n" not in str(told.value)


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's protocol as its library asks for, for the files in a folder of ours."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path.startswith("/api/models/owner/unet"):
            files = [str(each.relative_to(self.folder)) for each in self.folder.rglob("*") if each.is_file()]
            siblings = [{"rfilename": name} for name in files]
            tree = [{"type": "file", "path": name, "size": 1, "oid": name} for name in files]
            content = tree if "/tree/" in path else {"id": "owner/unet", "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(content).encode(), with_body, {"Content-Type": "application/json"})
            return
        name = path.removeprefix(f"/owner/unet/resolve/{COMMIT}/").removeprefix("/owner/unet/resolve/main/")
        file = self.folder / name
        if not file.is_file():
            code = {"X-Error-Code": "RepoNotFound" if "owner/unet" not in path else "EntryNotFound"}
            self._send(404, b"", with_body, code)
            return
        self._send(200, file.read_bytes(), with_body, {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})

    def _send(self, status: int, content: bytes, with_body: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@pytest.fixture
def hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub of our own that publishes owner/unet; what is published is put into this folder."""
    monkeypatch.setattr(Hub, "folder", tmp_path / "published", raising=False)
    monkeypatch.setattr(Hub, "asked", [], raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "published"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_fetched_is_found_afterwards_and_pickles_stay_away(hub: Path, cache: Path) -> None:
    save_tiny_unet(hub, scheduler={})
    (hub / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    model = HubModel("owner/unet")
    assert model.fetch(quiet=True).startswith("hub:owner/unet is at ")
    with mock.patch.object(constants, "HF_HUB_OFFLINE", True):
        folder = model.path()
        assert load_elsewhere(model.name, build_degradation(NOISE)).prediction == "eps"
    assert sorted(each.name for each in folder.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "scheduler_config.json",
    ]


def test_nothing_is_downloaded_unless_fetch_is_told_to(hub: Path, cache: Path) -> None:
    save_tiny_unet(hub)
    for name in ("hub:owner/unet", "hub:owner/unet:diffusion_pytorch_model.safetensors"):
        with pytest.raises(Missing, match=f"coldbench fetch {name}"):
            load_elsewhere(name, build_degradation(NOISE))
    assert Hub.asked == []
    assert not cache.exists()


def test_one_file_is_fetched_alone(hub: Path, cache: Path) -> None:
    hub.mkdir()
    shutil.copy(shipped("models", "mnist-blur.safetensors"), hub / "blur.safetensors")
    model = HubModel("owner/unet", "blur.safetensors")
    assert model.fetch(quiet=True).startswith("hub:owner/unet:blur.safetensors is at ")
    assert model.path().read_bytes() == (hub / "blur.safetensors").read_bytes()


def test_what_the_hub_does_not_have_is_told(hub: Path, cache: Path) -> None:
    hub.mkdir()
    (hub / "README.md").write_text("No model.")
    with pytest.raises(BadInput, match=r"holds no UNet of diffusers' in \.safetensors: name the file"):
        HubModel("owner/unet").fetch(quiet=True)
    for model in (HubModel("owner/unet", "absent.safetensors"), HubModel("owner/nobody")):
        with pytest.raises(Missing, match=f"{model.name} could not be downloaded: "):
            model.fetch(quiet=True)


def test_a_cache_that_cannot_be_written_is_told(hub: Path, cache: Path) -> None:
    save_tiny_unet(hub)
    cache.write_text("in the way")
    with pytest.raises(BadInput, match=f"cannot write to {cache}"):
        HubModel("owner/unet").fetch(quiet=True)
