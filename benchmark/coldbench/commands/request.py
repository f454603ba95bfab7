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
from coldbench.diffusion import ARITHMETICS
from coldbench.evaluation import PROTOCOLS
from coldbench.records import FIGURE_FORMATS

if TYPE_CHECKING:  # options are declared without waiting for torch
    from coldbench.data.cache import ImageStore


#: Where to compute, and in which arithmetic.
DEVICES = ("auto", "cpu", "cuda")
DTYPES = (*ARITHMETICS, "auto")
#: Images at a time unless something else decides.
BATCH_SIZE = 64
#: What a network from elsewhere predicts.
PREDICTIONS = ("x0", "eps", "v")
#: How images are saved.
SAVE_FORMATS = ("npy", "png", "png16", "npz")
#: More images are no figure.
FIGURE_IMAGES = 64
#: Options that are paths, for which text will do.
_PATHS = {"reference_statistics": "file", "save_images": "folder", "per_image": "file"}
#: What a file with the scores of every image may end in.
_TABLES = (".csv", ".parquet")


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
        prediction: what a model from elsewhere predicts, ``x0``, ``eps`` or ``v``; what it says itself, unless given.
        protocol: ``paper`` or ``released``.
        seed: of everything drawn at random.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        dtype: of the network, one of ``coldbench.diffusion.ARITHMETICS``; ``auto`` takes the fastest that changes no
            metric by more than its tolerance on the first 64 images (see ``coldbench.commands.trial``).
        batch_size: images at a time; changes no result. ``auto`` is 64, or on a GPU as many as the network takes.
        data_root: folder of the data sets that do not ship; ``$COLDBENCH_HOME/data`` unless given.
        workers: processes that decode images; see ``coldbench.data.decoding.decode``.
        allow_random_weights: where a checkpoint has no weights, take random ones: a trial of everything else.
        save_images: a folder that receives all images of the measurement.
        save_format: of these: ``npy`` (float32), ``png`` (8 bits), ``png16``, or ``npz`` (float32, many a file).
        per_image: a file .csv or .parquet that receives the scores of every image.
        figure_formats: of pictures, of ``coldbench.records.FIGURE_FORMATS``.
        figure_images: the images that pictures show, by their positions in the measurement, from 0; the first ones
            unless given.
        trajectory: also draw x_t and R(x_t, t) over t, as the paper's Figure 2 does.
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
    prediction: str | None = None
    protocol: str = "paper"
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int | str = "auto"
    data_root: Path | None = None
    workers: int | None = None
    allow_random_weights: bool = False
    save_images: Path | None = None
    save_format: str = SAVE_FORMATS[0]
    per_image: Path | None = None
    figure_formats: tuple[str, ...] = FIGURE_FORMATS[:1]
    figure_images: tuple[int, ...] = ()
    trajectory: bool = False
    fresh: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        choices = {"device": DEVICES, "dtype": DTYPES, "protocol": PROTOCOLS, "save_format": SAVE_FORMATS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise BadInput(f"unknown {name} '{getattr(self, name)}'; known: {', '.join(known)}")
        if self.prediction not in (None, *PREDICTIONS):
            raise BadInput(f"unknown prediction '{self.prediction}'; known: {', '.join(PREDICTIONS)}")
        for name in ("images", "channels", "seed", "batch_size", "workers"):
            value = getattr(self, name)
            unset = {"seed": (), "batch_size": ("auto",)}.get(name, (None,))
            if type(value) is not int and value not in unset:
                raise BadInput(f"{name} must be a whole number, not {value!r}")
        self._check_paths()
        self._check_figures()
        for name in ("data", "transform"):
            value = getattr(self, name)
            if isinstance(value, str) and not value.strip():
                raise BadInput(f"{name} is empty")
        if not isinstance(self.settings, Mapping):
            raise BadInput(f"settings must be names with values, not {self.settings!r}")
        if self.channels not in (None, 1, 3):
            raise BadInput(f"images have 1 or 3 channels, not {self.channels}")
        if self.images_at_a_time() < 1 or self.seed < 0 or (self.images is not None and self.images < 1):
            raise BadInput(f"batch size {self.batch_size}, seed {self.seed} or images {self.images} is out of range")

    def _check_paths(self) -> None:
        for name, kind in _PATHS.items():
            if not isinstance(getattr(self, name), Path | None):
                raise BadInput(f"{name} must be the path of a {kind}, not {getattr(self, name)!r}")
        if self.per_image is not None and self.per_image.suffix not in _TABLES:
            raise BadInput(f"{self.per_image} must end in {' or '.join(_TABLES)}: scores of every image are a table")

    def _check_figures(self) -> None:
        for form in self.figure_formats:
            if form not in FIGURE_FORMATS:
                raise BadInput(f"unknown figure format '{form}'; known: {', '.join(FIGURE_FORMATS)}")
        if not all(type(position) is int and position >= 0 for position in self.figure_images):
            raise BadInput(f"figure_images must be positions of images, from 0, not {self.figure_images!r}")
        if len(self.figure_images) > FIGURE_IMAGES:
            raise BadInput(f"a figure shows at most {FIGURE_IMAGES} images, not {len(self.figure_images)}")

    @property
    def arithmetic(self) -> str:
        """``dtype``; while that is ``auto`` and nothing has been tried, float32."""
        return "float32" if self.dtype == "auto" else self.dtype

    def images_at_a_time(self, taken: int = BATCH_SIZE) -> int:
        """``batch_size`` as a number.

        Args:
            taken: by the network at a time.
        """
        return self.batch_size if isinstance(self.batch_size, int) else max(taken, BATCH_SIZE)

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
        for name in ("methods", "metrics", "features", "figure_formats"):
            if name in options:
                options[name] = _names(options[name])
        if "figure_images" in options:
            options["figure_images"] = _positions(options["figure_images"])
        for name in _PATHS:
            if isinstance(options.get(name), str):
                options[name] = Path(options[name])
        return cls(**options)


def _names(value: Any) -> tuple[str, ...]:
    """One name, or several, as a tuple.

    Raises:
        BadInput: something else.
    """
    if not isinstance(value, str | Sequence) or not all(isinstance(each, str) for each in value):
        raise BadInput(f"expected names, not {value!r}")
    return (value,) if isinstance(value, str) else tuple(value)


def _positions(value: Any) -> tuple[int, ...]:
    """One position, or several, as a tuple.

    Raises:
        BadInput: something else.
    """
    if isinstance(value, str) or not isinstance(value, int | Sequence):
        raise BadInput(f"expected positions of images, not {value!r}")
    return (value,) if isinstance(value, int) else tuple(value)


#: The defaults of all options.
DEFAULTS = Request()
