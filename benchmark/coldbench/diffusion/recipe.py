"""How a checkpoint is trained, as its registry entry says."""

from __future__ import annotations

from dataclasses import dataclass, fields

from coldbench.core.errors import BadInput
from coldbench.data.transforms import find_transform
from coldbench.diffusion.catalog import Entry


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is trained, as its registry entry says.

    Attributes:
        steps: optimiser steps.
        batch_size: images that go through the network at a time.
        accumulate: batches a step, whose gradients are averaged.
        lr: Adam's learning rate at the start.
        schedule: ``cosine``, along a half cosine to zero, or ``constant``.
        ema: decay of the averaged weights, which are what is kept.
        ema_every: steps between two updates of the average.
        ema_start: while fewer steps than this are done, the average is a plain copy.
        augmentation: of the training images, a name in ``coldbench.data.transforms.TRANSFORMS``.
        dtype: of the network's arithmetic, ``float32`` or ``bfloat16`` (autocast). bfloat16 wipes out what a blurred
            image still holds.
        eight_bit: degraded images are truncated to the 256 grey levels of a file before the network sees them, as the
            paper trains its blur generators (PROTOCOL 2.1, *discrete*).
        loss: ``l1``, Equation 1, or ``l2``, the squared error. Where nothing can be seen, the best guess is the median
            image for l1 and the mean image for l2. Iterated from a constant image, medians, which are darker than what
            they stand for, add up to images of no digit's proportions; means add up to the right ones.
        noise: std of white noise on the degraded images that the network sees, in units of [-1, 1]. A generator that
            starts from noise of this size then meets images of the kind it was trained on, all the way.
        seed: of the initial weights and of everything drawn at random, by way of ``randomness.training_seed``.
    """

    steps: int
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 1e-3
    schedule: str = "cosine"
    ema: float = 0.999
    ema_every: int = 1
    ema_start: int = 0
    augmentation: str = "native"
    dtype: str = "float32"
    loss: str = "l1"
    eight_bit: bool = False
    noise: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, entry: Entry) -> Recipe:
        """The recipe of a registry entry.

        Raises:
            BadInput: it has a key that a recipe does not, lacks its steps, or a value is out of range.
        """
        unknown = set(entry.training) - {f.name for f in fields(cls)}
        if unknown:
            raise BadInput(f"recipe of {entry.name} has unknown keys: {', '.join(sorted(unknown))}")
        try:
            return cls(**entry.training)
        except TypeError as error:
            raise BadInput(f"recipe of {entry.name}: {error}") from error

    def __post_init__(self) -> None:
        whole = (self.steps, self.batch_size, self.accumulate, self.ema_every, self.ema_start, self.seed)
        if not all(isinstance(number, int) for number in whole):
            raise BadInput(f"this recipe cannot be trained, a count is no whole number: {self}")
        in_range = self.steps >= 1 and self.batch_size >= 1 and self.lr > 0 and 0 <= self.ema < 1
        in_range = in_range and self.noise >= 0 and self.seed >= 0 and self.accumulate >= 1
        in_range = in_range and self.ema_every >= 1 and self.ema_start >= 0
        named = self.dtype in ("float32", "bfloat16") and self.loss in ("l1", "l2")
        if not in_range or not named or self.schedule not in ("cosine", "constant"):
            raise BadInput(f"this recipe cannot be trained: {self}")
        find_transform(self.augmentation)

    @property
    def images(self) -> int:
        """Images a step."""
        return self.batch_size * self.accumulate
