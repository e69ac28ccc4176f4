# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fleets as data: names from ranges, what stands for them, defaults, and who comes before whom."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet import (
    Member,
    check_fleet_name,
    merge,
    parse_members,
    refuse_twins,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet_names import (
    Place,
    Template,
    expand_names,
    has_places,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import OK, Observed, Reference
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.source import Clone
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.source import Template as Source
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.core import Action, Plan
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.fleet import (
    Turn,
    clone_levels,
    predict,
    removal_levels,
    schedule,
    without_dependants,
)


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[01:03]", ["web01", "web02", "web03"]),
        ("web[08:10]", ["web08", "web09", "web10"]),
        ("n[0:10:5]", ["n0", "n5", "n10"]),
        ("n[0:9:5]x", ["n0x", "n5x"]),
        ("node[a:c]", ["nodea", "nodeb", "nodec"]),
        ("t[1:2]-[a:b]", ["t1-a", "t1-b", "t2-a", "t2-b"]),
        (["b", "a[1:2]"], ["b", "a1", "a2"]),
    ],
)
def test_names_are_written_as_in_inventories(pattern, names):
    assert [place.name for place in expand_names(pattern)] == names


def test_the_number_is_that_of_the_first_range_or_else_the_position():
    assert expand_names("t[007:009]-[1:1]") == [Place("t007-1", 7), Place("t008-1", 8), Place("t009-1", 9)]
    assert expand_names(["x", "y"]) == [Place("x", 1), Place("y", 2)]
    assert expand_names("n[b:c]") == [Place("nb", 1), Place("nc", 2)]


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("w[3:1]", "ends before"),
        ("w[01:100]", "digits"),
        ("w[1:3:0]", "step"),
        ("w[a:3]", "no range"),
        ("w[a:Z]", "no range"),
        ("w[1-3]", "bracket"),
        ("w[1:900000]", "at most"),
        ("w[1:1000][1:1000]", "at most"),
        (3, "no list"),
        ([3], "no list"),
    ],
)
def test_a_range_that_is_none_is_refused(pattern, words):
    with pytest.raises(InputError, match=words):
        expand_names(pattern)


def test_ranges_agree_with_ansibles_own():
    from ansible.plugins.inventory import expand_hostname_range

    for pattern in ("web[1:3]", "web[01:12]", "n[0:10:3]", "node[a:e]", "t[1:2]-[a:b]", "x[08:11]y"):
        assert [place.name for place in expand_names(pattern)] == expand_hostname_range(pattern), pattern


def test_places_are_filled_wherever_they_stand():
    item = {
        "a": "{name}",
        "b": [{"c{number}": "x{number:03}:{number:x}:{number:X}"}],
        "d": 5,
        "e": "{other} {}",
        "f": None,
    }
    assert has_places(item)
    filled = Template(item).fill(Place("web", 43))
    assert filled == {"a": "web", "b": [{"c43": "x043:2b:2B"}], "d": 5, "e": "{other} {}", "f": None}
    assert not has_places({"a": "{nam}", "b": ["{name:3}"]})


@pytest.mark.parametrize(
    "text, filled",
    [
        ("echo ${name} ${number} {name}", "echo ${name} ${number} web"),
        ("${number:03}", "${number:03}"),
        (r"\{name} {number}", "{name} 43"),
        (r"\{number:5.2f}", "{number:5.2f}"),
        (r"$\{name} \{other} {0}", r"${name} \{other} {0}"),
        ("{number:12}|{number:012}|{number:02X}", "          43|000000000043|2B"),
    ],
)
def test_a_shells_variables_are_left_alone_and_a_backslash_keeps_a_place(text, filled):
    assert Template({"a": text}).fill(Place("web", 43)) == {"a": filled}


@pytest.mark.parametrize("form", ["100", "0100", "5.2f", "b", ",", ">5", "x3", " "])
def test_other_formats_of_numbers_are_refused(form):
    nic = {"type": "veth", "link": "br0", "ipv4": ["10.0.0.1/24", f"10.0.0.{{number:{form}}}/24"]}
    with pytest.raises(InputError, match="two digits") as caught:
        parse({"name": "b"}, {"names": ["a[1:2]"], "networks": [nic]})
    assert caught.value.path == "containers[1].networks[0].ipv4[1]"
    assert f"'{{number:{form}}}'" in caught.value.problem


def test_the_name_is_filled_into_defaults_of_single_containers_too():
    config = {"lxc.environment": ["A={name}", "B=\\{name}"], "lxc.uts.name": "{name}"}
    first, *others = parse({"name": "w"}, {"names": ["a", "b"]}, {"name": "x", "config": None}, config=config)
    settings = {one.key: one.values for one in first.spec.settings}
    assert settings == {"lxc.environment": ("A=w", "B={name}"), "lxc.uts.name": ("w",)}
    assert [dict(one.spec.settings[0]._asdict())["values"] for one in others[:2]] == [
        ("A=a", "B={name}"),
        ("A=b", "B={name}"),
    ]
    assert others[2].spec.settings == ()


