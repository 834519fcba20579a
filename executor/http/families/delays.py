"""The forms in which a delay may be written: ISO-8601 (`PT10S`), units (`10s`, `1h 30m`), or bare milliseconds."""

from __future__ import annotations

import re
from decimal import Decimal

from promissory.executor.http.door.refusals import Refusal

_NUMBER = r"(\d{1,18}(?:[.,]\d{1,9})?)"
_ISO = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.IGNORECASE
)
_ISO_SECONDS = (604_800, 86_400, 3_600, 60, 1)
_PART = re.compile(rf"\s*{_NUMBER}\s*([a-zµ]+)\s*")
_UNITS = {
    Decimal("0.000001"): ("us", "µs", "usec", "micros"),
    Decimal("0.001"): ("ms", "msec", "millis"),
    Decimal(1): ("s", "sec", "secs", "second", "seconds"),
    Decimal(60): ("m", "min", "mins", "minute", "minutes"),
    Decimal(3_600): ("h", "hr", "hrs", "hour", "hours"),
    Decimal(86_400): ("d", "day", "days"),
    Decimal(604_800): ("w", "week", "weeks"),
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names}


def delay_us(text: str) -> int:
    """Return a delay in microseconds.

    Raises:
      Refusal: it has none of the forms.
    """
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text) * 1_000
    seconds = _of_iso(text) if text[:1] in ("P", "p") else _of_units(text)
    if seconds is None:
        raise Refusal(400, f"bad delay {text!r}: write PT10S, 10s, 10000ms, or a number of milliseconds")
    return int(seconds * 1_000_000)


def _of_iso(text: str) -> Decimal | None:
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    parts = (Decimal((number or "0").replace(",", ".")) for number in match.groups())
    return sum((part * unit for part, unit in zip(parts, _ISO_SECONDS, strict=True)), Decimal(0))


def _of_units(text: str) -> Decimal | None:
    end, seconds = 0, Decimal(0)
    for match in _PART.finditer(text):
        unit = _SECONDS.get(match[2])
        if unit is None or match.start() != end:
            return None
        seconds += Decimal(match[1].replace(",", ".")) * unit
        end = match.end()
    return seconds if end and end == len(text) else None
