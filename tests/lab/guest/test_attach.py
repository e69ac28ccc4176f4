# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian 13 has a python3-lxc whose attach does not work under its Python; nothing of ours may rest on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.connection import conftest as connection
from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import Answer, execute

from .conftest import run

ATTACH = """
import os, sys
import lxc
container = lxc.Container("c", sys.argv[1])
assert container.running, "the binding does not see it"
sys.exit(os.waitstatus_to_exitcode(container.attach_wait(lxc.attach_run_command, ["/bin/sh", "-c", "exit 7"])))
"""


@pytest.mark.usefixtures("subids")
def test_attach_beside_a_binding_that_cannot(lab, template, record_property):
    """The connection runs commands with their exit status and the host's own kernel, and lxc_container waits."""
    lab.task("c", template={"name": str(template)}, networks=[{"type": "empty"}], state="started")
    binding = run("/usr/bin/python3", "-c", ATTACH, lab.path, check=False)
    record_property("binding", f"{binding.returncode} {binding.stderr.strip()}")

    steps = [execute("uname -r; exit 7"), execute("cat", b"\x00\xff" * 1000)]
    order = {"options": {"remote_addr": "c", "lxcpath": str(lab.path)}, "steps": steps}
    driven = run(sys.executable, connection.HERE / "driver.py", input=json.dumps(order))
    kernel, data = map(Answer, json.loads(driven.stdout))
    assert (kernel.rc, kernel.out) == (7, Path("/proc/sys/kernel/osrelease").read_bytes())
    assert data.out == b"\x00\xff" * 1000
