"""The virtual printer stands alone: the standard library and its own modules, nothing else."""

import ast
import sys
from pathlib import Path

import agents.klippy.virtual as package


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    plain = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level)
    return {name.partition(".")[0] for name in names | {node.module or "" for node in plain}}


def test_only_the_standard_library_is_imported() -> None:
    files = list(Path(package.__path__[0]).glob("*.py"))
    assert len(files) > 20
    assert set().union(*map(imported, files)) <= set(sys.stdlib_module_names)
