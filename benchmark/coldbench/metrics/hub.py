"""Other people's weights in torch's hub folder: fetched by name, checked by their SHA-256, never downloaded unasked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch.hub import get_dir

from coldbench.core.download import Download, download
from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.core.paths import exists


@dataclass(frozen=True)
class HubWeights:
    """A file of weights on the net, and its place in torch's hub folder.

    Attributes:
        name: by which ``coldbench fetch`` gets it.
        title: of the network, as messages call it.
        url: where it is published.
        sha256: of the file, in hexadecimal: all of it, or as many of the first digits as its authors publish.
        file: its name in the folder, where that is not the last part of ``url``.
    """

    name: str
    title: str
    url: str
    sha256: str
    file: str = ""

    @property
    def path(self) -> Path:
        """Where the libraries that read it keep it, and ``fetch`` puts it."""
        return Path(get_dir()) / "checkpoints" / (self.file or self.url.rpartition("/")[2])

    def require(self) -> None:
        """Whether the file is there.

        Raises:
            Missing: it is not.
        """
        try:
            there, where = exists(self.path), ""
        except BadInput as error:
            there, where = False, f" ({error}: TORCH_HOME names another folder)"
        if not there:
            raise Missing(f"no {self.title} weights{where}: coldbench fetch {self.name}")

    def checked(self) -> str:
        """The SHA-256 of the file, which is the one that was published.

        Raises:
            Missing: the file is not there.
            BadInput: it is another file, or damaged.
        """
        self.require()
        found = sha256_of(self.path)
        if not found.startswith(self.sha256):
            raise BadInput(
                f"{self.path} is damaged (its sha256 does not begin with {self.sha256[:12]}): delete it, fetch it again"
            )
        return found

    def fetch(self, *, quiet: bool = False) -> str:
        """Download the file, unless it is there; returns what to tell the user.

        Raises:
            BadInput: nobody's home is the place for it.
            Missing, BadInput: see ``coldbench.core.download.download``.
        """
        if str(self.path).startswith("~"):  # torch leaves it so where it finds no home
            raise BadInput(f"{self.path.parent} names nobody's home folder: set TORCH_HOME to a folder for weights")
        download(Download((self.url,), self.path, "sha256", self.sha256), quiet=quiet)
        return f"the {self.title} weights are at {self.path}"
