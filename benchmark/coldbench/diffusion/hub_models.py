"""Models of the Hugging Face hub, in the cache of its own library: downloaded when asked for, found without the net."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput, Missing, one_line
from coldbench.core.extras import require

PREFIX = "hub:"
#: What a folder of diffusers' needs, alone or as the unet and the scheduler of a pipeline; no pickles.
_UNET = (
    "config.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model-*.safetensors",
)
_WANTED = [*_UNET, *(f"unet/{name}" for name in _UNET), "scheduler_config.json", "scheduler/scheduler_config.json"]
_SPEC = re.compile(r"hub:([\w.-]+/[\w.-]+)(?::(.+))?")


@dataclass(frozen=True)
class HubModel:
    """``hub:owner/name``, a folder of diffusers', or ``hub:owner/name:file``, one file of weights.

    Attributes:
        repository: ``owner/name``.
        file: in it; empty for the folder.
    """

    repository: str
    file: str = ""

    @property
    def name(self) -> str:
        """By which commands know it."""
        return f"{PREFIX}{self.repository}{':' if self.file else ''}{self.file}"

    def path(self) -> Path:
        """Where the library keeps it.

        Raises:
            Missing: it was not fetched, or not to the end, or the library is not installed.
        """
        library = _library()
        try:
            found = self._ask(library, local_files_only=True)
        except library.errors.HFValidationError as error:
            raise BadInput(f"{self.name} names no repository of the hub: {one_line(error)}") from error
        except (OSError, ValueError) as error:
            raise Missing(f"{self.name} is not here: coldbench fetch {self.name}") from error
        if not (self.file or _is_whole(found)):
            raise Missing(f"{self.name} is not here, or not all of it: coldbench fetch {self.name}")
        return found

    def fetch(self, *, quiet: bool = False) -> str:
        """Download what is not there yet; returns what to tell the user.

        Raises:
            Missing: the hub does not answer, or has no such model; or the library is not installed.
            BadInput: what came cannot be written, or holds no model that coldbench reads.
        """
        library = _library()
        if quiet:
            library.utils.disable_progress_bars()
        try:
            found = self._ask(library, local_files_only=False)
        except library.errors.HFValidationError as error:
            raise BadInput(f"{self.name} names no repository of the hub: {one_line(error)}") from error
        except Exception as error:  # every client that the library has had so far fails in ways of its own
            if type(error) in (OSError, PermissionError, NotADirectoryError):
                raise BadInput(f"cannot write to {library.constants.HF_HUB_CACHE}: {one_line(error)}") from error
            raise Missing(f"{self.name} could not be downloaded: {one_line(error)}") from error
        if not (self.file or _is_whole(found)):
            raise BadInput(f"{self.name} holds no UNet of diffusers' in .safetensors: name the file, {self.name}:FILE")
        return f"{self.name} is at {found}"

    def _ask(self, library: Any, *, local_files_only: bool) -> Path:
        if self.file:
            return Path(library.hf_hub_download(self.repository, self.file, local_files_only=local_files_only))
        return Path(
            library.snapshot_download(self.repository, allow_patterns=_WANTED, local_files_only=local_files_only)
        )


def hub_model(spec: str) -> HubModel:
    """The model that ``hub:owner/name`` or ``hub:owner/name:file`` names.

    Raises:
        BadInput: it is neither.
    """
    match = _SPEC.fullmatch(spec)
    file = Path((match[2] if match else None) or "")
    if match is None or file.is_absolute() or ".." in file.parts:
        raise BadInput(f"'{spec}' is neither hub:OWNER/NAME nor hub:OWNER/NAME:FILE")
    return HubModel(match[1], match[2] or "")


def _is_whole(folder: Path) -> bool:
    """Whether there is a configuration with weights beside it."""
    configs = [*folder.glob("config.json"), *folder.glob("unet/config.json")]
    return any(any(config.parent.glob("*.safetensors")) for config in configs)


def _library() -> Any:
    """``huggingface_hub``.

    Raises:
        Missing: it is not installed.
    """
    require("models of the hub need", "huggingface_hub", extra="hub")
    import huggingface_hub
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub
