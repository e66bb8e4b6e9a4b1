"""How a server serves: limits and addresses. Nothing here changes what a text says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.core.stage import Config


class ServeConfig(Config):
    """The options of ``pedigree serve``."""

    which: str = Field(default="champion", description="alias, number or digest of the version that answers")
    shadow: str = Field(default="", description="a version that answers too, unseen; answers are compared")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="names beside localhost and numeric addresses by which it may be asked"
    )
    num_slots: int = Field(default=32, ge=1, le=4096, description="texts written at once, of each loaded version")
    most_waiting: int = Field(default=2000, ge=0, description="texts in line before requests are turned away")
    most_versions: int = Field(default=3, ge=1, le=64, description="versions kept in memory, the followed one included")
    most_body_bytes: int = Field(default=1 << 20, ge=1024, description="longest request body")
    requests_per_minute: int = Field(default=0, ge=0, description="of one key, or of one address; 0 is no limit")
    timeout_seconds: float = Field(
        default=300.0, gt=0, description="longest time for one answer, and for loading the version that is to give it"
    )
    read_seconds: float = Field(default=10.0, gt=0, description="longest time for a request to arrive")
    drain_seconds: float = Field(default=30.0, ge=0, description="time that running answers get at the end")
    poll_seconds: float = Field(default=1.0, gt=0, description="how often the registry is asked")
    weights: Literal["float32", "int8"] = Field(default="float32", description="how weights lie in memory")
    keys: tuple[str, ...] = Field(default=(), description="API keys that are let in; none lets everybody in")
    log_text: bool = Field(default=False, description="whether prompts and answers stand in the log")
