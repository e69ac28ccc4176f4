# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for the tests of lxc_container: tasks on one lxcpath, and what LXC's own programs say of the result."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

BUSYBOX = {"name": "busybox"}
EMPTY = [{"type": "empty"}]
#: What a guest writes while it runs is no business of a task that changes nothing.
GUEST_FILES = ("/rootfs/", "/overlay/")


def lxc(tool: str, lxcpath: Path, name: str, *args: str, timeout: float = 60) -> str:
    """What an lxc-* program says about a container, without the last newline; it must succeed."""
    done = subprocess.run(
        [f"lxc-{tool}", "-P", str(lxcpath), "-n", name, *args],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"lxc-{tool} {name} {args}: {done.stdout}{done.stderr}"
    return done.stdout.rstrip("\n")


def settled(value: Any) -> Any:
    """A result less the ids that were free at that moment: other tests on this machine take and return ids as well."""
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items()}
    return re.sub(r"(lxc\.idmap = [ug] 0) \d+ 65536", r"\1 FREE 65536", value) if isinstance(value, str) else value


class Lab:
    """Containers in one lxcpath, through lxc_container, and the same seen through LXC's own programs."""

    def __init__(self, path: Path, run_module: Callable[..., Any], tree_hash: Callable[[Path], dict[str, str]]) -> None:
        self.path = path
        self._run = run_module
        self._hash = tree_hash

    def task(self, name: str, fails: bool | None = False, check: bool = False, **options: Any) -> Any:
        """One run of the module."""
        params = {"name": name, "lxcpath": str(self.path), **options}
        return self._run("lxc_container", params, check=check, fails=fails)

    def make(self, name: str = "c", **options: Any) -> Any:
        """A busybox container without a network, for tests whose subject is something else."""
        if "clone" not in options:
            options.setdefault("template", BUSYBOX)
            options.setdefault("networks", EMPTY)
        return self.task(name, **options)

    def cycle(self, name: str, changed: bool = True, repeat: bool = True, **options: Any) -> Any:
        """A check run, which writes nothing and predicts the real run; then the real one; then once more, for nothing.

        Returns the result of the real run.
        """
        before = self.hash()
        predicted = self.task(name, check=True, **options)
        assert self.hash() == before, "a check run wrote something"
        done = self.task(name, **options)
        assert done["changed"] == changed
        for key in ("changed", "actions", "diff", "restart_required", "restart_keys"):
            assert settled(predicted[key]) == settled(done[key]), f"the check run predicted another {key}"
        assert bool(done["actions"]) == changed
        if changed:
            assert done["diff"]["before"] != done["diff"]["after"]
        else:
            assert done["diff"]["before"] == done["diff"]["after"]
            assert self.hash() == before, "a run that changed nothing wrote something"
        if repeat:
            self.unchanged(name, **options)
        return done

    def unchanged(self, name: str, **options: Any) -> Any:
        """A real run that finds nothing to do and writes nothing."""
        before = self.hash()
        again = self.task(name, **options)
        assert (again["changed"], again["actions"]) == (False, [])
        assert again["diff"]["before"] == again["diff"]["after"]
        assert self.hash() == before, "a run that changed nothing wrote something"
        return again

    def refused(self, name: str, **options: Any) -> Any:
        """A task that fails, in check mode with the same message, and leaves every file as it is."""
        before = self.hash()
        predicted = self.task(name, fails=True, check=True, **options)
        done = self.task(name, fails=True, **options)
        assert predicted["msg"] == done["msg"]
        assert self.hash() == before, "a refused task wrote something"
        return done

    def hash(self) -> dict[str, str]:
        """Everything in the lxcpath, less what a running guest may write itself."""
        found = self._hash(self.path)
        running = [name for name in self.names() if self.state(name) != "STOPPED"]
        own = tuple(f"{name}{folder}" for name in running for folder in GUEST_FILES)
        return {path: text for path, text in found.items() if not path.startswith(own or ("//",))}

    def names(self) -> list[str]:
        """The directories in the lxcpath, config or not."""
        return sorted(entry.name for entry in os.scandir(self.path) if entry.is_dir())

    def state(self, name: str) -> str:
        """The state as lxc-info gives it, STOPPED for what is none or can't be loaded."""
        done = subprocess.run(
            ["lxc-info", "-P", str(self.path), "-n", name, "-sH"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.strip() or "STOPPED"

    def pid(self, name: str) -> int:
        """The guest's init, as lxc-info gives it."""
        return int(lxc("info", self.path, name, "-pH"))

    def item(self, name: str, key: str) -> str:
        """A config item's effective value, as liblxc has it."""
        return lxc("info", self.path, name, "-c", key, "-H")

    def config(self, name: str) -> str:
        """The text of the config file."""
        return (self.path / name / "config").read_text()

    def lines(self, name: str, key: str) -> list[str]:
        """The values of all lines of a key in the config file, in order."""
        found = []
        for line in self.config(name).splitlines():
            left, equals, right = line.partition("=")
            if equals and left.strip() == key:
                found.append(right.strip())
        return found

    def edit(self, name: str, *lines: str) -> None:
        """Append lines to the config by hand."""
        with (self.path / name / "config").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def in_guest(self, name: str, *argv: str) -> str:
        """What a command in the running guest prints."""
        return lxc("attach", self.path, name, "--clear-env", "--", *argv)


@pytest.fixture
def lab(lxcpath: Path, run_module: Any, tree_hash: Any, subids: Any) -> Lab:
    """An empty lxcpath of the test's own, with ids for unprivileged containers."""
    return Lab(lxcpath, run_module, tree_hash)


@pytest.fixture
def lab_at(run_module: Any, tree_hash: Any, subids: Any) -> Callable[[Path], Lab]:
    """The same for a path that the test chooses, such as `btrfs_path`."""
    return lambda path: Lab(path, run_module, tree_hash)


@pytest.fixture
def kill_tool() -> Callable[[list[str], float], None]:
    """`kill_tool(argv, seconds)`: start one of LXC's tools and SIGKILL it, and all that it started, after a while."""

    def run(argv: list[str], seconds: float) -> None:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    return run
