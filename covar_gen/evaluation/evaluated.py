"""What an evaluation was made of, opened again: its images and its models, the same or refused."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.errors import EvaluationFolderError, MixtureError, PhotographsError
from covar_gen.evaluation.computing import Device, enough_memory
from covar_gen.evaluation.data import Data, open_data
from covar_gen.evaluation.images import decode
from covar_gen.evaluation.models import load_model
from covar_gen.evaluation.models.base import Model, public_name
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.reading import PASSING
from covar_gen.evaluation.results import Results


def complete_models(results: Results, chosen: str | None = None) -> list[str]:
    """Models of an evaluation that a command is to look at.

    Args:
        results: the evaluation.
        chosen: names and groups, separated by commas; None or empty: all that are complete.

    Returns:
        Their names in the evaluation. That the chosen ones were evaluated is not looked at.

    Raises:
        EvaluationFolderError: none is complete.
        ModelError: nothing is named, as in `,`.
    """
    names = [public_name(name) for name in expand(chosen)] if chosen else results.models()
    if not names:
        mend = "Type the same `covar-gen evaluate` command again: it goes on"
        raise EvaluationFolderError("no model is complete yet", where=results.root, mend=mend)
    return names


def evaluated_data(results: Results) -> Data:
    """The images of an evaluation, where they were then.

    Raises:
        MixtureError: there are others now.
        CovarError: there are none.
    """
    place = dict(results.about["place"])
    data = open_data(**place)
    if data.identity != results.about["data"]:
        mend = "Give the images that were evaluated, or evaluate these into another folder"
        raise MixtureError("the images are not those evaluated", where=place["place"], mend=mend)
    return data


def evaluated_model(results: Results, name: str, device: Device) -> Model:
    """A model of an evaluation, in the precision that it was evaluated in.

    Args:
        results: the evaluation.
        name: of the model.
        device: where it is to be.

    Raises:
        EvaluationFolderError: it was not evaluated there.
        MixtureError: what lies under its name is another model now.
        DeviceMemoryError: it does not fit.
    """
    about = results.made_with(results.folder(name))
    noted = about["model"]
    with enough_memory(name):
        model = load_model(
            str(about["loaded"]), device=str(device.place), precision=noted["precision"]
        )
    if model.identity() != noted:
        mend = "Load the model that was evaluated, or evaluate this one into another folder"
        raise MixtureError("not the model that was evaluated", where=name, mend=mend)
    return model


class Photographs:
    """Images of an evaluation at their own size, each the file that was evaluated.

    Attributes:
        data: where they are.
        content: int64 (N,), first 63 bits of the SHA-256 of each file when it was evaluated.
    """

    def __init__(self, data: Data, content: NDArray[np.int64]) -> None:
        self.data = data
        self.content = content

    def read(self, row: int) -> Image:
        """Decode an image; several threads can.

        Args:
            row: of an image that was evaluated, not rejected.

        Returns:
            uint8 (H, W, 3).

        Raises:
            PhotographsError: it is gone, or another file now.
        """
        origin = self.data.rows["origin"][row].as_py()
        mend = "See that the images are where they were, then type the same command again"
        try:
            encoded = self.data.read(row)
        except OSError as error:
            if error.errno in PASSING:
                raise
            what = f"{origin} cannot be read any more"
            raise PhotographsError(what, where=self.data.place, mend=mend) from error
        found = int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big") >> 1
        image = decode(encoded)
        if found != self.content[row] or isinstance(image, Rejected):
            what = f"{origin} is not the file that was evaluated"
            raise PhotographsError(what, where=self.data.place, mend=mend)
        return image
