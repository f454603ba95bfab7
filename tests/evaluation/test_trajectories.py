"""Trajectories: the images are those that were measured, and the states are those of the algorithms."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from coldbench.data.transforms import to_model_range
from coldbench.diffusion.degradations.strided import severities
from coldbench.diffusion.sampling import improved_step, naive_step
from coldbench.evaluation.loop import to_unit
from coldbench.evaluation.restoration import measure
from coldbench.evaluation.timed_restore import Traced
from coldbench.evaluation.trajectories import revisit, shown_steps
from tests.helpers import restoration_task as task


@pytest.mark.parametrize("name", ["mnist-superres", "mnist-inpaint"])
def test_the_images_are_those_that_were_measured_wherever_they_stand(name: str) -> None:
    settings = {"timesteps": 4} if name == "mnist-inpaint" else {}
    one = task(name, 12, methods=("degraded", "sampled"), metrics=("SSIM",), **settings)
    measured, again = measure(one).gallery, revisit(one, (7, 2)).images
    assert set(measured) <= set(again)
    for kind, images in measured.items():
        torch.testing.assert_close(again[kind], images[[7, 2]], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("method", "step"), [("naive", naive_step), ("improved", improved_step)])
def test_each_state_follows_from_the_one_before_by_the_step_of_the_algorithm(method: str, step: object) -> None:
    one = task("mnist-superres", 4, methods=(method,))
    found = revisit(one, (0, 3)).trajectories[method]
    assert found.steps == tuple(range(one.degradation.timesteps, 0, -1))
    states, estimates = ([images * 2 - 1 for images in each] for each in (found.states, found.estimates))
    for t, x, x0_hat, following in zip(found.steps, states[:-1], estimates, states[1:], strict=True):
        with torch.inference_mode():
            torch.testing.assert_close(one.restore(x, t), x0_hat, atol=1e-4, rtol=0)
            expected = step(one.degradation, x, x0_hat, t, None)
        torch.testing.assert_close(following, expected, atol=1e-5, rtol=0)
    x_T = one.degradation(to_model_range(one.pixels.batch((0, 3))), one.degradation.timesteps)
    torch.testing.assert_close(found.states[0], to_unit(x_T), atol=1e-6, rtol=0)


def test_methods_without_steps_have_no_trajectory() -> None:
    one = task("mnist-superres", 4, methods=("degraded", "direct", "sampled@1", "sampled@2"))
    found = revisit(one, (0,)).trajectories
    assert list(found) == ["sampled@2"]
    assert found["sampled@2"].steps == severities(one.degradation.timesteps, 2)[:0:-1]


def test_the_steps_that_are_shown() -> None:
    assert shown_steps(1) == (1,)
    assert shown_steps(4) == (4, 3, 2, 1)
    assert shown_steps(20) == (20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 1)
    assert shown_steps(1000) == (1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 1)


def test_where_r_is_not_asked_the_next_step_takes_its_place() -> None:
    traced = Traced(lambda x, s: x, torch.device("cpu"), (9, 6, 3, 1))
    for s in (10, 9, 7, 5, 2, 2, 1):
        traced(torch.zeros(1, 1, 2, 2), s)
    assert [s for s, _, _ in traced.steps] == [9, 5, 2, 1]


def test_measuring_is_the_same_to_the_last_bit_after_a_look_at_the_way() -> None:
    one = task("mnist-superres", 6)
    before = measure(one).values
    revisit(dataclasses.replace(one), (5,))
    assert measure(one).values == before
