# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes into a guest and comes back: the collection as users get it, the tests beside it, and what they left."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Iterator, Sequence

from image import COLLECTION
from machine import Machine
from process import run

#: What the tests need of the checkout and the archive does not hold.
BESIDE = ("tests", "scripts", "pyproject.toml")
_REPORT = "/var/tmp/lab-junit.xml"


def push(checkout: Path, ssh: Sequence[str]) -> None:
    """Install the collection, built as for a release, and put the tests beside it as they are in the repository."""
    target = shlex.quote(COLLECTION)
    run([*ssh, f"rm -rf {target} && mkdir -p {target} && tar -C {target} -xzf -"], _archive(checkout), timeout=300)


def _archive(checkout: Path) -> bytes:
    """A tar file of all that."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="lightervisor-lab-") as folder:
        run(["ansible-galaxy", "collection", "build", "--output-path", folder, checkout], cwd="/")
        (built,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(built) as source, tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as target:
            for member in source:
                target.addfile(member, source.extractfile(member) if member.isfile() else None)
            for path in _files(checkout):
                target.add(path, str(path.relative_to(checkout)), recursive=False, filter=_of_root)
    return out.getvalue()


def _files(checkout: Path) -> Iterator[Path]:
    for name in BESIDE:
        yield checkout / name
        for folder, folders, files in os.walk(checkout / name):
            folders[:] = sorted(one for one in folders if one != "__pycache__")
            yield from (Path(folder, one) for one in (*folders, *sorted(files)))


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def pytest_command(words: Sequence[str]) -> str:
    """What runs the tests in the guest."""
    return f"cd {COLLECTION} && exec /opt/lab/bin/python -m pytest --junitxml={_REPORT} {shlex.join(words)}"


def bring_back(machines: Sequence[Machine], to: Path) -> None:
    """Copy pytest's report to `junit.xml`, and of each guest what its console, its journal and QEMU said.

    What the guest can't give any more is not there.
    """
    to.mkdir(parents=True, exist_ok=True)
    _fetch(machines[0].ssh(f"cat {_REPORT}"), to / "junit.xml")
    for machine in machines:
        _fetch(machine.ssh("journalctl -b --no-pager -o short-precise"), to / f"journal-{machine.name}")
        for log in ("console", "qemu.log"):
            (to / f"{log}-{machine.name}").write_bytes((machine.folder / log).read_bytes())


def _fetch(command: Sequence[str], to: Path) -> None:
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=120)
    except subprocess.TimeoutExpired:
        return
    if done.returncode == 0:
        to.write_bytes(done.stdout)
