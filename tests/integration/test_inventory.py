# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin on real containers, through ansible-inventory and ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

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


def tool(name: str, *args: str | Path, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [name, *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
        timeout=120,
    )
    assert not check or done.returncode == 0, f"{name} {args}: {done.stdout}{done.stderr}"
    return done


def ansible(name: str, *args: str | Path, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    return tool(str(Path(sys.executable).with_name(name)), *args, check=check, **env)


def define(lxcpath: Path, name: str, config: str = "") -> None:
    (lxcpath / name).mkdir()
    (lxcpath / name / "config").write_text(config)


def _unmarked(value: dict[str, Any]) -> Any:
    """ansible-core 2.19 marks every text that is not to be templated."""
    return value["__ansible_unsafe"] if list(value) == ["__ansible_unsafe"] else value


class Inventory:
    """What `ansible-inventory --list` says."""

    def __init__(self, text: str) -> None:
        self.data = json.loads(text, object_hook=_unmarked)
        self.hostvars: dict[str, dict[str, Any]] = self.data["_meta"]["hostvars"]

    def groups(self) -> dict[str, list[str]]:
        return {name: sorted(group["hosts"]) for name, group in self.data.items() if group.get("hosts")}


@pytest.fixture
def source(tmp_path: Path, lxcpath: Path) -> Callable[..., Path]:
    """Writes an inventory source for this test's lxcpath: `source(name="lxc.yml", **options)`."""

    def write(name: str = "lxc.yml", **options: Any) -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"plugin": "lightervisor.lxc.lxc", "lxcpath": [str(lxcpath)], **options}))
        return path

    return write


@pytest.fixture
def listed(source: Callable[..., Path]) -> Callable[..., Inventory]:
    """The inventory of a source with these options."""

    def read(env: dict[str, str] | None = None, **options: Any) -> Inventory:
        done = ansible(
            "ansible-inventory",
            "-i",
            source(**options),
            "--list",
            ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="1",
            **(env or {}),
        )
        return Inventory(done.stdout)

    return read


def refused(source: Path) -> str:
    done = ansible(
        "ansible-inventory", "-i", source, "--list", check=False, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="1"
    )
    assert done.returncode != 0
    return " ".join(done.stderr.split())


def test_guests_are_hosts_that_can_be_used_at_once(
    source: Callable[..., Path], lxcpath: Path, busybox: Callable[..., str], bridge: str
) -> None:
    lines = ["lxc.net.0.type = veth", f"lxc.net.0.link = {bridge}", "lxc.net.0.flags = up", "lxc.net.0.name = net0"]
    lines += [
        "lxc.net.0.ipv4.address = 10.213.9.5/24",
        "lxc.group = onboot",
        "lxc.group = my web",
        "lxc.start.auto = 1",
    ]
    busybox("web", config=lines)
    busybox("base")
    tool("lxc-copy", "-s", "-P", lxcpath, "-n", "base", "-N", "node.1")
    tool("lxc-start", "-P", lxcpath, "-n", "web")
    define(lxcpath, "broken", "lxc.nonsense = 1\n")
    path = source()
    found = Inventory(ansible("ansible-inventory", "-i", path, "--list").stdout)
    assert found.groups() == {
        "lxc": ["base", "broken", "node.1", "web"],
        "lxc_broken": ["broken"],
        "lxc_group_my_web": ["web"],
        "lxc_group_onboot": ["web"],
        "lxc_origin_base": ["node.1"],
        "lxc_state_running": ["web"],
        "lxc_state_stopped": ["base", "broken", "node.1"],
    }
    web = found.hostvars["web"]
    assert web["ansible_connection"] == "lightervisor.lxc.lxc"
    assert (web["ansible_host"], web["ansible_lxc_lxcpath"]) == ("web", str(lxcpath))
    assert "ansible_python_interpreter" not in web
    assert web["lxc_ipv4"] == tool("lxc-info", "-P", lxcpath, "-n", "web", "-iH").stdout.split() == ["10.213.9.5"]
    assert web["lxc_pid"] == int(tool("lxc-info", "-P", lxcpath, "-n", "web", "-pH").stdout)
    assert (web["lxc_state"], web["lxc_lxcpath"], web["lxc_config"]["lxc.start.auto"]) == ("running", str(lxcpath), "1")
    assert found.hostvars["node.1"]["lxc_origin"] == {"name": "base", "lxcpath": str(lxcpath)}
    assert (found.hostvars["broken"]["lxc_health"], found.hostvars["broken"]["lxc_state"]) == ("unreadable", "stopped")
    assert "lxc.nonsense" in found.hostvars["broken"]["lxc_problem"]
    graph = ansible("ansible-inventory", "-i", path, "--graph").stdout
    assert "@lxc_state_running:\n  |  |--web\n" in graph
    done = ansible("ansible", "-i", path, "lxc_state_running", "-m", "ansible.builtin.raw", "-a", "hostname; id -u")
    assert done.stdout.split()[-2:] == ["web", "0"]


