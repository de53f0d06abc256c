"""The head of a release's README.md: by it `datasets` and the Hub know the configurations."""

from __future__ import annotations

from typing import Any

from covar_gen.core.recipe import Recipe
from covar_gen.release.index import Entry, Release
from covar_gen.release.schema import ALL, SPLIT, features_of, label_names


def configs_head(release: Release, recipe: Recipe) -> dict[str, Any]:
    """Keys `configs` and `dataset_info` of the YAML at the head of README.md.

    `all` is the default: the files of every subset, none of them copied.

    Args:
        release: with all its tables.
        recipe: of the run.
    """
    files = release.configs
    every = [entry for subset in release.subsets for entry in files[subset]]
    held = {ALL: every, **files}
    configs: list[dict[str, Any]] = []
    for config in held:
        folders = release.subsets if config == ALL else [config]
        patterns = [f"data/{folder}/{SPLIT}-*.parquet" for folder in folders]
        entry: dict[str, Any] = {
            "config_name": config,
            "data_files": [{"split": SPLIT, "path": patterns if config == ALL else patterns[0]}],
        }
        configs.append({**entry, "default": True} if config == ALL else entry)
    names = label_names(recipe)
    infos = [_info(config, entries, names) for config, entries in held.items()]
    return {"configs": configs, "dataset_info": infos}


def _info(config: str, entries: list[Entry], names: list[str]) -> dict[str, Any]:
    size = sum(entry.data_bytes or 0 for entry in entries)
    rows = sum(entry.rows or 0 for entry in entries)
    features = features_of(config, names)
    return {
        "config_name": config,
        "features": features._to_yaml_list(),  # noqa: SLF001 - how the library writes cards itself
        "splits": [{"name": SPLIT, "num_bytes": size, "num_examples": rows}],
        "download_size": sum(entry.bytes for entry in entries),
        "dataset_size": size,
    }
