"""Limits: read from a file, overridden by the environment, refused when they are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from promissory.executor.config import Config, load_config
from promissory.oplog.errors import BadArguments


def test_the_defaults_are_those_of_the_docs() -> None:
    """Without a file and without variables the limits are the documented ones."""
    config = load_config(None, {})

    assert config == Config()
    assert (config.payload_bytes_max, config.frame_bytes_max) == (8 << 20, 16 << 20)
    assert (config.workers_in_memory_max, config.idle_seconds) == (10_000, 10.0)
    assert (config.batch_entries_max, config.batch_bytes_max) == (4_096, 64 << 20)
    assert (config.retry_first_seconds, config.retry_longest_seconds, config.retry_attempts_max) == (0.05, 10.0, 10)
    assert (config.connections_max, config.requests_in_flight_max) == (256, 20_000)


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    """Keys of the file are taken; `PROMISSORY_<KEY>` overrides them; other variables mean nothing here."""
    path = tmp_path / "promissory.toml"
    path.write_text("idle_seconds = 3\nretry_attempts_max = 4\n")

    config = load_config(path, {"PROMISSORY_IDLE_SECONDS": "7.5", "PROMISSORY_DATA": "/x", "IDLE_SECONDS": "1"})

    assert (config.idle_seconds, config.retry_attempts_max) == (7.5, 4)
    assert load_config(tmp_path / "none.toml", {}) == Config()


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        ("idle_secs = 3", {}, "idle_secs"),
        ("idle_seconds = 'long'", {}, "idle_seconds"),
        ("idle_seconds = -1", {}, "idle_seconds is negative"),
        ("idle_seconds", {}, "promissory.toml"),
        ("", {"PROMISSORY_THREADS_MAX": "many"}, "threads_max"),
        ("", {"PROMISSORY_THREADS_MAX": "-3"}, "threads_max"),
    ],
)
def test_a_bad_limit_is_named(tmp_path: Path, text: str, environment: dict[str, str], says: str) -> None:
    """An unknown key, a wrong type, a negative number and bad TOML are refused, by name."""
    path = tmp_path / "promissory.toml"
    path.write_text(text)

    with pytest.raises(BadArguments, match=says):
        load_config(path, environment)
