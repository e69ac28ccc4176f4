# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading containers: every fact against LXC's own tools, every half-made state made by really killing them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import command_socket
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import observe as host_observe
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.command_socket import (
    active_sockets,
    read_config_item,
    read_states,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.netns import addresses_of, read_proc
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import (
    default_lxcpath,
    installed_version,
    observe,
    observe_host,
    read_host_states,
    states_of,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.describe import describe
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import Observed

NOBODY = 65534


def tool(name: str, *args: str | Path, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [name, *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **how,
    )
    assert not check or done.returncode == 0, f"{name} {args}: {done.stdout}{done.stderr}"
    return done


def start(lxcpath: Path, name: str) -> int:
    tool("lxc-start", "-P", lxcpath, "-n", name)
    return int(tool("lxc-info", "-P", lxcpath, "-n", name, "-pH").stdout)


def until(true: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not come about in time"
        select.select([], [], [], 0.01)
    return value


def append(lxcpath: Path, name: str, *lines: str) -> None:
    with (lxcpath / name / "config").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def monitor_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def as_nobody(work: Callable[[], Any]) -> Any:
    """What `work` returns when an ordinary user does it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writing, json.dumps(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


@contextlib.contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def launch(*argv: str | Path, **how: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **how,
    )


# ------------------------------------------------------------------ states


def test_state_and_pid_are_those_of_lxc_info(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox("web.1")
    assert (observe(name, str(lxcpath)).state, observe(name, str(lxcpath)).pid) == ("stopped", None)
    pid = start(lxcpath, name)
    assert (str(lxcpath), name) in active_sockets()
    for step, state in (((), "running"), (("lxc-freeze",), "frozen"), (("lxc-unfreeze",), "running")):
        if step:
            tool(*step, "-P", lxcpath, "-n", name)
        observed = observe(name, str(lxcpath))
        assert (observed.state, observed.pid) == (state, pid)
        assert observed.state.upper() == tool("lxc-info", "-P", lxcpath, "-n", name, "-sH").stdout.strip()
    tool("lxc-stop", "-k", "-P", lxcpath, "-n", name)
    assert observe(name, str(lxcpath)).state == "stopped"
    assert read_states([(str(lxcpath), name)]) == {(str(lxcpath), name): ("stopped", None)}


def test_a_path_too_long_for_a_socket_name_is_hashed(lxcpath: Path, busybox: Callable[..., str]) -> None:
    deep = lxcpath / ("d" * 90)
    deep.mkdir()
    name = busybox("web", where=deep)
    pid = start(deep, name)
    try:
        assert (str(deep), name) in active_sockets()
        assert (observe(name, str(deep)).state, observe(name, str(deep)).pid) == ("running", pid)
    finally:
        tool("lxc-stop", "-k", "-P", deep, "-n", name)


def test_a_monitor_that_does_not_answer_hides_only_itself(lxcpath: Path, busybox: Callable[..., str]) -> None:
    for name in ("deaf", "fine"):
        busybox(name)
    monitor = monitor_of(start(lxcpath, "deaf"))
    pid = start(lxcpath, "fine")
    os.kill(monitor, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        deaf, fine = observe_host([str(lxcpath)])
        assert time.monotonic() - begin < 3
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert (deaf.state, deaf.pid, deaf.health, deaf.running) == ("unknown", None, "ok", True)
    assert (fine.state, fine.pid) == ("running", pid)
    assert observe("deaf", str(lxcpath)).state == "running"


def test_items_of_the_running_config(lxcpath: Path, busybox: Callable[..., str]) -> None:
    busybox("web", config=("lxc.net.0.type = empty", "lxc.prlimit.nofile = 4096", "lxc.cap.drop = sys_boot"))
    start(lxcpath, "web")
    for key in ("lxc.uts.name", "lxc.prlimit.nofile", "lxc.mount.entry", "lxc.cap.drop", "lxc.net.0.type"):
        value = read_config_item(str(lxcpath), "web", key)
        shown = tool("lxc-info", "-P", lxcpath, "-n", "web", "-H", "-c", key).stdout
        assert value is not None
        assert value.strip() == shown.strip()
    assert read_config_item(str(lxcpath), "web", "lxc.idmap") is None
    assert read_config_item(str(lxcpath), "gone", "lxc.uts.name") is None


def test_another_user_learns_no_state_from_the_monitor(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    start(lxcpath, name)
    key = (str(lxcpath), name)
    assert as_nobody(lambda: read_states([key])[key]) == ["unknown", None]


def test_a_container_that_runs_without_its_config_is_seen(lxcpath: Path, busybox: Callable[..., str]) -> None:
    pid = start(lxcpath, busybox("lost"))
    (lxcpath / "lost" / "config").unlink()
    for observed in (observe("lost", str(lxcpath)), *observe_host([str(lxcpath)])):
        assert (observed.health, observed.state, observed.pid) == ("unreadable", "running", pid)
    tool("lxc-stop", "-k", "-P", lxcpath, "-n", "lost", check=False)
    until(lambda: not observe("lost", str(lxcpath)).defined)


# ------------------------------------------------------------------ whose word counts

IMPOSTOR = """\
import os, socket, struct, subprocess, sys
name, lxcpath, title, pid = sys.argv[1:]
number = {"self": os.getpid, "child": lambda: subprocess.Popen(["sleep", "60"]).pid}.get(pid, lambda: int(pid))()
server = socket.socket(socket.AF_UNIX)
server.bind(b"\\0" + name.encode())
server.listen(50)
print(number, flush=True)
texts = {7: b"100", 8: title.encode() + b"\\0", 9: lxcpath.encode() + b"\\0"}
while True:
    client = server.accept()[0]
    command = (client.recv(16) or b"\\0")[0]
    text = texts.get(command, b"")
    if command:
        client.sendall(struct.pack("@iiP", 0, len(text), {3: 2, 4: number}.get(command, 0)) + text)
    client.close()
"""


@pytest.fixture
def impostor() -> Iterator[Callable[..., int]]:
    """Somebody who listens where a monitor would and says that the container runs; returns the init that it claims."""
    with contextlib.ExitStack() as stack:

        def begin(lxcpath: Path, name: str, pid: str | int = "self", uid: int = NOBODY, socket: str = "") -> int:
            process = subprocess.Popen(
                [sys.executable, "-c", IMPOSTOR, socket or f"{lxcpath}/{name}/command", str(lxcpath), name, str(pid)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                user=uid,
                group=uid,
                extra_groups=[],
            )
            stack.enter_context(killed(process))
            assert process.stdout is not None
            with process.stdout as stream:
                return int(stream.readline())

        yield begin


def test_anybody_can_listen_but_is_not_believed(
    lxcpath: Path, busybox: Callable[..., str], impostor: Callable[..., int]
) -> None:
    real = start(lxcpath, busybox("real"))
    busybox("squatted")
    impostor(lxcpath, "squatted")
    impostor(lxcpath, "invented")
    impostor(lxcpath, "hashed", socket="lxc/0123456789abcdef/command")
    assert [(one.name, one.state, one.pid) for one in observe_host([str(lxcpath)])] == [
        ("real", "running", real),
        ("squatted", "unknown", None),
    ]
    assert {name for where, name in active_sockets() if where == str(lxcpath)} == {"real"}
    assert not observe("invented", str(lxcpath)).defined
    assert read_config_item(str(lxcpath), "squatted", "lxc.uts.name") is None
    # Root is believed, but not that a container is what another one's socket is named after.
    impostor(lxcpath, "hashed", uid=0, socket="lxc/123456789abcdef0/command")
    assert (str(lxcpath), "hashed") not in active_sockets()


def test_the_owner_is_believed_about_its_own_processes(
    lxcpath: Path, busybox: Callable[..., str], impostor: Callable[..., int]
) -> None:
    for name in ("own", "foreign", "config", "folder"):
        busybox(name)
    os.chown(lxcpath / "folder", NOBODY, NOBODY)
    impostor(lxcpath, "folder", "child")
    os.chown(lxcpath / "config" / "config", NOBODY, NOBODY)
    by_config = impostor(lxcpath, "config", "child")
    assert read_states([(str(lxcpath), "folder")])[str(lxcpath), "folder"] == ("unknown", None)
    os.chown(lxcpath, NOBODY, NOBODY)
    own = impostor(lxcpath, "own", "child")
    impostor(lxcpath, "foreign", os.getpid())
    states = read_states([(str(lxcpath), name) for name in ("own", "foreign", "config")])
    assert list(states.values()) == [("running", own), ("unknown", None), ("running", by_config)]
    assert (str(lxcpath), "own") in active_sockets()


def test_what_others_write_on_their_command_line_is_no_work_on_a_container(
    lxcpath: Path, busybox: Callable[..., str]
) -> None:
    (lxcpath / "torn").mkdir()
    (lxcpath / "torn" / "partial").touch()
    argument = f"--path={lxcpath}/torn"
    script = lxcpath / busybox("guest") / "rootfs" / "idle"
    script.write_text(f"#!/bin/sh\n/bin/sh -c 'sleep 60; :' {argument} </dev/null >/dev/null 2>&1 &\n")
    script.chmod(0o755)
    start(lxcpath, "guest")
    tool("lxc-attach", "-P", lxcpath, "-n", "guest", "--", "/idle")
    until(lambda: [process for process in Path("/proc").glob("[0-9]*") if argument.encode() in cmdline(process)])
    command = (argument, "60")
    with killed(launch(*command, executable="/bin/sleep", user=NOBODY, group=NOBODY, extra_groups=[])):
        assert observe("torn", str(lxcpath)).health == "partial"
        assert as_nobody(lambda: observe("torn", str(lxcpath)).health) == "creating"
    with killed(launch(*command, executable="/bin/sleep")):
        assert observe("torn", str(lxcpath)).health == "creating"
        assert as_nobody(lambda: observe("torn", str(lxcpath)).health) == "creating"


def cmdline(process: Path) -> bytes:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes()
    return b""


def test_a_killed_lxc_copy_of_an_unprivileged_container(
    lxcpath: Path, busybox: Callable[..., str], subids: tuple[int, int]
) -> None:
    busybox("base", idmap=(subids[0] + 65536 * 47, 65536))
    tools = lxcpath / ".tools"
    tools.mkdir()
    rsync = tools / "rsync"
    rsync.write_text(f"#!/bin/sh\n: > {lxcpath}/new/rootfs/here\nwhile [ ! -e {tools}/go ]; do sleep 0.05; done\n")
    rsync.chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    with killed(launch("lxc-copy", "-P", lxcpath, "-n", "base", "-N", "new", env=env)) as copy:
        until((lxcpath / "new" / "rootfs" / "here").exists)
        copy.kill()
        copy.wait()
        # rsync lives on under an uid of the id map, in a user namespace that root has made.
        assert observe("new", str(lxcpath)).health == "creating"
        (tools / "go").touch()
    until(lambda: observe("new", str(lxcpath)).health != "creating")


# ------------------------------------------------------------------ addresses


@pytest.fixture
def connected(lxcpath: Path, busybox: Callable[..., str], bridge: str) -> int:
    """The pid of a running container `net` with several interfaces and addresses."""
    lines = ["lxc.net.0.type = veth", f"lxc.net.0.link = {bridge}", "lxc.net.0.flags = up"]
    lines += ["lxc.net.0.hwaddr = 00:16:3e:01:02:03", "lxc.net.0.name = net0"]
    lines += ["lxc.net.0.ipv4.address = 10.213.4.5/24", "lxc.net.0.ipv4.address = 10.213.5.5/16"]
    lines += ["lxc.net.0.ipv6.address = fd00:213::5/64", "lxc.net.1.type = veth", f"lxc.net.1.link = {bridge}"]
    lines += ["lxc.net.1.name = lan", "lxc.net.1.hwaddr = 00:16:3e:01:02:04"]
    return start(lxcpath, busybox("net", config=lines))


def inside(pid: int) -> dict[str, tuple[str, set[str]]]:
    """Hardware address and addresses of each interface but lo, as ip(8) sees them in the container."""
    links = json.loads(tool("nsenter", "-t", str(pid), "-n", "ip", "-j", "address").stdout)
    return {
        link["ifname"]: (link["address"], {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]})
        for link in links
        if link["ifname"] != "lo"
    }


def test_addresses_are_those_inside_the_guest(lxcpath: Path, connected: int) -> None:
    # eth0 would be taken down again by the guest's DHCP client.
    until(lambda: any("fe80" in address for address in inside(connected)["net0"][1]))
    observed = observe("net", str(lxcpath), addresses=True)
    assert observed.interfaces is not None
    assert {one.name: (one.hwaddr, {*one.ipv4, *one.ipv6}) for one in observed.interfaces} == inside(connected)
    described = describe(observed)
    shown = tool("lxc-info", "-P", lxcpath, "-n", "net", "-iH").stdout.split()
    assert sorted(described["ipv4"] + described["ipv6"]) == sorted(shown)
    assert described["ipv4"] == ["10.213.4.5", "10.213.5.5"]


def test_an_ordinary_user_reads_addresses_from_proc(connected: int) -> None:
    expected = {name: found for name, (_mac, found) in inside(connected).items()}
    own = as_nobody(lambda: [astuple(one) for one in addresses_of({"net": connected})["net"]])
    for interfaces in ([astuple(one) for one in read_proc(connected)], own):
        assert {name: {*ipv4, *ipv6} for name, _mac, ipv4, ipv6 in interfaces} == expected


def test_addresses_of_what_is_gone(connected: int) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    found = addresses_of({"gone": child.pid, "net": connected})
    assert found["gone"] == ()
    assert [one.name for one in found["net"]] == ["net0", "lan"]


# ------------------------------------------------------------------ half-made containers

SLOW_TEMPLATE = """\
#!/bin/sh
for option; do case $option in --path=*) path=${option#--path=} ;; esac; done
echo "lxc.uts.name = slow" >> "$path/config"
echo > "$path/here"
while [ ! -e "$path/go" ]; do sleep 0.05; done
"""


@pytest.fixture
def template(lxcpath: Path) -> Path:
    """A template that works until the container's directory has a file `go`."""
    path = lxcpath / "slow-template"
    path.write_text(SLOW_TEMPLATE)
    path.chmod(0o755)
    return path


def test_a_container_that_is_being_created(lxcpath: Path, template: Path) -> None:
    with killed(launch("lxc-create", "-P", lxcpath, "-n", "slow", "-t", template)) as create:
        until((lxcpath / "slow" / "here").exists)
        for _look in range(50):
            observed = observe("slow", str(lxcpath))
            assert (observed.health, observed.defined) == ("creating", True)
        assert [one.health for one in observe_host([str(lxcpath)])] == ["creating"]
        # Looking has taken no lock away: lxc-create ends as if nobody had looked.
        (lxcpath / "slow" / "go").touch()
        assert create.wait(20) == 0
    assert observe("slow", str(lxcpath)).health == "ok"


def test_a_killed_lxc_create(lxcpath: Path, template: Path) -> None:
    with killed(launch("lxc-create", "-P", lxcpath, "-n", "slow", "-t", template)) as create:
        until((lxcpath / "slow" / "here").exists)
        create.kill()
        create.wait()
        # Its template lives on and writes: the directory must be left alone.
        observed = observe("slow", str(lxcpath))
        assert observed.health == "creating"
    until(lambda: observe("slow", str(lxcpath)).health == "partial")
    observed = observe("slow", str(lxcpath))
    assert describe(observed)["broken"]
    assert "partial" in observed.problem


def test_an_ordinary_user_tells_a_held_lock_from_a_left_one(lxcpath: Path, template: Path) -> None:
    with killed(launch("lxc-create", "-P", lxcpath, "-n", "slow", "-t", template)):
        until((lxcpath / "slow" / "here").exists)
        (lxcpath / "slow").chmod(0o755)
        assert as_nobody(lambda: observe("slow", str(lxcpath)).health) == "creating"
    until(lambda: as_nobody(lambda: observe("slow", str(lxcpath)).health) == "partial")


def test_a_killed_lxc_copy(lxcpath: Path, busybox: Callable[..., str], tmp_path: Path) -> None:
    busybox("base")
    rsync = tmp_path / "rsync"
    rsync.write_text(f"#!/bin/sh\nmkdir -p {lxcpath}/new/rootfs/etc\nwhile :; do sleep 0.05; done\n")
    rsync.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with killed(launch("lxc-copy", "-P", lxcpath, "-n", "base", "-N", "new", env=env)) as copy:
        until((lxcpath / "new" / "rootfs" / "etc").exists)
        assert observe("new", str(lxcpath)).health == "creating"
        copy.kill()
        copy.wait()
        assert observe("new", str(lxcpath)).health == "creating"
    until(lambda: observe("new", str(lxcpath)).health != "creating")
    observed = observe("new", str(lxcpath))
    assert (observed.health, observed.rootfs.path) == ("half_cloned", "")
    assert observe("base", str(lxcpath)).health == "ok"


@pytest.mark.parametrize("store", ["dir", "overlay", "btrfs"])
def test_lxc_copy_killed_anywhere(
    store: str, lxcpath: Path, busybox: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue("btrfs_path") if store == "btrfs" else lxcpath
    if store == "btrfs":
        tool("lxc-create", "-P", where, "-n", "base", "-B", "btrfs", "-t", "busybox")
    else:
        busybox("base")
    argv = ["lxc-copy", *(["-s"] if store != "dir" else []), "-P", where, "-n", "base", "-N"]
    begin = time.monotonic()
    tool(*map(str, argv), "whole")
    # The load of the machine changes: the delay follows what came out, so that the kills fall into the copying.
    delay = (time.monotonic() - begin) / 2
    rng = random.Random(store)
    seen: dict[str, int] = {}
    for number in range(250):
        if number >= 25 and seen.get("half_cloned", 0) >= 3:
            break
        name = f"new{number}"
        with killed(launch(*argv, name)) as copy:
            select.select([], [], [], rng.uniform(0, delay * 2))
            os.killpg(copy.pid, signal.SIGKILL)
            copy.wait()
        until(lambda: observe(name, str(where)).health != "creating")  # noqa: B023
        observed = observe(name, str(where))
        seen[observed.health] = seen.get(observed.health, 0) + 1
        delay *= {"ok": 0.93, "absent": 1.07}.get(observed.health, 1)
        text = (where / name / "config").read_text() if observed.defined else ""
        if observed.health == "ok" and not text:
            # Killed between making the config and writing it: nothing else is there, nothing can be lost.
            assert os.listdir(where / name) == ["config"]
        elif observed.health == "ok":
            assert f"{where}/{name}/" in observed.rootfs.path
            assert observed.rootfs.exists
            assert "lxc.uts.name" in text
        elif observed.health == "unreadable":
            # liblxc had emptied the config to write the final one: the copy can't be told from a container in use.
            assert (text, store) == ("", "dir")
        else:
            assert observed.health in ("absent", "half_cloned"), observed
            assert "lxc.rootfs.path" not in text
    assert observe("base", str(where)).health == "ok"
    assert seen.get("half_cloned", 0) >= 3, seen


def test_lxc_copy_killed_before_it_made_a_directory(lxcpath: Path, busybox: Callable[..., str]) -> None:
    busybox("base", config=("lxc.net.0.type = empty", "lxc.group = x"))
    own = (lxcpath / "base" / "config").read_text().splitlines(keepends=True)
    (lxcpath / "new").mkdir()
    (lxcpath / "new" / "config").write_text("".join(line for line in own if "rootfs.path" not in line))
    assert observe("new", str(lxcpath)).health == "half_cloned"
    append(lxcpath, "new", "lxc.start.auto = 1")
    assert observe("new", str(lxcpath)).health == "ok"


def half_made(lxcpath: Path, name: str, config: str, *, content: bool = True) -> Observed:
    (lxcpath / name / "rootfs").mkdir(parents=True)
    if content:
        (lxcpath / name / "rootfs" / "data").write_text("somebody's")
    (lxcpath / name / "config").write_text(config)
    return observe(name, str(lxcpath))


def test_what_may_hold_data_is_no_half_made_clone(lxcpath: Path) -> None:
    (lxcpath / "other").mkdir()
    (lxcpath / "other" / "config").write_text(
        "# comment\nlxc.rootfs.path = dir:/x\nlxc.uts.name = other\nlxc.group = g\n"
    )
    assert half_made(lxcpath, "a", "lxc.uts.name = other\nlxc.group = g\n").health == "half_cloned"
    # Another host name proves nothing: it may be one with a domain.
    assert half_made(lxcpath, "a2", "lxc.uts.name = other\n").health == "unreadable"
    assert half_made(lxcpath, "a3", "lxc.uts.name = a3.example.org\nlxc.group = g\n").health == "unreadable"
    assert half_made(lxcpath, "b", "lxc.uts.name = b\n").health == "unreadable"
    assert half_made(lxcpath, "c", "lxc.start.auto = 1\n").health == "unreadable"
    assert half_made(lxcpath, "d", "").health == "unreadable"
    assert half_made(lxcpath, "e", "", content=False).health == "half_cloned"
    snapshot = lxcpath / "f" / "snaps" / "snap0"
    snapshot.mkdir(parents=True)
    (snapshot / "config").write_text("")
    assert half_made(lxcpath, "f", "lxc.uts.name = other\nlxc.group = g\n").health == "unreadable"


def test_what_is_legitimate_is_in_order(lxcpath: Path, busybox: Callable[..., str]) -> None:
    busybox("base")
    tool("lxc-copy", "-s", "-P", lxcpath, "-n", "base", "-N", "overlaid")
    tool("lxc-create", "-P", lxcpath, "-n", "bare", "-t", "none")
    append(lxcpath, "bare", "lxc.uts.name = base")
    busybox("unmanaged", config=("lxc.net.0.type = empty", "lxc.rootfs.managed = 0"))
    (lxcpath / "sharing").mkdir()
    (lxcpath / "sharing" / "config").write_text(
        f"lxc.uts.name = sharing\nlxc.rootfs.path = dir:{lxcpath}/base/rootfs\n"
    )
    (lxcpath / "sharing" / "rootfs").mkdir()
    found = {one.name: one for one in observe_host([str(lxcpath)])}
    assert {name: one.health for name, one in found.items()} == dict.fromkeys(
        ["bare", "base", "overlaid", "sharing", "unmanaged"], "ok"
    )
    assert found["bare"].rootfs.path == ""
    overlaid = found["overlaid"].rootfs
    assert (overlaid.backingstore, overlaid.lower, overlaid.exists) == ("overlay", (f"{lxcpath}/base/rootfs",), True)
    assert found["overlaid"].origin is not None
    assert (found["overlaid"].origin.lxcpath, found["overlaid"].origin.name) == (str(lxcpath), "base")
    assert [one.name for one in found["base"].dependants] == ["overlaid"]
    shutil.rmtree(lxcpath / "base" / "rootfs")
    assert [observe(name, str(lxcpath)).health for name in ("base", "overlaid", "sharing")] == ["no_rootfs"] * 3


# ------------------------------------------------------------------ configs that liblxc refuses


def test_configs_are_refused_where_liblxc_refuses_them(lxcpath: Path) -> None:
    included = lxcpath / "included"
    included.mkdir()
    (included / "bad.conf").write_text("lxc.nonsense = 1\n")
    (included / "ignored.txt").write_text("lxc.nonsense = 1\n")
    (lxcpath / "good.inc").write_text("# nothing\nlxc.start.order = 3\n")
    texts = {
        "unknown": "lxc.nonsense = 1\n",
        "old": "lxc.network.type = veth\n",
        "cleared": "lxc.nonsense =\n",
        "halfline": "lxc.uts.name\n",
        "foreign": "nonsense = 1\nalso nonsense\n# lxc.comment\n",
        "missing": f"lxc.include = {lxcpath}/no-such-file\n",
        "nodir": f"lxc.include = {lxcpath}/no-such-folder/\n",
        "badinc": f"lxc.include = {included}\n",
        "goodinc": f"lxc.include = {lxcpath}/good.inc\n",
        "empty": "",
        "quoted": "lxc.uts.name = 'quoted'\n",
    }
    for name, text in texts.items():
        (lxcpath / name).mkdir()
        (lxcpath / name / "config").write_text(text)
    found = {one.name: one for one in observe_host([str(lxcpath)])}
    assert sorted(found) == sorted(texts)
    for name in texts:
        loads = tool("lxc-info", "-P", lxcpath, "-n", name, "-sH", check=False).returncode == 0
        assert (found[name].health == "ok") == loads, f"{name}: {found[name].problem}"
    assert "lxc.nonsense" in found["badinc"].problem
    assert "no-such-file" in found["missing"].problem
    assert found["goodinc"].effective.get("lxc.start.order") == "3"
    assert found["goodinc"].document.get("lxc.start.order") is None


def test_a_config_that_cannot_be_read(lxcpath: Path) -> None:
    (lxcpath / "web" / "config").mkdir(parents=True)
    (lxcpath / "pipe").mkdir()
    os.mkfifo(lxcpath / "pipe" / "config")
    assert {one.name: one.health for one in observe_host([str(lxcpath)])} == {"web": "unreadable", "pipe": "unreadable"}


# ------------------------------------------------------------------ the host


def test_snapshots_are_those_that_lxc_snapshot_lists(
    lxcpath: Path, busybox: Callable[..., str], tmp_path: Path
) -> None:
    busybox("web")
    comment = tmp_path / "comment"
    comment.write_text("before the upgrade\n")
    tool("lxc-snapshot", "-P", lxcpath, "-n", "web", "-c", comment)
    tool("lxc-snapshot", "-P", lxcpath, "-n", "web")
    listed = tool("lxc-snapshot", "-P", lxcpath, "-n", "web", "-L", "-C").stdout
    first, second = observe("web", str(lxcpath)).snapshots
    assert (first.name, first.comment, second.name, second.comment) == ("snap0", "before the upgrade", "snap1", "")
    for snapshot in (first, second):
        assert snapshot.name in listed
        assert snapshot.created in listed
    assert "before the upgrade" in listed
    (lxcpath / "web" / "snaps" / "snap0" / "ts").unlink()
    (lxcpath / "web" / "snaps" / "junk").mkdir()
    described = describe(observe("web", str(lxcpath)))["snapshots"]
    assert [(one["name"], bool(one["created"])) for one in described] == [("snap0", False), ("snap1", True)]


def test_names_that_are_patterns(lxcpath: Path, busybox: Callable[..., str]) -> None:
    names = ["a.b", "a+b", "[ab]", "aXb", "caf\u00e9"]
    for name in names:
        busybox(name)
    pid = start(lxcpath, "a.b")
    found = {one.name: (one.health, one.state, one.pid) for one in observe_host([str(lxcpath)])}
    assert found == {name: ("ok", *(("running", pid) if name == "a.b" else ("stopped", None))) for name in names}
    assert [one.name for one in observe_host([str(lxcpath)], names={"a+b", "gone"})] == ["a+b"]
    assert [one.name for one in observe_host([str(lxcpath)], names=lambda name: "X" in name)] == ["aXb"]
    for name in ("", ".", "..", "a/../a.b", "a.b/"):
        assert not observe(name, str(lxcpath)).defined


def test_containers_that_come_and_go_during_the_scan(lxcpath: Path) -> None:
    for number in range(30):
        (lxcpath / f"stay{number:02}").mkdir()
        (lxcpath / f"stay{number:02}" / "config").write_text("lxc.uts.name = x\n")
    churn = (
        "import os, shutil, sys\n"
        "while True:\n"
        "    for n in range(20):\n"
        "        d = f'{sys.argv[1]}/flit{n}'; os.mkdir(d); open(d + '/config', 'w').close(); os.mkdir(d + '/rootfs')\n"
        "        open(d + '/partial', 'w').close()\n"
        "    for n in range(20):\n"
        "        shutil.rmtree(f'{sys.argv[1]}/flit{n}')\n"
    )
    with killed(launch(sys.executable, "-c", churn, lxcpath)):
        for _scan in range(40):
            names = [one.name for one in observe_host([str(lxcpath)]) if one.name.startswith("stay")]
            assert names == [f"stay{number:02}" for number in range(30)]


def test_several_lxcpaths_and_what_is_no_container(lxcpaths: Callable[[], Path], busybox: Callable[..., str]) -> None:
    first, second = lxcpaths(), lxcpaths()
    busybox("web", where=first)
    busybox("web", where=second)
    (first / "folder").mkdir()
    (first / ".hidden").mkdir()
    (first / ".hidden" / "config").touch()
    (first / "file").touch()
    pid = start(second, "web")
    found = observe_host([f"{second}/", str(first), str(second), f"{second}/nowhere"])
    assert [(one.lxcpath, one.name, one.pid) for one in found] == [(str(second), "web", pid), (str(first), "web", None)]


def test_states_alone_are_those_of_all_that_is_there(lxcpaths: Callable[[], Path], busybox: Callable[..., str]) -> None:
    first, second = lxcpaths(), lxcpaths()
    for where, names in ((first, ("web", "lost", "cold", "off")), (second, ("web", "torn"))):
        for name in names:
            busybox(name, where=where)
    pids = {name: start(first, name) for name in ("web", "lost", "cold")}
    tool("lxc-freeze", "-P", first, "-n", "cold")
    (first / "lost" / "config").unlink()
    (first / "folder").mkdir()
    (first / ".hidden").mkdir()
    (first / ".hidden" / "config").touch()
    (first / "file").touch()
    (second / "torn" / "config").rename(second / "torn" / "partial")
    (second / "dangling").mkdir()
    (second / "dangling" / "config").symlink_to("nowhere")
    paths = [f"{second}/", str(first), str(second), f"{second}/nowhere"]
    found = states_of(paths)
    assert list(found.items()) == [((one.lxcpath, one.name), one.state) for one in observe_host(paths)]
    assert {name: state for (where, name), state in found.items() if where == str(first)} == {
        "cold": "frozen",
        "lost": "running",
        "off": "stopped",
        "web": "running",
    }
    assert read_host_states(paths, {"web"}) == {
        (str(second), "web"): ("stopped", None),
        (str(first), "web"): ("running", pids["web"]),
    }
    with pytest.raises(OperationError, match="Cannot read lxcpath"):
        states_of([str(first / "file")])
    tool("lxc-stop", "-k", "-P", first, "-n", "lost", check=False)


def test_one_container_is_observed_without_looking_at_the_others(
    lxcpath: Path, busybox: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = start(lxcpath, busybox("web"))
    monkeypatch.setattr(command_socket, "listening", lambda: pytest.fail("all sockets were read"))
    monkeypatch.setattr(host_observe, "listening", command_socket.listening)
    assert observe("web", f"{lxcpath}/").pid == pid
    assert not observe("gone", str(lxcpath)).defined


def test_nothing_is_written(
    lxcpath: Path, busybox: Callable[..., str], tree_hash: Callable[[Path], dict[str, str]]
) -> None:
    start(lxcpath, busybox())
    # The guest itself must not write meanwhile.
    tool("lxc-freeze", "-P", lxcpath, "-n", "bb")
    before = tree_hash(lxcpath)
    observe_host([str(lxcpath)], addresses=True)
    assert tree_hash(lxcpath) == before


def test_what_liblxc_says_of_itself() -> None:
    version = tool("lxc-start", "--version").stdout.split(".")
    assert installed_version() == (int(version[0]), int(version[1]))
    assert default_lxcpath() == tool("lxc-config", "lxc.lxcpath").stdout.strip()


COUNT_FORKS = """\
import sys
counts = {}
def hook(event, args):
    if event in ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"):
        counts[event] = counts.get(event, 0) + 1
sys.addaudithook(hook)
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe_host
found = observe_host(sys.argv[1:], addresses=True)
print(len([one for one in found if one.interfaces]), counts)
"""


def test_processes_do_not_grow_with_containers(
    lxcpaths: Callable[[], Path], busybox: Callable[..., str], bridge: str, collections_path: Path
) -> None:
    few, many = lxcpaths(), lxcpaths()
    for path, count in ((few, 1), (many, 5)):
        for number in range(count):
            lines = ("lxc.net.0.type = veth", f"lxc.net.0.link = {bridge}")
            start(path, busybox(f"web{number}", where=path, config=lines))
    env = {**os.environ, "PYTHONPATH": str(collections_path)}
    for path, count in ((few, 1), (many, 5)):
        out = tool(sys.executable, "-c", COUNT_FORKS, path, env=env).stdout
        assert out.strip() == f"{count} {{'os.fork': 1}}"
