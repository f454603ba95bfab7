"""From a name and its settings to the thing itself, each setting held to the type that its parameter declares."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import nn

from coldbench.core.errors import BadInput, foreign
from coldbench.core.registry import Registry, did_you_mean
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.registries import DEGRADATIONS, NETWORKS

#: What a parameter of each plain type takes, and how that is said.
_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a word"),
}


def build_degradation(settings: Mapping[str, Any], whose: str = "") -> Degradation:
    """D, with all of its settings on it, the defaults included.

    Args:
        settings: ``name``, a name in ``DEGRADATIONS`` or ``module:attribute``, and its arguments.
        whose: for messages; the name unless given.

    Raises:
        BadInput: an unknown name, settings that it does not take, or no degradation.
    """
    made = _make(DEGRADATIONS, settings, whose)
    if not isinstance(made, Degradation):
        raise BadInput(f"degradation '{settings.get('name')}' gave {type(made).__name__} instead of a Degradation")
    made.settings = {**complete(settings), **made.found()}
    return made


def build_network(settings: Mapping[str, Any], whose: str = "") -> nn.Module:
    """A network with fresh weights, which nothing scores; see ``build_degradation``."""
    network: nn.Module = _make(NETWORKS, settings, whose)
    return network


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a degradation with the defaults of those that are not given, in the order of its signature.

    Raises:
        BadInput: an unknown name, or settings that it does not take.
    """
    arguments = dict(settings)
    name = arguments.pop("name", "")
    build = DEGRADATIONS[name]
    _check(build, arguments, f"degradation '{name}'")
    with foreign(f"building the degradation '{name}'"):
        bound = inspect.signature(build).bind(**arguments)
        bound.apply_defaults()
    full = {"name": name, **bound.arguments}
    return {key: value for key, value in full.items() if value is not None}


def _make(registry: Registry, settings: Mapping[str, Any], whose: str) -> Any:
    arguments = dict(settings)
    name = arguments.pop("name", "")
    build = registry[name]
    if not callable(build):
        raise BadInput(f"{registry.kind} '{name}' is {type(build).__name__}, not a class or a function")
    what = f"{registry.kind} of {whose}" if whose else f"{registry.kind} '{name}'"
    _check(build, arguments, what)
    with foreign(f"building the {what}"):
        return build(**arguments)


def _check(build: Any, arguments: Mapping[str, Any], what: str) -> None:
    """Whether these are arguments that it takes, each of its type.

    Raises:
        BadInput: they are not; names the first that is wrong, or all that are missing.
    """
    with foreign(f"reading the signature of the {what}"):
        parameters = _signature(build).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key, value in arguments.items():
        if key not in parameters:
            raise BadInput(f"the {what} has no setting '{key}'{did_you_mean(key, parameters)}")
        _check_value(parameters[key].annotation, value, f"the setting '{key}' of the {what}")
    for key in ("timesteps", "image_size"):
        number = arguments.get(key)
        if isinstance(number, int) and number < 1:
            raise BadInput(f"the {what} needs {key} of at least 1, not {number}")
    required = [key for key, each in parameters.items() if each.default is each.empty and key not in arguments]
    if required:
        raise BadInput(f"the {what} needs {', '.join(required)}")


def _signature(build: Any) -> inspect.Signature:
    """Its parameters with their types; types that only a type checker can find stay names, which check nothing."""
    try:
        return inspect.signature(build, eval_str=True)
    except NameError:
        return inspect.signature(build)


def _check_value(hint: Any, value: Any, what: str) -> None:
    """Whether a value is what its parameter declares; declarations that are no plain type are left to their owner."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if not any(_fits(option, value) for option in options):
        taken = " or ".join(_said(option) for option in options if option is not NoneType)
        raise BadInput(f"{what} {taken}, not {value!r}")


def _fits(hint: Any, value: Any) -> bool:
    if hint is None or hint is NoneType:
        return value is None
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    types, _ = _TYPES.get(hint, ((object,), ""))
    # A bool is an int to Python, and a number to nobody else.
    return isinstance(value, types) and not (isinstance(value, bool) and types not in ((bool,), (object,)))


def _said(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"is one of {', '.join(map(str, get_args(hint)))}"
    return f"takes {_TYPES[hint][1]}"
