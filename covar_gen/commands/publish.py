"""`covar-gen publish`: a release made by several processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.core.store import Run
from covar_gen.release.about import read_about
from covar_gen.release.encoding import Encoder
from covar_gen.release.index import Release, Workshop, read_release
from covar_gen.release.making import Options, check_packages, identity_of
from covar_gen.release.reading import open_manifest


def publish(
    run: Run,
    out: Path,
    *,
    encoder: Encoder | None = None,
    shard_mb: int = 400,
    about: Path | None = None,
    repo: str | None = None,
    processes: int = 1,
) -> Release:
    """Make a release of a finished run, or go on with one.

    A release that is complete and described otherwise is described anew; no image is encoded again.

    Args:
        run: the run.
        out: the release's folder; made if it is not there.
        encoder: of its images; None: JPEG of quality 95.
        shard_mb: size of a file, megabytes, about.
        about: about.toml, what its makers say; None: nothing.
        repo: USER/NAME on the Hub, where it is to be, for the card; nothing is sent there.
        processes: how many share the files.

    Returns:
        The release, complete.

    Raises:
        MissingExtraError: what describes a release is not installed.
        IncompleteInputError: the run is not finished.
        RecipeError: about.toml cannot be understood.
        ReleaseFolderError: the folder holds something else.
        StageFailedError: a process ended with an error; its exit code is kept.
    """
    options = Options(encoder or Encoder(), shard_mb, read_about(about), repo)
    check_packages()
    # Said here once instead of by every process.
    with contextlib.closing(open_manifest(run)) as manifest:
        Workshop(out).compare(identity_of(run, manifest, options))
    encoder = options.encoder
    arguments = ["--run", str(run.root), "--out", str(out), "--shard-mb", str(shard_mb)]
    arguments += ["--format", encoder.format, "--quality", str(encoder.quality)]
    arguments += ["--about", str(about)] if about is not None else []
    arguments += ["--repo", repo] if repo is not None else []
    run_processes("stage_publish", arguments, processes, progress("publish"))
    return read_release(out)