@pytest.mark.parametrize("place", ["{number}", "{number:03}", "{number:x}"])
def test_a_single_name_has_no_number_for_the_defaults(place):
    with pytest.raises(InputError) as error:
        parse({"name": "w"}, config={"lxc.environment": f"A={place}"})
    assert error.value.path == "containers[0].name"
    assert "a single name has none" in error.value.problem


def test_an_item_goes_before_the_defaults():
    defaults = {"state": "started", "config": {"a": 1, "b": 2}, "networks": [1], "template": {"name": "busybox"}}
    assert merge(defaults, {"config": {"b": 3}, "networks": [2, 3]}) == {
        "state": "started",
        "config": {"a": 1, "b": 3},
        "networks": [2, 3],
        "template": {"name": "busybox"},
    }
    assert "template" not in merge(defaults, {"clone": {"from": "x"}})
    assert merge({"clone": {"from": "x", "snapshot": True}}, {"clone": {"from": "y"}})["clone"] == {
        "from": "y",
        "snapshot": True,
    }
    assert merge(defaults, {"config": None})["config"] is None


def as_it_is(item: Any) -> dict[str, Any]:
    return dict(item)


def parse(*items: Any, **defaults: Any) -> list[Member]:
    return parse_members(items, defaults, as_it_is, "/lxc", 2)


def test_each_of_many_names_is_a_container_of_its_own():
    nic = {"type": "veth", "link": "br{number}", "ipv6": ["fd00::{number:x}/64"]}
    members = parse({"names": ["a[9:11]"], "networks": [nic]}, {"name": "b"}, state="started")
    assert [member.spec.name for member in members] == ["a9", "a10", "a11", "b"]
    assert dict(members[1].spec.nics[0].settings)["link"] == ("br10",)
    assert dict(members[2].spec.nics[0].settings)["ipv6.address"] == ("fd00::b/64",)
    assert {member.spec.state for member in members} == {"started"}
    assert [member.path for member in members] == ["containers[0]"] * 3 + ["containers[1]"]


def test_containers_of_one_description_are_those_that_are_described_one_by_one():
    def described(name: str, number: str) -> dict[str, Any]:
        return {
            "lxcpath": "/srv/lxc",
            "backingstore": {"type": "dir", "dir": f"/data/{name}"},
            "template": {"name": "busybox", "url": None},
            "networks": [
                {"type": "veth", "link": "lxcbr0", "name": "n0", "mtu": None},
                {"type": "veth", "link": f"br{number}", "ipv4": [f"10.0.0.{number}/24"], "ipv4_gateway": "auto"},
            ],
            "config": {"lxc.tty.max": 0, "lxc.environment": [f"N={number}", "A=b"], "lxc.console.path": None},
            "autostart": {"auto": True, "groups": [f"g{number}"]},
            "idmap": ["u 0 100000 65536", "g 0 100000 65536"],
            "state": "started",
        }

    together = parse(dict(described("{name}", "{number}"), names=["web[8:11]"]))
    apart = [parse(dict(described(f"web{number}", str(number)), name=f"web{number}"))[0] for number in range(8, 12)]
    assert [member.spec for member in together] == [member.spec for member in apart]
    assert together[0].spec.template is together[3].spec.template


VETH = {"type": "veth", "link": "br0"}


