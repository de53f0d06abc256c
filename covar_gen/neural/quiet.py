"""Libraries that load networks, without their bars and remarks, and in one line where they fail."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from covar_gen.core.errors import WeightsError, first_line


@contextmanager
def one_line(
    model: str, where: str, libraries: tuple[str, ...] = ("transformers",)
) -> Iterator[None]:
    """Say in one line what a library cannot load.

    Args:
        model: what is loaded, for the message.
        where: the option that names it.
        libraries: whose bars and remarks are switched off meanwhile: transformers, diffusers.

    Raises:
        WeightsError: a file is missing, damaged, or of another model.
    """
    import torch

    with quiet(libraries):
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # the libraries and those under them raise errors of every kind
            what = f"{libraries[0]} cannot load {model}: {first_line(error)}"
            mend = "Check that its files are whole and belong together, or fetch them again"
            raise WeightsError(what, where=where, mend=mend) from error


@contextmanager
def quiet(libraries: tuple[str, ...]) -> Iterator[None]:
    """Without progress bars and without anything below an error; afterwards as before.

    Nor is it said what a library's own code calls that its next version will not have.
    """
    found: list[Any] = [importlib.import_module(f"{name}.utils").logging for name in libraries]
    before = [
        (logging, logging.get_verbosity(), logging.is_progress_bar_enabled()) for logging in found
    ]
    for logging in found:
        logging.disable_progress_bar()
        logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logging, level, drawn in before:
            logging.set_verbosity(level)
            if drawn:
                logging.enable_progress_bar()
