"""Downloads, from a server of our own: whole or not at all, checked, and gone on with after a break."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import re
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from coldbench.core.errors import BadInput, Missing
from coldbench.data.fetch import Download, download, fetch_cifar10
from tests.helpers import assert_one_clear_line, coldbench, run_apart

CONTENT = np.random.default_rng(0).bytes(1_000_000)
CHUNK = 1 << 15


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, under any name.

    Attributes:
        content: of the file.
        cuts: after how many bytes the connection breaks, of each answer; those that follow are whole.
        codes: HTTP errors that the first requests are answered with.
        ranges: whether it can go on in the middle.
        pace: seconds between two chunks of an answer.
        asked: the Range header of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.pace = CONTENT, True, 0.0
        self.cuts, self.codes, self.asked = list[int](), list[int](), list[str | None]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.codes:
            self.send_error(self.server.codes.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        rest = self.server.content[start:]
        if not rest:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        sent = rest[: self.server.cuts.pop(0)] if self.server.cuts else rest
        with suppress(ConnectionError):  # whoever asked was killed
            for begin in range(0, len(sent), CHUNK):
                self.wfile.write(sent[begin : begin + CHUNK])
                time.sleep(self.server.pace)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr("coldbench.core.download._WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def item(server: Server, folder: Path, content: bytes = CONTENT, mirrors: tuple[str, ...] = ()) -> Download:
    urls = (*mirrors, server.url)
    return Download(urls, folder / "deep" / "file.bin", "sha256", hashlib.sha256(content).hexdigest())


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    wanted = item(server, tmp_path)
    for _ in range(2):
        download(wanted, quiet=True)
    assert wanted.path.read_bytes() == CONTENT
    assert [path.name for path in wanted.path.parent.iterdir()] == ["file.bin"]
    assert server.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_what_broke_off_is_gone_on_with(ranges: bool, server: Server, tmp_path: Path) -> None:
    wanted = item(server, tmp_path)
    server.cuts, server.ranges = [300_000], ranges
    download(wanted, quiet=True)
    assert wanted.path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_what_breaks_off_again_and_again_is_kept_for_another_day(server: Server, tmp_path: Path) -> None:
    """Whatever brings bytes counts as an answer; three times in a row none came."""
    wanted = item(server, tmp_path)
    server.cuts = [300_000, 0, 0, 0, 0]
    with pytest.raises(Missing, match=r"file\.bin \(the connection broke off\); 300,000 bytes are kept, and the same"):
        download(wanted, quiet=True)
    assert server.asked == [None, *["bytes=300000-"] * 3]
    assert not wanted.path.exists()
    server.cuts = [0, 0, 1, 0, 0, 1]
    download(wanted, quiet=True)
    assert wanted.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("codes", "requests"), [([503], 2), ([429, 500, 502], 4), ([404], 1), ([403], 1), ([503, 410], 2)]
)
def test_a_busy_server_is_asked_again_and_one_that_refuses_is_not(
    codes: list[int], requests: int, server: Server, tmp_path: Path
) -> None:
    server.codes = list(codes)
    wanted = item(server, tmp_path)
    if codes[-1] in (403, 404, 410):
        with pytest.raises(Missing, match=rf"could not be downloaded from {server.url} \("):
            download(wanted, quiet=True)
    else:
        download(wanted, quiet=True)
    assert len(server.asked) == requests
    assert wanted.path.exists() == (codes[-1] not in (403, 404, 410))


def test_waits_grow_and_are_said(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coldbench.core.download._WAITS", (0.05, 0.1, 0.2))
    server.codes = [503, 503, 503]
    begun = time.monotonic()
    download(item(server, tmp_path))
    assert time.monotonic() - begun >= 0.35
    told = re.findall(r"file\.bin is not here yet: trying once more in ([\d.]+) s", capsys.readouterr().err)
    assert told == ["0.05", "0.1", "0.2"]


def test_mirrors_serve_in_turn(server: Server, tmp_path: Path) -> None:
    """The first is gone, the second has another file, the third breaks off, the last has the rest."""
    with Server() as other, Server() as third:
        for running in (other, third):
            threading.Thread(target=running.serve_forever).start()
        other.content, third.cuts = b"another file", [300_000]
        mirrors = ("http://127.0.0.1:9/file.bin", other.url, third.url)
        wanted = item(server, tmp_path, mirrors=mirrors)
        download(wanted, quiet=True)
        assert wanted.path.read_bytes() == CONTENT
        assert (other.asked, third.asked, server.asked) == ([None], [None], ["bytes=300000-"])
        for running in (other, third):
            running.shutdown()


def test_all_mirrors_are_named_that_failed(server: Server, tmp_path: Path) -> None:
    server.codes = [404]
    wanted = item(server, tmp_path, mirrors=("http://127.0.0.1:9/file.bin", "http://no-such-host.invalid/file.bin"))
    with pytest.raises(Missing) as raised:
        download(wanted, quiet=True)
    for url in wanted.urls:
        assert url in str(raised.value)
    assert list(wanted.path.parent.iterdir()) == []


def test_mnist_has_all_its_mirrors(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import MNIST

    folder = server.url.removesuffix("file.bin")
    md5 = hashlib.md5(CONTENT).hexdigest()
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/", folder])
    monkeypatch.setattr(MNIST, "resources", [(name, md5) for name, _ in MNIST.resources])
    done = coldbench("fetch", "mnist", "--data-root", tmp_path, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "MNIST" / "raw").iterdir())) == len(server.asked) == 4


def test_one_gets_the_file_and_the_others_wait(server: Server, tmp_path: Path) -> None:
    server.pace = 0.005
    threads = [threading.Thread(target=download, args=(item(server, tmp_path),), kwargs={"quiet": True}) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None]
    assert [path.read_bytes() for path in (tmp_path / "deep").iterdir()] == [CONTENT]


def get(url: str, path: str) -> Download:
    """Download the file of a server, in a process of its own."""
    wanted = Download((url,), Path(path), "sha256", hashlib.sha256(CONTENT).hexdigest())
    download(wanted, quiet=True)
    return wanted


def twenty_kills(url: str, path: str) -> None:
    """Processes that download, killed at random: what came stays, what is there is whole, and the next goes on."""
    wanted = Download((url,), Path(path), "sha256", hashlib.sha256(CONTENT).hexdigest())
    random, received = np.random.default_rng(0), [0]
    for _ in range(20):
        if not (child := os.fork()):
            get(url, path)
            os._exit(0)
        time.sleep(random.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        there = wanted.path if wanted.path.exists() else wanted.part
        content = there.read_bytes() if there.exists() else b""
        assert content == (CONTENT if there == wanted.path else CONTENT[: len(content)])
        assert len(content) >= received[-1]
        received.append(len(content))
    assert len(set(received)) > 3, "they were killed before anything came, or after all had"
    get(url, path)
    assert wanted.path.read_bytes() == CONTENT
    assert list(wanted.path.parent.iterdir()) == [wanted.path]


@pytest.mark.slow
def test_whatever_kills_a_download_loses_nothing(server: Server, tmp_path: Path) -> None:
    server.pace = 0.02
    run_apart(twenty_kills, server.url, str(tmp_path / "deep" / "file.bin"))


def test_a_download_killed_before_its_last_rename_needs_no_byte_more(server: Server, tmp_path: Path) -> None:
    wanted = item(server, tmp_path)
    wanted.path.parent.mkdir()
    wanted.path.with_name("file.bin.part").write_bytes(CONTENT)
    download(wanted, quiet=True)
    assert wanted.path.read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    wanted = item(server, tmp_path, b"what was expected")
    with pytest.raises(BadInput, match="is not the file expected"):
        download(wanted, quiet=True)
    assert list(wanted.path.parent.iterdir()) == []


def test_a_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    wanted = item(server, tmp_path)
    wanted.path.parent.mkdir()
    wanted.path.write_bytes(CONTENT[:-1])
    download(wanted, quiet=True)
    assert wanted.path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where the folder should be")
    with pytest.raises(BadInput, match="cannot write"):
        download(item(server, tmp_path), quiet=True)


def test_cifar10_is_unpacked_where_torchvision_looks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        entry = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        entry.size = 5
        bundle.addfile(entry, io.BytesIO(b"batch"))
    server.content = buffer.getvalue()
    monkeypatch.setattr(CIFAR10, "url", server.url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(server.content).hexdigest())
    fetch_cifar10(tmp_path, quiet=True)
    assert (tmp_path / "cifar-10-batches-py" / "data_batch_1").read_bytes() == b"batch"
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-py"]


@pytest.mark.parametrize("name", ["celeba", "afhq"])
def test_data_under_a_licence_come_with_instructions(name: str, tmp_path: Path) -> None:
    assert_one_clear_line(coldbench("fetch", name, "--data-root", tmp_path), 3, "Agree to its licence")
