"""A systemd unit, so that the service comes back after a reboot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...tools.core.errors import ConfigError
from ..files import write_bytes

NAME = "lodestone.service"
MARK = "# Written by `lodestone serve --install-unit`; a changed file is not overwritten unless this line stays."


def unit_path(home: Path, root_user: bool) -> Path:
    """Where the unit belongs: the system's folder for root, the user's for anybody else."""
    return Path("/etc/systemd/system") / NAME if root_user else home / ".config" / "systemd" / "user" / NAME


def unit_text(root: Path, python: str = sys.executable, root_user: bool = False) -> str:
    """The unit. Only the service itself is stopped with it: paid jobs go on and are collected later."""
    command = " ".join(_quoted(part) for part in (python, "-m", "lodestone.loops.cli", "serve", str(root.resolve())))
    return f"""{MARK}
[Unit]
Description=Lodestone campaigns in {_escaped(str(root.resolve()))}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory={_escaped(str(root.resolve().parent))}
Restart=always
RestartSec=5
KillMode=process
TimeoutStopSec=120

[Install]
WantedBy={"multi-user.target" if root_user else "default.target"}
"""


def install_unit(root: Path, home: Path | None = None, root_user: bool | None = None) -> tuple[Path, list[str]]:
    """Write the unit; its path, and the commands that switch it on.

    Raises:
        ConfigError: where another unit of that name is, or it cannot be written.
    """
    root_user = os.geteuid() == 0 if root_user is None else root_user
    path = unit_path(home or Path.home(), root_user)
    if path.exists() and not path.read_text(errors="replace").startswith(MARK):
        raise ConfigError(f"{path} is not a unit that Lodestone wrote.", "Move it away, then try again.")
    write_bytes(path, unit_text(root, root_user=root_user).encode())
    user = "" if root_user else "--user "
    commands = [f"systemctl {user}daemon-reload", f"systemctl {user}enable --now {NAME}"]
    if not root_user:
        commands.append("loginctl enable-linger")
    return path, commands


def _quoted(text: str) -> str:
    """One argument of ExecStart (systemd.service(5), "Command lines")."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace("\n", " ")
