"""Which process of how many this is. No barrier, no gather, no process group."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from covar_gen.core.errors import LaunchError


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the work.

    Attributes:
        rank: number of this process over all machines, from 0.
        world: number of processes over all machines.
        local: number of this process on its machine: chooses the device.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Ranks:
        """Read RANK, WORLD_SIZE and LOCAL_RANK as launchers set them; absent = 0 of 1.

        Raises:
            LaunchError: a value that is no number, or a rank outside the world.
        """
        names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
        given = {name: environment.get(name, default) for name, default in names.items()}
        try:
            rank, world, local = (int(value) for value in given.values())
        except ValueError:
            rank, world, local = -1, 0, -1
        if not (0 <= rank < world and local >= 0):
            said = ", ".join(f"{name}={value}" for name, value in given.items())
            what = f"{said} is not a process of a launch"
            raise LaunchError(what, mend="Unset them or start with `accelerate launch`")
        return cls(rank, world, local)

    @property
    def first(self) -> bool:
        """True for the one process that makes what only one process may make."""
        return self.rank == 0
