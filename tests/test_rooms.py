"""The rooms of DESIGN: who may import whom, how many files lie at the top, and that names arrive lazily."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# each imports from those before it only; what shares a line doesn't import each other
ORDER = [
    {"__init__"},
    {"errors", "progress", "nvrtc"},
    {"limits"},
    {"files"},
    {"audio"},
    {"model"},
    {"codes"},
    {"text", "vocoders"},
    {"checkpoints"},
    {"generation"},
    {"speech"},
    {"training"},
    {"tools"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
PYTHON = sorted(path.relative_to(ROOT) for path in (ROOT / "miso").rglob("*.py"))
NODES = sorted(path.relative_to(ROOT) for path in (ROOT / "nodes").rglob("*.py"))


def absolute(path: Path, level: int, module: str) -> list[str]:
    """The parts of a module's name, as it is imported by ``path``."""
    package = list(path.parts[:-1])
    return [*package[: len(package) - level + 1], *module.split(".")] if level else module.split(".")


def imports(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and module name of every import in a file: statements, ``import_module``, and the tables of lazy
    names."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node.level, node.module or "")
            for name in node.names:
                yield node.lineno, [part for part in (*module, name.name) if part]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy_names":
            for keyword in node.keywords:
                yield node.lineno, [*path.parts[:-1], keyword.arg or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value[:1] == ".":
            parts = node.value.lstrip(".").split(".")  # a module named by a string, as registries do
            level = len(node.value) - len(node.value.lstrip("."))
            if level < 3 and all(part.isidentifier() for part in parts):
                module = absolute(path, level, node.value.lstrip("."))
                if (ROOT / Path(*module)).with_suffix(".py").is_file():
                    yield node.lineno, module


def room(parts: list[str]) -> str:
    """The room of a module of miso; names that the package itself defines are its ``__init__``'s."""
    name = parts[1] if len(parts) > 1 else "__init__"
    return name if name in RANK else "__init__"


def test_every_room_has_its_place():
    names = {path.parts[1].removesuffix(".py") for path in PYTHON}
    assert names == RANK.keys()


def test_at_most_eight_files_lie_directly_in_miso():
    assert len(list((ROOT / "miso").glob("*.py"))) <= 8


@pytest.mark.parametrize("path", PYTHON, ids=str)
def test_imports_run_one_way(path):
    here = path.parts[1].removesuffix(".py")
    for line, module in imports(path):
        if module[0] != "miso" or here == "__init__":
            assert module[0] not in ("comfy", "comfy_api", "folder_paths", "server", "nodes"), (
                f"{path}:{line}"
            )
            continue
        there = room(module)
        assert there == here or RANK[there] < RANK[here], f"{path}:{line} imports {'.'.join(module)}"


@pytest.mark.parametrize("path", NODES, ids=str)
def test_nodes_leave_training_tools_and_the_command_line_alone(path):
    for line, module in imports(path):
        if module[0] == "miso":
            assert room(module) not in ("training", "tools", "cli", "__main__"), f"{path}:{line}"


def test_the_walker_sees_imports_of_every_kind(tmp_path):
    """It would pass for the wrong reason if it missed some."""
    seen = {".".join(module) for _, module in imports(Path("miso/vocoders/registry.py"))}
    assert {"miso.errors.MisoError", "miso.vocoders.backends.mimi", "miso.vocoders.vocoder.Vocoder"} <= seen
    assert "miso.generation" in {".".join(module) for _, module in imports(Path("miso/__init__.py"))}


def test_importing_the_engine_costs_no_torch():
    code = (
        "import sys, miso, miso.audio, miso.model, miso.codes, miso.text, miso.checkpoints, miso.vocoders, "
        "miso.vocoders.mimi, miso.generation; sys.exit('torch' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}
        ).returncode
        == 0
    )


def test_every_public_name_is_there_and_no_module_hides_it():
    import miso

    packages = [
        miso,
        *(importlib.import_module(m.name) for m in pkgutil.walk_packages(miso.__path__, "miso.") if m.ispkg),
    ]
    for package in packages:
        submodules = {module.name for module in pkgutil.iter_modules(package.__path__)}
        assert not submodules & set(getattr(package, "__all__", ())), package.__name__
        for name in getattr(package, "__all__", ()):
            assert not isinstance(getattr(package, name), type(miso)), f"{package.__name__}.{name}"
