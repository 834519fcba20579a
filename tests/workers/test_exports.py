"""What `import workers` offers."""

from __future__ import annotations

import workers


def test_every_exported_name_exists_and_has_a_docstring() -> None:
    """`__all__` is the public surface, and it explains itself."""
    assert sorted(workers.__all__) == workers.__all__
    for name in workers.__all__:
        value = getattr(workers, name)
        assert getattr(value, "__doc__", None), name


def test_nothing_is_public_by_accident() -> None:
    """Whatever has no underscore and is no submodule is meant to be used."""
    modules = {name for name, value in vars(workers).items() if type(value) is type(workers)}
    public = {name for name in vars(workers) if not name.startswith("_")}
    assert public - modules == set(workers.__all__)
