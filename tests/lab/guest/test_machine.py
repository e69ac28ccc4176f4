# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest is the stock system that the lab promises. With plain tools only."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path

from .conftest import run, until

EXPECTED = {"bookworm": ("6.1", "5.0", (3, 11)), "trixie": ("6.12", "6.0", (3, 13))}


def test_release(release):
    kernel, lxc, python = EXPECTED[release]
    assert f"VERSION_CODENAME={release}" in Path("/etc/os-release").read_text()
    assert platform.release().startswith(f"{kernel}.") and "cloud" in platform.release()
    assert run("lxc-ls", "--version").stdout.startswith(f"{lxc}.")
    assert sys.version_info[:2] == python


def test_systemd_has_started_everything():
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    run("systemctl", "is-system-running", "--wait", check=False)
    assert run("systemctl", "--failed", "--no-legend", "--plain").stdout == ""


def test_cgroup_v2_with_its_controllers():
    assert run("stat", "-fc", "%T", "/sys/fs/cgroup").stdout == "cgroup2fs\n"
    there = set(Path("/sys/fs/cgroup/cgroup.controllers").read_text().split())
    assert there >= {"cpu", "cpuset", "io", "memory", "pids"}


def test_apparmor_confines():
    assert Path("/sys/module/apparmor/parameters/enabled").read_text() == "Y\n"
    loaded = Path("/sys/kernel/security/apparmor/profiles").read_text()
    assert re.search(r"^lxc-container-default-cgns \(enforce\)$", loaded, re.MULTILINE)
    assert "/usr/bin/lxc-start (enforce)" in loaded


def test_lxc_net_is_a_unit_with_its_bridge():
    assert run("systemctl", "is-active", "lxc-net", check=False).stdout == "active\n"
    (link,) = json.loads(run("ip", "-j", "addr", "show", "dev", "lxcbr0").stdout)
    assert "10.0.3.1" in [address["local"] for address in link["addr_info"]]
    (dnsmasq,) = run("pgrep", "-f", "dnsmasq.*lxcbr0").stdout.split()
    assert "/lxc-net.service" in Path(f"/proc/{dnsmasq}/cgroup").read_text()


def test_container_under_the_generated_profile(containers, template):
    """As Debian's default.conf has it; what the profile forbids is possible without it."""
    run("lxc-create", "-P", containers.path, "-n", "plain", "-t", template)
    containers.lxc("start", "plain")
    assert containers.profile("plain").startswith("lxc-plain_<")
    until(lambda: "\n10.0.3." in "\n" + containers.lxc("info", "plain", "-iH"), "an address from lxc-net")
    assert "lxc.payload.plain" in Path(f"/proc/{containers.pid('plain')}/cgroup").read_text()
    forbidden = ("/bin/head", "-c", 4, "/proc/kcore")
    assert containers.inside("plain", *forbidden, check=False) == ""
    containers.lxc("stop", "plain", "-k")

    containers.lxc("start", "plain", "-s", "lxc.apparmor.profile=unconfined")
    assert containers.profile("plain") == "unconfined"
    assert containers.inside("plain", *forbidden) == "\x7fELF"
    containers.lxc("stop", "plain", "-k")
    assert os.listdir(containers.path) == ["plain"]
