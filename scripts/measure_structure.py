"""Print how the code is laid out: modules, imports, lengths and comments.

CONTRIBUTING.md quotes this table. Usage: `python scripts/measure_structure.py [CHECKOUT]`.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path
from statistics import median

PACKAGES = ("toonvid", "trainer")


def main() -> None:
    checkout = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    modules = {
        dotted_name(path, checkout): path
        for package in PACKAGES
        for path in sorted((checkout / package).rglob("*.py"))
    }
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    lines = {name: len(path.read_text().splitlines()) for name, path in modules.items()}
    functions = [
        (last - first + 1, f"{name}.{function}")
        for name, tree in trees.items()
        for function, first, last in function_lines(tree)
    ]
    code = sum(lines.values())
    comments = sum(count_comments(path) for path in modules.values())
    tests = sum(len(p.read_text().splitlines()) for p in (checkout / "tests").rglob("*.py"))
    importers = count_importers(trees)
    longest = max(lines, key=lines.__getitem__)
    for package in PACKAGES:
        row(f"modules flat in {package}/", len(list((checkout / package).glob("*.py"))))
    row("modules", len(modules))
    row("modules that one file alone imports", sum(n == 1 for n in importers.values()))
    row("imports between folders", len(folder_arrows(trees)))
    row("lines of a module, median", round(median(n for n in lines.values() if n)))
    row("lines of a module, longest", f"{lines[longest]} ({longest})")
    row("lines of a function, median", round(median(length for length, _ in functions)))
    row("lines of a function, longest", "{} ({})".format(*max(functions)))
    row("comments per hundred lines", f"{100 * comments / code:.1f}")
    row("test lines per line of code", f"{tests / code:.2f}")


def row(name: str, value: object) -> None:
    print(f"| {name} | {value} |")


def dotted_name(path: Path, checkout: Path) -> str:
    return ".".join(path.relative_to(checkout).with_suffix("").parts).removesuffix(".__init__")


def function_lines(tree: ast.AST) -> list[tuple[str, int, int]]:
    """Name, first and last line of each function, its docstring left out of the count."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            first = body[0].lineno if body else node.lineno
            found.append((node.name, first - 1, node.end_lineno or first))
    return found


def count_comments(path: Path) -> int:
    with tokenize.open(path) as file:
        return sum(t.type == tokenize.COMMENT for t in tokenize.generate_tokens(file.readline))


def imported_modules(name: str, trees: dict[str, ast.Module]) -> set[str]:
    found = set()
    for node in ast.walk(trees[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return (found & set(trees)) - {name}


def count_importers(trees: dict[str, ast.Module]) -> dict[str, int]:
    """Module -> number of modules that import it."""
    counts = dict.fromkeys(trees, 0)
    for name in trees:
        for target in imported_modules(name, trees):
            counts[target] += 1
    return counts


def folder_arrows(trees: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """Pairs of a folder or flat module and another one that it imports."""
    pairs = {
        (room(name), room(target)) for name in trees for target in imported_modules(name, trees)
    }
    return {(one, other) for one, other in pairs if one != other}


def room(name: str) -> str:
    return ".".join(name.split(".")[:2])


if __name__ == "__main__":
    main()
