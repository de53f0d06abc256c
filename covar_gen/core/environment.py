"""What a process ran on: recorded beside a table, never compared and never refused."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from functools import cache
from importlib import metadata
from pathlib import Path

from covar_gen.core.arrays import Json
from covar_gen.core.files import Staging
from covar_gen.core.ranks import Ranks

_PACKAGES = (
    "covar-gen", "numpy", "opencv-python", "pillow", "pyarrow", "datasets", "torch", "diffusers",
    "transformers", "accelerate", "open_clip_torch", "timm", "simplejpeg",
)  # fmt: skip


def record(folder: Path, ranks: Ranks, staging: Staging, **more: Json) -> None:
    """Write `made_with-<token>.json`: code revision, packages, machine, this process's rank."""
    said = {**code(), "packages": packages(), **_process(ranks), **more}
    text = json.dumps(said, indent=2) + "\n"
    staging.replace(folder / f"made_with-{staging.token}.json", text.encode())


def _process(ranks: Ranks) -> dict[str, Json]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "rank": ranks.rank,
        "world": ranks.world,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@cache
def code() -> dict[str, Json]:
    """Git revision of the checkout that runs, and whether it has changes; nulls in a wheel."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {"revision": None, "dirty": None}
    revision = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def packages() -> dict[str, Json]:
    """Versions of the packages that decide pixels; those not installed are left out."""
    found: dict[str, Json] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
