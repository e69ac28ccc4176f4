# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""lxc_info on real containers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

COUNT_FORKS = """\
import atexit, os, sys
counts = {}
def hook(event, args):
    if event in ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"):
        counts[event] = counts.get(event, 0) + 1
sys.addaudithook(hook)
def save():
    with open(os.environ["LVT_COUNTS"], "a") as file:
        file.write(f"{sorted(counts.items())}\\n")
atexit.register(save)
"""


def lxc(name: str, *args: str | Path) -> str:
    done = subprocess.run([name, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def info(run_module: Callable[..., Any], lxcpath: Path) -> Callable[..., Any]:
    """Runs lxc_info on this test's lxcpath; it must succeed unless `fails=True`."""

    def run(params: dict[str, Any] | None = None, fails: bool = False, **how: Any) -> Any:
        result = run_module("lxc_info", {"lxcpath": [str(lxcpath)], **(params or {})}, fails=fails, **how)
        assert not result.get("changed")
        return result

    return run


def test_all_containers_as_lxc_ls_lists_them(
    info: Any, lxcpath: Path, busybox: Callable[..., str], bridge: str
) -> None:
    lines = ["lxc.net.0.type = veth", f"lxc.net.0.link = {bridge}", "lxc.net.0.flags = up", "lxc.net.0.name = net0"]
    lines += ["lxc.net.0.ipv4.address = 10.213.9.5/24", "lxc.group = onboot", "lxc.group = web", "lxc.start.auto = 1"]
    busybox("web1", config=lines)
    busybox("db")
    lxc("lxc-start", "-P", lxcpath, "-n", "web1")
    (lxcpath / "broken").mkdir()
    (lxcpath / "broken" / "config").write_text("lxc.nonsense = 1\n")
    found = {one["name"]: one for one in info()["containers"]}
    # LXC itself hides the broken one.
    assert sorted(found) == ["broken", *lxc("lxc-ls", "-P", lxcpath, "-1").split()]
    web = found["web1"]
    assert web["state"] == "running"
    assert web["pid"] == int(lxc("lxc-info", "-P", lxcpath, "-n", "web1", "-pH"))
    assert web["ipv4"] == lxc("lxc-info", "-P", lxcpath, "-n", "web1", "-iH").split()
    assert web["autostart"] == {"auto": True, "delay": 0, "order": 0, "groups": ["onboot", "web"]}
    assert web["rootfs"]["path"] == str(lxcpath / "web1" / "rootfs")
    assert web["config"]["lxc.net.0.link"] == bridge
    assert (found["db"]["state"], found["db"]["pid"], found["db"]["ipv4"]) == ("stopped", None, [])
    broken = found["broken"]
    assert (broken["broken"], broken["health"]) == (True, "unreadable")
    assert "lxc.nonsense" in broken["problem"]


def test_names_and_patterns(info: Any, lxcpath: Path) -> None:
    for name in ("web1", "web2", "db", "w[e]b"):
        (lxcpath / name).mkdir()
        (lxcpath / name / "config").touch()
    for wanted, found in (
        (["web*"], ["web1", "web2"]),
        (["db", "web2", "gone"], ["db", "web2"]),
        (["w[e]b"], ["w[e]b"]),
        (["w[e]b?"], ["web1", "web2"]),
        (["web"], []),
        ([], []),
    ):
        assert [one["name"] for one in info({"name": wanted})["containers"]] == found


def test_query(info: Any, lxcpath: Path) -> None:
    for name in ("a", "b"):
        (lxcpath / name).mkdir()
        (lxcpath / name / "config").write_text(f"lxc.start.auto = {'1' if name == 'b' else '0'}\n")
    result = info({"query": "[?autostart.auto].{n: name, s: state}"})
    assert result["result"] == [{"n": "b", "s": "stopped"}]
    assert len(result["containers"]) == 2
    assert info({"query": "[?name=='zzz']"})["result"] == []
    for bad in ("[?", "sum(@)"):
        assert info({"query": bad}, fails=True)["msg"].startswith("query: ")


def test_without_jmespath_only_the_query_fails(info: Any, tmp_path: Path) -> None:
    (tmp_path / "jmespath.py").write_text("raise ImportError('not here')\n")
    env = {"PYTHONPATH": str(tmp_path)}
    assert "jmespath" in info({"query": "[]"}, fails=True, env=env)["msg"]
    assert info(env=env)["containers"] == []


def test_the_binding_is_not_needed(info: Any, lxcpath: Path, busybox: Callable[..., str], tmp_path: Path) -> None:
    for module in ("lxc", "_lxc"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not here')\n")
    busybox("web")
    lxc("lxc-start", "-P", lxcpath, "-n", "web")
    assert [one["state"] for one in info(env={"PYTHONPATH": str(tmp_path)})["containers"]] == ["running"]


def test_several_directories(info: Any, lxcpaths: Callable[[], Path]) -> None:
    paths = [lxcpaths(), lxcpaths()]
    for path in paths:
        (path / "web").mkdir()
        (path / "web" / "config").touch()
    order = [str(paths[1]), str(paths[0]), f"{paths[0]}/nowhere"]
    assert [one["lxcpath"] for one in info({"lxcpath": order})["containers"]] == order[:2]
    assert [one["lxcpath"] for one in info({"lxcpath": None, "lxc_path": order[:1]})["containers"]] == order[:1]
    assert info({"lxcpath": ["relative"]}, fails=True)["msg"].startswith("lxcpath[0]: 'relative'")
    config = paths[0] / "web" / "config"
    assert "Cannot read lxcpath" in info({"lxcpath": [str(config)]}, fails=True)["msg"]


def test_check_mode_is_the_same_and_nothing_is_written(
    info: Any, lxcpath: Path, busybox: Callable[..., str], tree_hash: Callable[[Path], dict[str, str]]
) -> None:
    busybox("web")
    before = tree_hash(lxcpath)
    assert info(check=True)["containers"] == info()["containers"]
    assert tree_hash(lxcpath) == before


def test_addresses_only_when_wanted(info: Any, lxcpath: Path, busybox: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(COUNT_FORKS)
    counts = tmp_path / "counts"
    env = {"PYTHONPATH": str(tmp_path), "LVT_COUNTS": str(counts)}
    forks = []
    for number in (1, 2, 3):
        lxc("lxc-start", "-P", lxcpath, "-n", busybox(f"web{number}"))
        for addresses in (True, False):
            counts.unlink(missing_ok=True)
            found = info({"addresses": addresses}, env=env)["containers"]
            assert {one["ipv4"] is None for one in found} == {not addresses}
            forks.append(counts.read_text())
    # One child for all addresses, none without, however many containers run.
    assert forks == ["[('os.fork', 1)]\n", "[]\n"] * 3


def test_states_only(info: Any, lxcpath: Path, busybox: Callable[..., str], bridge: str) -> None:
    lines = ["lxc.net.0.type = veth", f"lxc.net.0.link = {bridge}", "lxc.net.0.flags = up", "lxc.net.0.name = net0"]
    busybox("web", config=[*lines, "lxc.net.0.ipv4.address = 10.213.9.5/24"])
    busybox("db")
    lxc("lxc-start", "-P", lxcpath, "-n", "web")
    everything = {one["name"]: one for one in info()["containers"]}
    where = str(lxcpath)
    assert info({"gather": "states"})["containers"] == [
        {"name": "db", "lxcpath": where, "state": "stopped"},
        {"name": "web", "lxcpath": where, "state": "running"},
    ]
    found = info({"gather": "states", "addresses": True, "name": ["w*"], "query": "[].ipv4"})
    assert found["result"] == [["10.213.9.5"]]
    (web,) = found["containers"]
    assert set(web) == {"name", "lxcpath", "state", "interfaces", "ipv4", "ipv6"}
    # The link-local address comes some time after the link.
    names = ("name", "hwaddr", "ipv4")
    both = (web["interfaces"], everything["web"]["interfaces"])
    one, other = ([[interface[name] for name in names] for interface in each] for each in both)
    assert one == other != []


def test_the_default_directory(run_module: Callable[..., Any]) -> None:
    default = lxc("lxc-config", "lxc.lxcpath").strip()
    found = run_module("lxc_info", {"addresses": False}, fails=False)["containers"]
    assert {one["lxcpath"] for one in found} <= {default}


def test_documentation_is_complete() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-doc")), "-j", "lightervisor.lxc.lxc_info"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert '"containers"' in done.stdout


def test_as_a_task(run_playbook: Callable[..., Any], lxcpath: Path, busybox: Callable[..., str]) -> None:
    busybox("web")
    result = run_playbook(
        f"""
        - hosts: localhost
          gather_facts: false
          module_defaults:
            group/lightervisor.lxc.lxc:
              lxcpath: {lxcpath}
          tasks:
            - name: look
              lightervisor.lxc.lxc_info:
                query: "[0].name"
        """,
        fails=False,
    ).result("look")
    assert result["result"] == "web"
    assert not result["changed"]
