# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts pip into a virtual environment from the wheel that Python's ensurepip carries; arguments are pip requirements.

`ansible-test` wants to download such a bootstrap script. `scripts/test` hands it this one, so that the sanity tests
need PyPI and nothing else.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        sys.exit("this Python has no ensurepip: install python3-venv")
    folders = (Path(spec.origin).parent / "_bundled", Path("/usr/share/python-wheels"))
    bundled = [wheel for folder in folders for wheel in folder.glob("pip-*.whl")]
    if not bundled:
        sys.exit("ensurepip has no pip wheel: install python3-venv")
    sys.path.insert(0, str(bundled[0]))
    from pip._internal.cli.main import main as pip

    return pip(["install", *(word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel"))])


if __name__ == "__main__":
    sys.exit(main())
