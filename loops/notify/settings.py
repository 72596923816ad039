"""`[notify]`: which events are told, and over which channels. Secrets stay in environment variables, named here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...tools.core.types import Frozen
from .message import Kind

WebhookFormat = Literal["json", "slack", "text"]
SmtpSecurity = Literal["starttls", "tls", "none"]


class NotifySettings(Frozen):
    """`[notify]`: nothing is sent as long as no channel is set."""

    on: tuple[Kind, ...] = ("success", "failure", "person", "prefect_lost", "prefect_back", "digest")
    digest_hour: int = Field(default=8, ge=-1, le=23)
    """Local hour of the daily digest; -1: none."""
    timeout_s: float = Field(default=10.0, gt=0, le=300)
    """Longest time that one attempt on one channel may take."""
    max_age_days: float = Field(default=3.0, gt=0, le=365)
    """How long delivery is tried before it is given up."""

    # An address with a token in it, as Slack's, is itself a secret: it is left out of every repr.
    webhook_url: str = Field(default="", repr=False)
    webhook_url_env: str = "WEBHOOK_URL_OF_LODESTONE"
    """Variable with the address, asked when `webhook_url` is empty."""
    webhook_format: WebhookFormat = "json"
    webhook_secret_env: str = "WEBHOOK_SECRET_OF_LODESTONE"  # noqa: S105 - a name, not a secret
    """Variable with the key that signs each body; unset: unsigned."""

    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: SmtpSecurity = "starttls"
    smtp_user: str = ""
    smtp_password_env: str = "SMTP_PASSWORD_OF_LODESTONE"  # noqa: S105 - a name, not a secret
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()

    desktop: bool = False
