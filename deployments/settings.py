"""Settings, read once from `VIBESTREAM_*` variables and an optional `.env`, by deployments only."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may choose. Embedded servers are used for what has no URL."""

    model_config = SettingsConfigDict(env_prefix="VIBESTREAM_", env_file=".env", extra="ignore")

    data_dir: Path = Path(".vibestream")
    postgres_url: str = ""
    redis_url: str = ""
    objects_url: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=1, le=65_535)
    dashboard_port: int = Field(8265, ge=1, le=65_535)
    gateway_replicas: int = Field(1, ge=1, le=64)
    haproxy: bool = True

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.resolve()
