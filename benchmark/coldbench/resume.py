"""What a stopped measurement leaves behind, so that the same command goes on from there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from coldbench.errors import BadInput
from coldbench.files import write_atomically
from coldbench.tally import Tally

#: Saving may take this part of the time.
_SHARE = 0.05


@dataclass
class Keeper:
    """Saves a tally as it grows, and finds it again.

    Attributes:
        path: of the file.
        identity: everything that the numbers depend on; a file of another identity is not taken up.
    """

    path: Path
    identity: Mapping[str, Any]
    _due: float = field(default=0.0, repr=False)

    def load(self, tally: Tally) -> None:
        """Let ``tally`` go on from the file, if there is one of this identity.

        Raises:
            BadInput: the file is damaged.
        """
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            if state["identity"] == self.identity:
                tally.load_state_dict(state["tally"])
        except Exception as error:  # a damaged archive fails in many ways
            raise BadInput(f"{self.path} is damaged: begin anew with --fresh") from error

    def save(self, tally: Tally, *, now: bool) -> None:
        """Write the file, atomically; not every time, unless it must be ``now``.

        Raises:
            BadInput: it cannot be written.
        """
        started = time.monotonic()
        if now or started >= self._due:
            state = {"identity": dict(self.identity), "tally": tally.state_dict()}
            write_atomically(self.path, lambda temporary: torch.save(state, temporary))
            finished = time.monotonic()
            self._due = finished + (finished - started) / _SHARE
