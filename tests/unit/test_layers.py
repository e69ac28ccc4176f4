# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dependency rule: which room of module_utils may import which, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

PURE = ("_model", "_plan")
#: Room -> the rooms it may import from. A dotted entry is one module of a room.
ALLOWED = {
    "_errors": (),
    "_model": ("_errors", "_model"),
    "_plan": ("_errors", "_model", "_plan"),
    "_host": ("_errors", "_model", "_host"),
    "_engine": ("_errors", "_plan.core"),
    "_options": ("_errors", "_model"),
    # Carries out plans on the machine, and so knows both.
    "_domain": ("_errors", "_model", "_plan", "_host", "_engine", "_domain"),
    "_glue": ("_errors", "_model", "_plan", "_host", "_engine", "_domain", "_options"),
    "_glue_fleet": ("_errors", "_model", "_plan", "_host", "_domain", "_options"),
    "modules": ("_errors", "_model", "_plan", "_glue", "_glue_fleet", "_options"),
}
IMPURE = ("os", "subprocess", "socket", "shutil", "lxc", "_lxc", "pyroute2", "ansible", "ansible_collections")
COLLECTION = "ansible_collections.lightervisor.lxc.plugins."
MOST_LINES = 350


def imports(file: Path, plugins: Path) -> Iterator[tuple[int, str]]:
    """Each import of the file, nested ones too, as (line, absolute name); ours begin with `plugins.`."""
    package = ("plugins", *file.relative_to(plugins).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.replace(COLLECTION, "plugins.")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join((*package[: len(package) - node.level + 1], *([base] if base else [])))
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}".replace(COLLECTION, "plugins.")


def room_of(file: Path, plugins: Path) -> str:
    parts = file.relative_to(plugins).with_suffix("").parts
    return parts[1] if parts[0] == "module_utils" else parts[0]


def may_import(room: str, file: str, target: str) -> bool:
    """Whether a file of the room may import `target`, a dotted name below module_utils."""
    allowed = ALLOWED[room]
    if room == "modules" and file.endswith("_info.py"):
        allowed = (*allowed, "_host")  # They plan nothing: they read the machine and say what they saw.
    return any(f"{target}.".startswith(f"{prefix}.") for prefix in allowed)


def violations(plugins: Path) -> list[str]:
    """What breaks the rule below a `plugins` folder, one line each."""
    found = []
    for file in sorted(plugins.rglob("*.py")):
        room, name = room_of(file, plugins), str(file.relative_to(plugins))
        if file.name == "__init__.py":
            if file.read_text().strip():
                found.append(f"{name}: not empty, so that whoever imports one file of the folder ships all of them")
            continue
        if name.startswith("module_utils/"):
            length = len(file.read_text().splitlines())
            if length > MOST_LINES:
                found.append(f"{name}: {length} lines")
            if room not in ALLOWED:
                found.append(f"{name}: the room {room} has no rule")
        if room not in ALLOWED:
            continue
        for line, target in imports(file, plugins):
            where = f"{name}:{line}: {room} imports {target}"
            if target.startswith("plugins.module_utils."):
                short = name.partition("/")[2]
                if not may_import(room, short, target[len("plugins.module_utils.") :]):
                    found.append(where)
            elif target.startswith("plugins.") or (room in PURE and target.split(".")[0] in IMPURE):
                found.append(where)
            if target.endswith(".*"):
                found.append(f"{where}: by its name, please")
    return found


def test_every_import_keeps_to_its_room(checkout):
    assert violations(checkout / "plugins") == []


@pytest.mark.parametrize(
    "file, text",
    [
        ("module_utils/_model/a.py", "import os\n"),
        ("module_utils/_model/a.py", "import os.path as p\n"),
        ("module_utils/_plan/a.py", "def f():\n    from subprocess import run\n"),
        ("module_utils/_plan/a.py", "from ansible.module_utils.basic import AnsibleModule\n"),
        ("module_utils/_model/a.py", "import lxc\n"),
        ("module_utils/_model/a.py", "from .._plan.core import Plan\n"),
        ("module_utils/_model/a.py", "from ..._plan import core\n"),
        ("module_utils/_model/a.py", "from .._host import files\n"),
        ("module_utils/_plan/a.py", "from .._host.files import read_text\n"),
        ("module_utils/_plan/a.py", f"from {COLLECTION}module_utils._host import files\n"),
        ("module_utils/_plan/a.py", "from .. import _glue\n"),
        ("module_utils/_host/a.py", "from .._plan.core import Plan\n"),
        ("module_utils/_host/a.py", "from .._glue import fail\n"),
        ("module_utils/_host/a.py", "from .._domain.container import ContainerDomain\n"),
        ("module_utils/_engine.py", "from ._domain.container import ContainerDomain\n"),
        ("module_utils/_engine.py", "from ._host.files import read_text\n"),
        ("module_utils/_engine.py", "from ._plan.container import plan_container\n"),
        ("module_utils/_errors.py", "from ._model.size import parse_size\n"),
        ("module_utils/_other.py", ""),
        ("module_utils/_model/__init__.py", "from .size import parse_size\n"),
        ("module_utils/_model/a.py", "from .size import *\n"),
        ("module_utils/_host/a.py", "x = 1\n" * (MOST_LINES + 1)),
        ("modules/lxc_a.py", f"from {COLLECTION}module_utils._host.files import read_text\n"),
        ("modules/lxc_a.py", f"from {COLLECTION}modules.lxc_b import main\n"),
        ("modules/lxc_a.py", f"import {COLLECTION}module_utils._host.files\n"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, file, text):
    path = tmp_path / "plugins" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(violations(tmp_path / "plugins")) >= 1


@pytest.mark.parametrize(
    "file, text",
    [
        ("module_utils/_model/a.py", "import re\nfrom .._errors import InputError\nfrom .size import parse_size\n"),
        ("module_utils/_plan/a.py", "from . import core\nfrom .._model import size\n"),
        ("module_utils/_host/a.py", "import os\nimport subprocess\nfrom .._model.idmap import IdMap\n"),
        ("module_utils/_engine.py", "from ._plan.core import Plan\n"),
        ("modules/lxc_a_info.py", f"from {COLLECTION}module_utils._host.observe import observe\n"),
        ("modules/lxc_a.py", f"from {COLLECTION}module_utils._glue import run\n"),
        ("module_utils/_model/__init__.py", "\n"),
    ],
)
def test_what_is_allowed_is_not_found(tmp_path, file, text):
    path = tmp_path / "plugins" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert violations(tmp_path / "plugins") == []
