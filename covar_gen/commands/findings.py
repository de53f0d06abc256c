"""What `covar-gen doctor` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what.
        fine: True if nothing has to be done.
        said: what was found.
        mend: what to do, where something has to be done.
    """

    name: str
    fine: bool
    said: str
    mend: str = ""
