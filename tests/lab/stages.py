# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is built for a release: its kernel, its image, the state of a guest that has booted it."""

from __future__ import annotations

import inspect
import platform
import re
from pathlib import Path

import image
from machine import DISK_BYTES, DISKS, Machine, save_state
from process import run
from releases import PYTHON, Release
from store import Store

#: What a guest does before its state is saved, so that those that go on from there need not.
_WARM_UP = """\
systemctl is-system-running --wait >/dev/null || { systemctl --failed; exit 1; }
for module in MODULES; do modprobe $module || exit 1; done
python3 -c 'import lxc' && /opt/lab/bin/python -c 'import ansible, pytest, yaml' || exit 1
sync
echo 3 >/proc/sys/vm/drop_caches
"""


def build(store: Store, release: Release, checkout: Path) -> tuple[Path, Path, Path]:
    """The directories of the image, of the saved state and of the key that lets in. Makes what is not there."""
    if platform.machine() != "x86_64":
        raise RuntimeError(f"the lab's guests are x86_64 machines, and this one is {platform.machine()}")
    name = release.name
    key = store.get("key", [], _make_key)
    kernel = store.get(f"{name}-kernel", image.kernel_inputs(release), lambda to: image.build_kernel(to, release))
    pins = _pins((checkout / "requirements-dev.txt").read_text())
    root = store.get(
        f"{name}-root",
        [inspect.getsource(image), repr(release), str(kernel), (key / "id.pub").read_text(), *pins],
        lambda to: image.build_root(to, release, kernel, key, pins),
    )
    warm_up = _WARM_UP.replace("MODULES", "zfs" if release.zfs else "")
    qemu = run(["qemu-system-x86_64", "--version"]).decode()
    command = Machine(Path("/lab"), root, key).command([], 0)
    state = store.get(
        f"{name}-state",
        [qemu, *command, *DISKS, str(DISK_BYTES), warm_up, inspect.getsource(save_state)],
        lambda to: save_state(to, root, key, warm_up),
    )
    return root, state, key


def _make_key(folder: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", folder / "id"])


def _pins(requirements: str) -> list[str]:
    """The lines of requirements-dev.txt that a guest needs."""
    found = {name: line for line, name in re.findall(r"^(([\w.-]+)==\S+)$", requirements, re.MULTILINE)}
    return [found[name] for name in PYTHON]
