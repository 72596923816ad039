"""`[compute]`"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...tools.core.types import Frozen


class ComputeSettings(Frozen):
    """Where relaxations, generation and evaluations run. None of it changes a key."""

    engine: Literal["local", "dask", "slurm", "pbs"] = "local"
    """`dask`: a scheduler at `address`; `slurm`, `pbs`: Dask workers as batch jobs."""
    address: str = ""
    """Of a Dask scheduler, e.g. tcp://127.0.0.1:8786. Whoever reaches it can run code: keep it on a private network."""
    connect_s: float = Field(default=15.0, gt=0, le=600)
    """How long a scheduler may take to answer."""
    piece: int = Field(default=4, ge=1, le=1000)
    """Crystals that one worker relaxes together; fixed, so that results do not depend on the number of workers."""
    piece_limit_s: float = Field(default=3600.0, gt=0)
    """A piece that takes longer is done by the agent itself."""
    lost_after_s: float = Field(default=900.0, gt=0)
    """An evaluation elsewhere without a sign of life for so long, while the scheduler is silent, goes to a person."""
    queue: str = ""
    """Partition or queue of the batch system."""
    account: str = ""
    cores: int = Field(default=4, ge=1, le=4096)
    """Of one batch job."""
    memory_gb: float = Field(default=8.0, gt=0)
    walltime: str = "24:00:00"
    jobs: int = Field(default=4, ge=1, le=10_000)
    """Most batch jobs at a time."""
    idle_s: float = Field(default=300.0, ge=1, le=86_400)
    """How long a batch job with nothing to do is kept: between two rounds, a place in the queue is worth more."""
    prologue: tuple[str, ...] = ()
    """Lines of the job script before the worker starts, e.g. module loads."""
