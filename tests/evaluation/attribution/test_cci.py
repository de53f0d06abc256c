"""CCI: masked passes are what hooks on the real modules give, whatever is packed with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from covar_gen.core.errors import ModelError, PluginError
from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.attribution.cci import ClusterExplanation
from covar_gen.evaluation.models import Model, load_model

Make = Callable[..., torch.Tensor]


def explain(
    model: Model, pixels: torch.Tensor, texts: torch.Tensor, **options: Any
) -> ClusterExplanation:
    found = get_method("cci", **options).explain(model, pixels, texts)
    assert isinstance(found, ClusterExplanation)
    return found


@pytest.mark.parametrize("layers", ["all", "last"])
def test_drops_are_those_of_passes_with_masked_keys(
    model: Model, pixels: torch.Tensor, make_texts: Make, masking_oracle: Make, layers: str
) -> None:
    texts = make_texts(model)
    found = explain(model, pixels, texts, clusters=5, layers=layers)
    with torch.no_grad():
        whole = model.encode_image(pixels) @ texts.T
    assert torch.allclose(found.cosines, whole, atol=1e-6)
    masked = masking_oracle(model, pixels, found.labels, 5, only_last=layers == "last") @ texts.T
    expected = whole[:, :, None] - masked.mT
    assert torch.allclose(found.drops, expected, atol=2e-6)
    assert found.drops.abs().amax() > 0.01


@pytest.mark.parametrize("name", ["toy:honest", "toy:honest-siglip"])
def test_a_trained_model_is_explained_exactly(
    name: str, make_images: Make, masking_oracle: Make, one_thread: None
) -> None:
    model = load_model(name)
    pixels = make_images(3, side=model.preprocessing.grid.height)
    texts = model.encode_text(["a photo of a red circle.", "a blue square."]).detach()
    found = explain(model, pixels, texts)
    masked = masking_oracle(model, pixels, found.labels, 7) @ texts.T
    expected = found.cosines[..., None] - masked.mT
    assert torch.allclose(found.drops, expected, atol=5e-6)


@pytest.mark.parametrize("layers", ["all", "last"])
@pytest.mark.parametrize("packed", [1, 50])
def test_what_is_packed_together_changes_nothing(
    model: Model, pixels: torch.Tensor, make_texts: Make, packed: int, layers: str
) -> None:
    texts = make_texts(model)
    together = explain(model, pixels, texts, layers=layers)
    apart = [
        explain(model, one[None], texts, layers=layers, packed=packed) for one in pixels.flip(0)
    ]
    for name in ("labels", "drops", "weights", "maps", "cosines", "sizes", "flat", "doubtful"):
        joined = torch.cat([getattr(each, name) for each in apart]).flip(0)
        assert torch.allclose(getattr(together, name).double(), joined.double(), atol=1e-4), name
    assert torch.allclose(together.drops, torch.cat([a.drops for a in apart]).flip(0), atol=2e-6)


def test_each_image_can_have_texts_of_its_own(
    model: Model, pixels: torch.Tensor, make_texts: Make
) -> None:
    texts = make_texts(model, count=10).view(5, 2, -1)
    own = explain(model, pixels, texts)
    for place in range(5):
        alone = explain(model, pixels[place : place + 1], texts[place])
        assert torch.allclose(own.drops[place], alone.drops[0], atol=2e-6)
    assert own.maps.shape == (5, 2, 4, 4)


def test_several_texts_share_the_clusters(
    model: Model, pixels: torch.Tensor, make_texts: Make
) -> None:
    texts = make_texts(model, count=4)
    found = explain(model, pixels, texts)
    assert found.labels.shape == (5, 4, 4)
    for number, text in enumerate(texts):
        alone = explain(model, pixels, text[None])
        assert torch.equal(alone.labels, found.labels)
        assert torch.allclose(alone.drops[:, 0], found.drops[:, number], atol=1e-6)


@pytest.mark.parametrize("clusters", [2, 3, 11, 16])
def test_any_number_of_clusters_up_to_that_of_the_patches(
    tiny_clip: Path,
    tiny_hf_siglip: Path,
    pixels: torch.Tensor,
    make_texts: Make,
    masking_oracle: Make,
    clusters: int,
) -> None:
    for folder in (tiny_clip, tiny_hf_siglip):
        model = load_model(f"local:{folder}")
        texts = make_texts(model)
        found = explain(model, pixels[:2], texts, clusters=clusters, restarts=2)
        assert found.sizes.sum(1).tolist() == [16, 16]
        assert found.labels.amax() < clusters
        assert torch.isfinite(found.maps).all()
        masked = masking_oracle(model, pixels[:2], found.labels, clusters) @ texts.T
        expected = found.cosines[..., None] - masked.mT
        assert torch.allclose(found.drops, expected, atol=2e-6)


def test_without_any_token_an_image_has_no_direction(
    tiny_clip: Path,
    tiny_siglip: Path,
    pixels: torch.Tensor,
    make_texts: Make,
    masking_oracle: Make,
) -> None:
    pooled = load_model(f"local:{tiny_siglip}")
    for layers in ("all", "last"):
        found = explain(pooled, pixels, make_texts(pooled), clusters=1, layers=layers)
        assert torch.equal(found.drops[..., 0], found.cosines)
        assert found.flat.all()
    classed = load_model(f"local:{tiny_clip}")
    texts = make_texts(classed)
    found = explain(classed, pixels, texts, clusters=1)
    alone = masking_oracle(classed, pixels, found.labels, 1) @ texts.T
    assert torch.allclose(found.drops[..., 0], found.cosines - alone[:, 0], atol=2e-6)
    assert found.flat.all()


def test_weights_and_maps_follow_from_the_drops(
    model: Model, pixels: torch.Tensor, make_texts: Make
) -> None:
    texts = make_texts(model)
    found = explain(model, pixels, texts)
    positive = found.drops.clamp_min(0)
    sums = positive.sum(2, keepdim=True)
    assert (sums > 1e-3).any()
    expected = torch.where(sums > 1e-6, positive / sums, 0)
    assert torch.allclose(found.weights, expected, atol=1e-6)
    for image, text, row, column in ((0, 0, 0, 0), (4, 2, 3, 1), (2, 1, 1, 3)):
        label = found.labels[image, row, column]
        assert found.maps[image, text, row, column] == found.weights[image, text, label]


def test_the_papers_normalisation_divides_by_the_plain_sum_and_says_where_that_is_unsound(
    model: Model, pixels: torch.Tensor, make_texts: Make
) -> None:
    texts = make_texts(model, count=12)
    with pytest.warns(UserWarning, match="do not sum to a positive number"):
        found = explain(model, pixels, texts, normalisation="paper")
    assert torch.allclose(found.weights.sum(2), torch.ones(5, 12), atol=1e-3)
    negative = found.drops.sum(2) < 0
    assert torch.equal(found.doubtful, negative)
    # Turned upside down: the cluster whose masking helps most gets the largest weight.
    assert torch.equal(found.weights[negative].argmax(1), found.drops[negative].argmin(1))
    assert torch.equal(found.doubtful, explain(model, pixels, texts).doubtful)


def test_a_sum_of_drops_that_is_rounding_is_not_divided_by(
    tiny_clip: Path, pixels: torch.Tensor
) -> None:
    model = load_model(f"local:{tiny_clip}")
    method: Any = get_method("cci", normalisation="paper")
    drops = torch.tensor([[[0.1, -0.1, 3e-7], [0.3, 0.1, -0.1], [0.0, 0.0, 0.0]]])
    with pytest.warns(UserWarning, match="drops of 2 of 3 maps"):
        weights, doubtful = method._normalised(drops)
    assert doubtful.tolist() == [[True, False, True]]
    assert weights[0, 0].tolist() == weights[0, 2].tolist() == [0, 0, 0]
    assert torch.allclose(weights[0, 1], torch.tensor([1.0, 1 / 3, -1 / 3]))
    usual: Any = get_method("cci")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights, _ = usual._normalised(-drops.abs())
    assert not weights.any()
    zeros = torch.zeros(2, model.dim)
    assert explain(model, pixels, zeros).flat.all()


def test_an_image_of_one_colour_has_a_flat_map_and_says_so(
    model: Model, pixels: torch.Tensor, make_texts: Make
) -> None:
    blank = torch.tensor([0.3, -1.0, 0.7])[None, :, None, None].expand(1, 3, 32, 32)
    found = explain(model, torch.cat([pixels[:2], blank]), make_texts(model))
    assert found.flat.tolist() == [[False] * 3, [False] * 3, [True] * 3]
    assert not found.maps[2].any()
    assert found.maps[:2].any()


@pytest.mark.parametrize("tokens", ["last", "normed", "projected", "input", 1, 3])
def test_tokens_are_those_of_the_layer_that_is_asked_for(
    tiny_clip: Path, pixels: torch.Tensor, make_texts: Make, tokens: str | int
) -> None:
    from covar_gen.evaluation.attribution._passes import plain_pass
    from covar_gen.evaluation.attribution._towers import tower_of

    model = load_model(f"local:{tiny_clip}")
    visual: Any = model.module.visual
    with torch.no_grad():
        x = visual._embeds(pixels)
        for block in list(visual.transformer.resblocks)[: {"input": 0}.get(str(tokens), 3)]:
            x = block(x)
            if tokens == 1:
                break
        if tokens in {"normed", "projected"}:
            x = visual.ln_post(x)
        if tokens == "projected":
            x = x @ visual.proj
        found = plain_pass(tower_of(model), pixels, tokens).taken
    assert torch.allclose(found, x[:, 1:], atol=1e-5)
    assert explain(model, pixels, make_texts(model), tokens=tokens).sizes.sum() == 80


def test_tokens_of_unit_length_are_clustered_by_direction(
    tiny_hf_clip: Path, pixels: torch.Tensor, make_texts: Make
) -> None:
    model = load_model(f"local:{tiny_hf_clip}")
    texts = make_texts(model)
    raw = explain(model, pixels, texts)
    scaled = explain(model, pixels, texts, unit_tokens=True)
    assert not torch.equal(raw.labels, scaled.labels)


def test_the_seed_and_the_restarts_are_those_of_kmeans(
    tiny_clip: Path, pixels: torch.Tensor, make_texts: Make
) -> None:
    model = load_model(f"local:{tiny_clip}")
    texts = make_texts(model)
    found = [
        explain(model, pixels, texts, clusters=8, seed=seed, restarts=restarts).labels
        for seed, restarts in ((0, 1), (0, 1), (1, 1), (0, 50))
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[3])


@pytest.mark.parametrize("layers", ["all", "last"])
def test_an_empty_cluster_has_no_drop_at_all(
    model: Model,
    pixels: torch.Tensor,
    make_texts: Make,
    layers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from covar_gen.evaluation.attribution import _kmeans

    labels = (torch.arange(16) % 3).expand(5, -1)
    found = _kmeans.Clusters(labels, torch.zeros(5, 7), torch.zeros(5))
    monkeypatch.setattr(_kmeans, "kmeans", lambda *_, **__: found)
    drops = explain(model, pixels, make_texts(model), layers=layers).drops
    assert not drops[..., 3:].any()
    assert drops[..., :3].all()


def test_the_model_is_left_as_it_was_even_after_a_failure(
    model: Model, pixels: torch.Tensor, make_texts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from covar_gen.evaluation.attribution import _passes

    texts = make_texts(model)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    source = pixels.clone()
    with torch.no_grad():
        answer = model.encode_image(pixels)
    explain(model, pixels, texts)

    def fail(*_: object) -> None:
        msg = "in the middle of it"
        raise RuntimeError(msg)

    monkeypatch.setattr(_passes, "_removed", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        explain(model, pixels, texts)
    for module in model.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not model.module.training
    after = model.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(pixels, source)
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert torch.equal(model.encode_image(pixels), answer)


def test_bf16_is_close_to_fp32(
    tiny: Path, pixels: torch.Tensor, make_texts: Make, masking_oracle: Make
) -> None:
    exact = load_model(f"local:{tiny}")
    rounded = load_model(f"local:{tiny}", precision="bf16")
    texts = make_texts(exact)
    found = explain(rounded, pixels, texts)
    assert found.maps.dtype == found.drops.dtype == torch.float32
    masked = masking_oracle(exact, pixels, found.labels, 7) @ texts.T
    assert torch.allclose(found.cosines[..., None] - found.drops, masked.mT, atol=0.03)


def test_more_clusters_than_patches_are_refused_in_a_line(
    model: Model, pixels: torch.Tensor, make_texts: Make
) -> None:
    with pytest.raises(PluginError) as error:
        explain(model, pixels, make_texts(model), clusters=17)
    line = error.value.line()
    assert line.startswith("PluginError: method cci.clusters: 17 clusters of 16 patches. ")
    assert "Choose at most 16" in line


@pytest.mark.parametrize("clusters", [0, 21, "many"])
def test_a_number_of_clusters_that_cannot_be_is_refused(clusters: object) -> None:
    with pytest.raises(PluginError, match=r"method cci\.clusters: "):
        get_method("cci", clusters=clusters)


def test_tokens_that_a_tower_does_not_have_are_refused(
    tiny_siglip: Path, pixels: torch.Tensor, make_texts: Make
) -> None:
    model = load_model(f"local:{tiny_siglip}")
    with pytest.raises(PluginError, match="no projection of single patches"):
        explain(model, pixels, make_texts(model), tokens="projected")
    with pytest.raises(PluginError, match="has 3 blocks, not 4"):
        explain(model, pixels, make_texts(model), tokens=4)


def test_images_and_texts_of_another_shape_are_refused(
    tiny_clip: Path, pixels: torch.Tensor, make_texts: Make
) -> None:
    model = load_model(f"local:{tiny_clip}")
    texts = make_texts(model)
    with pytest.raises(ModelError, match=r"its images are \(B, 3, 32, 32\), got \(5, 3, 4, 4\)"):
        explain(model, pixels[..., :4, :4], texts)
    for wrong in (texts[:, :-1], texts[0], texts.expand(4, 3, -1)):
        with pytest.raises(ModelError, match="its texts are"):
            explain(model, pixels, wrong)


def test_a_tower_that_does_something_else_is_refused(
    tiny_clip: Path, pixels: torch.Tensor, make_texts: Make
) -> None:
    model = load_model(f"local:{tiny_clip}")
    texts = make_texts(model)
    blocks: Any = model.module.visual.transformer.resblocks  # type: ignore[union-attr]
    # Changed by a hook: the parts are known, the answer is another.
    handle = blocks[1].register_forward_hook(lambda _module, _inputs, output: output * 1.5)
    with pytest.raises(ModelError, match="cannot be taken apart exactly"):
        explain(model, pixels, texts)
    handle.remove()
    explain(model, pixels, texts)

    class Other(type(blocks[1])):  # type: ignore[misc]
        pass

    blocks[1].__class__ = Other
    with pytest.raises(ModelError) as error:
        explain(model, pixels, texts)
    line = error.value.line()
    assert "local:tiny-clip: its image tower cannot be taken apart exactly. Known are" in line


def test_sequences_side_by_side_are_attended_to_as_one_after_the_other() -> None:
    from covar_gen.evaluation.attribution._passes import _attend_padded, attend

    source = torch.Generator().manual_seed(2)
    three = [torch.randn(18, 3, 8, generator=source) for _ in range(3)]
    projected = (three[0], three[1], three[2])
    lengths = [5, 1, 8, 4]
    together = attend(projected, lengths)
    assert torch.allclose(_attend_padded(projected, lengths), together, atol=1e-6)
    assert torch.allclose(together[5], three[2][5].flatten())
    same = attend(projected, [6, 6, 6])
    assert torch.allclose(_attend_padded(projected, [6, 6, 6]), same, atol=1e-6)
