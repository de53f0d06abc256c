"""`covar-gen verify` of a release: all of `release.checking`, and a sample of it made again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.compute as pc

from covar_gen.commands.verify import Verified, verify
from covar_gen.core.seeds import choose, generator, seed_of
from covar_gen.core.store import Run
from covar_gen.release.checking import Checked, check_release, kept_problem
from covar_gen.release.index import Release, read_release
from covar_gen.release.restoring import read_rows, restore

PHOTOGRAPHS = 2
"""Photographs of which everything is made again, at most."""


def verify_release(
    folder: Path, *, sample: int = 16, tolerance: int = 0, threads: int = 2
) -> tuple[Checked, Verified]:
    """Check a release, and make a sample of its images again.

    Args:
        folder: the release.
        sample: rows of each table to make again, of a few photographs.
        tolerance: grey levels by which a pixel may differ: 0 with the versions that made it, 1
            elsewhere, more for neural models.
        threads: for reading and decoding.

    Returns:
        What was found in the release, and in the images that were made again.

    Raises:
        ReleaseFolderError: no release.
    """
    release = read_release(folder)
    found = check_release(release, threads=threads)
    encoder = release.identity["encoder"]
    lossless = isinstance(encoder, dict) and encoder["format"] == "png"
    if found.problems or not sample or not lossless:
        return found, Verified()
    if found.other_columns:
        found.left_out.append("images made again: a run has the columns of today")
        return found, Verified()
    with TemporaryDirectory(prefix="covar-verify-") as place:
        out = Path(place) / "run"
        run = restore(release, out, sources=_sources(release), threads=threads).run
        _check_promises(run, tolerance, found)
        made = verify(run, sample=sample, tolerance=tolerance, threads=threads)
    return found, made


def _sources(release: Release) -> list[str]:
    """Keys of a few photographs, the same ones every time."""
    rows = read_rows(release).select(["key", "subset", "status"])
    there = pc.and_(pc.equal(rows["subset"], "original"), pc.equal(rows["status"], "ok"))
    keys = rows.filter(there)["key"].to_pylist()
    rng = generator(seed_of(0, "verify", str(release.identity["manifest_sha256"])))
    return [keys[place] for place in sorted(choose(rng, len(keys), min(PHOTOGRAPHS, len(keys))))]


def _check_promises(run: Run, tolerance: int, found: Checked) -> None:
    """Known pixels of every image of the sample."""
    rows = run.manifest()
    for row in rows.filter(pc.equal(rows["status"], "ok")).to_pylist():
        if problem := kept_problem(run, row, tolerance):
            found.problems.append((row["key"], problem))
