"""Keyed draws: their values, which no library may change unseen, and the worlds that they keep apart."""

from __future__ import annotations

import pytest

from coldbench.core.randomness import image_rng, normal_images, training_seed
from coldbench.diffusion.degradations.inpaint import Inpainting
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.degradations.snow import Snow


def test_training_draws_what_no_evaluation_draws() -> None:
    seeds = {training_seed(seed, stage) for seed in range(500) for stage in (0, 1, 2)}
    assert len(seeds) == 1500
    assert min(seeds) >= 2**62, "evaluations are given small seeds"
    assert max(seeds) < 2**63, "torch takes no larger ones"


@pytest.mark.parametrize("purpose", ["inpaint-offset", "snow", "noise", "crop"])
def test_streams_differ_by_seed_purpose_and_index(purpose: str) -> None:
    first = image_rng(0, purpose, 0).random()
    others = [image_rng(1, purpose, 0), image_rng(0, purpose, 1), image_rng(0, "other", 0)]
    assert first not in [other.random() for other in others]


def test_streams_are_the_ones_that_the_stored_numbers_were_drawn_from() -> None:
    rng = image_rng(3, "golden", 7)
    assert rng.random() == 0.3697856817912287
    assert rng.integers(0, 2**32, size=3).tolist() == [3932712409, 850654345, 410384614]
    assert rng.normal(0.55, 0.3) == 0.639041531812207
    assert rng.permutation(8).tolist() == [0, 2, 4, 6, 7, 5, 1, 3]
    assert normal_images([5], 3, "golden", (2,)).tolist() == [[-1.589006781578064, -0.2540954053401947]]
    assert training_seed(0) == 7805225150732914174


def test_degradations_draw_what_the_stored_numbers_were_drawn_from() -> None:
    holes = Inpainting(image_size=32, timesteps=1, kernel_std=1, initial_mask=1).draw([0, 1, 9999], 0)
    assert holes is not None
    assert holes.tolist() == [[23, 18], [29, 11], [0, 2]]
    noise = GaussianNoise(image_size=32, timesteps=1, channels=1).draw([0, 9999], 0)
    assert noise[:, 0, 0, :2].tolist() == [
        [1.0416898727416992, 1.147608757019043],
        [-0.005522903520613909, -0.024078192189335823],
    ]
    snow = Snow(image_size=32, timesteps=1, level=3).draw([0, 9999], 0)
    sums = snow.double().sum(dim=(2, 3)).flatten().tolist()
    assert sums == pytest.approx([0.0, 523.1164705250412, 0.0, 572.8326912745833], rel=1e-7)
