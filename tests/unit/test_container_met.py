# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The quick look at a container says that it is in order only where its plan says so, too."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import OK, Observed, Reference, Rootfs
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container import plan_container, restart_required
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container_met import MEETS, is_simple, met_rootfs
from ansible_collections.lightervisor.lxc.tests.unit.test_plan_laws import (
    CONTEXT,
    LXCPATH,
    ROOTFS,
    VALUES,
    flattened,
    parse,
    tasks,
)
from hypothesis import given, settings
from hypothesis import strategies as st

CONFIG = f"""\
# A comment
lxc.net.0.type = veth
lxc.net.0.link = br0
lxc.net.0.hwaddr = 00:16:3e:00:00:01

lxc.rootfs.path = {ROOTFS}
lxc.uts.name = c1
lxc.tty.max = 0
lxc.environment = A=1
lxc.environment = B=2
"""
TASK: dict[str, Any] = {
    "networks": [{"type": "veth", "link": "br0"}],
    "config": {"lxc.tty.max": 0, "lxc.environment": ["A=1", "B=2"], "lxc.start.order": None},
    "template": {"name": "none"},
    "privileged": True,
}
MAPPED = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"
CLONE = {"from": "base", "lxcpath": LXCPATH, "snapshot": True}
COPIED = f"# Cloned by lightervisor.lxc from: {LXCPATH}/base\n"
MADE = "# Template used to create this container: /usr/share/lxc/templates/lxc-busybox\n"
MADE += "# Parameters passed to the template:\n"
ORIGIN = Reference(LXCPATH, "base")


def met(task: dict[str, Any], text: str, origin: Reference | None = None) -> bool:
    spec = parse(task)
    return is_simple(spec) and met_rootfs(spec, text, origin, CONTEXT.version) == ROOTFS


def is_let_alone(task: dict[str, Any], text: str, origin: Reference | None = None) -> bool:
    """What the plans for it in each run state that it may have say."""
    spec = parse({"drift": "error", **task})
    document = ConfigDocument.parse(text)
    rootfs = Rootfs("overlay" if origin else "dir", f"{LXCPATH}/c1/rootfs", (), True)
    effective = flattened(document)
    for state in MEETS[spec.state]:
        observed = Observed(
            "c1",
            LXCPATH,
            health=OK,
            state=state,
            pid=None if state == "stopped" else 7,
            document=document,
            effective=effective,
            rootfs=rootfs,
            origin=origin,
        )
        plan = plan_container(spec, observed, CONTEXT)
        if plan.changed or plan.warnings or restart_required(spec, plan, observed, CONTEXT):
            return False
    return True


@pytest.mark.parametrize(
    "change, text, origin",
    [
        ({}, CONFIG, None),
        ({"state": "stopped"}, CONFIG, None),
        ({}, CONFIG.replace("= c1", '= "c1"'), None),
        ({"template": {"name": "busybox"}}, MADE + CONFIG, None),
        (
            {"template": {"name": "busybox", "arguments": ["--x"]}},
            MADE.replace("template:\n", "template: --x\n") + CONFIG,
            None,
        ),
        ({"state": "started", "restart": "always"}, CONFIG, None),
        ({"template": None}, CONFIG, ORIGIN),
        ({"privileged": None}, CONFIG + MAPPED, None),
        ({"privileged": False}, CONFIG + MAPPED, None),
        ({"template": None, "clone": CLONE}, CONFIG, ORIGIN),
        ({"template": None, "clone": {**CLONE, "snapshot": False}}, COPIED + CONFIG, None),
        ({"networks": [{"type": "veth", "link": "br0", "hwaddr": "00:16:3e:00:00:01"}]}, CONFIG, None),
    ],
)
def test_a_quick_look_is_enough_for_what_is_usual(change, text, origin):
    task = {**TASK, **change}
    assert met(task, text, origin)
    assert is_let_alone(task, text, origin)


