"""Names of Emu2's weights: those of both layouts, brought to one.

The folder on the Hub and the native file hold the same tensors under other prefixes, and the EVA
tower's biases in another form: one for queries, keys and values together there, one each for
queries and values here. Keys have no bias in this tower, so the part of the fused one that is
theirs has to be zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from covar_gen.neural.headers import Entry

Part = Literal["visual", "lm", "project_up", "project_down", "unet", "vae", "safety_checker"]
"""Networks that are loaded one by one; each has its own names."""

Layout = Literal["hub", "native"]

ENCODER = "multimodal_encoder"
"""Folder of tower, language model and both projections on the Hub."""

PREFIXES: Mapping[str, Mapping[str, Part]] = {
    "native": {
        "multimodal_encoder.visual.": "visual",
        "multimodal_encoder.decoder.lm.model.": "lm",
        "multimodal_encoder.project_up.": "project_up",
        "multimodal_encoder.project_down.": "project_down",
        "unet.": "unet",
        "vae.": "vae",
        "safety_checker.": "safety_checker",
    },
    ENCODER: {
        "model.visual.": "visual",
        "model.decoder.lm.model.": "lm",
        "project_up.": "project_up",
        "project_down.": "project_down",
    },
    "unet": {"": "unet"},
    "vae": {"": "vae"},
    "safety_checker": {"": "safety_checker"},
}
"""By native file or folder of the Hub: which part has names that start so."""

IGNORED = (
    # Rounded to bfloat16 in the files: positions have to be computed in float32.
    "rotary_emb.inv_freq",
    # Words are never written.
    "decoder.lm.lm_head.weight",
    # Counts from 0.
    "embeddings.position_ids",
)
"""Ends of names that the files have and that are not read."""

DOUBLED, ONCE = "vision_model.vision_model.", "vision_model."
"""Start of names of the safety checker, in its files and as newer versions of transformers say."""

NAMED = 4
"""How many names a message gives; of more, the number is said."""

FUSED, QUERIES, VALUES = "attn.qkv.bias", "attn.q_bias", "attn.v_bias"


@dataclass(frozen=True)
class Source:
    """Where a tensor comes from.

    Attributes:
        shape: of the tensor.
        entries: one; or a bias of queries and one of values, with zeros for the keys between.
    """

    shape: tuple[int, ...]
    entries: tuple[Entry, ...]


def sorted_by_part(
    entries: Iterable[Entry], prefixes: Mapping[str, Part]
) -> tuple[dict[Part, dict[str, Source]], list[str]]:
    """Tensors by part and name, in the order of the files, and the names that nothing is known of.

    Args:
        entries: of all files that share their prefixes.
        prefixes: of PREFIXES.
    """
    found: dict[Part, dict[str, Source]] = {}
    unknown: list[str] = []
    for entry in entries:
        if entry.key.endswith(IGNORED):
            continue
        prefix = next((each for each in prefixes if entry.key.startswith(each)), None)
        if prefix is None:
            unknown.append(entry.key)
            continue
        named = found.setdefault(prefixes[prefix], {})
        name = canonical(entry.key.removeprefix(prefix))
        if name in named:
            unknown.append(f"{entry.key} (a second time)")
        named[name] = Source(entry.shape, (entry,))
    if "visual" in found:
        found["visual"] = _fused(found["visual"])
    return found, unknown


def canonical(name: str) -> str:
    """The one name of a tensor that versions of transformers call differently."""
    return name.replace(DOUBLED, ONCE)


def _fused(named: Mapping[str, Source]) -> dict[str, Source]:
    """The tower's tensors, biases of queries and values under the name of the fused one."""
    found = dict(named)
    for name, queries in named.items():
        values, fused = name.replace(QUERIES, VALUES), name.replace(QUERIES, FUSED)
        # A pair that does not fit stays as it is, and is refused under its own names.
        if (
            name.endswith(QUERIES)
            and values in named
            and fused not in named
            and named[values].shape == queries.shape
        ):
            both = (*found.pop(name).entries, *found.pop(values).entries)
            found[fused] = Source((3 * queries.shape[0],), both)
    return found
