# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stopping many containers together: what each guest is told, what happens to those that do not obey, what is left."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import power, power_many
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.command_socket import read_states
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe, states_of
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.power_many import halt_signal, stop_many
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.processes import has_exited
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import Observed

#: A guest's init that notes each signal in /told; what it does then follows.
INIT = """\
#!/bin/sh
halt() { echo $1 >> /told; %s; }
for name in PWR USR1 TERM INT; do trap "halt $name" $name; done
: > /ready
while :; do sleep 0.05; done
"""


class Fleet:
    """Containers with one rootfs each that share busybox's files."""

    def __init__(self, path: Path, busybox: Callable[..., str]) -> None:
        self.path = path
        self.base = path / busybox("base")

    def make(self, name: str, init: str = "", *lines: str) -> None:
        """A container of this name; `init` is what its init does when it is told, else it is busybox's."""
        folder = self.path / name
        shutil.copytree(self.base, folder, symlinks=True)
        text = (folder / "config").read_text().replace(str(self.base), str(folder))
        if init:
            script = folder / "rootfs" / "own-init"
            script.write_text(INIT % init)
            script.chmod(0o755)
            text = text.replace("lxc.signal.halt", "#lxc.signal.halt") + "lxc.init.cmd = /own-init\n"
        (folder / "config").write_text(text + "".join(f"{line}\n" for line in lines))

    def start(self, *names: str) -> None:
        for name in names:
            (self.path / name / "rootfs" / "ready").unlink(missing_ok=True)
            lxc("lxc-start", "-P", self.path, "-n", name)
            if "/own-init" in (self.path / name / "config").read_text():
                wait_for((self.path / name / "rootfs" / "ready").exists)

    def targets(self, *names: str, timeout: int = 30) -> list[tuple[ContainerSpec, Observed]]:
        where = str(self.path)
        return [(ContainerSpec(name, where, shutdown_timeout=timeout), observe(name, where)) for name in names]

    def told(self, name: str) -> list[str]:
        file = self.path / name / "rootfs" / "told"
        return file.read_text().split() if file.exists() else []

    def running(self) -> set[str]:
        return {name for (_path, name), state in states_of([str(self.path)]).items() if state != "stopped"}


