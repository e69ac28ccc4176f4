# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Laws that every plan of a container keeps, whatever stands in its config and in the task.

A small model of what each action does takes the place of the host: states and documents, nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError, OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument, flatten
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import lookup, same_values
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec, parse_container
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import (
    ABSENT,
    NO_ROOTFS,
    OK,
    PARTIAL,
    UNREADABLE,
    Observed,
    Rootfs,
    Snapshot,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._options import CONTAINER_OPTIONS
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container import plan_container
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container_config import KEPT, converge
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container_context import Context
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.core import Plan, render_diff
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

LXCPATH = "/var/lib/lxc"
ROOTFS = f"dir:{LXCPATH}/c1/rootfs"
INCLUDED = {
    "/i/one": "lxc.tty.max = 9\nlxc.environment = I=1\n",
    "/i/two": "lxc.start.order = 77\nlxc.cap.drop =\nlxc.mount.auto = sys:ro",
}
MULTI = {
    "lxc.environment": ["A=1", "B=2", "C= 3", "A=1 "],
    "lxc.mount.entry": ["/a a none bind 0 0", "/b b none bind", "/c  c none bind 0 0"],
    "lxc.cap.drop": ["sys_time", "mac_admin sys_time", "none"],
    "lxc.cap.keep": ["chown", "kill chown"],
    "lxc.group": ["web", "onboot"],
    "lxc.mount.auto": ["proc", "proc:mixed sys:ro", "cgroup"],
    "lxc.hook.start": ["/h1", "/h2"],
    "lxc.net.0.ipv4.address": ["10.0.0.1/24", "10.0.0.2/24"],
    "lxc.cgroup2.devices.allow": ["a", "c 1:3 rwm"],
}
SINGLE = {
    "lxc.start.order": ["1", "01", "5", "7"],
    "lxc.start.auto": ["0", "1"],
    "lxc.tty.max": ["2", "4"],
    "lxc.signal.halt": ["SIGPWR", "30", "SIGTERM"],
    "lxc.arch": ["amd64", "x86_64", "i686"],
    "lxc.net.0.type": ["veth", "empty"],
    "lxc.net.0.link": ["lxcbr0", "br1"],
    "lxc.net.0.flags": ["up"],
    "lxc.net.0.hwaddr": ["00:16:3e:xx:xx:xx", "00:16:3E:aa:bb:cc"],
    "lxc.net.1.type": ["veth", "macvlan"],
    "lxc.net.1.hwaddr": ["02:00:00:00:00:01"],
    "lxc.cgroup2.memory.max": ["512M", "536870912", "1G"],
    "lxc.init.cmd": ["/sbin/init", "'/sbin/init x'"],
}
VALUES = {**MULTI, **SINGLE}
CLEARERS = ["lxc.net", "lxc.net.0", "lxc.hook", "lxc.cgroup2", *VALUES]

pairs = st.sampled_from([(key, value) for key, values in VALUES.items() for value in values])
lines = st.one_of(
    pairs.map(lambda pair: f"{pair[0]} = {pair[1]}"),
    pairs.map(lambda pair: f"  {pair[0]}={pair[1]}"),
    pairs.map(lambda pair: f'{pair[0]} = "{pair[1]}"'),
    st.sampled_from(CLEARERS).map(lambda key: f"{key} ="),
    st.sampled_from(["# a comment", "", "#lxc.start.order = 3", "foreign = 1", "\t# another"]),
    st.sampled_from(sorted(INCLUDED)).map(lambda path: f"lxc.include = {path}"),
)


@st.composite
def documents(draw: st.DrawFn) -> ConfigDocument:
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    chosen = draw(st.lists(lines, max_size=14))
    text = end.join([f"lxc.rootfs.path = {ROOTFS}", "lxc.uts.name = c1", *chosen])
    return ConfigDocument.parse(text + draw(st.sampled_from([end, ""])))


@st.composite
def settings_of_a_task(draw: st.DrawFn) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4, unique=True)):
        one = st.sampled_from(VALUES[key])
        if key in SINGLE:
            config[key] = draw(st.one_of(one, st.none()))
        else:
            many = st.lists(one, max_size=3)
            change = st.fixed_dictionaries({"add": many, "remove": many})
            config[key] = draw(st.one_of(one, many, st.none(), change))
    return config