@pytest.mark.parametrize(
    "change, text, origin",
    [
        ({"config": {"lxc.tty.max": 1}}, CONFIG, None),
        ({"config": {"lxc.tty.max": None}}, CONFIG, None),
        ({"config": {"lxc.environment": ["A=1"]}}, CONFIG, None),
        ({"config": {"lxc.environment": ["B=2", "A=1"]}}, CONFIG, None),
        ({"config": {"lxc.environment": {"add": ["A=1"]}}}, CONFIG, None),
        ({"autostart": {"delay": 1}}, CONFIG, None),
        ({"networks": [{"type": "veth", "link": "br1"}]}, CONFIG, None),
        ({"networks": [{"type": "veth", "link": ""}]}, CONFIG, None),
        ({"networks": [{"type": "macvlan", "link": "br0"}]}, CONFIG, None),
        ({"networks": [{"type": "veth", "link": "br0"}, {"type": "empty"}]}, CONFIG, None),
        ({"privileged": False}, CONFIG, None),
        ({"privileged": True}, CONFIG + MAPPED, None),
        ({"state": "frozen"}, CONFIG, None),
        ({"state": "restarted"}, CONFIG, None),
        ({"state": "absent"}, CONFIG, None),
        ({"purge_config": True}, CONFIG, None),
        ({"template": {"name": "busybox"}}, "# Template used to create this container: lxc-oci\n" + CONFIG, None),
        ({"template": {"name": "busybox"}}, MADE.replace("template:\n", "template: --x\n") + CONFIG, None),
        ({"template": {"name": "busybox"}}, COPIED + CONFIG, None),
        ({}, CONFIG, ORIGIN),
        ({"template": None, "clone": CLONE}, CONFIG, None),
        ({"template": None, "clone": CLONE}, CONFIG, Reference(LXCPATH, "other")),
        ({"template": None, "clone": {**CLONE, "snapshot": False}}, CONFIG, None),
        ({}, CONFIG.replace(ROOTFS, ""), None),
        ({}, CONFIG.replace("lxc.rootfs.path", "lxc.rootfs.mount"), None),
        ({}, CONFIG.replace("lxc.rootfs.path = ", "lxc.rootfs.path="), None),
        ({}, CONFIG.replace("00:01", "xx:xx"), None),
        ({}, CONFIG.replace("lxc.net.0.hwaddr", "#"), None),
        ({}, CONFIG[:-1], None),
        ({}, CONFIG.replace("\n", "\r\n"), None),
        ({}, CONFIG + "lxc.environment =\n", None),
        ({}, CONFIG + "lxc.environment = \n", None),
        ({}, CONFIG + "lxc.environment\n", None),
        ({}, CONFIG + "lxc.net =\n", None),
        ({}, CONFIG + "lxc.net.0.type = veth\n", None),
        ({}, CONFIG + "lxc.net.00.link = br1\n", None),
        ({}, CONFIG + "lxc.tty.max = 1\n", None),
        ({}, CONFIG + "lxc.environment = 'C=3'\n", None),
        ({}, CONFIG + 'lxc.arch = " amd64"\n', None),
        ({}, CONFIG + 'lxc.arch = ""\n', None),
        ({}, CONFIG + "lxc.include = /i/one\n", None),
        ({}, CONFIG + "lxc.nonsense = 1\n", None),
        ({}, CONFIG + "lxc.network.type = veth\n", None),
        ({}, CONFIG + "lxc.environment.hooks = A=1\n", None),
        ({}, CONFIG + "\0\n", None),
        ({}, CONFIG + "# \0\n", None),
        ({}, "", None),
    ],
)
def test_the_rest_is_looked_at_closely(change, text, origin):
    assert not met({**TASK, **change}, text, origin)


@st.composite
def declared_and_there(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A task, and a config that has much of what it says."""
    task = draw(tasks)
    task["state"] = draw(st.sampled_from(sorted(MEETS)))
    task["template"] = draw(st.sampled_from([None, {"name": "none"}, {"name": "busybox"}]))
    task["purge_config"] = task["purge_networks"] = False
    task["config"] = {key: value for key, value in task["config"].items() if not key.startswith("lxc.net.")}
    spec = parse(task)
    pairs = [
        (f"lxc.net.{nic.index}.{key}", value) for nic in spec.nics for key, values in nic.settings for value in values
    ]
    for nic in spec.nics:
        pairs.append((f"lxc.net.{nic.index}.hwaddr", f"00:16:3e:00:00:0{nic.index}"))
    pairs += [(setting.key, value) for setting in spec.settings for value in setting.values or ()]
    pairs.insert(draw(st.integers(0, len(pairs))), ("lxc.rootfs.path", ROOTFS))
    others = st.sampled_from([(key, value) for key, values in VALUES.items() for value in values])
    lines = [f"{key} = {value}" for key, value in dict.fromkeys(pairs)]
    if draw(st.integers(0, 3)) == 0:
        key, value = draw(others)
        spelled = st.sampled_from([f"{key} = {value}", f"{key}={value}", f"{key} =", f'{key} = "{value}"', "# x", ""])
        lines.insert(draw(st.integers(0, len(lines))), draw(spelled))
    if draw(st.integers(0, 5)) == 0:
        lines = draw(st.permutations(lines))
    head = draw(st.sampled_from(["", "", MADE, COPIED, "# Any\n" * 5 + MADE]))
    return task, head + "\n".join(lines) + "\n"


@settings(max_examples=400)
@given(declared_and_there())
def test_what_a_quick_look_finds_in_order_needs_nothing(both):
    task, text = both
    if met(task, text):
        assert is_let_alone(task, text)
