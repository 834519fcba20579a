"""Imports the modules of users and finds the worker classes in them; importing may take long: a thread does it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from promissory.oplog.errors import BadArguments
from promissory.workers.definition import Worker


def load_all(specs: Sequence[str], directory: str) -> list[type[Worker]]:
    """Import `MODULE[:CLASS]`s from a directory and return their worker classes.

    Raises:
      BadArguments: the directory is none, or a module does not import or holds no such class.
    """
    if not (Path(directory).is_absolute() and _is_directory(directory)):
        raise BadArguments(f"{directory!r} is not the absolute path of a directory")
    return [cls for spec in specs for cls in load(spec, directory)]


def load(spec: str, directory: str) -> list[type[Worker]]:
    """Import `MODULE` or `MODULE:CLASS` and return its worker classes.

    The directory goes behind the installed packages on the path: a folder there must not replace one of ours.

    Raises:
      BadArguments: the module does not import or has no such worker class; one line says why.
    """
    module_name, _, class_name = spec.partition(":")
    if _is_directory(directory) and directory not in sys.path:
        sys.path.append(directory)
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(module_name)
    except BaseException as error:  # a module that calls `sys.exit` must not end the executor
        where = _innermost(error, Path(directory))
        raise BadArguments(f"module {module_name!r} does not import: {type(error).__name__}: {error}{where}") from error
    if class_name:
        found = getattr(module, class_name, None)
        if not (inspect.isclass(found) and issubclass(found, Worker) and found is not Worker):
            raise BadArguments(f"{module_name}:{class_name} is not a Worker subclass")
        return [found]
    classes = [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Worker)
        and member is not Worker
        and member.__module__ == module.__name__
    ]
    if not classes:
        raise BadArguments(f"module {module_name!r} defines no Worker subclass")
    return classes


def _is_directory(path: str) -> bool:
    try:
        return path != "" and Path(path).is_dir()
    except OSError:
        return False


def _innermost(error: BaseException, directory: Path) -> str:
    """Say in which of the user's files an import failed."""
    traceback = error.__traceback__
    found = ""
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if path.is_relative_to(directory):
            found = f" ({path.name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return found
