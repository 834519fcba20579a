"""The package that is built: what is in it, and that nobody's own `workers` or `executor` can stand in its way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import promissory
from promissory.executor.client import connect
from promissory.executor.version import VERSION
from tests.daemons import Daemons

ROOT = Path(__file__).resolve().parent.parent
WORKER = """
import promissory

class Mine(promissory.Worker):
    @promissory.query
    def where(self) -> list[str]:
        return [__file__, promissory.workers.__file__]
"""
FACE = ("__init__.py", "__main__.py", "py.typed")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("only a checkout knows which files it tracks")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def build(tree: Path, target: str, out: Path) -> Path:
    """Build one distribution of a tree and return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [built] = out.iterdir()
    return built


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of the tree, and the wheel of the sdist of the tree."""
    scratch = tmp_path_factory.mktemp("package")
    tree = scratch / "tree"
    for name in tracked():
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy, follow_symlinks=False)
    sdist = build(tree, "sdist", scratch / "sdist")
    with tarfile.open(sdist) as opened:
        opened.extractall(scratch / "unpacked", filter="data")
    [unpacked] = (scratch / "unpacked").iterdir()
    return build(tree, "wheel", scratch / "of-tree"), build(unpacked, "wheel", scratch / "of-sdist")


def test_wheels_hold_exactly_what_is_tracked(wheels: tuple[Path, Path]) -> None:
    """Both wheels hold the face and every tracked file of the three folders, and nothing else."""
    folders = {f"promissory/{name}" for name in tracked() if name.split("/")[0] in ("oplog", "workers", "executor")}
    expected = folders | {f"promissory/{name}" for name in FACE}

    assert files_of(wheels[0]) == expected
    assert files_of(wheels[1]) == expected


def test_wheels_have_the_version_that_the_code_says(wheels: tuple[Path, Path]) -> None:
    """The version stands in one file: builds, the command line and the greeting have it from there."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            [metadata] = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
            assert f"Version: {VERSION}" in opened.read(metadata).decode().splitlines()


def test_an_installed_wheel_stands_beside_a_foreign_package(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    """Installed where others have installed `workers` and `executor`, ours are found as ours and theirs as theirs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # The dependencies as they are here; a path that a .pth adds has its own .pth files left alone, ours among them.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with zipfile.ZipFile(wheels[1]) as opened:
        opened.extractall(site)
    for package in ("workers", "executor", "oplog"):
        (site / package).mkdir()
        (site / package / "__init__.py").write_text("mine = False\n")
    code = (
        "import promissory, workers, executor, oplog; promissory.Worker; promissory.connect;"
        "print(promissory.__file__, workers.mine, executor.mine, oplog.mine)"
    )
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(site / "promissory" / "__init__.py"), "False", "False", "False"]


async def test_serve_serves_the_users_module_of_our_name(daemons: Daemons, tmp_path: Path) -> None:
    """Beside a user's `workers.py` an editable install serves the user's."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "workers.py").write_text(WORKER)
    daemon = daemons.start(tmp_path / "data", "workers", cwd=app)
    daemon.wait_for("serving")
    async with connect(daemon.socket) as client:
        theirs, ours = await client.query("worker://mine/a", "where")

    assert theirs == str(app / "workers.py")
    assert ours == str(Path(promissory.__file__).parent / "workers" / "__init__.py")
