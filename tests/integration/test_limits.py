# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's shared limits, lowered and met for real, and set by the role."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.limits import check_limits
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.limits import HostSize

#: What a lowered kernel.pty.max leaves to others, whose containers may start beside these tests.
ROOM = 100
NAMED = re.compile(r"Set kernel\.pty\.max to at least (\d+)")


class PtyMax:
    """kernel.pty.max: what it was, and what a test makes of it. `ours` are the values that the test had it set to."""

    def __init__(self) -> None:
        self.before = self.read()
        self.ours: set[int] = set()

    def read(self, name: str = "max") -> int:
        return int(Path("/proc/sys/kernel/pty", name).read_text())

    def set(self, value: int) -> None:
        self.ours.add(value)
        Path("/proc/sys/kernel/pty/max").write_text(str(value))

    def lower(self) -> int:
        """Leaves ROOM pseudo-terminals to containers. Returns the value."""
        value = self.read("reserve") + self.read("nr") + 1 + ROOM
        self.set(value)
        return value

    def restore(self) -> None:
        """Unless somebody else has set it meanwhile."""
        if self.read() in self.ours:
            self.set(self.before)


@pytest.fixture
def pty_max() -> Iterator[PtyMax]:
    """kernel.pty.max, which has its value back after the test."""
    found = PtyMax()
    try:
        yield found
    finally:
        found.restore()


def config(text: str) -> ConfigDocument:
    return ConfigDocument.parse(text)


def test_a_lowered_limit_is_refused_with_the_value_needed(pty_max: PtyMax) -> None:
    few = [config("lxc.pty.max = 1024\nlxc.tty.max = 1\n")]
    many = few * ROOM * 10
    check_limits([])
    lowered = pty_max.lower()
    try:
        check_limits(few)
        with pytest.raises(OperationError) as caught:
            check_limits(many)
    finally:
        pty_max.restore()
    text = str(caught.value)
    assert text.startswith(f"Cannot start fleet '{len(many)} containers': kernel.pty.max is {lowered} and must be ")
    found = NAMED.search(text)
    assert found and int(found[1]) >= 2 * len(many) + pty_max.read("reserve") + 1
    assert "host_size of the role lightervisor.lxc.host" in text
    # What it names is enough, but for what others take meanwhile.
    pty_max.set(max(int(found[1]) + ROOM, pty_max.before))
    check_limits(many)


def test_liblxc_fails_where_the_check_refuses_and_starts_where_it_does_not(
    lxcpath: Path, busybox: Callable[..., str], pty_max: PtyMax
) -> None:
    name = busybox()
    file = lxcpath / name / "config"
    file.write_text(file.read_text().replace("lxc.tty.max = 5", f"lxc.tty.max = {ROOM * 3}"))
    document = config(file.read_text())
    start = ["lxc-start", "-P", str(lxcpath), "-n", name, "-o", str(lxcpath / "log")]
    pty_max.lower()
    try:
        with pytest.raises(OperationError, match="Cannot start container 'one': kernel.pty.max"):
            check_limits([document], "container", "one")
        refused = subprocess.run(start, check=False, capture_output=True, timeout=60)
    finally:
        pty_max.restore()
    assert refused.returncode != 0
    assert "Failed to create tty" in (lxcpath / "log").read_text()
    check_limits([document], "container", "one")
    subprocess.run(start, check=True, capture_output=True, timeout=60)


FULL_BRIDGE = """
import subprocess
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.limits import check_limits
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument

def ip(lines):
    return subprocess.run(["ip", "-batch", "-"], input="\\n".join(lines), text=True, capture_output=True)

def check(count, bridge="lvtbr"):
    text = f"lxc.console.path = none\\nlxc.net.0.type = veth\\nlxc.net.0.link = {bridge}\\n"
    try:
        check_limits([ConfigDocument.parse(text)] * count)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "fine"

ports = [f"link add lvtp{n} type veth peer name lvtp{n + 1}" for n in range(0, 1024, 2)]
made = ip(["link add lvtbr type bridge", *ports, *(f"link set lvtp{n} master lvtbr" for n in range(1022))])
assert made.returncode == 0, made.stderr
print(check(1))
print(check(2))
print(check(2000, "nosuch"), check(2000, "lvtp1"))
assert ip(["link set lvtp1022 master lvtbr"]).returncode == 0
print(check(1))
print(ip(["link set lvtp1023 master lvtbr"]).stderr.splitlines()[0])
"""


