"""The ways coldbench gives up, each with the exit code that a script can act on."""

from __future__ import annotations


class ColdbenchError(Exception):
    """An error with a one-line message for the user."""

    exit_code = 1


class CheckFailed(ColdbenchError):
    """Numbers are not what they must be."""

    exit_code = 1


class BadInput(ColdbenchError):
    """The request or a file it names is wrong."""

    exit_code = 2


class Missing(ColdbenchError):
    """Something needed is not here; the message names the command that supplies it."""

    exit_code = 3
