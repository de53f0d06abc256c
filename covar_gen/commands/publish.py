"""`covar-gen publish`: a release made by several processes."""

from __future__ import annotations

from pathlib import Path

from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.core.store import Run
from covar_gen.release.index import Release, Workshop, read_release
from covar_gen.release.reading import open_manifest
from covar_gen.stage_publish import Options, identity_of


def publish(run: Run, out: Path, options: Options | None = None, *, processes: int = 1) -> Release:
    """Make a release of a finished run, or go on with one.

    Args:
        run: the run.
        out: the release's folder; made if it is not there.
        options: how it is made; None: JPEG of quality 95, files of about 400 MB.
        processes: how many share the files.

    Returns:
        The release, complete.

    Raises:
        IncompleteInputError: the run is not finished.
        ReleaseFolderError: the folder holds something else.
        StageFailedError: a process ended with an error; its exit code is kept.
    """
    options = options or Options()
    # Said here once instead of by every process.
    manifest = open_manifest(run)
    Workshop(out).compare(identity_of(run, manifest, options))
    manifest.close()
    encoder = options.encoder
    arguments = ["--run", str(run.root), "--out", str(out), "--shard-mb", str(options.shard_mb)]
    arguments += ["--format", encoder.format, "--quality", str(encoder.quality)]
    run_processes("stage_publish", arguments, processes, progress("publish"))
    return read_release(out)
