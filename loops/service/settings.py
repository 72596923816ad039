"""`[service]`"""

from __future__ import annotations

from pydantic import Field

from ...tools.core.types import Frozen


class ServiceSettings(Frozen):
    """How `lodestone serve` looks after campaigns."""

    cores: int = Field(default=0, ge=0, le=4096)
    """Cores to share out; 0: all that the service may use."""
    poll_s: float = Field(default=1.0, gt=0, le=60)
    """Between looks at campaigns and their control files."""
    quantum_s: float = Field(default=900.0, gt=0)
    """How long a campaign works before one that waits may take its place."""
    max_failures: int = Field(default=10, ge=1)
    """Ends without progress in a row, after which a person is asked."""
    backoff_s: float = Field(default=1.0, gt=0)
    """Wait after the first failure; doubled after each further one."""
    backoff_max_s: float = Field(default=600.0, gt=0)
    """Longest such wait."""
    stop_wait_s: float = Field(default=60.0, gt=0)
    """How long a campaign may take to stop cleanly before it is killed (which loses nothing either)."""
    log_mb: float = Field(default=10.0, gt=0)
    """A log file that is larger is rotated."""
    log_files: int = Field(default=5, ge=1, le=100)
    """Rotated logs that are kept."""
    max_disk_gb: float = Field(default=20.0, gt=0)
    """Of one campaign; beyond it scratch folders of finished evaluations go, the oldest first."""
    min_free_gb: float = Field(default=1.0, ge=0)
    """With less free disk than this all campaigns pause until there is more."""
