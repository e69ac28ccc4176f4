# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""lxc_fleet, lxc_info, the inventory and the connection on a stock system, and all of them in one playbook."""

from __future__ import annotations

from .conftest import profile_of

LIMITS = {"lxc.apparmor.profile": "generated", "lxc.cgroup2.memory.max": "48M"}


def test_a_fleet_of_confined_clones(lab, run_module, template, release):
    # For a full copy lxc-copy has to mount, which Debian 13 allows below /var/lib/lxc only: see the next test.
    full = {"from": "base", "snapshot": release != "bookworm"}
    options = {
        "lxcpath": str(lab.path),
        "fleet": "lvt",
        "prune": True,
        "defaults": {"state": "started", "config": LIMITS, "shutdown_timeout": 20},
        "containers": [
            {"name": "base", "state": "stopped", "template": {"name": str(template)}},
            {"names": ["web[1:2]"], "clone": {"from": "base", "snapshot": True}},
            {"name": "web3", "clone": full},
        ],
    }
    foreseen = run_module("lxc_fleet", options, check=True, fails=False)
    assert lab.names() == []
    done = run_module("lxc_fleet", options, fails=False)
    assert done["counts"] == foreseen["counts"] and done["changed"]
    assert (done["counts"]["create"], done["counts"]["clone"], done["counts"]["start"]) == (1, 3, 3)
    again = run_module("lxc_fleet", options, fails=False)
    assert (again["changed"], again["counts"]["unchanged"]) == (False, 4)

    info = run_module("lxc_info", {"lxcpath": [str(lab.path)]}, fails=False)
    found = {one["name"]: one for one in info["containers"]}
    assert sorted(found) == ["base", "web1", "web2", "web3"]
    for number in (1, 2, 3):
        one = found[f"web{number}"]
        assert (one["state"], one["pid"], one["health"]) == ("running", lab.pid(one["name"]), "ok")
        assert profile_of(one["pid"]).startswith(f"lxc-{one['name']}_<")

    lab.in_guest("web1", "/bin/touch", "/written")
    assert [(lab.path / name / "rootfs" / "written").exists() for name in ("base", "web3")] == [False, False]

    options["containers"][1:] = []
    options["defaults"]["shutdown_timeout"] = 0
    gone = run_module("lxc_fleet", options, fails=False)
    assert gone["counts"]["destroy"] == 3
    assert lab.names() == ["base"]


def test_full_clones_where_lxc_copy_is_confined(lab, template, release):
    lab.task("base", template={"name": str(template)}, privileged=True)
    done = lab.task("full", clone={"from": "base"}, privileged=True, fails=release != "bookworm")
    if release != "bookworm":
        assert "Where AppArmor confines lxc-copy" in done["msg"]
        assert lab.names() == ["base"]


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Make
      lightervisor.lxc.lxc_container:
        name: lvt-guest
        lxcpath: {path}
        state: started
        template: {{name: {template}}}
        networks: [{{type: veth, link: lxcbr0, up: true}}]
        config: {{lxc.apparmor.profile: generated}}
        wait_for: [ipv4]
    - name: Look again
      ansible.builtin.meta: refresh_inventory

- hosts: lxc_state_running
  gather_facts: false
  tasks:
    - name: Ask
      ansible.builtin.raw: uname -r; cat /proc/self/cgroup; hostname; exit 7
      failed_when: false
    - name: Send
      ansible.builtin.raw: "echo {{{{ lxc_ipv4[0] }}}} > /etc/address; cat /etc/address"
"""


def test_from_inventory_to_guest_in_one_playbook(lab, run_playbook, template, tmp_path):
    """The kernel that the guest sees is the host's: no personality stands in between."""
    source = tmp_path / "lxc.yml"
    source.write_text(f"plugin: lightervisor.lxc.lxc\nlxcpath: [{lab.path}]\n")
    done = run_playbook(PLAYBOOK.format(path=lab.path, template=template), "-i", source, fails=False)
    assert done.result("Make")["changed"]
    asked = done.result("Ask", "lvt-guest")
    kernel, cgroup, name = asked["stdout_lines"]
    assert asked["rc"] == 7
    with open("/proc/sys/kernel/osrelease") as own:
        assert kernel == own.read().strip()
    assert (cgroup, name) == ("0::/.lxc", "lvt-guest")
    assert profile_of(lab.pid("lvt-guest")).startswith("lxc-lvt-guest_<")
    assert done.result("Send", "lvt-guest")["stdout"].strip() == done.result("Make")["container"]["ipv4"][0]
