"""The tree of errors: what each class says of itself, and that nothing but the class says it."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest

from promissory.oplog import errors
from promissory.oplog.errors import (
    LIMIT_KINDS,
    Disconnected,
    LimitReached,
    PromissoryError,
    RequestError,
    TerminalError,
)

ROOT = Path(__file__).parents[2]
EXECUTOR = sorted((ROOT / "executor").rglob("*.py"))
TREE = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, PromissoryError)]


def drawn() -> dict[str, list[str]]:
    """Return the tree as the head of its file draws it: what stands behind each name."""
    lines = [line.split() for line in (errors.__doc__ or "").splitlines()]
    return {words[0]: words[1:] for words in lines if words and words[0] in vars(errors)}


@pytest.mark.parametrize("cls", TREE)
def test_the_tree_is_drawn_as_it_is(cls: type[PromissoryError]) -> None:
    """The drawing at the head of the file has every class, with its code, statuses and whether asking again helps."""
    words = drawn()[cls.__name__]

    assert words[0] == cls.kind
    if not issubclass(cls, TerminalError) and cls is not LimitReached:
        assert (words[1], words[2]) == (str(cls.http_status), str(cls.exit_status))
        assert ("yes" in words[3:4]) is cls.can_retry


def test_limits_are_drawn_as_they_are() -> None:
    """So are the kinds of limits."""
    lines = [line.split() for line in (errors.__doc__ or "").splitlines()]
    shown = {words[0]: words[1:4] for words in lines if words and words[0] in LIMIT_KINDS}
    for kind in LIMIT_KINDS:
        error = LimitReached("", kind)
        assert shown[kind][:2] == [str(error.http_status), str(error.exit_status)]
        assert (shown[kind][2] == "yes") is error.can_retry


@pytest.mark.parametrize("cls", TREE)
def test_an_error_is_copied_whole(cls: type[PromissoryError]) -> None:
    """What is handed to many, or to another process, says the same there."""
    error = cls("why")
    error.worker, error.index, error.invocation = "a/b", 7, "inv_1x"
    for copied in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(copied) is cls
        assert vars(copied) == vars(error)
        assert str(copied) == "why"


@pytest.mark.parametrize(
    ("code", "status"),
    [(404, 404), (599, 599), (400, 400), (200, 500), (399, 500), (600, 500), (-1, 500), (10**9, 500)],
)
def test_the_code_of_a_handler_is_an_http_status_if_it_is_one_of_a_failure(code: int, status: int) -> None:
    """What no failure has as its status over HTTP is 500 there; the code itself stays."""
    error = TerminalError("no", code)

    assert (error.code, error.http_status) == (code, status)


def test_there_is_one_disconnected() -> None:
    """The class that clients raise is the tree's, under all its names."""
    import promissory
    from promissory.executor import client

    assert client.Disconnected is Disconnected
    assert promissory.Disconnected is Disconnected
    assert issubclass(Disconnected, RequestError)


def says(node: ast.AST) -> bool:
    """Whether an expression is the text of an error."""
    if isinstance(node, ast.Attribute) and node.attr == "message" and isinstance(node.value, ast.Name | ast.Attribute):
        return not (isinstance(node.value, ast.Name) and node.value.id in ("request", "body"))
    called = node.func if isinstance(node, ast.Call) else None
    named = node.args[0] if isinstance(node, ast.Call) and node.args else None
    return (
        isinstance(called, ast.Name)
        and called.id == "str"
        and isinstance(named, ast.Name)
        and named.id in ("error", "exc", "exception")
    )


def looks_at_words(source: str) -> list[int]:
    """Return the lines that decide something by the text of an error."""
    found = []
    for node in ast.walk(ast.parse(source)):
        looked_at: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            looked_at = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("startswith", "endswith", "find", "index", "count", "removeprefix", "partition"):
                looked_at = [node.func.value]
            elif node.func.attr in ("match", "search", "fullmatch"):
                looked_at = [*node.args]
        if any(says(one) for one in looked_at):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", EXECUTOR, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_decided_by_the_words_of_an_error(path: Path) -> None:
    """A better sentence changes what people read and nothing else."""
    assert looks_at_words(path.read_text()) == []


def test_the_walker_sees() -> None:
    """The walker finds the ways in which words were looked at, and passes over what is no error's text."""
    bad = (
        "'in flight' in error.message\n"
        "self.message.startswith('x')\n"
        "str(exc) == 'gone'\n"
        "re.search('gone', str(error))\n"
        "'item' in message; len(request.message) > 3; error.message + 'x'; path.startswith('/')\n"
    )

    assert looks_at_words(bad) == [1, 2, 3, 4]
