"""Failures of the libraries, which are of many kinds and many lines, as one line."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from covar_gen.core.errors import MissingExtraError, ModelError, first_line


@contextmanager
def one_line(name: str, library: str) -> Iterator[None]:
    """What fails inside is the model's fault, not ours, and is said in one line.

    Too little memory stays what it is.

    Args:
        name: of the model.
        library: that is loading it.

    Raises:
        ModelError: the library failed.
        MissingExtraError: it lacks a package.
    """
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except ImportError as error:
        what = f"{library} cannot load it: {first_line(error)}"
        mend = "Install what it names; for SigLIP's tokenizer: pip install sentencepiece protobuf"
        raise MissingExtraError(what, where=name, mend=mend) from error
    except (
        AssertionError, AttributeError, EOFError, KeyError, OSError, RuntimeError, SafetensorError,
        TypeError, ValueError, pickle.UnpicklingError,
    ) as error:  # fmt: skip
        what = f"{library} cannot load it: {first_line(error)}"
        mend = "Check that its files are whole and belong together, or fetch them again"
        raise ModelError(what, where=name, mend=mend) from error
