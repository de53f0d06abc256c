"""How open_clip's models are found, checked and built."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.base import Model, Precision
from covar_gen.evaluation.models.failures import one_line
from covar_gen.evaluation.models.hub import SMALL, fetch
from covar_gen.evaluation.models.open_clip_model import OpenClipModel, preprocessing_of
from covar_gen.evaluation.models.tokenizing import Tokenizer, check_tokenizer_files
from covar_gen.evaluation.models.weights import restore_scale
from covar_gen.evaluation.models.zoo import groups
from covar_gen.evaluation.preprocessing import Preprocessing

_CONFIG = "open_clip_config.json"
_FROM_TAG = ("mean", "std", "interpolation", "resize_mode", "fill_color")
"""What a tag says about its images; their size is the tower's."""


def from_tag(name: str, device: str, precision: Precision) -> Model:
    """A pair of open_clip, `NAME/tag`.

    Raises:
        ModelError: no such pair (near ones are offered), the name builds another activation than
            the weights were trained with, or the weights cannot be had.
    """
    import open_clip

    model, config, weights = check_tag(name)
    repo = str(weights.get("hf_hub", "")).rpartition("/")[0]
    check_own(name, str(weights.get("hf_hub", "")))
    tokenizer = _tokenizer(model, config["text_cfg"], None, repo, name)
    file = _weights(weights, name)
    with one_line(name, "open_clip"):
        built = open_clip.create_model(
            model,
            pretrained=file,
            precision=precision,
            device=device,
            force_preprocess_cfg=published_preprocessing(weights),
            require_pretrained=True,
            **_towers(config, name),
        )
        restore_scale(built, [Path(file)])
    return _model(built, name, repo, tokenizer)


