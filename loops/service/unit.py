"""A systemd unit, so that the service comes back after a reboot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...tools.core.errors import ConfigError
from ..files import write_bytes

NAME = "lodestone.service"
MARK = "# Written by `lodestone serve --install-unit`; a changed file is not overwritten unless this line stays."
SECRETS = "service.env"
"""In the campaigns' folder: lines NAME=value, for what must not stand in a settings file (mode 0600)."""
CONFIG = "config.toml"


def unit_path(home: Path, root_user: bool) -> Path:
    """Where the unit belongs: the system's folder for root, the user's for anybody else."""
    return Path("/etc/systemd/system") / NAME if root_user else home / ".config" / "systemd" / "user" / NAME


def unit_text(
    root: Path, python: str = sys.executable, root_user: bool = False, config: Path | None = None, path: str = ""
) -> str:
    """The unit. Only the service itself is stopped with it: paid jobs go on and are collected later.

    Args:
        root: folder of the campaigns.
        python: interpreter that runs the service.
        root_user: whether it is a unit of the system.
        config: settings file; None: the one that is in the folder above `root` then, if any.
        path: where programs are looked for; empty: systemd's own choice.

    Raises:
        ConfigError: for a name with control characters, which no line of a unit can hold.
    """
    root = root.resolve()
    options = [] if config is None else ["--config", str(config.resolve())]
    arguments = ["-m", "lodestone.loops.cli", *options, "serve", str(root)]
    for text in (python, *arguments, path):
        if not text.isprintable():
            raise ConfigError(f"{text!r} has control characters, which systemd does not take.", "Rename the folder.")
    # A `$` in the program's own name is not replaced, so it is not doubled either.
    command = " ".join([_quoted(python), *(_quoted(a).replace("$", "$$") for a in arguments)])
    environment = f"Environment={_quoted(f'PATH={path}')}\n" if path else ""
    # A user's own systemd knows nothing of the network.
    network = "After=network-online.target\nWants=network-online.target\n" if root_user else ""
    return f"""{MARK}
[Unit]
Description=Lodestone campaigns in {_escaped(str(root))}
{network}StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory={_escaped(str(root.parent))}
{environment}EnvironmentFile=-{_escaped(str(root / SECRETS))}
Restart=always
RestartSec=5
KillMode=process
TimeoutStopSec=120

[Install]
WantedBy={"multi-user.target" if root_user else "default.target"}
"""


def install_unit(
    root: Path, home: Path | None = None, root_user: bool | None = None, config: Path | None = None
) -> tuple[Path, list[str]]:
    """Write the unit, for the interpreter, the PATH and the settings file in use now; its path, and the commands that
    switch it on.

    Raises:
        ConfigError: where another unit of that name is, or a name cannot stand in one.
        LedgerError: when it cannot be written.
    """
    root_user = os.geteuid() == 0 if root_user is None else root_user
    unit = unit_path(home or Path.home(), root_user)
    if unit.exists() and not unit.read_text(errors="replace").startswith(MARK):
        raise ConfigError(f"{unit} is not a unit that Lodestone wrote.", "Move it away, then try again.")
    if config is None and Path(CONFIG).is_file():
        config = Path(CONFIG)
    text = unit_text(root, root_user=root_user, config=config, path=os.environ.get("PATH", ""))
    write_bytes(unit, text.encode())
    user = "" if root_user else "--user "
    commands = [f"systemctl {user}daemon-reload", f"systemctl {user}enable --now {NAME}"]
    if not root_user:
        commands.append("loginctl enable-linger")
    return unit, commands


def _quoted(text: str) -> str:
    """One word (systemd.syntax(7), "Quoting"; specifiers are not wanted)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
