"""Prints pip constraints that pin every library of `pyproject.toml` to its lower bound."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    name, bound = re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\d.]+).*", requirement).groups()  # type: ignore[union-attr]
    print(f"{name}=={bound}")
print("click<8.2")  # of typer: its lower bound is older than click 8.2, which deprecates names that it imports
