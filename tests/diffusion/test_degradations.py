"""Laws that every degradation obeys, and agreement with the slow, literal constructions of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.base import Degradation, truncate_to_8_bit
from coldbench.diffusion.degradations.blend import Blend
from coldbench.diffusion.degradations.blur import ROUTINES, blur, gaussian_kernel
from coldbench.diffusion.degradations.heat import heat
from coldbench.diffusion.degradations.inpaint import Inpainting
from coldbench.diffusion.degradations.noise import GaussianNoise, cosine_schedule
from coldbench.diffusion.degradations.snow import LEVELS, Snow, magnify
from coldbench.diffusion.degradations.superres import super_resolution
from tests.example_plugin import Jpeg

S = 32
DEGRADATIONS: dict[str, Degradation] = {
    **{
        f"blur-{routine}": blur(image_size=S, timesteps=6, routine=routine, kernel_size=11, std=std)
        for routine, std in zip(ROUTINES, (7.0, 7.0, None, 0.3, 0.3), strict=True)
    },
    **{
        f"superres-{mode}": super_resolution(image_size=S, timesteps=3, mode=mode)
        for mode in ("area", "bilinear", "bicubic")
    },
    "inpaint-centred": Inpainting(image_size=S, timesteps=6, kernel_std=0.5, initial_mask=1, centred=True),
    "inpaint-random": Inpainting(image_size=S, timesteps=6, kernel_std=0.5, initial_mask=1),
    "blur-discrete": blur(image_size=S, timesteps=6, routine="exponential", kernel_size=11, std=0.3, discrete=True),
    "noise": GaussianNoise(image_size=S, timesteps=6, channels=3),
    "blend-noise": Blend(image_size=S, timesteps=6, channels=3),
    "blend-images": Blend(image_size=S, timesteps=6, channels=3, towards="tests.example_plugin:checkers"),
    "heat": heat(image_size=S, timesteps=6),
    "jpeg": Jpeg(image_size=S, timesteps=6),
    **{f"snow-{level}": Snow(image_size=S, timesteps=6, level=level) for level in LEVELS},
    "snow-dimmed": Snow(image_size=S, timesteps=6, level=3, fix_brightness=False),
}


@pytest.fixture(params=DEGRADATIONS)
def degradation(request: pytest.FixtureRequest) -> Degradation:
    return DEGRADATIONS[request.param]


def test_severity_zero_is_the_image_itself(degradation: Degradation, images: Tensor) -> None:
    context = degradation.draw(range(2), seed=0)
    assert torch.equal(degradation(images, 0, context), images)


def test_each_severity_differs_from_the_last(degradation: Degradation, images: Tensor) -> None:
    context = degradation.draw(range(2), seed=0)
    for s in range(1, degradation.timesteps + 1):
        harsher, milder = degradation.pair(images, s, context)
        assert (harsher - milder).abs().max() > 1e-3


def test_pair_is_two_severities(degradation: Degradation, images: Tensor) -> None:
    context = degradation.draw(range(2), seed=0)
    for s in range(1, degradation.timesteps + 1):
        harsher, milder = degradation.pair(images, s, context)
        torch.testing.assert_close(harsher, degradation(images, s, context), atol=1e-6, rtol=0)
        torch.testing.assert_close(milder, degradation(images, s - 1, context), atol=1e-6, rtol=0)


def test_a_batch_may_mix_severities(degradation: Degradation, images: Tensor) -> None:
    context = degradation.draw(range(2), seed=0)
    mixed = degradation(images, torch.tensor([1, degradation.timesteps]), context)
    torch.testing.assert_close(mixed[:1], degradation(images, 1, context)[:1], atol=1e-6, rtol=0)
    torch.testing.assert_close(mixed[1:], degradation(images, degradation.timesteps, context)[1:], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["inpaint-random", "noise", "blend-noise", "blend-images", "snow-3"])
def test_draws_depend_on_seed_and_index_alone(name: str) -> None:
    degradation = DEGRADATIONS[name]
    together = degradation.draw(range(20), seed=3)
    assert together is not None
    alone = [degradation.draw([i], seed=3) for i in reversed(range(20))]
    assert torch.equal(together, torch.cat([a for a in reversed(alone) if a is not None]))
    assert not torch.equal(together, degradation.draw(range(20), seed=4))


@pytest.mark.parametrize("name", ["blur-constant", "heat", "superres-area", "inpaint-centred", "inpaint-random"])
def test_pair_takes_one_step_from_the_milder_severity(name: str, images: Tensor) -> None:
    """One pass: the harsher image is made from the milder, so it follows a change of that alone."""
    degradation = DEGRADATIONS[name]
    context = degradation.draw(range(2), seed=0)
    calls: list[int] = []
    forward = degradation.forward
    degradation.forward = lambda x, s, context=None: calls.append(s) or forward(x, s, context)  # type: ignore
    try:
        degradation.pair(images, 3, context)
    finally:
        del degradation.forward
    assert calls == [2]


def test_random_hole_is_the_centred_hole_moved(images: Tensor) -> None:
    centred, random = DEGRADATIONS["inpaint-centred"], DEGRADATIONS["inpaint-random"]
    # Centre S - 1 - offset: this offset puts the hole where the centred mask has it.
    offset = torch.full((2, 2), S // 2)
    assert torch.equal(random(images, 6, offset), centred(images, 6))


def test_hole_centres_are_pixels_of_the_image() -> None:
    offsets = DEGRADATIONS["inpaint-random"].draw(range(2000), seed=0)
    assert offsets is not None
    assert (int(offsets.min()), int(offsets.max())) == (0, S - 1)


#: PROTOCOL 2.1: routine -> kernel std at step i, padding.
PROTOCOL_BLURS = {
    "constant": (lambda i: 7.0, "circular"),
    "constant-reflect": (lambda i: 7.0, "reflect"),
    "special-6": (lambda i: 0.35 + i / 100, "reflect"),
    "exponential": (lambda i: math.exp(0.3 * i), "circular"),
    "exponential-reflect": (lambda i: math.exp(0.3 * i), "reflect"),
}


def test_every_blur_is_one_of_the_protocol_s() -> None:
    assert PROTOCOL_BLURS.keys() == ROUTINES.keys()


@pytest.mark.parametrize("routine", PROTOCOL_BLURS)
def test_blur_equals_a_chain_of_convolutions(routine: str, images: Tensor) -> None:
    schedule, padding = PROTOCOL_BLURS[routine]
    std = {"constant": 7.0, "constant-reflect": 7.0, "special-6": None}.get(routine, 0.3)
    degradation = blur(image_size=S, timesteps=6, routine=routine, kernel_size=11, std=std)
    x = images
    for i in range(6):
        weights = gaussian_kernel(11, schedule(i)).float()
        kernel = torch.outer(weights, weights).expand(3, 1, 11, 11)
        x = F.conv2d(F.pad(x, (5, 5, 5, 5), mode=padding), kernel, groups=3)
        torch.testing.assert_close(degradation(images, i + 1), x, atol=2e-6, rtol=0)


def test_kernel_golden_values() -> None:
    """PROTOCOL 2.1."""
    constant, special = gaussian_kernel(11, 7.0), gaussian_kernel(11, 0.35)
    expected = torch.tensor([0.0777, 0.0852, 0.0915, 0.0963, 0.0993, 0.1003], dtype=torch.float64)
    torch.testing.assert_close(constant[:6], expected, atol=5e-5, rtol=0)
    assert special[5].item() == pytest.approx(0.96734, abs=5e-6)
    assert special[4].item() == pytest.approx(0.016329, abs=5e-7)
    wide = gaussian_kernel(15, math.exp(1.99))
    assert (wide[7].item(), wide[0].item()) == (pytest.approx(0.0785, abs=5e-5), pytest.approx(0.0496, abs=5e-5))


def test_what_lives_in_decimals_is_not_compared_across_arithmetics() -> None:
    """Networks read the decimals of a blurred image and of a few large pixels, which bfloat16 rounds away."""
    assert super_resolution(image_size=S, timesteps=3).float32_only
    assert blur(image_size=S, timesteps=3, routine="constant", kernel_size=11, std=7.0).float32_only
    assert not GaussianNoise(image_size=S, timesteps=3, channels=1).float32_only


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
def test_super_resolution_equals_a_chain_of_resizes(mode: str, images: Tensor) -> None:
    degradation = super_resolution(image_size=S, timesteps=3, mode=mode)
    x = images
    for i in range(3):
        smaller = F.interpolate(x, size=S // 2 ** (i + 1), mode=mode)
        x = F.interpolate(smaller, size=S, mode="nearest-exact")
        torch.testing.assert_close(degradation(images, i + 1), x, atol=2e-6, rtol=0)


def test_mask_golden_values() -> None:
    """PROTOCOL 2.2: cumulative masks along the row through the centre."""
    small = Inpainting(image_size=32, timesteps=50, kernel_std=0.1, initial_mask=11)
    row = small.products[50][31, [37, 39, 41, 43, 47]]
    torch.testing.assert_close(row, torch.tensor([0, 0.00043, 0.03362, 0.24506, 0.82369]), atol=5e-6, rtol=0)
    assert small.products[50][31, 31] == 0
    large = Inpainting(image_size=128, timesteps=100, kernel_std=0.2, initial_mask=1, centred=True)
    row = large.products[100][63, [87, 95, 111]]
    torch.testing.assert_close(row, torch.tensor([0, 0.00138, 0.48554]), atol=5e-6, rtol=0)
    assert large.products[100].mean().item() == pytest.approx(0.52565, abs=5e-6)


def test_discrete_blur_ends_in_the_channel_means(images: Tensor) -> None:
    degradation = DEGRADATIONS["blur-discrete"]
    means = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    torch.testing.assert_close(degradation(images, 6), means, atol=1e-6, rtol=0)
    assert (degradation(images, 5) - means).abs().max() > 0.01


def test_cosine_schedule_golden_values() -> None:
    """PROTOCOL 2.5."""
    abar = cosine_schedule(200)[[0, 1, 99, 197, 198, 199]]
    expected = torch.tensor([0.999745, 0.999369, 0.493844, 2.42855e-4, 6.07171e-5, 6.07164e-8])
    torch.testing.assert_close(abar, expected, atol=0, rtol=1e-4)


def test_noise_is_recovered_from_what_it_made(images: Tensor) -> None:
    degradation = GaussianNoise(image_size=S, timesteps=6, channels=3)
    z = degradation.draw(range(2), seed=0)
    torch.testing.assert_close(degradation.noise_in(degradation(images, 4, z), images, 4), z, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("size", "zoom"), [(32, 3.0), (32, 2.5), (64, 2.5), (128, 2.5)])
def test_magnification_equals_scipy(size: int, zoom: float) -> None:
    noise = np.random.default_rng(0).normal(size=(size, size))
    crop = math.ceil(size / zoom)
    top = (size - crop) // 2
    magnified = ndimage.zoom(noise[top : top + crop, top : top + crop], zoom, order=1)
    trim = (len(magnified) - size) // 2
    expected = magnified[trim : trim + size, trim : trim + size]
    np.testing.assert_allclose(magnify(torch.from_numpy(noise), zoom).numpy(), expected, atol=1e-12)


def test_images_may_share_a_field_of_snow() -> None:
    shared = Snow(image_size=S, timesteps=2, level=3, images_per_field=16).draw(range(14, 18), seed=0)
    assert torch.equal(shared[0], shared[1])
    assert torch.equal(shared[2], shared[3])
    assert not torch.equal(shared[1], shared[2])


def test_unlit_snow_whitens_the_image(images: Tensor) -> None:
    field = torch.zeros(2, 2, S, S)
    lit, dimmed = (DEGRADATIONS[name](images, 6, field) for name in ("snow-3", "snow-dimmed"))
    torch.testing.assert_close(lit, images, atol=1e-6, rtol=0)
    assert (dimmed >= images - 1e-6).all()
    assert (dimmed - images).mean() > 0.1


def test_discrete_inpainting_shows_the_network_256_levels(images: Tensor) -> None:
    truncated = truncate_to_8_bit(torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(truncated, torch.tensor([-1.0, 127 / 255 * 2 - 1, 1.0]))
    discrete = Inpainting(image_size=S, timesteps=2, kernel_std=1, initial_mask=1, centred=True, discrete=True)
    seen = (discrete.observe(images) + 1) / 2 * 255
    torch.testing.assert_close(seen, seen.round(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: blur(image_size=32, timesteps=2, routine="motion"), "unknown blur routine 'motion'"),
        (lambda: blur(image_size=32, timesteps=2, routine="constant", kernel_size=4, std=1), "must be odd"),
        (lambda: blur(image_size=8, timesteps=2, routine="constant", kernel_size=27, std=1), "less than 8 pixels"),
        (lambda: super_resolution(image_size=32, timesteps=3, mode="lanczos"), "unknown super-resolution mode"),
        (
            lambda: heat(image_size=32, timesteps=2, sigma_min=0.0),
            "heat needs 0 < sigma_min < sigma_max, not 0.0 and 20",
        ),
        (lambda: heat(image_size=32, timesteps=2, sigma_min=9, sigma_max=8), "not 9 and 8"),
        (lambda: Blend(image_size=32, timesteps=2, channels=2), "blend needs 1 or 3 channels, not 2"),
        (lambda: super_resolution(image_size=36, timesteps=3), "cannot be halved 3 times"),
    ],
)
def test_wrong_settings_are_refused(make: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()  # type: ignore[operator]


def test_snow_of_a_whole_trajectory_is_the_snow_of_each_step(images: Tensor) -> None:
    snow = Snow(image_size=32, timesteps=6, level=3)
    fields = snow.draw(range(len(images)), 0)
    layers = snow.expand(fields)
    assert layers is not None
    assert layers.shape == (len(images), 6, 1, 32, 32)
    for s in range(7):
        torch.testing.assert_close(snow(images, s, layers), snow(images, s, fields), atol=1e-6, rtol=0)
    each = torch.tensor([2, 5])
    torch.testing.assert_close(snow(images, each, layers), snow(images, each, fields), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_loses_more_at_every_step(channels: int, images: Tensor) -> None:
    """A plug-in's degradation; its files are of quality 90 down to 5, which no image of noise survives."""
    jpeg, x = Jpeg(image_size=S, timesteps=6), images[:, :channels]
    assert jpeg.qualities.tolist() == [90, 73, 56, 39, 22, 5]
    errors = [(jpeg(x, s) - x).square().mean().sqrt().item() for s in range(7)]
    assert errors[0] == 0
    assert errors == sorted(errors)
    assert errors[6] > 3 * errors[1] > 0
    grey = torch.full_like(x, 128 / 255 * 2 - 1)
    torch.testing.assert_close(jpeg(grey, 6), grey, atol=1e-6, rtol=0)  # the mean of a block is what is kept longest