def test_constructed(listed: Callable[..., Inventory], lxcpath: Path) -> None:
    define(lxcpath, "a", "lxc.uts.name = alpha\nlxc.start.auto = 1\n")
    define(lxcpath, "b", "lxc.uts.name = beta\n")
    found = listed(
        group_prefix="",
        var_prefix="ct_",
        compose={"title": "ct_config['lxc.uts.name'] | upper", "ansible_connection": "'ssh'"},
        groups={"automatic": "ct_autostart.auto"},
        keyed_groups=[{"key": "ct_state", "prefix": "is"}],
    )
    assert found.groups() == {
        "lxc": ["a", "b"],
        "automatic": ["a"],
        "is_stopped": ["a", "b"],
        "state_stopped": ["a", "b"],
    }
    assert (found.hostvars["a"]["title"], found.hostvars["b"]["ansible_connection"]) == ("ALPHA", "ssh")
    assert listed(compose={"x": "no_such_thing.at_all"}).hostvars["a"].get("x") is None


def test_strict_makes_errors_of_expressions_fatal(source: Callable[..., Path], lxcpath: Path) -> None:
    define(lxcpath, "a")
    assert "Could not set x" in refused(source(strict=True, compose={"x": "no_such_thing.at_all"}))


def test_states_and_filter(listed: Callable[..., Inventory], lxcpath: Path, busybox: Callable[..., str]) -> None:
    busybox("on", config=("lxc.net.0.type = empty", "lxc.group = x"))
    tool("lxc-start", "-P", lxcpath, "-n", "on")
    define(lxcpath, "off", "lxc.group = x\n")
    define(lxcpath, "bad", "lxc.nonsense = 1\n")
    for options, expected in (
        ({}, ["bad", "off", "on"]),
        ({"states": ["running"]}, ["on"]),
        ({"states": ["running", "stopped"], "filter": "!broken"}, ["off", "on"]),
        ({"filter": "contains(autostart.groups, 'x')"}, ["off", "on"]),
        ({"filter": "pid"}, ["on"]),
        ({"filter": "autostart.order"}, ["bad", "off", "on"]),
        ({"filter": "nothing.of.that.kind"}, []),
    ):
        assert listed(**options).groups().get("lxc", []) == expected, options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": "[?"}, "filter: "),
        ({"filter": "sum(name)"}, "filter: "),
        ({"states": ["sleeping"]}, "sleeping"),
        ({"lxcpath": ["/etc/hostname"]}, "Cannot read lxcpath '/etc/hostname': Not a directory."),
        ({"unknown": 1, "plugin": "lightervisor.lxc.nothing"}, "lightervisor.lxc.nothing"),
    ],
)
def test_errors_say_what_is_wrong(
    options: dict[str, Any], message: str, source: Callable[..., Path], lxcpath: Path
) -> None:
    define(lxcpath, "a")
    assert message in refused(source(**options))


def test_only_files_with_our_names(source: Callable[..., Path], lxcpath: Path) -> None:
    define(lxcpath, "a")
    for name in ("lxc.yml", "lxc.yaml", "x.lxc.yml", "x.lxc.yaml"):
        assert "|--a" in ansible("ansible-inventory", "-i", source(name), "--graph").stdout
    assert "|--a" not in ansible("ansible-inventory", "-i", source("xlxc.yml"), "--graph").stdout