def lxc(name: str, *args: str | Path) -> str:
    done = subprocess.run(
        [name, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{name} {args}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        select.select([], [], [], 0.01)


@pytest.fixture
def fleet(lxcpath: Path, busybox: Callable[..., str]) -> Fleet:
    return Fleet(lxcpath, busybox)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that stopping starts."""
    started: list[str] = []
    original = power.run

    def run(argv: Any, **how: Any) -> Any:
        started.append(argv[0])
        return original(argv, **how)

    monkeypatch.setattr(power, "run", run)
    return started


@pytest.fixture
def open_files() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


pytestmark = pytest.mark.usefixtures("open_files")


@pytest.fixture
def after_halt(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[Any], Any]]:
    """By name, what must have come about after a guest was told before anything else happens, however long it takes."""
    awaited: dict[str, Callable[[Any], Any]] = {}
    original = power_many._Run.halt

    def halt(run: Any, guest: Any) -> None:
        original(run, guest)
        if guest.key[1] in awaited:
            wait_for(lambda: awaited[guest.key[1]](guest))

    monkeypatch.setattr(power_many._Run, "halt", halt)
    return awaited


def test_all_are_told_at_once_and_killed_when_their_time_is_over(
    fleet: Fleet, processes: list[str], after_halt: dict[str, Callable[[Any], Any]]
) -> None:
    fleet.make("obeys", "exit 0")
    fleet.make("usr1", "exit 0", "lxc.signal.halt = SIGUSR1")
    fleet.make("deaf", ":")
    fleet.make("hard", "exit 0")
    fleet.make("off", "exit 0")
    fleet.start("obeys", "usr1", "deaf", "hard")
    targets = [*fleet.targets("obeys", "usr1", "off"), *fleet.targets("deaf", timeout=1)]
    targets += fleet.targets("hard", timeout=0)
    after_halt["deaf"] = lambda guest: fleet.told("deaf")
    ended: dict[str, str] = {}
    assert stop_many(targets, ended=lambda key: ended.update({key[1]: read_states([key])[key][0]})) == {}
    assert ended == dict.fromkeys(("obeys", "usr1", "off", "deaf", "hard"), "stopped")
    assert fleet.running() == set()
    assert [fleet.told(name) for name in ("obeys", "usr1", "deaf", "hard")] == [["PWR"], ["USR1"], ["PWR"], []]
    assert processes == []
    for name in ("obeys", "deaf", "hard"):
        assert lxc("lxc-info", "-P", fleet.path, "-n", name, "-sH").strip() == "STOPPED"


def test_only_some_are_told_at_a_time(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ones are told when those before have ended, and when these take their time."""
    names = [f"c{number}" for number in range(5)]
    for name in names[:4]:
        fleet.make(name, "exit 0")
    fleet.make(names[4], "while [ ! -e /go ]; do sleep 0.05; done; exit 0")
    fleet.start(*names)
    active: list[int] = []
    original = power_many._Run.begin

    def begin(run: Any, batch: Any) -> None:
        original(run, batch)
        active.append(len(run.active))

    monkeypatch.setattr(power_many._Run, "begin", begin)
    monkeypatch.setattr(power_many, "_TOGETHER", 2)
    monkeypatch.setattr(power_many, "_PAUSE_S", 600.0)
    assert stop_many(fleet.targets(*names[:4])) == {}
    assert active == [2, 2]
    fleet.start(names[0])
    monkeypatch.setattr(power_many, "_TOGETHER", 1)
    monkeypatch.setattr(power_many, "_PAUSE_S", 0.1)

    def ended(key: tuple[str, str]) -> None:
        # The first one ends when the second one has.
        (fleet.path / names[4] / "rootfs" / "go").touch()
        order.append(key[1])

    order: list[str] = []
    assert stop_many(fleet.targets(names[4], names[0]), ended=ended) == {}
    assert order == [names[0], names[4]]
    assert fleet.running() == set()


def in_child(targets: Any, free: int) -> dict[str, Any]:
    """What stop_many says in a process that may have 64 files open, and has all but so many of them open already.

    `failed` and `ended` are the names, `most` is how many were on their way at a time.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said: dict[str, Any] = {"ended": [], "most": 0}
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            spare = [os.dup(writing) for _unused in range(free)]
            with contextlib.suppress(OSError):
                while True:
                    os.dup(writing)
            for fd in spare:
                os.close(fd)
            original = power_many._Run.begin

            def begin(run: Any, batch: Any) -> None:
                original(run, batch)
                said["most"] = max(said["most"], len(run.active))

            power_many._Run.begin = begin  # type: ignore[method-assign]
            failed = stop_many(targets, ended=lambda key: said["ended"].append(key[1]))
            said["failed"] = {name: cause for (_path, name), cause in failed.items()}
        except BaseException as error:
            said["raised"] = repr(error)
        finally:
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text)  # type: ignore[no-any-return]


def test_few_file_descriptors_are_enough(fleet: Fleet) -> None:
    names = [f"c{number:02}" for number in range(30)]
    for name in names:
        fleet.make(name, "exit 0")
    fleet.start(*names)
    said = in_child([*fleet.targets(*names[:20]), *fleet.targets(*names[20:], timeout=0)], free=32)
    assert (said.get("raised"), said["failed"], sorted(said["ended"])) == (None, {}, names)
    assert 1 <= said["most"] <= 2
    assert fleet.running() == set()


def test_no_file_descriptor_at_all_is_an_error_of_each(fleet: Fleet) -> None:
    for name in ("gentle", "hard"):
        fleet.make(name, "exit 0")
    fleet.start("gentle", "hard")
    targets = [*fleet.targets("gentle"), *fleet.targets("hard", timeout=0)]
    said = in_child(targets, free=0)
    assert said.get("raised") is None
    assert sorted(said["failed"]) == ["gentle", "hard"] and said["ended"] == []
    assert all("Too many open files" in cause for cause in said["failed"].values())
    assert fleet.running() == {"gentle", "hard"}


def test_a_frozen_guest_is_thawed_first(fleet: Fleet) -> None:
    for name in ("gentle", "hard"):
        fleet.make(name, "exit 0")
        fleet.start(name)
        lxc("lxc-freeze", "-P", fleet.path, "-n", name)
    assert stop_many([*fleet.targets("gentle"), *fleet.targets("hard", timeout=0)]) == {}
    assert fleet.running() == set()
    assert (fleet.told("gentle"), fleet.told("hard")) == (["PWR"], [])


def test_hooks_have_run_when_it_returns(fleet: Fleet) -> None:
    mark = fleet.path / "hooks"
    hook = fleet.path / "hook"
    hook.write_text(f"#!/bin/sh\nsleep 0.5\necho $LXC_NAME $LXC_HOOK_TYPE >> {mark}\n")
    hook.chmod(0o755)
    for name in ("gentle", "hard"):
        fleet.make(name, "exit 0", f"lxc.hook.post-stop = {hook}", "lxc.hook.version = 1")
        fleet.start(name)
    assert stop_many([*fleet.targets("gentle"), *fleet.targets("hard", timeout=0)]) == {}
    assert sorted(mark.read_text().splitlines()) == ["gentle post-stop", "hard post-stop"]


def test_one_whose_hooks_outlast_its_time_is_not_killed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, after_halt: dict[str, Callable[[Any], Any]]
) -> None:
    hook = fleet.path / "hook"
    hook.write_text(f"#!/bin/sh\nuntil [ -e {fleet.path}/over ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    fleet.make("web", "exit 0", f"lxc.hook.post-stop = {hook}")
    fleet.start("web")
    killed: list[str] = []
    original = power_many._Run.time_is_over

    def time_is_over(run: Any, guest: Any) -> None:
        original(run, guest)
        killed.extend([guest.key[1]] if guest.killed else [])
        (fleet.path / "over").touch()

    monkeypatch.setattr(power_many._Run, "time_is_over", time_is_over)
    after_halt["web"] = lambda guest: has_exited(guest.pidfd)
    assert stop_many(fleet.targets("web", timeout=1)) == {}
    assert (fleet.path / "over").exists()
    assert killed == []


def test_a_guest_that_reboots_itself_is_killed(fleet: Fleet) -> None:
    fleet.make("again", "reboot -f")
    fleet.start("again")
    assert stop_many(fleet.targets("again")) == {}
    assert fleet.running() == set()
    assert fleet.told("again") == ["PWR"]


def test_an_ephemeral_one_has_gone_when_it_returns(fleet: Fleet) -> None:
    for name in ("gentle", "hard"):
        fleet.make(name, "exit 0", "lxc.ephemeral = 1")
        fleet.start(name)
    assert stop_many([*fleet.targets("gentle"), *fleet.targets("hard", timeout=0)]) == {}
    assert sorted(entry.name for entry in fleet.path.iterdir() if entry.is_dir()) == ["base"]


def test_another_init_than_the_observed_one(fleet: Fleet) -> None:
    """What was observed is old: the pid is somebody else's now, who must not be told anything."""
    fleet.make("web", "exit 0")
    fleet.start("web")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        ((spec, observed),) = fleet.targets("web")
        assert stop_many([(spec, replace(observed, pid=bystander.pid))]) == {}
        assert bystander.poll() is None
        assert fleet.told("web") == ["PWR"]
        assert fleet.running() == set()
    finally:
        bystander.kill()
        bystander.wait()


def test_what_is_unusual_is_left_to_lxc_stop(fleet: Fleet, processes: list[str]) -> None:
    fleet.make("shares", "exit 0", "lxc.namespace.share.pid = broken")
    fleet.make("broken", "exit 0")
    fleet.start("broken", "shares")
    with (fleet.path / "broken" / "config").open("a") as file:
        file.write("lxc.nonsense = 1\n")
    ended: list[str] = []
    assert stop_many(fleet.targets("shares", "broken", timeout=1), ended=lambda key: ended.append(key[1])) == {}
    assert sorted(ended) == ["broken", "shares"]
    assert fleet.running() == set()
    assert processes.count("lxc-stop") == 2


def test_one_that_cannot_be_stopped_does_not_keep_the_others(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stuck", "fine"):
        fleet.make(name, "exit 0")
    fleet.make("held", "exit 0", "lxc.signal.stop = SIGUSR2")
    fleet.start("stuck", "fine", "held")
    monkeypatch.setattr(power_many, "_END_S", 1.0)
    monkeypatch.setattr(power, "_KILL_S", 1.0)
    status = Path(f"/proc/{observe('stuck', str(fleet.path)).pid}/status").read_text()
    monitor = int(status.partition("PPid:")[2].split()[0])
    os.kill(monitor, signal.SIGSTOP)
    try:
        failed = stop_many(
            [*fleet.targets("stuck", timeout=2), *fleet.targets("fine"), *fleet.targets("held", timeout=0)]
        )
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert {name for _path, name in failed} == {"stuck", "held"}
    assert "1 s after it was killed" in failed[str(fleet.path), "held"]
    assert read_states([(str(fleet.path), "fine")])[str(fleet.path), "fine"] == ("stopped", None)
    with contextlib.suppress(ProcessLookupError):
        os.kill(observe("held", str(fleet.path)).pid or 1 << 30, signal.SIGKILL)


@pytest.mark.parametrize(
    ("value", "blocked", "number"),
    [
        ("SIGUSR1", 0, signal.SIGUSR1),
        ("SIGRTMIN+3", 0, signal.SIGRTMIN + 3),
        ("30", 1 << 36, 30),
        ("0", 0, signal.SIGPWR),
        ("", 0, signal.SIGPWR),
        ("", 1 << (signal.SIGRTMIN + 2), signal.SIGRTMIN + 3),
    ],
)
def test_the_signal(value: str, blocked: int, number: int) -> None:
    document = ConfigDocument.parse(f"lxc.signal.halt = {value}\n" if value else "")
    assert halt_signal(Observed("a", "/l", document=document, effective=document), blocked) == number
