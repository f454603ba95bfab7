"""The first steps of a degradation, and its context in files."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.degradations.part import Part
from coldbench.diffusion.sampling import estimated_noise_step, improved_step, indi_step, sample

SETTINGS = {
    "blend": {"name": "blend", "image_size": 32, "timesteps": 5, "channels": 3},
    "inpaint": {"name": "inpaint", "image_size": 32, "timesteps": 5, "kernel_std": 0.5, "initial_mask": 2},
    "noise": {"name": "noise", "image_size": 32, "timesteps": 5, "channels": 3},
    "snow": {"name": "snow", "image_size": 32, "timesteps": 5, "level": 3},
    "superres": {"name": "superres", "image_size": 32, "timesteps": 5},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("s", [1, 3, 5])
def test_a_part_is_the_degradation_up_to_its_severity(name: str, s: int, images: Tensor) -> None:
    whole = build_degradation(SETTINGS[name])
    part, context = Part(whole, s), whole.draw(range(2), 0)
    assert (part.timesteps, part.whole) == (s, whole)
    expanded = part.expand(context)
    for ours, theirs in zip(part.pair(images, s, expanded), whole.pair(images, s, context), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(part(images, s, expanded), whole(images, s, context))


@pytest.mark.parametrize("name", ["blend", "inpaint", "noise", "snow"])
@pytest.mark.parametrize("s", [1, 5])
def test_files_keep_the_context(name: str, s: int) -> None:
    whole = build_degradation(SETTINGS[name])
    context = whole.draw(range(4), 0)
    assert context is not None
    part = Part(whole, s)
    kept = part.context_as_images(context)
    assert kept.shape[1:] == part.context_shape
    if name == "inpaint":
        kept = (whole._windows(whole.products, s, context) * 255).round() / 255  # as an 8-bit file of that severity
    found = part.context_from_images(kept, s)
    assert torch.equal(found, context) if name == "inpaint" else torch.allclose(found, context, atol=1e-6)


def test_no_context_is_an_error_only_where_it_is_needed(images: Tensor) -> None:
    part = Part(build_degradation(SETTINGS["noise"]), 3)
    with pytest.raises(BadInput, match="noise needs the noise of every image: give it with --context"):
        sample(lambda x, s: x, part, images, None, improved_step)
    assert sample(lambda x, s: x, part, images, None, estimated_noise_step).sampled.shape == images.shape
    blend = Part(build_degradation(SETTINGS["blend"]), 3)
    assert sample(lambda x, s: x, blend, images, None, indi_step).sampled.shape == images.shape


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_other_severities_are_refused(severity: int) -> None:
    with pytest.raises(BadInput, match="has 1 to 5"):
        Part(build_degradation(SETTINGS["superres"]), severity)


def test_a_mask_that_is_no_hole_is_refused() -> None:
    whole = build_degradation(SETTINGS["inpaint"])
    with pytest.raises(BadInput, match="a mask is no hole of this degradation at severity 5"):
        whole.context_from_images(torch.rand(1, 1, 32, 32), 5)