def check_tag(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """What open_clip knows of a pair, before anything is loaded.

    Returns:
        The name without the tag, the model's configuration, the tag's.

    Raises:
        ModelError: no such pair (near ones are offered), or the name builds another activation
            than the weights were trained with.
    """
    import open_clip

    model, _, tag = name.rpartition("/")
    pairs = {f"{each}/{its}" for each, its in open_clip.list_pretrained()}
    # open_clip reads tags in either spelling.
    if f"{model}/{tag.lower().replace('-', '_')}" not in pairs and name not in pairs:
        raise _unknown(name, pairs)
    weights = open_clip.get_pretrained_cfg(model, tag)
    config = open_clip.get_model_config(model)
    check_activation(name, bool(config.get("quick_gelu")), bool(weights.get("quick_gelu")), pairs)
    return model, config, weights


def from_folder(folder: Path, name: str, repo: str, device: str, precision: Precision) -> Model:
    """A folder with open_clip_config.json and weights.

    Args:
        folder: where it is.
        name: the model's name.
        repo: of the Hub, if it was fetched from there; else empty.
        device: where its towers go.
        precision: of their arithmetic.

    Raises:
        ModelError: the configuration says too little, or the weights are missing or damaged.
    """
    import open_clip

    config = _read(folder / _CONFIG, name)
    check_published(name, repo, bool(config["model_cfg"].get("quick_gelu")))
    text = config["model_cfg"]["text_cfg"]
    tokenizer = _tokenizer("", text, folder, repo, name)
    with one_line(name, "open_clip"):
        built = open_clip.create_model(
            f"local-dir:{folder}",
            precision=precision,
            device=device,
            require_pretrained=True,
            **_towers(config["model_cfg"], name),
        )
        restore_scale(built, _loaded(folder))
    return _model(built, name, repo, tokenizer)


def from_object(
    model: Any, name: str, preprocessing: object | None, tokenizer: Tokenizer | None
) -> Model:
    """A model object of open_clip, as it is.

    Raises:
        ModelError: it is in training mode, or its preprocessing is not known.
    """
    import open_clip

    if preprocessing is None:
        preprocessing = preprocessing_of(open_clip.get_model_preprocess_cfg(model), name)
    if not isinstance(preprocessing, Preprocessing):
        what = f"preprocessing is a {type(preprocessing).__name__}"
        raise ModelError(what, where=name, mend="Pass a Preprocessing, or none at all")
    return OpenClipModel(
        model, name=name, source="", preprocessing=preprocessing, tokenizer=tokenizer, ours=False
    )


def published_preprocessing(weights: dict[str, Any]) -> dict[str, Any]:
    """What a tag's configuration says about its images, but for their size.

    Args:
        weights: `open_clip.get_pretrained_cfg(NAME, tag)`.
    """
    return {key: weights[key] for key in _FROM_TAG if key in weights}


def check_activation(name: str, built: bool, trained: bool, pairs: set[str]) -> None:  # noqa: FBT001 - two answers to one question
    """Refuse a name that builds another activation than the weights were trained with.

    open_clip 3 only warns, and computes with the wrong one.

    Args:
        name: `NAME/tag`.
        built: True if NAME builds QuickGELU.
        trained: True if the tag was trained with it.
        pairs: every `NAME/tag` there is.

    Raises:
        ModelError: they differ; the right name is offered where there is one.
    """
    if built == trained:
        return
    model, _, tag = name.rpartition("/")
    other = f"{model}-quickgelu" if trained else model.removesuffix("-quickgelu")
    words = {True: "QuickGELU", False: "GELU"}
    what = f"these weights were trained with {words[trained]}, {model} builds {words[built]}"
    right = f"{other}/{tag}"
    mend = f"Write {right}" if right in pairs else f"Choose weights trained with {words[built]}"
    raise ModelError(what, where=name, mend=mend)


def check_published(name: str, repo: str, built: bool) -> None:  # noqa: FBT001 - see above
    """The same for a repository of the Hub that open_clip's own table knows.

    Raises:
        ModelError: its configuration builds another activation than the table says.
    """
    import open_clip

    if not repo:
        return
    cfgs = [open_clip.get_pretrained_cfg(*pair) for pair in open_clip.list_pretrained()]
    said = {
        bool(cfg.get("quick_gelu"))
        for cfg in cfgs
        if str(cfg.get("hf_hub", "")).rpartition("/")[0] == repo
    }
    if len(said) == 1 and built not in said:
        words = {True: "QuickGELU", False: "GELU"}
        what = f"its configuration builds {words[built]}, it was trained with {words[not built]}"
        raise ModelError(what, where=name, mend="Write its open_clip name instead: NAME/tag")


def check_own(name: str, place: str) -> None:
    """Refuse a tag whose weights are another tag's: a slip in open_clip's table.

    open_clip 3.3 fetches laion400m_e31 of ViT-B-16-plus-240 for laion400m_e32.

    Args:
        name: `NAME/tag`.
        place: where open_clip finds its weights on the Hub.

    Raises:
        ModelError: the place bears the name of another tag of the same model.
    """
    import open_clip

    model, _, tag = name.rpartition("/")
    for other in open_clip.list_pretrained_tags_by_model(model):
        theirs = open_clip.get_pretrained_cfg(model, other).get("hf_hub")
        if other != tag and theirs == place and place.rstrip("/").endswith(f".{other}"):
            what = f"open_clip fetches the weights of {other} for it"
            raise ModelError(what, where=name, mend=f"Write {model}/{other}, which they are")


def _unknown(name: str, pairs: set[str]) -> ModelError:
    """The answer to a name that is no pair: the nearest of its model's tags, or of all names."""
    model, _, tag = name.rpartition("/")
    if not model:
        return _without_tag(name, pairs)
    pairs = {pair for pair in pairs if _fits(pair)}
    like = {pair for pair in pairs if pair.rpartition("/")[0].startswith(model)}
    tags = sorted(like, key=len, reverse=True)
    if tags:
        own = {pair.rpartition("/")[2]: pair for pair in tags}
        offered = [own[each] for each in difflib.get_close_matches(tag, own, n=3, cutoff=0)]
    else:
        lowered = {pair.lower(): pair for pair in sorted(pairs)}
        near = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)
        offered = [lowered[each] for each in near]
    hint = f"Did you mean {' or '.join(offered)}? " if offered else ""
    mend = f"{hint}`covar-gen list models` shows the zoo, open_clip.list_pretrained() all names"
    return ModelError("there is no such model", where=name, mend=mend)


