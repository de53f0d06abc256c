"""Every line of the zoo builds what it says, under the names of the published weights."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models import ZooEntry, expand, zoo
from covar_gen.evaluation.models.open_clip_loading import published_preprocessing
from covar_gen.evaluation.models.open_clip_model import OpenClipModel, preprocessing_of
from covar_gen.evaluation.models.zoo import groups, members

OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# Edge, resize, mean and std, activation of both towers, tokens of the image tower. Read off the
# configurations that open_clip 3.3 publishes the weights with.
EXPECTED = {
    "ViT-B-32-256/datacomp_s34b_b86k": (256, "shortest", OPENAI, "GELU", 65),
    "ViT-B-16/datacomp_xl_s13b_b90k": (224, "shortest", OPENAI, "GELU", 197),
    "ViT-L-14/datacomp_xl_s13b_b90k": (224, "shortest", OPENAI, "GELU", 257),
    "ViT-L-14/laion2b_s32b_b82k": (224, "shortest", HALF, "GELU", 257),
    "ViT-H-14/laion2b_s32b_b79k": (224, "shortest", OPENAI, "GELU", 257),
    "ViT-bigG-14/laion2b_s39b_b160k": (224, "shortest", OPENAI, "GELU", 257),
    "ViT-L-14-quickgelu/dfn2b": (224, "shortest", OPENAI, "QuickGELU", 257),
    "ViT-SO400M-14-SigLIP2/webli": (224, "squash", HALF, "GELU", 256),
    "ViT-B-16-SigLIP-256/webli": (256, "squash", HALF, "GELU", 256),
    "ViT-B-16-SigLIP2-384/webli": (384, "squash", HALF, "GELU", 576),
    "ViT-B-32-SigLIP2-256/webli": (256, "squash", HALF, "GELU", 64),
    "ViT-B-16-SigLIP2-512/webli": (512, "squash", HALF, "GELU", 1024),
    "ViT-H-14-378-quickgelu/dfn5b": (378, "squash", OPENAI, "QuickGELU", 730),
    "ViT-H-14-quickgelu/dfn5b": (224, "squash", OPENAI, "QuickGELU", 257),
    "ViT-B-16-quickgelu/openai": (224, "shortest", OPENAI, "QuickGELU", 197),
    "ViT-B-32-quickgelu/openai": (224, "shortest", OPENAI, "QuickGELU", 50),
    "ViT-L-14-quickgelu/openai": (224, "shortest", OPENAI, "QuickGELU", 257),
    "ViT-L-14-336-quickgelu/openai": (336, "shortest", OPENAI, "QuickGELU", 577),
    "ViT-B-32-quickgelu/laion400m_e32": (224, "shortest", OPENAI, "QuickGELU", 50),
    "ViT-B-16/laion400m_e32": (224, "shortest", OPENAI, "GELU", 197),
    "ViT-B-16-plus-240/laion400m_e31": (240, "shortest", OPENAI, "GELU", 226),
    "ViT-L-14/laion400m_e32": (224, "shortest", OPENAI, "GELU", 257),
    "ViT-L-16-SigLIP-384/webli": (384, "squash", HALF, "GELU", 576),
}
PUBLISHED = [entry for entry in zoo() if entry.group != "toy"]


def build(entry: ZooEntry) -> OpenClipModel:
    """The model as `load_model` builds it, without any numbers in it."""
    name, _, tag = entry.name.partition("/")
    weights = open_clip.get_pretrained_cfg(name, tag)
    with torch.device("meta"):
        built: Any = open_clip.create_model(
            name, device="meta", force_preprocess_cfg=published_preprocessing(weights)
        )
        preprocessing = preprocessing_of(open_clip.get_model_preprocess_cfg(built), name)
        return OpenClipModel(
            built.eval().requires_grad_(False),
            name=entry.name,
            source="",
            preprocessing=preprocessing,
            tokenizer=None,
            ours=True,
        )


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_a_line_of_the_zoo_builds_the_published_model(entry: ZooEntry) -> None:
    name, _, tag = entry.name.partition("/")
    assert (name, tag) in open_clip.list_pretrained()
    cfg = open_clip.get_pretrained_cfg(name, tag)
    assert cfg["hf_hub"] == f"{entry.repo}/"
    built = bool(open_clip.get_model_config(name).get("quick_gelu"))
    assert built == bool(cfg.get("quick_gelu"))

    edge, resize, normalisation, activation, tokens = EXPECTED[entry.name]
    model = build(entry)
    grid = model.preprocessing.grid
    assert (grid.height, grid.width, grid.resize, grid.interpolation, grid.halves) == (
        edge, edge, resize, "bicubic", "even"
    )  # fmt: skip
    assert grid.edge == (0 if resize == "squash" else edge)
    assert model.preprocessing[1:] == normalisation
    inner: Any = model.module
    kinds = {type(each).__name__ for each in inner.modules() if "GELU" in type(each).__name__}
    assert kinds <= {activation, "GELUTanh"} if "SigLIP" in name else kinds == {activation}
    siglip = "SigLIP" in name
    assert model.pooling == ("attention" if siglip else "cls")
    rows, columns = model.patches
    assert rows * columns + (not siglip) == tokens
    assert (rows * entry.patch, entry.resolution) == (edge - edge % entry.patch, edge)
    parameters = sum(each.numel() for each in inner.visual.parameters()) / 1e6
    assert entry.vision_mparams == pytest.approx(parameters, abs=0.01)


@pytest.mark.parametrize(
    "entry", [e for e in PUBLISHED if "SigLIP" in e.name or "-32" in e.name], ids=lambda e: e.name
)
def test_the_operations_of_a_tower_are_those_counted(entry: ZooEntry) -> None:
    tower: Any = build(entry).module.visual
    edge = entry.resolution
    with FlopCounterMode(display=False) as counter:
        tower(torch.zeros(1, 3, edge, edge, device="meta"))
    assert entry.gflops == pytest.approx(counter.get_total_flops() / 1e9, rel=2e-3)


def test_the_groups_are_the_papers_eighteen_the_supplement_and_the_toys() -> None:
    assert groups() == ["paper", "supplement", "toy"]
    assert [len(zoo(group)) for group in groups()] == [18, 5, 3]
    assert [entry.name for entry in zoo() if entry.group != "toy"] == list(EXPECTED)
    assert members("toy") == ["toy:honest", "toy:shortcut", "toy:honest-siglip"]
    assert members("ViT-B-16") is None


def test_names_labels_and_folders_are_all_different() -> None:
    for field in ("name", "label"):
        values = [getattr(entry, field) for entry in zoo()]
        assert len(set(values)) == len(values)


def test_published_accuracies_are_given_for_all_but_siglip2_and_the_toys() -> None:
    without = {entry.name for entry in zoo() if entry.imagenet_top1 is None}
    assert without == {name for name in EXPECTED if "SigLIP2" in name} | set(members("toy") or [])
    best = max(PUBLISHED, key=lambda entry: entry.imagenet_top1 or 0)
    assert (best.name, best.imagenet_top1) == ("ViT-H-14-378-quickgelu/dfn5b", 84.37)


def test_groups_and_lists_expand_to_names_each_once_in_order() -> None:
    assert expand("toy") == ["toy:honest", "toy:shortcut", "toy:honest-siglip"]
    assert expand("toy:shortcut, toy") == ["toy:shortcut", "toy:honest", "toy:honest-siglip"]
    assert expand(["local:a,local:b", "toy:honest", "local:a"]) == [
        "local:a", "local:b", "toy:honest"
    ]  # fmt: skip
    assert len(expand("paper,supplement")) == 23


def test_nothing_and_unknown_groups_are_refused_with_what_there_is() -> None:
    with pytest.raises(ModelError, match="no model was named") as caught:
        expand(" , ")
    assert "paper, supplement, toy" in caught.value.mend
    with pytest.raises(ModelError, match="unknown group of models 'papers'") as caught:
        zoo("papers")
    assert caught.value.mend.startswith("Did you mean 'paper'?")
