"""Downloads, from a server of our own: whole or not at all, checked, and gone on with after a break."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from coldbench.core.errors import BadInput, Missing
from coldbench.data.fetch import Download, download, fetch_cifar10
from tests.helpers import assert_one_clear_line, coldbench

CONTENT = np.random.default_rng(0).bytes(1_000_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file.

    Attributes:
        content: of the file.
        cut: after how many bytes of an answer the connection breaks.
        ranges: whether it can go on in the middle.
        asked: the Range header of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.ranges, self.asked = CONTENT, len(CONTENT), True, list[str | None]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        rest = self.server.content[start:]
        if not rest:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cut])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def item(server: Server, folder: Path, content: bytes = CONTENT) -> Download:
    return Download(server.url, folder / "deep" / "file.bin", "sha256", hashlib.sha256(content).hexdigest())


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
    server.cut, server.ranges = 300_000, ranges
    with pytest.raises(Missing, match=r"broke off\); 300,000 bytes are kept"):
        download(wanted, quiet=True)
    assert not wanted.path.exists()
    server.cut = len(CONTENT)
    download(wanted, quiet=True)
    assert wanted.path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


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
