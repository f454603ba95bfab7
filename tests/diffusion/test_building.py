"""From settings to degradations and networks: each setting is held to its type, and each mistake is named."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import pytest

from coldbench.core.errors import BadInput
from coldbench.diffusion.building import build_degradation, build_network, complete
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blur import blur

BLUR = {"name": "blur", "image_size": 32, "timesteps": 3, "routine": "constant", "std": 2.0}
INPAINT = {"name": "inpaint", "image_size": 32, "timesteps": 3, "kernel_std": 0.5, "initial_mask": 1}
SNOW = {"name": "snow", "image_size": 32, "timesteps": 3, "level": 3}
UNET = {"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2], "channels": 1}


def optional(
    *, image_size: int, timesteps: int, mode: Literal["a", "b"] | None = None, size: int | str = 3
) -> Degradation:
    """A degradation with settings of several types."""
    return build_degradation(BLUR | {"image_size": image_size, "timesteps": timesteps})


half_done = partial(blur, routine="constant", std=2.0)


class Maker:
    """Makes degradations, as a callable object."""

    def __call__(self, *, image_size: int, timesteps: int, discrete: bool = False) -> Degradation:
        return blur(image_size=image_size, timesteps=timesteps, routine="constant", std=2.0, discrete=discrete)


make = Maker()
HERE = {"image_size": 32, "timesteps": 3}


@pytest.mark.parametrize("value", ["off", "no", "0", "False", "false", 0, 1, 0.0, None])
def test_a_bool_is_true_or_false_and_nothing_that_python_takes_for_it(value: object) -> None:
    for settings in (BLUR | {"discrete": value}, INPAINT | {"centred": value}):
        with pytest.raises(BadInput, match=r"the setting '\w+' of the degradation '\w+' takes true or false, not"):
            build_degradation(settings)
    for each in (True, False):
        assert build_degradation(BLUR | {"discrete": each}).settings["discrete"] is each


@pytest.mark.parametrize("value", [3.0, 2.5, True, "3", None])
def test_a_whole_number_is_no_fraction_and_no_bool(value: object) -> None:
    with pytest.raises(BadInput, match=r"the setting 'timesteps' of the degradation 'blur' takes a whole number, not"):
        build_degradation(BLUR | {"timesteps": value})
    with pytest.raises(BadInput, match=r"the setting 'dim' of the network 'convnext-unet' takes a whole number, not"):
        build_network(UNET | {"dim": value})


@pytest.mark.parametrize("value", [True, "2.0", [2.0]])
def test_a_number_may_be_whole_but_is_no_bool_and_no_word(value: object) -> None:
    with pytest.raises(BadInput, match=r"the setting 'std' of the degradation 'blur' takes a number, not"):
        build_degradation(BLUR | {"std": value})
    assert build_degradation(BLUR | {"std": 2}).settings["std"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (BLUR | {"routine": "motion"}, "'routine' of the degradation 'blur' is one of constant, constant-reflect, "),
        (SNOW | {"level": 5}, "'level' of the degradation 'snow' is one of 1, 2, 3, 4, not 5"),
        (SNOW | {"level": True}, "'level' of the degradation 'snow' is one of 1, 2, 3, 4, not True"),
        (
            {"name": "superres", "image_size": 32, "timesteps": 2, "mode": "lanczos"},
            "'mode' of the degradation 'superres' is one of area, bilinear, bicubic, not 'lanczos'",
        ),
    ],
)
def test_choices_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        build_degradation(settings)
    assert message in str(caught.value)


def test_unknown_settings_are_named() -> None:
    with pytest.raises(BadInput, match=r"^the degradation 'blur' has no setting 'stdd'; did you mean std\?$"):
        build_degradation(BLUR | {"stdd": 1.0})
    with pytest.raises(BadInput, match=r"^the network of mine has no setting 'width'"):
        build_network(UNET | {"width": 8}, "mine")


def test_all_missing_settings_are_named() -> None:
    with pytest.raises(BadInput, match=r"^the degradation 'blur' needs image_size, timesteps, routine$"):
        build_degradation({"name": "blur"})
    with pytest.raises(BadInput, match=r"^the degradation of mine needs kernel_std, initial_mask$"):
        build_degradation({"name": "inpaint", **HERE}, "mine")


def test_an_unknown_degradation_is_named() -> None:
    for ask in (build_degradation, complete):
        with pytest.raises(BadInput, match=r"unknown degradation 'blurr'; did you mean blur\?"):
            ask({"name": "blurr"})


@pytest.mark.parametrize("routine", ["constant", "constant-reflect", "exponential", "exponential-reflect"])
def test_a_routine_without_the_std_that_it_needs_is_refused(routine: str) -> None:
    """It became a kernel of zeros, and at last an audit that found an SSIM of NaN."""
    settings = {key: value for key, value in BLUR.items() if key != "std"} | {"routine": routine}
    with pytest.raises(BadInput, match=rf"^the blur routine {routine} needs a setting std$"):
        build_degradation(settings)


def test_a_std_must_make_a_kernel() -> None:
    for std in (0.0, -1.0):
        with pytest.raises(BadInput, match=f"the blur routine constant needs a std above 0, not {std}"):
            build_degradation(BLUR | {"std": std})


def test_special_6_claims_no_std() -> None:
    settings = {"name": "blur", **HERE, "routine": "special-6"}
    assert "std" not in build_degradation(settings).settings
    assert "std" not in complete(settings)
    with pytest.raises(BadInput, match="the blur routine special-6 takes no setting std"):
        build_degradation(settings | {"std": 2.0})


def test_complete_settings_hold_all_defaults_in_the_order_of_the_signature() -> None:
    full = {"image_size": 32, "timesteps": 3, "routine": "constant", "kernel_size": 11, "std": 2.0, "discrete": False}
    shuffled = dict(reversed(BLUR.items()))
    assert list(complete(shuffled).items()) == [("name", "blur"), *full.items()]
    assert complete(SNOW) == SNOW | {"fix_brightness": True, "images_per_field": 1}
    assert complete(complete(BLUR)) == complete(BLUR)
    assert build_degradation(shuffled).settings == complete(BLUR)


def test_wrong_settings_have_no_completion() -> None:
    with pytest.raises(BadInput, match=r"the degradation 'blur' has no setting 'stdd'; did you mean std\?"):
        complete(BLUR | {"stdd": 1.0})
    with pytest.raises(BadInput, match="the degradation 'blur' needs image_size, timesteps, routine"):
        complete({"name": "blur"})


@pytest.mark.parametrize("name", ["optional", "half_done", "make"])
def test_any_callable_from_outside_makes_degradations(name: str) -> None:
    made = build_degradation({"name": f"{__name__}:{name}", **HERE})
    assert (made.image_size, made.timesteps) == (32, 3)
    with pytest.raises(BadInput, match="takes a whole number, not 'many'"):
        build_degradation({"name": f"{__name__}:{name}", **HERE, "timesteps": "many"})


def test_a_setting_may_have_one_of_several_types() -> None:
    ours = {"name": f"{__name__}:optional", **HERE}
    for fitting in ({"mode": "a"}, {"mode": None}, {"size": 4}, {"size": "large"}):
        build_degradation(ours | fitting)
    with pytest.raises(BadInput, match=r"the setting 'mode' of .* is one of a, b, not 'c'"):
        build_degradation(ours | {"mode": "c"})
    with pytest.raises(BadInput, match=r"the setting 'size' of .* takes a whole number or takes a word, not 2\.5"):
        build_degradation(ours | {"size": 2.5})
    build_degradation(BLUR | {"routine": "special-6", "std": None})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("math:pi", "degradation 'math:pi' is float, not a class or a function"),
        (f"{__name__}:gives_settings", r"degradation '.*:gives_settings' gave dict instead of a Degradation"),
        (f"{__name__}:raises", r"building the degradation '.*:raises' failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_makes_no_degradation_is_named(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_degradation({"name": name})


def gives_settings(**settings: object) -> dict[str, object]:
    """Returns something else than a degradation."""
    return settings


def raises(**settings: object) -> None:
    """Fails as somebody else's code may."""
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("change", [{"dim": "16"}, {"dim": 7}, {"dim_mults": [2, 4]}, {"width": 8}])
def test_networks_that_cannot_be_built_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        build_network(UNET | change)


def test_degradations_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(BadInput, match=r"the degradation of mine needs timesteps of at least 1, not 0"):
        build_degradation(BLUR | {"timesteps": 0}, "mine")