def _without_tag(name: str, pairs: set[str]) -> ModelError:
    """The answer to a name without a tag: the model's own tags, or the groups of the zoo."""
    own = sorted(pair for pair in pairs if pair.rpartition("/")[0].lower() == name.lower())
    if own:
        mend = f"Write one of: {', '.join(own)}"
        return ModelError("a model of open_clip is written NAME/tag", where=name, mend=mend)
    near = difflib.get_close_matches(name.lower(), groups(), n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    mend = f"{hint}Groups: {', '.join(groups())}; `covar-gen list models` shows the zoo"
    return ModelError("there is no such model or group", where=name, mend=mend)


def _fits(pair: str) -> bool:
    """True if a pair's name builds the activation that its weights were trained with."""
    import open_clip

    model, _, tag = pair.rpartition("/")
    built = bool((open_clip.get_model_config(model) or {}).get("quick_gelu"))
    return built == bool(open_clip.get_pretrained_cfg(model, tag).get("quick_gelu"))


def _weights(cfg: dict[str, Any], name: str) -> str:
    """Path of the weights of a tag, fetched if need be."""
    import open_clip

    place = str(cfg.get("hf_hub", ""))
    if not place or "file" in cfg:
        return str(open_clip.download_pretrained(cfg))
    repo, _, file = place.rpartition("/")
    file = file or "open_clip_pytorch_model.bin"
    # The names and their order are those of open_clip's own download.
    safe = {"open_clip_pytorch_model.bin": "open_clip_model.safetensors"}
    first = safe.get(file, f"{Path(file).stem}.safetensors")
    for each in (first, file):
        found = fetch(repo, [each], where=name) / each
        if found.is_file():
            return str(found)
    what = f"{repo} holds neither {first} nor {file}"
    raise ModelError(what, where=name, mend="Without a network, fetch it into the cache first")


def _loaded(folder: Path) -> list[Path]:
    """The file of weights that open_clip takes from a folder, which may hold several."""
    from open_clip import factory

    found = factory._find_checkpoint_in_dir(folder)  # noqa: SLF001 - a rule of our own could choose another file
    return [Path(found)] if found else []


def _towers(config: dict[str, Any], name: str) -> dict[str, Any]:
    """What create_model needs beside the configuration: text towers of transformers fetched."""
    text = config["text_cfg"]
    if "hf_model_name" not in text:
        return {}
    folder = fetch(text["hf_model_name"], SMALL, where=name)
    return {"text_cfg": {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}}


def _tokenizer(
    model: str, text: dict[str, Any], folder: Path | None, repo: str, name: str
) -> Tokenizer:
    """The tokenizer, as `open_clip.get_tokenizer` chooses it, from files that are here."""
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    published = text.get("hf_tokenizer_name")
    with one_line(name, "open_clip"):
        if not published:
            found: Tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}" if folder else model)
            return found
        if folder is None or (repo and published != repo):
            folder = fetch(published, SMALL, where=name)
        check_tokenizer_files(folder, name)
        made: Tokenizer = HFTokenizer(
            str(folder),
            context_length=text.get("context_length", 77),
            tokenizer_mode=text.get("tokenizer_mode"),
            **(text.get("tokenizer_kwargs") or {}),
        )
    return made


def _model(built: Any, name: str, repo: str, tokenizer: Tokenizer) -> Model:
    import open_clip

    return OpenClipModel(
        built.eval(),
        name=name,
        source=repo,
        preprocessing=preprocessing_of(open_clip.get_model_preprocess_cfg(built), name),
        tokenizer=tokenizer,
        ours=True,
    )


def _read(path: Path, name: str) -> dict[str, Any]:
    """A folder's configuration, with all that must not be assumed."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        whole = {"vision_cfg", "text_cfg"} <= set(found["model_cfg"])
    except (ValueError, KeyError, TypeError) as error:
        mend = "Save the model again, or download it again"
        raise ModelError(f"{_CONFIG} is damaged", where=name, mend=mend) from error
    said = found.get("preprocess_cfg") or {}
    missing = [] if whole else ["model_cfg.vision_cfg and text_cfg"]
    missing += [f"preprocess_cfg.{key}" for key in ("mean", "std") if not said.get(key)]
    if missing:
        what = f"{_CONFIG} does not say {', '.join(missing)}"
        raise ModelError(what, where=name, mend="Add what the model was trained with")
    return found
