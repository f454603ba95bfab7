"""What the user asks for: every option of a measurement, with its default, for the command line and Python alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coldbench.core.errors import BadInput
from coldbench.core.paths import data_folder
from coldbench.core.registry import did_you_mean
from coldbench.evaluation import PROTOCOLS

if TYPE_CHECKING:  # options are declared without waiting for torch
    from coldbench.data.cache import ImageStore


#: Where to compute, and in which arithmetic.
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Request:
    """How to measure.

    Attributes:
        images: only the first N, or how many to generate; all, or the paper's 6,400, unless given.
        methods: names of samplers; the table's own, or the command's, unless given.
        metrics: names of metrics; the table's own, or FID, SSIM and RMSE, unless given.
        features: feature spaces; ``auto`` alone takes that of the FID and the data set's own, where available, and
            ``none`` alone takes none.
        data: images to restore instead of the row's.
        reference_statistics: a file of mean and covariance that generated images are compared with instead of the
            training images; see ``coldbench.metrics.statistics_file``.
        transform: of the images; it overrides the row's.
        settings: of the degradation; they override the row's.
        channels: C of the images, 1 or 3; the network's own, or the images', unless given.
        protocol: ``paper`` or ``released``.
        seed: of everything drawn at random.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        dtype: of the network, ``float32`` or ``bfloat16``.
        batch_size: images at a time; changes no result.
        data_root: folder of the data sets that do not ship; ``$COLDBENCH_HOME/data`` unless given.
        workers: processes that decode images; see ``coldbench.data.decoding.decode``.
        allow_random_weights: where a checkpoint has no weights, take random ones: a trial of everything else.
        fresh: begin anew instead of resuming a stopped command.
        quiet: no progress on stderr.
    """

    images: int | None = None
    methods: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    features: tuple[str, ...] = ("auto",)
    data: str | None = None
    reference_statistics: Path | None = None
    transform: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    channels: int | None = None
    protocol: str = "paper"
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 64
    data_root: Path | None = None
    workers: int | None = None
    allow_random_weights: bool = False
    fresh: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        choices = {"device": DEVICES, "dtype": DTYPES, "protocol": PROTOCOLS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise BadInput(f"unknown {name} '{getattr(self, name)}'; known: {', '.join(known)}")
        for name in ("images", "channels", "seed", "batch_size", "workers"):
            value = getattr(self, name)
            if type(value) is not int and not (value is None and name not in ("seed", "batch_size")):
                raise BadInput(f"{name} must be a whole number, not {value!r}")
        if not isinstance(self.reference_statistics, Path | None):
            raise BadInput(f"reference_statistics must be the path of a file, not {self.reference_statistics!r}")
        for name in ("data", "transform"):
            value = getattr(self, name)
            if isinstance(value, str) and not value.strip():
                raise BadInput(f"{name} is empty")
        if not isinstance(self.settings, Mapping):
            raise BadInput(f"settings must be names with values, not {self.settings!r}")
        if self.channels not in (None, 1, 3):
            raise BadInput(f"images have 1 or 3 channels, not {self.channels}")
        if self.batch_size < 1 or self.seed < 0 or (self.images is not None and self.images < 1):
            raise BadInput(f"batch size {self.batch_size}, seed {self.seed} or images {self.images} is out of range")

    @property
    def root(self) -> Path:
        """The folder of the data sets that do not ship."""
        return data_folder(self.data_root)

    def store(self) -> ImageStore:
        """Where the images of this request come from."""
        from coldbench.core.progress import progress_bar
        from coldbench.data.cache import ImageStore

        return ImageStore(self.root, workers=self.workers, progress=partial(progress_bar, quiet=self.quiet))

    @classmethod
    def of(cls, **options: Any) -> Request:
        """A request from options by name; lists will do for tuples, and text for the path of a file.

        Raises:
            BadInput: an unknown option, or a value that it does not take.
        """
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                raise BadInput(f"unknown option '{name}'{did_you_mean(name, known)}")
        for name in ("methods", "metrics", "features"):
            if name in options:
                options[name] = _names(options[name])
        if isinstance(options.get("reference_statistics"), str):
            options["reference_statistics"] = Path(options["reference_statistics"])
        return cls(**options)


def _names(value: Any) -> tuple[str, ...]:
    """One name, or several, as a tuple.

    Raises:
        BadInput: something else.
    """
    if not isinstance(value, str | Sequence) or not all(isinstance(each, str) for each in value):
        raise BadInput(f"expected names, not {value!r}")
    return (value,) if isinstance(value, str) else tuple(value)


#: The defaults of all options.
DEFAULTS = Request()
