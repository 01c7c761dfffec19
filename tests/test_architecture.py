"""Imports go down only and in no circle, heavy libraries keep one home, dvc.yaml names what its stages really use."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path for path in SRC.rglob("*.py")
}
# What a package may import of the others, beside SHARED; the commands (stages, cli) may import everything.
BELOW: dict[str, set[str]] = {
    "images": set(),
    "inference": set(),
    "lightfields": {"images"},
    "shiftadd": {"images"},
    "render": {"images", "shiftadd"},
    "depth": {"images", "inference", "lightfields", "render", "shiftadd"},
    "model": {"depth", "images", "inference", "render"},
    "scenes": {"depth", "images", "lightfields", "shiftadd"},
    "evaluation": {"depth", "images", "model", "render", "scenes", "shiftadd"},
    "learning": {"inference", "model", "scenes", "shiftadd"},
    "batch": {"depth", "images", "inference", "model"},
    "serving": {"depth", "images", "inference", "lightfields", "model"},
}
COMMANDS = {"stages", "cli", "params"}
SHARED = {"cluster", "progress", "resources", "workers"}  # modules that any package may import
HOMES = {
    "torch": ("refocal.learning", "refocal.evaluation"),
    "torchvision": ("refocal.learning",),
    "torchmetrics": ("refocal.evaluation",),
    "numba": ("refocal.shiftadd", "refocal.render.reference", "refocal.depth", "refocal.scenes.parallel"),
    "onnxruntime": ("refocal.inference.session",),
    "onnx": ("refocal.learning.export",),
    "bentoml": ("refocal.serving",),
    "pydantic": ("refocal.params", "refocal.serving"),
    "dvclive": ("refocal.stages",),
    "skimage": ("refocal.scenes", "refocal.evaluation"),
    "fsspec": ("refocal.batch",),
    "ray": ("refocal.batch.ray_cluster", "refocal.cluster"),
}
PIPELINE = {"torch", "torchvision", "torchmetrics", "numba", "scipy", "skimage", "onnx", "pydantic", "dvclive"}


def imports_of(module: str, *, typing: bool = False) -> set[str]:
    """Return the dotted names that a module imports, inside functions too; with `typing` for type checkers too."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    guarded = {id(n) for node in ast.walk(tree) if _is_type_checking(node) for n in ast.walk(node)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in guarded and not typing:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def closure_of(module: str) -> set[str]:
    """Return the modules of ours that running `module` can import, their packages included."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen or name not in MODULES:
            continue
        seen.add(name)
        todo += [found for found in imports_of(name) if found in MODULES]
        todo.append(name.rpartition(".")[0])  # importing a.b runs a/__init__.py
    return seen


def test_imports_go_down_only() -> None:
    for module in MODULES:
        package = [*module.split("."), ""][1]
        for name in imports_of(module):
            if name.startswith("refocal.") and package in BELOW:
                assert name.split(".")[1] in {package, *SHARED, *BELOW[package]}, f"{module} imports {name}"


def test_imports_form_no_circle() -> None:
    """Those inside functions and for type checkers included; the root package, which is lazy, apart."""
    graph = {m: imports_of(m, typing=True) & MODULES.keys() - {"refocal", m} for m in MODULES if m != "refocal"}
    TopologicalSorter(graph).prepare()


def test_every_package_has_its_place() -> None:
    found = {path.parent.name for path in (SRC / "refocal").glob("*/__init__.py")}
    assert found | {"params"} == BELOW.keys() | COMMANDS


def test_the_drawing_names_every_package() -> None:
    """docs/architecture.md lists those of the table in its order: imports go down only there as well."""
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Packages")[2]
    rows = re.findall(r"^\| `(\w+)`", table.partition("\n## ")[0], re.MULTILINE)
    packages = [row for row in rows if row in BELOW]
    assert set(packages) == BELOW.keys()
    for number, package in enumerate(packages):
        assert BELOW[package] <= set(packages[:number]), f"{package} stands above what it imports"


def test_a_package_holds_one_idea() -> None:
    for folder in (path.parent for path in SRC.rglob("__init__.py")):
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 10, f"{folder.relative_to(SRC)} holds {len(modules)} modules"


def test_parameters_are_read_by_the_commands_alone() -> None:
    for module in MODULES:
        if "refocal.params" in imports_of(module):
            assert module.split(".")[1] in COMMANDS, f"{module} imports refocal.params"


def test_each_heavy_library_has_one_home() -> None:
    for module in MODULES:
        for name in imports_of(module):
            home = HOMES.get(name.split(".")[0])
            assert home is None or module.startswith(home), f"{module} imports {name}, whose home is {home}"


def test_importing_refocal_and_its_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, refocal, refocal.cli; print(sorted(set(sys.modules) & {set(HOMES)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("refocal.model.refocuser", PIPELINE),  # the bare install
        ("refocal.model.living", PIPELINE),
        ("refocal.depth.onnx_network", PIPELINE),
        ("refocal.images.animation", PIPELINE),
        ("refocal.batch.local", PIPELINE | {"ray"}),
        ("refocal.serving.service", PIPELINE - {"pydantic"}),
        ("refocal.learning.training.loop", {"dvc", "dvclive", "bentoml", "pydantic"}),  # GPU machines have none of them
    ],
)
def test_a_module_does_without_the_libraries_of_others(module: str, without: set[str]) -> None:
    for name in closure_of(module):
        found = {imported.split(".")[0] for imported in imports_of(name)} & without
        assert not found, f"{name}, which {module} imports, needs {found}"


def test_no_module_asserts() -> None:
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)], f"{module} asserts"


def test_files_and_functions_stay_short() -> None:
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 250, f"{module}: {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert _body_lines(node) < 50, f"{module}.{node.name}: {_body_lines(node)} lines"


def _body_lines(node: ast.FunctionDef) -> int:
    """Lines of a function without its docstring: documenting a contract must not cost length."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = DVC["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_import_closure_and_nothing_else_of_src(stage: str) -> None:
    """Editing the web page can never retrain the GAN, and a kernel edit is never missed."""
    module = STAGES[stage]["cmd"].split()[2]
    named = [dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")]
    wanted = sorted(str(MODULES[name].relative_to(ROOT)) for name in closure_of(module))
    assert sorted(named) == wanted, "deps should be:\n" + "\n".join(f"      - {path}" for path in wanted)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_the_sections_of_params_that_it_reads(stage: str) -> None:
    tree = ast.parse(MODULES[STAGES[stage]["cmd"].split()[2]].read_text(encoding="utf-8"))
    sections = set(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    read = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in sections and _is_params(n)}
    assert set(STAGES[stage].get("params", [])) == read


def _is_params(node: ast.Attribute) -> bool:
    """`params.train` or `read_params().train`."""
    value = node.value
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "read_params"
    return isinstance(value, ast.Name) and value.id == "params"


def test_stages_follow_each_other() -> None:
    """What a stage reads of the pipeline's making, an earlier stage has written."""
    made: dict[str, str] = {}
    for stage, spec in STAGES.items():
        for out in [*spec.get("outs", []), *spec.get("metrics", []), *spec.get("plots", [])]:
            made[next(iter(out)) if isinstance(out, dict) else out] = stage
    order = list(STAGES)
    for stage, spec in STAGES.items():
        for dep in spec["deps"]:
            assert dep.startswith(("src/", "data", "models/pretrained/")) or order.index(made[dep]) < order.index(stage)
    assert all(a != b for a, b in pairwise(order))
