# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be had from liblxc with python3-lxc and nothing else: one process, or forked workers where it holds the GIL.

`python3 fleet_bare.py OPERATION LXCPATH WORKERS [ARGUMENT…] < names`. Exits 1 when an operation failed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Callable, Sequence

import lxc


def create(path: str, names: Sequence[str], base: str, *_rest: str) -> bool:
    origin = lxc.Container(base, path)
    done = [origin.clone(name, flags=lxc.LXC_CLONE_SNAPSHOT) for name in names]
    return all(done)


def noop(path: str, names: Sequence[str], *_rest: str) -> bool:
    """Look at what a task would compare: the state and five keys."""
    keys = ("lxc.uts.name", "lxc.net.0.type", "lxc.rootfs.path", "lxc.start.order", "lxc.environment")
    for name in names:
        container = lxc.Container(name, path)
        if container.state != "STOPPED":
            return False
        for key in keys:
            container.get_config_item(key)
    return True


def config(path: str, names: Sequence[str], key: str, value: str) -> bool:
    good = True
    for name in names:
        container = lxc.Container(name, path)
        good &= container.set_config_item(key, value) and container.save_config()
    return good


def start(path: str, names: Sequence[str], *_rest: str) -> bool:
    done = [lxc.Container(name, path).start() for name in names]
    return all(done)


def stop(path: str, names: Sequence[str], *_rest: str) -> bool:
    done = [lxc.Container(name, path).stop() for name in names]
    return all(done)


def shutdown(path: str, names: Sequence[str], *_rest: str) -> bool:
    """Tell all first, then wait for their monitors to be gone."""
    for name in names:
        lxc.Container(name, path).shutdown(0)
    sockets = {f"@{path}/{name}/command" for name in names}
    while sockets & set(Path("/proc/net/unix").read_text().split()):
        time.sleep(0.02)
    return True


def destroy(path: str, names: Sequence[str], *_rest: str) -> bool:
    done = [lxc.Container(name, path).destroy() for name in names]
    return all(done)


def world(path: str, names: Sequence[str], base: str, configs: str) -> bool:
    """Clone each, give it the config that stands ready for it, and start it."""
    origin = lxc.Container(base, path)
    good = True
    for name in names:
        good &= bool(origin.clone(name, flags=lxc.LXC_CLONE_SNAPSHOT))
        Path(path, name, "config").write_text(Path(configs, name).read_text())
        good &= lxc.Container(name, path).start()
    return good


def addresses(path: str, names: Sequence[str], *_rest: str) -> bool:
    """The containers are opened first: only the look into their namespaces is measured, and printed."""
    containers = [lxc.Container(name, path) for name in names]
    begin = time.monotonic()
    found = [container.get_ips(timeout=0) for container in containers]
    print(time.monotonic() - begin)
    return all(found)


def forked(work: Callable[[Sequence[str]], bool], names: Sequence[str], workers: int) -> bool:
    """The work in so many processes, each with its share of the names; all of it here for one."""
    if workers == 1:
        return work(names)
    pids = []
    for number in range(workers):
        pid = os.fork()
        if not pid:
            good = False
            try:
                good = work(names[number::workers])
            finally:
                os._exit(not good)
        pids.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    return not any(statuses)


def main() -> None:
    operation, path, workers, *rest = sys.argv[1:]
    names = sys.stdin.read().split()
    all_of_them = (create, noop, config, start, stop, shutdown, destroy, world, addresses)
    work = {function.__name__: function for function in all_of_them}[operation]
    sys.exit(not forked(lambda share: work(path, share, *rest), names, int(workers)))


main()
