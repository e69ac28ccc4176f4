# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of lxc_container costs beside Ansible's ping and LXC's own programs. See scripts/bench."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

TOP = Path(__file__).resolve().parents[2]
CACHE = TOP / ".cache"
PING = "ping"
NOOP_BAR = 1.5
START_BAR = 0.3


def play(runs: int, peer: bool, path: Path) -> str:
    """A playbook whose tasks of different kinds take turns, so that load from elsewhere meets all of them."""
    lines = ["- hosts: localhost", "  gather_facts: false", "  tasks:"]

    def task(label: str, module: str, **options: str) -> None:
        lines.append(f"    - name: '{label}'")
        lines.append(f"      {module}:")
        lines.extend(f"        {key}: {value}" for key, value in options.items())

    ours = {"lxcpath": str(path)}
    for _round in range(runs):
        task(PING, "ansible.builtin.ping", data="pong")
        task("noop-stopped", "lightervisor.lxc.lxc_container", name="idle", state="stopped", **ours)
        task("noop-running", "lightervisor.lxc.lxc_container", name="busy", state="started", **ours)
        task("start", "lightervisor.lxc.lxc_container", name="idle", state="started", **ours)
        task("stop", "ansible.builtin.command", argv=f"[lxc-stop, -k, -P, {path}, -n, idle]")
        if peer:
            # The peer honours lxc_path in some of its operations only: its containers are in the default path.
            task("peer-noop", "community.general.lxc_container", name="lvt-bench-peer", state="stopped")
            task("peer-start", "community.general.lxc_container", name="lvt-bench-peer", state="started")
            task("stop", "ansible.builtin.command", argv="[lxc-stop, -k, -n, lvt-bench-peer]")
    return "\n".join(lines) + "\n"


def seconds(folder: Path) -> dict[str, list[float]]:
    """The durations of each kind of task, as ansible-core's junit callback wrote them."""
    found: dict[str, list[float]] = {}
    for file in folder.glob("*.xml"):
        for case in ElementTree.parse(file).iter("testcase"):
            if len(case.findall("failure")) + len(case.findall("error")):
                sys.exit(f"a task failed: {ElementTree.tostring(case, encoding='unicode')}")
            # "[localhost] localhost: ping data=pong"
            kind = case.get("name", "").split(" ")[2]
            found.setdefault(kind, []).append(float(case.get("time", "nan")))
    return found


def lxc(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def create(path: Path, name: str) -> None:
    config = path / "config.new"
    config.write_text("lxc.net.0.type = empty\n")
    lxc("lxc-create", "-P", str(path), "-n", name, "-f", str(config), "-t", "busybox")
    config.unlink()


def bare_starts(path: Path, runs: int) -> list[float]:
    found = []
    for _round in range(runs):
        begin = time.monotonic()
        lxc("lxc-start", "-P", str(path), "-n", "idle")
        found.append(time.monotonic() - begin)
        lxc("lxc-stop", "-k", "-P", str(path), "-n", "idle")
    return found


def measure(runs: int, peer: bool) -> dict[str, list[float]]:
    folder = Path(tempfile.mkdtemp(prefix="lvt-bench-", dir="/var/tmp"))
    path = folder / "lxc"
    path.mkdir(mode=0o755)
    folder.chmod(0o755)
    default = Path("/var/lib/lxc")
    try:
        for name in ("idle", "busy"):
            create(path, name)
        lxc("lxc-start", "-P", str(path), "-n", "busy")
        if peer:
            default.mkdir(exist_ok=True)
            create(default, "lvt-bench-peer")
        (folder / "play.yml").write_text(play(runs, peer, path))
        collections = [str(CACHE / "collections"), *([str(CACHE / "peer")] if peer else [])]
        settings = {
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit",
            "JUNIT_OUTPUT_DIR": str(folder / "times"),
            "ANSIBLE_COLLECTIONS_PATH": ":".join(collections),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        }
        before = bare_starts(path, runs)
        subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), str(folder / "play.yml")],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=(folder / "output").open("wb"),
            env={**os.environ, **settings},
            timeout=60 + 60 * runs,
        )
        found = seconds(folder / "times")
        found["lxc-start"] = before + bare_starts(path, runs)
        return found
    finally:
        for where, name in ((path, "idle"), (path, "busy"), *(((default, "lvt-bench-peer"),) if peer else ())):
            subprocess.run(
                ["lxc-stop", "-k", "-P", str(where), "-n", name],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        shutil.rmtree(folder)
        if peer:
            shutil.rmtree(default / "lvt-bench-peer", ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench container", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--peer", action="store_true", help="community.general.lxc_container as well")
    options = parser.parse_args()
    found = measure(max(options.runs, 5), options.peer)
    median = {kind: statistics.median(times) for kind, times in found.items()}
    ping, bare = median[PING], median["lxc-start"]
    version = subprocess.run(["lxc-start", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    load = os.getloadavg()[0]
    runs = len(found[PING])
    print(f"{os.cpu_count()} cores, load {load:.1f}, Linux {platform.release()}, lxc {version}, medians of {runs}")
    print()
    print("| task | ms | |")
    print("|---|---|---|")
    rows = [
        (PING, "ansible.builtin.ping", ""),
        ("noop-stopped", "lxc_container, nothing to do, stopped", f"{median['noop-stopped'] / ping:.2f} × ping"),
        ("noop-running", "lxc_container, nothing to do, running", f"{median['noop-running'] / ping:.2f} × ping"),
        ("lxc-start", "lxc-start, bare", ""),
        ("start", "lxc_container, starts it", f"ping + lxc-start + {median['start'] - bare - ping:.3f} s"),
        ("peer-noop", "community.general.lxc_container, nothing to do", "{:.2f} × ping"),
        ("peer-start", "community.general.lxc_container, starts it", "ping + lxc-start + {:.3f} s"),
    ]
    for kind, label, note in rows:
        if kind not in median:
            continue
        if kind == "peer-noop":
            note = note.format(median[kind] / ping)
        elif kind == "peer-start":
            note = note.format(median[kind] - bare - ping)
        print(f"| {label} | {1000 * median[kind]:.0f} | {note} |")
    print()
    noop = max(median["noop-stopped"], median["noop-running"]) / ping
    # Whatever the task does, Ansible needs a ping's time for it.
    more = median["start"] - bare - ping
    print(f"nothing to do: {noop:.2f} × ping, bar {NOOP_BAR}: {'met' if noop <= NOOP_BAR else 'MISSED'}")
    verdict = "met" if more <= START_BAR else "MISSED"
    print(f"start: {more + ping:.3f} s more than lxc-start, {more:.3f} s without ping's; bar {START_BAR}: {verdict}")
    sys.exit(noop > NOOP_BAR or more > START_BAR)


if __name__ == "__main__":
    main()