nics = st.fixed_dictionaries(
    {"type": st.sampled_from(["veth", "macvlan", "empty"])},
    optional={
        "up": st.booleans(),
        "hwaddr": st.sampled_from(["00:16:3e:xx:xx:xx", "02:00:00:00:00:99"]),
        "ipv4": st.lists(st.sampled_from(["10.0.0.1/24", "10.0.0.9/24"]), max_size=2, unique=True),
    },
).map(
    lambda nic: {
        key: value
        for key, value in {**nic, "link": None if nic["type"] == "empty" else "br0"}.items()
        if not (nic["type"] == "empty" and key == "hwaddr")
    }
)

tasks = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["present", "started", "stopped", "frozen", "restarted", "absent"]),
        "restart": st.sampled_from(["never", "if_needed", "always"]),
        "config": settings_of_a_task(),
        "networks": st.lists(nics, max_size=2),
        "purge_config": st.sampled_from([False, False, True]),
        "purge_networks": st.booleans(),
        "destroy_snapshots": st.booleans(),
        "autostart": st.sampled_from([None, {"delay": 3}, {"groups": []}]),
        "template": st.sampled_from([None, {"name": "busybox"}]),
        "privileged": st.sampled_from([None, True]),
        "drift": st.just("warn"),
    }
)


def parse(task: dict[str, Any]) -> ContainerSpec:
    params = {name: option.get("default") for name, option in CONTAINER_OPTIONS.items()}
    try:
        return parse_container({**params, "name": "c1", **task}, LXCPATH)
    except InputError:
        assume(False)
        raise


def flattened(document: ConfigDocument) -> ConfigDocument:
    return flatten(document, lambda path: [ConfigDocument.parse(INCLUDED[path])])


CONTEXT = Context(
    version=(5, 0),
    flatten=flattened,
    default=ConfigDocument.parse("lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\n"),
    free_map=lambda: ("u 0 165536 65536", "g 0 165536 65536"),
    host_id="host",
)


@st.composite
def containers(draw: st.DrawFn) -> Observed:
    health = draw(st.sampled_from([OK, OK, OK, OK, ABSENT, PARTIAL, NO_ROOTFS, UNREADABLE]))
    if health == ABSENT:
        return Observed("c1", LXCPATH)
    if health == PARTIAL:
        return Observed("c1", LXCPATH, health=PARTIAL, problem="It was interrupted.")
    state = draw(st.sampled_from(["stopped", "running", "frozen", "starting", "stopping", "freezing"]))
    document = draw(documents())
    if health == UNREADABLE:
        document = ConfigDocument.parse(document.render() + "\nlxc.nonsense = 1\n")
    return Observed(
        "c1",
        LXCPATH,
        health=health,
        problem="" if health == OK else "It is broken.",
        state=state,
        pid=None if state == "stopped" else 7,
        document=document,
        effective=flattened(document),
        rootfs=Rootfs("dir", f"{LXCPATH}/c1/rootfs", (), health != NO_ROOTFS),
        snapshots=draw(st.sampled_from([(), (Snapshot("snap0"),)])),
    )


def applied(plan: Plan, spec: ContainerSpec, current: Observed) -> Observed:
    """The container after the plan, as its actions say."""
    for action in plan.actions:
        if action.verb in ("stop", "start", "freeze", "unfreeze"):
            state = {"stop": "stopped", "freeze": "frozen"}.get(action.verb, "running")
            expected = {"start": ("stopped",), "freeze": ("running", "starting", "freezing")}.get(action.verb)
            assert expected is None or current.state in expected, (action.verb, current.state)
            current = replace(current, state=state, pid=None if state == "stopped" else 8)
        elif action.verb == "configure":
            document = action.detail["document"]
            health = OK if current.health == UNREADABLE else current.health
            problem = "" if health == OK else current.problem
            current = replace(current, document=document, effective=flattened(document), health=health, problem=problem)
        elif action.verb == "create":
            text = action.detail["document"].render()
            made = ConfigDocument.parse(f"{text}\nlxc.rootfs.path = {ROOTFS}\nlxc.uts.name = c1\n")
            made = converge(made, spec, action.detail["idmap"], flattened, CONTEXT.host_id, CONTEXT.taken_hwaddrs)
            rootfs = Rootfs("dir", f"{LXCPATH}/c1/rootfs", (), True)
            current = Observed("c1", LXCPATH, health=OK, document=made, effective=flattened(made), rootfs=rootfs)
        elif action.verb in ("discard", "destroy", "undefine"):
            assert current.state == "stopped"
            current = Observed("c1", LXCPATH)
        elif action.verb == "destroy_snapshots":
            current = replace(current, snapshots=())
        else:
            assert action.verb == "limit", action.verb
    return current


