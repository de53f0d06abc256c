"""CCI: masked passes are what hooks on the real modules give, whatever is packed with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.models import Model

Make = Callable[..., torch.Tensor]


@pytest.mark.parametrize("layers", ["all", "last"])
def test_drops_are_those_of_passes_with_masked_keys(
    model: Model, pixels: torch.Tensor, make_texts: Make, masking_oracle: Make, layers: str
) -> None:
    texts = make_texts(model)
    found = get_method("cci", clusters=5, layers=layers).explain(model, pixels, texts)
    with torch.no_grad():
        whole = model.encode_image(pixels) @ texts.T
    assert torch.allclose(found.cosines, whole, atol=1e-6)
    masked = masking_oracle(model, pixels, found.labels, 5, only_last=layers == "last") @ texts.T
    expected = whole[:, :, None] - masked.mT
    assert torch.allclose(found.drops, expected, atol=2e-6)
    assert found.drops.abs().amax() > 0.01
