"""What a number was computed with, as far as it can be told."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from coldbench.core import provenance
from coldbench.core.paths import PACKAGE


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """The revision is not known from an earlier call."""
    provenance.revision.cache_clear()
    yield
    provenance.revision.cache_clear()


def in_a_checkout() -> bool:
    """Whether the package lies in a checkout of its own."""
    command = ["git", "-C", str(PACKAGE), "ls-files", "--error-unmatch", "__init__.py"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.usefixtures("asked_anew")
def test_a_checkout_that_git_does_not_trust_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container, where the checkout is somebody else's."""
    if not in_a_checkout():
        pytest.skip("coldbench does not run from a checkout")
    assert provenance.revision()
    assert capsys.readouterr().err == ""
    provenance.revision.cache_clear()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert provenance.revision() == ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: records name no revision, since somebody else owns /")
    assert "git config --global --add safe.directory '/" in line


@pytest.mark.usefixtures("asked_anew")
def test_no_git_is_no_matter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.revision() == ""
    assert capsys.readouterr().err == ""