@pytest.mark.parametrize(
    "description",
    [
        {"config": {"lxc.tty.max": 0, "lxc.environment": ["N={number}", "A=b"], "lxc.uts.name": "{name}"}},
        {"config": {"lxc.environment": {"add": ["N={number}"], "remove": ["M={number}"]}, "lxc.net.7.link": "a"}},
        {"config": {"lxc.environment": ["A=1"], "lxc.hook.start": None}, "autostart": {"order": 3}},
        {"config": {"lxc.cgroup.memory.limit_in_bytes": "{number}M", "lxc.tty.max": 1}},
        {"config": {"lxc.sysctl.net.{name}": "1"}},
        {"networks": [VETH, {**VETH, "link": "br{number}", "name": "n{number}", "ipv6": ["fd00::{number:x}/64"]}]},
        {"networks": [{**VETH, "ipv4": ["10.0.0.{number}/24", "10.1.0.1/24"], "ipv4_gateway": "10.0.0.254"}]},
        {"networks": [{**VETH, "ipv6": ["FD00::{number}/064"], "ipv6_gateway": "fe80::{number}"}]},
        {"networks": [{**VETH, "hwaddr": "02:00:00:00:00:{number:02X}", "index": 3, "mtu": None}], "state": "started"},
        {"networks": [{**VETH, "veth_mode": "{name}"}]},
        {"networks": [{**VETH, "name": "web9"}, {**VETH, "name": "{name}"}]},
        {"networks": [{**VETH, "veth_pair": "p9"}, {**VETH, "veth_pair": "p{number}"}]},
        {"networks": [{**VETH, "veth_pair": "br9", "link": "br{number}"}]},
        {"networks": [{**VETH, "ipv4": ["10.0.0.{number}/24", "10.0.0.9/24"]}]},
        {"networks": [{**VETH, "ipv6": ["fd00:{number}{number}{number}{number}{number}::1/64"]}]},
        {"networks": [{"type": "vlan", "link": "eth0", "vlan_id": "{number}"}]},
        {"clone": {"from": "web9"}, "config": {"lxc.environment": "{name}"}},
        {"clone": {"from": "base{number}", "lxcpath": "/lxc/"}, "restart": "always"},
        {"lxcpath": "/lxc/{number}", "shutdown_timeout": 3, "wait_for": ["running"], "state": "started"},
        {
            "template": {"name": "busybox"},
            "backingstore": {"type": "dir", "dir": "/lxc/web9"},
            "config": {"lxc.arch": "{name}"},
        },
    ],
)
def test_containers_of_a_series_are_those_that_are_described_one_by_one(description):
    def outcome(**item: Any) -> Any:
        try:
            return parse({**description, **item})
        except InputError as error:
            return error.path, error.problem

    apart = []
    for number in (8, 9, 10):
        # The number is that of the first range.
        one = outcome(names=[f"web[{number}:{number}]"])
        if isinstance(one, tuple):
            apart = one
            break
        apart += one
    together = outcome(names=["web[8:10]"])
    assert together == apart
    if isinstance(together, list):
        assert [hash(member) for member in together] == [hash(member) for member in apart]


def test_parts_of_a_fleet_are_the_whole_together():
    items = [{"names": ["a[1:7]"]}, {"name": "b"}, {"names": ["c[1:2]"], "config": {"lxc.environment": "N={number}"}}]
    whole = parse_members(items, {}, as_it_is, "/lxc", 2)
    parts = [parse_members(items, {}, as_it_is, "/lxc", 2, "containers", (k, 3)) for k in range(3)]
    assert sorted(m.spec.name for part in parts for m in part) == sorted(m.spec.name for m in whole)


@pytest.mark.parametrize("part", [(0, 2), (1, 2)])
def test_one_rootfs_for_several_is_refused_in_each_part(part):
    items = [{"names": ["x", "y"], "backingstore": {"type": "dir", "dir": "/srv/x"}}]
    with pytest.raises(InputError, match="one rootfs") as caught:
        parse_members(items, {}, as_it_is, "/lxc", 2, part=part)
    assert caught.value.path == "containers[0].backingstore.dir"
    items[0]["names"] = ["x"]
    assert len(parse_members(items, {}, as_it_is, "/lxc", 2, part=part)) == 1 - part[0]


def test_names_that_are_null_are_those_of_nobody():
    items = [{"name": "a", "names": None}, {"name": None, "names": ["b[1:2]"]}]
    parts = [parse_members(items, {}, as_it_is, "/lxc", 2, part=(part, 2)) for part in range(2)]
    assert sorted(member.spec.name for part in parts for member in part) == ["a", "b1", "b2"]


@pytest.mark.parametrize(
    "item, path",
    [
        ("web", "containers[1]"),
        ({"name": "x/y"}, "containers[1].name"),
        ({"name": "x", "names": ["y"]}, "containers[1].names"),
        ({"names": ["y[3:1]"]}, "containers[1].names[0]"),
        ({"names": ["a/[1:2]"]}, "containers[1].name"),
        (
            {"names": ["a[1:2]"], "networks": [{"type": "veth", "hwaddr": "{number}"}]},
            "containers[1].networks[0].hwaddr",
        ),
        ({"name": "x", "networks": [{"type": "veth"}, {"type": "foo"}]}, "containers[1].networks[1].type"),
        ({"names": ["x", "y"], "clone": {"from": "y"}}, "containers[1].clone.from"),
        ({"names": ["x", "y"], "backingstore": {"type": "dir", "dir": "/srv/x"}}, "containers[1].backingstore.dir"),
        ({"name": "x", "state": "frozen", "wait_for": ["ipv4"]}, "containers[1].wait_for"),
        ({"name": "x", "wait_timeout": -1}, "containers[1].wait_timeout"),
    ],
)
def test_errors_have_the_path_to_the_value(item, path):
    with pytest.raises(InputError) as caught:
        parse({"name": "good"}, item)
    assert caught.value.path == path