def test_names_stay_unique(listed: Callable[..., Inventory], lxcpaths: Callable[[], Path]) -> None:
    first, second = lxcpaths(), lxcpaths()
    for path, names in ((first, ("web", "db", "localhost", "lxc", "all")), (second, ("web", "mail"))):
        for name in names:
            define(path, name, f"lxc.uts.name = {path.name}\n")
    suffix = {path: str(path).strip("/").replace("/", ".") for path in (first, second)}
    paths = [str(first), str(second)]
    found = listed(lxcpath=paths)
    ours = {name: (one["lxc_name"], one["lxc_lxcpath"]) for name, one in found.hostvars.items()}
    expected = {name: (name, str(first)) for name in ("web", "db")}
    expected.update({f"{name}@{suffix[first]}": (name, str(first)) for name in ("localhost", "lxc", "all")})
    expected.update({f"web@{suffix[second]}": ("web", str(second)), "mail": ("mail", str(second))})
    assert ours == expected
    assert found.hostvars[f"web@{suffix[second]}"]["ansible_host"] == "web"
    assert found.groups()["lxc"] == sorted(expected)
    # A filter does not hand a name on.
    mine = f"config.\"lxc.uts.name\" == '{second.name}'"
    assert set(listed(lxcpath=paths, filter=mine).hostvars) == {f"web@{suffix[second]}", "mail"}
    qualified = listed(lxcpath=paths, qualify=True)
    assert {name for name in qualified.hostvars if suffix[second] in name} == {
        f"{n}@{suffix[second]}" for n in ("web", "mail")
    }


def test_texts_from_containers_are_never_templated(
    source: Callable[..., Path], lxcpath: Path, run_playbook: Callable[..., Any], tmp_path: Path
) -> None:
    trap = "{{ lookup('ansible.builtin.pipe', 'touch " + str(tmp_path / "sprung") + "; echo sprung') }}"
    define(lxcpath, "trap", f"lxc.uts.name = {trap}\nlxc.group = {trap}\n")
    path = source(
        compose={"copied": "lxc_config['lxc.uts.name']"},
        cache=True,
        cache_plugin="jsonfile",
        cache_connection=str(tmp_path / "c"),
    )
    playbook = """
        - hosts: lxc
          gather_facts: false
          connection: local
          tasks:
            - name: show
              ansible.builtin.debug:
                msg: ["{{ lxc_config['lxc.uts.name'] }}", "{{ copied }}", "{{ lxc_autostart.groups[0] }}"]
        """
    for _run in ("fresh", "from the cache"):
        shown = run_playbook(playbook, "-i", path, fails=False).result("show")["msg"]
        assert shown == [trap] * 3
    assert not (tmp_path / "sprung").exists()


def test_cache(source: Callable[..., Path], lxcpath: Path, tmp_path: Path) -> None:
    cache = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    path = source(**cache)

    def hosts(*args: str) -> list[str]:
        return sorted(Inventory(ansible("ansible-inventory", "-i", path, "--list", *args).stdout).hostvars)

    define(lxcpath, "a")
    define(lxcpath, "b", "lxc.start.auto = 1\n")
    assert hosts() == ["a", "b"]
    (lxcpath / "a" / "config").unlink()
    define(lxcpath, "c")
    assert hosts() == ["a", "b"]
    # What is chosen of the containers may change without asking the host again.
    source(**cache, filter="autostart.auto")
    assert hosts() == ["b"]
    source(**cache)
    assert hosts("--flush-cache") == ["b", "c"]
    (lxcpath / "c" / "config").unlink()
    # Another lxcpath is another question.
    source(**{**cache, "lxcpath": [str(lxcpath), str(lxcpath / "nowhere")]})
    assert hosts() == ["b"]


def test_one_enumeration_whatever_runs(
    source: Callable[..., Path], lxcpath: Path, busybox: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(COUNT_FORKS)
    counts = tmp_path / "counts"
    path = source()
    forks = []
    for number in range(4):
        tool("lxc-start", "-P", lxcpath, "-n", busybox(f"web{number}"))
        counts.unlink(missing_ok=True)
        ansible("ansible-inventory", "-i", path, "--list", PYTHONPATH=str(tmp_path / "hook"), LVT_COUNTS=str(counts))
        forks.append(counts.read_text())
    assert len(set(forks)) == 1, forks
    assert "os.fork" in forks[0]


def test_documentation_is_complete() -> None:
    done = ansible("ansible-doc", "-t", "inventory", "-j", "lightervisor.lxc.lxc")
    options = json.loads(done.stdout)["lightervisor.lxc.lxc"]["doc"]["options"]
    assert {"plugin", "lxcpath", "states", "filter", "addresses", "cache", "compose", "strict", "qualify"} <= set(
        options
    )
