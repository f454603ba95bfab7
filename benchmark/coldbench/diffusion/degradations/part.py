"""The part of a degradation that images have undergone which come from outside."""

from __future__ import annotations

from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.base import Degradation


class Part(Degradation):
    """The first s steps of a degradation: samplers begin at its T, which is s.

    What is random about such images is not drawn but given. Where it is not given, the methods that need it fail.

    Args:
        whole: the degradation.
        severity: s, 1 to its T; T unless given.

    Raises:
        BadInput: another severity.
    """

    def __init__(self, whole: Degradation, severity: int | None = None) -> None:
        steps = whole.timesteps if severity is None else severity
        if not 1 <= steps <= whole.timesteps:
            raise BadInput(f"severity {steps} is none of this degradation, which has 1 to {whole.timesteps}")
        super().__init__(timesteps=steps, image_size=whole.image_size)
        self._whole = whole
        self.settings, self.float32_only, self.context_name = whole.settings, whole.float32_only, whole.context_name
        example = whole.draw(range(1), 0)
        if example is not None:
            example = example.to(next((table.device for table in whole.buffers()), example.device))
        #: (c, H, W) of what files keep of an image's context; None where there is nothing random.
        self.context_shape = None if example is None else tuple(self.context_as_images(example).shape[1:])

    @property
    def whole(self) -> Degradation:
        return self._whole

    def context_as_images(self, context: Tensor) -> Tensor:
        return self._whole.context_as_images(context)

    def context_from_images(self, images: Tensor, s: int) -> Tensor:
        return self._whole.context_from_images(images, s)

    def expand(self, context: Tensor | None) -> Tensor | None:
        return None if context is None else self._whole.expand(context)

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        return self._whole(x0, s, self._given(context))

    def pair(self, x0: Tensor, s: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._whole.pair(x0, s, self._given(context))

    def observe(self, x_s: Tensor) -> Tensor:
        return self._whole.observe(x_s)

    def _given(self, context: Tensor | None) -> Tensor | None:
        """The context, which must be there if there is any.

        Raises:
            BadInput: it is not.
        """
        if context is None and self.context_shape is not None:
            name = self.settings.get("name")
            raise BadInput(f"{name} needs the {self.context_name} of every image: give it with --context")
        return context
