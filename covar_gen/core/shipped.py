"""Where the data that travels with the package lies: prompts/ and manifests/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: str) -> Path:
    """Folder `prompts` or `manifests`: beside the package in a checkout, inside it in a wheel."""
    installed = _PACKAGE / "shipped" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind
