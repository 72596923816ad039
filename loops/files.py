"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path

from ..tools.core.errors import LedgerError


def write_bytes(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, flush to disk, rename. Raises LedgerError when the disk refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LedgerError(
            f"Cannot write {path}: {error.strerror}.", "Free space or check permissions; nothing recorded was lost."
        ) from error