def planned(spec: ContainerSpec, current: Observed) -> Plan:
    try:
        return plan_container(spec, current, CONTEXT)
    except (OperationError, InputError):
        assume(False)
        raise


@settings(max_examples=150, deadline=None)
@given(tasks, containers())
def test_after_the_plan_nothing_is_left_to_do(task: dict[str, Any], current: Observed) -> None:
    spec = parse(task)
    plan = planned(spec, current)
    after = applied(plan, spec, current)
    again = replace(spec, state="started") if spec.state == "restarted" else spec
    residue = plan_container(again, after, CONTEXT)
    assert [str(action) for action in residue.actions] == []
    if plan.changed and spec.state == "absent":
        assert after.health == ABSENT


@settings(max_examples=120, deadline=None)
@given(tasks, containers())
def test_the_diff_says_what_the_actions_do(task: dict[str, Any], current: Observed) -> None:
    spec = parse(task)
    plan = planned(spec, current)
    after = applied(plan, spec, current)
    shown = render_diff(plan.before, plan.after, "c1")
    assert plan.changed == (shown["before"] != shown["after"])
    if plan.changed:
        known = after.state if after.health != ABSENT else "absent"
        assert plan.after["state"] == known
    if any(action.verb == "configure" for action in plan.actions):
        assert plan.before["config"] == current.document.render()
        assert plan.after["config"] == after.document.render()


@settings(max_examples=120, deadline=None)
@given(tasks, documents())
@example({"purge_config": True}, ConfigDocument.parse("lxc.cap.drop = a\nlxc.cap.keep =\nlxc.cap.keep = b\n"))
def test_converging_twice_is_converging_once(task: dict[str, Any], document: ConfigDocument) -> None:
    spec = parse(task)
    once = converge(document, spec, None, flattened)
    assert converge(once, spec, None, flattened).render() == once.render()


@settings(max_examples=150, deadline=None)
@given(tasks, documents())
@example({"config": {"lxc.start.order": "1"}}, ConfigDocument.parse("lxc.start.auto = 0\nlxc.include = /i/two\n"))
def test_what_is_declared_holds(task: dict[str, Any], document: ConfigDocument) -> None:
    spec = parse(task)
    after = converge(document, spec, None, flattened)
    for setting in spec.settings:
        row = lookup(setting.key)
        assert row is not None
        there = after.values(setting.key)
        if setting.partial:
            assert all(any(same_values(setting.key, [add], [one]) for one in there) for add in setting.add)
        elif setting.values is None:
            assert flattened(after).values(setting.key) == ()
        else:
            assert same_values(setting.key, there, setting.values)
            if not row.multi:
                assert same_values(setting.key, flattened(after).values(setting.key), setting.values)


@settings(max_examples=150, deadline=None)
@given(tasks, documents())
def test_what_is_not_declared_stays(task: dict[str, Any], document: ConfigDocument) -> None:
    spec = parse(task)
    after = converge(document, spec, None, flattened)

    def texts(found: ConfigDocument) -> list[str]:
        return [line.text.strip() for line in found.lines if line.key is None]

    # Comments, blank lines and what liblxc ignores: all of them, in their order.
    assert texts(after) == texts(document)
    declared = {setting.key for setting in spec.settings}
    indexes = tuple(f"lxc.net.{nic.index}." for nic in spec.nics)
    for key in {*document.keys(), *after.keys()} - declared:
        if key.startswith(indexes) or (spec.purge_networks and key.startswith("lxc.net.")):
            continue
        if spec.purge_config and not key.startswith(KEPT):
            assert after.values(key) == ()
            continue
        assert after.values(key) == document.values(key), key


@settings(max_examples=80, deadline=None)
@given(
    documents(), st.sampled_from(["running", "frozen"]), st.sampled_from(["present", "started"]), settings_of_a_task()
)
def test_nothing_is_interrupted_without_being_told(
    document: ConfigDocument, state: str, declared: str, config: dict[str, Any]
) -> None:
    spec = parse({"state": declared, "config": config})
    current = Observed("c1", LXCPATH, health=OK, state=state, pid=7, document=document, effective=flattened(document))
    assert not {"stop", "start", "freeze", "destroy"} & set(planned(spec, current).verbs())
