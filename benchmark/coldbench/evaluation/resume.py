"""What a stopped measurement leaves behind, so that the same command goes on from there, with any number of processes.

Every process keeps the run of images that it measures in a file of its own, named after the first of them; whoever
comes later takes up these runs, or goes on where one ends. When all is done, one file keeps what came of it.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from coldbench.core.errors import BadInput, one_line
from coldbench.core.paths import exists
from coldbench.core.weights import write_state
from coldbench.evaluation.scores import Outcome, Scores

T = TypeVar("T")

#: Saving may take this part of the time.
_SHARE = 0.05
#: Makes empty scores of a measurement: from the position of their first image, and the file that their state will have.
Blank = Callable[[int, Path | None], Scores]


@dataclass
class Keeper:
    """Saves scores as they grow, then what came of them, and finds both again.

    Attributes:
        path: of what came of them; the runs of images lie beside it.
        identity: everything that the numbers depend on; a file of another identity is not taken up.
    """

    path: Path
    identity: Mapping[str, Any]
    _due: float = field(default=0.0, repr=False)

    def outcome(self) -> Outcome | None:
        """What came of the measurement, if it was finished.

        Raises:
            BadInput: the file is damaged.
        """
        return self._read(self.path, lambda state: Outcome.from_state_dict(state["outcome"]))

    def done(self) -> list[range]:
        """The runs of images that were measured.

        Raises:
            BadInput: a file is damaged.
        """
        paths = sorted(self.path.parent.glob(f"{glob.escape(self.path.stem)}.*{self.path.suffix}"))
        found = [self._read(path, lambda state: _run(state["scores"])) for path in paths]
        return sorted((run for run in found if run is not None), key=lambda run: run.start)

    def taken_up(self, blank: Blank, start: int) -> Scores:
        """The scores of the run that begins at a position: as they were saved, or empty.

        Raises:
            BadInput: the file is damaged.
        """
        path = self._path(start)
        scores = blank(start, path)
        self._read(path, lambda state: scores.load_state_dict(state["scores"]))
        return scores

    def save(self, scores: Scores, *, now: bool) -> None:
        """Write the file of a run, atomically; not every time, unless it must be ``now``.

        Raises:
            BadInput: it cannot be written.
        """
        started = time.monotonic()
        if now or started >= self._due:
            self._write({"scores": scores.state_dict()}, self._path(scores.start))
            finished = time.monotonic()
            self._due = finished + (finished - started) / _SHARE

    def drop(self, run: range) -> None:
        """Forget a run of images, so that it is measured again."""
        self._path(run.start).unlink(missing_ok=True)

    def finish(self, outcome: Outcome) -> None:
        """Write what came of all runs in their place: that is small, and needs no more computing.

        Raises:
            BadInput: it cannot be written.
        """
        self._write({"outcome": outcome.state_dict()}, self.path)
        for run in self.done():
            self.drop(run)

    def _path(self, start: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{start}{self.path.suffix}")

    def _read(self, path: Path, read: Callable[[Mapping[str, Any]], T]) -> T | None:
        """Something from a file, if there is one of this identity.

        Raises:
            BadInput: it is damaged.
        """
        if not exists(path):
            return None
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            return read(state) if state["identity"] == self.identity else None
        except Exception as error:  # a damaged archive fails in many ways
            reason = one_line(error) if isinstance(error, OSError | ValueError) else type(error).__name__
            raise BadInput(f"{path} is damaged ({reason}): begin anew with --fresh") from error

    def _write(self, state: Mapping[str, Any], path: Path) -> None:
        write_state({"identity": dict(self.identity), **state}, path)


def _run(scores: Mapping[str, Any]) -> range:
    """The images that saved scores have seen."""
    return range(scores["start"], scores["done"])
