"""Tracebacks as the author of a worker wants them: from the first frame that is the author's own."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FrameType, TracebackType

import outcome
import trio

from promissory.oplog.errors import readable

_OURS = tuple(
    str(path) + "/"
    for path in (
        Path(__file__).parents[2],
        Path(trio.__file__).parent,
        Path(outcome.__file__).parent,
    )
)


def of_error(error: BaseException) -> str:
    """Return an error's traceback without the frames that led into the author's code; all of it if none is theirs."""
    own: TracebackType | None = error.__traceback__
    while own is not None and _is_ours(own.tb_frame.f_code.co_filename):
        own = own.tb_next
    return readable("".join(traceback.format_exception(type(error), error, own or error.__traceback__)))


def of_frame(frame: FrameType) -> str:
    """Return where a thread is, from the first frame after ours; all of it if it is in none of the author's."""
    stack = traceback.extract_stack(frame)
    last_of_ours = max((at for at, entry in enumerate(stack) if _is_ours(entry.filename)), default=-1)
    return readable("".join(traceback.format_list(stack[last_of_ours + 1 :] or stack)))


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS) or filename.startswith("<frozen")
