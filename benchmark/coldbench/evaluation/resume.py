"""What a stopped measurement leaves behind, so that the same command goes on from there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from coldbench.core.errors import BadInput, one_line
from coldbench.core.paths import exists
from coldbench.core.weights import write_state
from coldbench.evaluation.scores import Outcome, Scores

#: Saving may take this part of the time.
_SHARE = 0.05


@dataclass
class Keeper:
    """Saves the scores as they grow, then what came of it, and finds both again.

    Attributes:
        path: of the file.
        identity: everything that the numbers depend on; a file of another identity is not taken up.
    """

    path: Path
    identity: Mapping[str, Any]
    _due: float = field(default=0.0, repr=False)

    def load(self, scores: Scores) -> Outcome | None:
        """Let ``scores`` go on from the file, if there is one of this identity; or tell what came of it already.

        Raises:
            BadInput: the file is damaged.
        """
        if not exists(self.path):
            return None
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            if state["identity"] != self.identity:
                return None
            if "outcome" in state:
                return Outcome.from_state_dict(state["outcome"])
            scores.load_state_dict(state["scores"])
        except Exception as error:  # a damaged archive fails in many ways
            reason = one_line(error) if isinstance(error, OSError | ValueError) else type(error).__name__
            raise BadInput(f"{self.path} is damaged ({reason}): begin anew with --fresh") from error
        return None

    def save(self, scores: Scores, *, now: bool) -> None:
        """Write the file, atomically; not every time, unless it must be ``now``.

        Raises:
            BadInput: it cannot be written.
        """
        started = time.monotonic()
        if now or started >= self._due:
            self._write({"scores": scores.state_dict()})
            finished = time.monotonic()
            self._due = finished + (finished - started) / _SHARE

    def finish(self, outcome: Outcome) -> None:
        """Write what came of the scores in their place: that is small, and needs no more computing.

        Raises:
            BadInput: it cannot be written.
        """
        self._write({"outcome": outcome.state_dict()})

    def _write(self, state: Mapping[str, Any]) -> None:
        write_state({"identity": dict(self.identity), **state}, self.path)
