"""Limits and defaults: read from `promissory.toml`, overridden by `PROMISSORY_<KEY>`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from promissory.oplog.errors import BadArguments
from promissory.workers.retry import RetryPolicy


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every limit of an executor. Names end in their unit; counts end in `_max`."""

    payload_bytes_max: int = 8 << 20
    """A promise's payload, a handler's arguments, a result."""
    frame_bytes_max: int = 16 << 20
    idempotency_key_chars_max: int = 256
    workers_in_memory_max: int = 10_000
    """Least recently used workers leave memory first."""
    idle_seconds: float = 10.0
    """How long an idle or waiting worker stays in memory."""
    batch_entries_max: int = 4_096
    """A commit takes no further unit beyond this."""
    batch_bytes_max: int = 64 << 20
    retry_first_seconds: float = 0.05
    retry_longest_seconds: float = 10.0
    retry_factor: float = 2.0
    retry_jitter: float = 0.15
    retry_attempts_max: int = 10
    """After this many failed attempts of a step its worker pauses."""
    threads_max: int = 64
    """Synchronous `run`s performed at the same time."""
    connections_max: int = 256
    requests_in_flight_max: int = 20_000
    """On one connection."""
    http_requests_max: int = 20_000
    """HTTP requests in flight; beyond it they are refused."""
    http_cors_origins: str = ""
    """Origins whose pages may call, separated by commas; `*` is any, empty is none."""
    stop_grace_seconds: float = 10.0
    """How long a stopping executor waits for `run`s in flight."""
    retention_seconds: float = 86_400.0
    """How long the record of an ephemeral worker is kept after the end of its invocation."""
    block_warning_seconds: float = 0.1
    block_stack_seconds: float = 5.0

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The origins whose pages may call over HTTP."""
        return tuple(origin.strip() for origin in self.http_cors_origins.split(",") if origin.strip())

    @property
    def handler_retry(self) -> RetryPolicy:
        """How the failed step of a handler is repeated."""
        return RetryPolicy(
            attempts=self.retry_attempts_max,
            first_seconds=self.retry_first_seconds,
            max_seconds=self.retry_longest_seconds,
            factor=self.retry_factor,
            jitter=self.retry_jitter,
        )


def load_config(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read a configuration file, if there is one, and apply the environment's overrides.

    Args:
      path: a TOML file whose keys are the fields of `Config`; None or a missing file means the defaults.
      environment: where `PROMISSORY_<FIELD>` overrides are looked up.

    Raises:
      BadArguments: an unknown key, a value of another type, or a file that is not TOML; the message says which.
    """
    values: dict[str, object] = {}
    if path is not None and path.exists():
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadArguments(f"{path}: {error}") from None
    for name in Config.__struct_fields__:
        text = environment.get("PROMISSORY_" + name.upper())
        if text is not None:
            values[name] = text
    try:
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        raise BadArguments(f"configuration: {error}") from None
    for name in Config.__struct_fields__:
        value = getattr(config, name)
        if not isinstance(value, str) and value < 0:
            raise BadArguments(f"configuration: {name} is negative")
    return config