def test_twins_are_refused_by_index():
    with pytest.raises(InputError, match=r"containers\[1\]\.name: container 'a2' in /lxc is containers\[0\] already"):
        refuse_twins(parse({"names": ["a[1:3]"]}, {"name": "a2"}))
    refuse_twins(parse({"name": "a"}, {"name": "a", "lxcpath": "/other"}))


def test_a_directory_is_the_rootfs_of_one_container():
    filled = {"names": ["a", "b"], "config": {"lxc.environment": "A={name}"}}
    place = {"template": {"name": "busybox"}, "backingstore": {"type": "dir", "dir": "/srv/x"}}
    with pytest.raises(InputError) as error:
        refuse_twins(parse({**filled, **place}))
    assert (error.value.path, "is the rootfs of 'a'" in error.value.problem) == ("containers[0].backingstore.dir", True)
    with pytest.raises(InputError, match=r"containers\[1\]\.backingstore\.dir"):
        refuse_twins(parse({"name": "a", **place}, {"name": "b", **place}))
    refuse_twins(
        parse({"name": "a", **place}, {"name": "b", **place, "backingstore": {"type": "dir", "dir": "/srv/y"}})
    )


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
def test_a_fleets_name_is_one_line(name):
    with pytest.raises(InputError):
        check_fleet_name(name)


# ------------------------------------------------------------------ who before whom


def member(name: str, origin: str = "", state: str = "present", snapshot: bool = True) -> Member:
    clone = Clone(origin, "/lxc", snapshot=snapshot) if origin else None
    source = None if origin else Source("busybox", ())
    return Member(ContainerSpec(name, "/lxc", state, template=source, clone=clone), name)


def names(members: list[Member], phases: Any) -> list[list[str]]:
    return [[members[getattr(one, "index", one)].spec.name for one in phase] for phase in phases]


def test_origins_come_before_their_clones_whatever_the_order():
    fleet = [member("mysite", "web"), member("web", "base"), member("base"), member("other", "elsewhere")]
    assert names(fleet, clone_levels(fleet)) == [["base", "other"], ["web"], ["mysite"]]
    assert clone_levels([]) == []


def test_a_circle_of_clones_is_refused():
    with pytest.raises(InputError, match="a -> b -> c -> a"):
        clone_levels([member("a", "b"), member("b", "c"), member("c", "a")])


def test_dependants_are_removed_before_what_they_depend_on():
    fleet = [member("base", state="absent"), member("web", "base", "absent"), member("site", "web", "absent")]
    observed = {
        ("/lxc", "base"): Observed(
            "base", "/lxc", OK, dependants=(Reference("/lxc", "web"), Reference("/lxc", "site"))
        ),
        ("/lxc", "web"): Observed("web", "/lxc", OK, dependants=(Reference("/lxc", "site"),)),
        ("/lxc", "site"): Observed("site", "/lxc", OK),
    }
    assert names(fleet, removal_levels(fleet, observed)) == [["site"], ["web"], ["base"]]
    left = without_dependants(observed["/lxc", "base"], {("/lxc", "web")})
    assert left.dependants == (Reference("/lxc", "site"),)


def plan(*verbs: str, state: str = "running") -> Plan:
    actions = tuple(
        Action(
            verb,
            "x",
            "",
            {"document": ConfigDocument.parse("lxc.uts.name = x\n")} if verb in ("create", "clone") else {},
        )
        for verb in verbs
    )
    return Plan(actions, {"state": "stopped"}, {"state": state})


def test_an_origin_that_is_made_here_starts_after_its_clones():
    fleet = [member("web", "base", "started"), member("base", state="started"), member("idle", state="started")]
    plans = {0: plan("clone", "start"), 1: plan("create", "start"), 2: plan("start")}
    assert schedule(fleet, plans, {}) == [[Turn(1, True), Turn(2)], [Turn(0)], [Turn(1)]]
    assert schedule(fleet, {0: Plan(), 1: plan("start"), 2: Plan()}, {}) == [[Turn(1)]]


def test_clones_find_their_origin_as_its_plan_leaves_it():
    def same(document: ConfigDocument) -> ConfigDocument:
        return document

    base = member("base", state="started").spec
    found = predict(base, Observed("base", "/lxc"), plan("create", "start"), same)
    assert (found.health, found.state, found.rootfs.backingstore) == (OK, "stopped", "dir")
    assert found.document.get("lxc.uts.name") == "x"
    web = member("web", "base", "started").spec
    assert predict(web, Observed("web", "/lxc"), plan("clone"), same, found).rootfs.backingstore == "overlay"
    running = Observed("base", "/lxc", OK, state="running")
    assert predict(base, running, plan("stop", "configure", "start"), same).running
    assert not predict(base, running, plan("stop", state="stopped"), same).running
    assert predict(member("base", state="absent").spec, running, plan("stop", "destroy"), same).health == "absent"
    assert predict(base, running, Plan(), same) is running