def test_a_full_bridge_is_refused_as_the_kernel_refuses_it(collections_path: Path) -> None:
    # In a network namespace of its own, which takes the links with it when the program ends.
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs none /sys && exec "$@"', "sh", sys.executable, "-c"]
        + [FULL_BRIDGE],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(collections_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    fits, over, others, full, kernel = done.stdout.splitlines()
    assert fits == "fine" and others == "fine fine"
    assert over == (
        "OperationError: Cannot start fleet '2 containers': the bridge lvtbr takes 1023 ports and must take 1024 "
        "(2 beside 1022 that there are). Give at least 1 networks another lxc.net.N.link than lvtbr: 1 bridge more. "
        "See docs/limits.md."
    )
    assert "must take 1024 (1 beside 1023" in full
    assert "Exchange full" in kernel


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Learn whether this is a check run
      ansible.builtin.command: {{argv: ["true"]}}
      register: __host_run
      changed_when: false
    - name: Set the limits
      ansible.builtin.include_role: {{name: lightervisor.lxc.host, tasks_from: {tasks}}}
      vars:
        host_size: {size}
        __host_limits_file: {folder}/limits.conf
        __host_nofile_files: [{folder}/pam/a.conf, {folder}/unit.d/b.conf]
"""


def test_the_role_sets_the_limits_of_a_size(
    run_playbook: Callable[..., Any], tmp_path: Path, pty_max: PtyMax
) -> None:
    before = pty_max.before
    wanted = 3 * before + 256 + pty_max.read("reserve") + 1
    pty_max.ours |= {wanted, wanted + 5}
    # Nothing but the pseudo-terminals: what else the role could raise is high enough on any machine.
    size = dict.fromkeys(HostSize.__dataclass_fields__, 0)
    size |= {"containers": 3, "ptys": before, "neighbours": 1, "nofile": 65536}
    folder = tmp_path / "made"
    play = PLAY.format(tasks="limits.yml", size=size, folder=folder)
    folder.mkdir()

    said = run_playbook(play, "--check", "--diff", fails=False)
    assert said.changed and f"+kernel.pty.max = {wanted}" in said.stdout
    assert "/proc/sys/kernel/pty/max" in said.result("lightervisor.lxc.host : Say which limits would be raised")["msg"]
    assert list(folder.iterdir()) == [] and pty_max.read() == before

    assert run_playbook(play, fails=False).changed
    text = (folder / "limits.conf").read_text()
    assert f"# 3 containers with {before} ptys each\nkernel.pty.max = {wanted}\n" in text
    # High enough without the file: not in it.
    assert text.count(" = ") == 1
    assert pty_max.read() == wanted
    assert "root hard nofile 65536" in (folder / "pam/a.conf").read_text()
    assert "LimitNOFILE=1024:65536" in (folder / "unit.d/b.conf").read_text()

    assert run_playbook(play, fails=False).changed == 0
    assert run_playbook(play, "--check", fails=False).changed == 0

    pty_max.set(before)
    assert run_playbook(play, "--check", fails=False).changed
    assert run_playbook(play, fails=False).changed
    assert pty_max.read() == wanted

    # Higher than asked for: it is not lowered, and the next boot does not lower it either.
    pty_max.set(wanted + 5)
    assert run_playbook(play, fails=False).changed
    assert pty_max.read() == wanted + 5
    assert f"kernel.pty.max = {wanted + 5}\n" in (folder / "limits.conf").read_text()

    gone = PLAY.format(tasks="limits-absent.yml", size="{}", folder=folder)
    assert run_playbook(gone, fails=False).changed
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert run_playbook(gone, fails=False).changed == 0


def test_the_role_refuses_a_size_that_no_host_can_have(run_playbook: Callable[..., Any], tmp_path: Path) -> None:
    play = PLAY.format(tasks="limits.yml", size={"containers": 3700}, folder=tmp_path)
    done = run_playbook(play, fails=True)
    assert "host_size.bridges: 3700 containers with 1 NICs are 3700 ports" in done.stdout
