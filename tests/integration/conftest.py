# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for tests on real containers: folders, bridges, id ranges, containers, and ways to run what is tested."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

import pytest
from ansible_collections.lightervisor.lxc.tests.support import leftovers

SUPPORT = Path(__file__).resolve().parent.parent / "support"
RUN = os.environ.setdefault("LVT_RUN", secrets.token_hex(2))
NEEDED = ("lxc-create", "lxc-start", "lxc-stop", "lxc-copy", "lxc-attach", "ip", "busybox", "rsync", "mkfs.btrfs")
ROOT_RANGE = "root:100000000:100000000\n"


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """What every test here needs. Whoever asks for these tests gets a failure, not a skip, where it is missing."""
    if os.geteuid() != 0:
        pytest.fail("The integration tests make real containers: run them as root, best with scripts/test integration")
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"The integration tests need {', '.join(missing)}: scripts/test integration installs them")


def new_folder(kind: str) -> Path:
    """A fresh folder for one test, below /var/tmp, that guests may pass through (mode 755)."""
    path = Path(tempfile.mkdtemp(prefix=f"{leftovers.folder_prefix(RUN)}{kind}-", dir=leftovers.WHERE))
    path.chmod(0o755)
    return path


@pytest.fixture
def lxcpath() -> Iterator[Path]:
    """An empty lxcpath; its containers are killed and everything in it removed after the test, passed or failed."""
    path = new_folder("lxc")
    try:
        yield path
    finally:
        leftovers.clear_lxcpath(path)


@pytest.fixture
def lxcpaths() -> Iterator[Callable[[], Path]]:
    """Makes as many lxcpaths as a test asks for: `lxcpaths() -> Path`."""
    made: list[Path] = []

    def make() -> Path:
        made.append(new_folder("lxc"))
        return made[-1]

    try:
        yield make
    finally:
        for path in made:
            leftovers.clear_lxcpath(path)


@pytest.fixture
def bridge() -> Iterator[str]:
    """The name of a bridge of this test's own, up, with no address and no port."""
    name = leftovers.bridge_prefix(RUN) + secrets.token_hex(2)
    subprocess.run(["ip", "link", "add", name, "type", "bridge", "forward_delay", "0"], check=True)
    try:
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        leftovers.remove_link(name)


@pytest.fixture
def btrfs_path() -> Iterator[Path]:
    """A btrfs file system of 512 MiB in a sparse file, mounted; usable as an lxcpath."""
    folder = new_folder("btrfs")
    try:
        image, mountpoint = folder / "image", folder / "lxc"
        with image.open("wb") as file:
            file.truncate(512 * 1024 * 1024)
        subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True)
        mountpoint.mkdir()
        subprocess.run(["mount", "-o", "loop", str(image), str(mountpoint)], check=True)
        mountpoint.chmod(0o755)
        try:
            yield mountpoint
        finally:
            leftovers.clear_lxcpath(mountpoint)
    finally:
        leftovers.clear_lxcpath(folder)


@pytest.fixture(scope="session")
def subids(machine: None) -> Iterator[tuple[int, int]]:
    """Root's subordinate ids, (first, count), the same for uids and gids; lent for the session where it has none.

    Sessions that run at the same time share the loan; the last one takes exactly that line out again.
    """
    files = (Path("/etc/subuid"), Path("/etc/subgid"))
    with open("/run/lvt-subids", "a+") as loan, open("/run/lvt-subids.gate", "a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(loan, fcntl.LOCK_SH)
        for file in files:
            text = file.read_text() if file.exists() else ""
            if not any(line.startswith(("root:", "0:")) for line in text.splitlines()):
                _replace(file, text + ROOT_RANGE)
                loan.write(f"{file}\n")
                loan.flush()
        fcntl.flock(gate, fcntl.LOCK_UN)
        entries = [line for line in files[0].read_text().splitlines() if line.startswith(("root:", "0:"))]
        first, count = entries[0].split(":")[1:]
        try:
            yield int(first), int(count)
        finally:
            fcntl.flock(gate, fcntl.LOCK_EX)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(loan, fcntl.LOCK_EX | fcntl.LOCK_NB)
                loan.seek(0)
                for lent in loan.read().split():
                    _replace(Path(lent), Path(lent).read_text().replace(ROOT_RANGE, "", 1))
                loan.truncate(0)


def _replace(file: Path, text: str) -> None:
    fresh = file.with_name(f"{file.name}.lvt")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(file)


@pytest.fixture
def busybox(lxcpath: Path) -> Callable[..., str]:
    """Makes a stopped busybox container with plain `lxc-create` and returns its name.

    `busybox(name="bb", *, where=lxcpath, idmap=None, config=())`: `idmap` is (host id, count) for an unprivileged one
    (use `subids`), `config` are further lines such as `lxc.start.auto = 1`.
    """

    def make(
        name: str = "bb",
        *,
        where: Path | None = None,
        idmap: tuple[int, int] | None = None,
        config: Sequence[str] = ("lxc.net.0.type = empty",),
    ) -> str:
        lines = list(config)
        if idmap:
            lines += [f"lxc.idmap = {kind} 0 {idmap[0]} {idmap[1]}" for kind in "ug"]
        with tempfile.NamedTemporaryFile("w", prefix="lvt-", suffix=".conf") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            done = subprocess.run(
                ["lxc-create", "-P", str(where or lxcpath), "-n", name, "-f", file.name, "-t", "busybox"],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
            )
        assert done.returncode == 0, f"lxc-create {name}: {done.stdout}{done.stderr}"
        return name

    return make


class ModuleResult(dict):  # type: ignore[type-arg]
    """What a module returned, and how it went: `rc`, `stderr`, `seconds`."""

    def __init__(self, values: Mapping[str, Any], rc: int, stderr: str, seconds: float) -> None:
        super().__init__(values)
        self.rc = rc
        self.stderr = stderr
        self.seconds = seconds


def module_command(name: str, collections: Path, python: str = sys.executable) -> list[str]:
    """The command that runs one module of this collection, arguments on its standard input: see `module_input`."""
    fqcn = f"ansible_collections.lightervisor.lxc.plugins.modules.{name}"
    return [python, str(SUPPORT / "module_runner.py"), fqcn, str(collections)]


def module_input(name: str, params: Mapping[str, Any], check: bool = False, diff: bool = True) -> bytes:
    """A module's arguments, as Ansible hands them over."""
    extra = {
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_module_name": f"lightervisor.lxc.{name}",
        "_ansible_remote_tmp": "/tmp",
        "_ansible_no_log": False,
        "_ansible_debug": False,
        "_ansible_verbosity": 0,
    }
    plain = json.loads(json.dumps(params, default=str))
    return json.dumps({"ANSIBLE_MODULE_ARGS": {**plain, **extra}}).encode()


@pytest.fixture
def start_module(collections_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a module and leaves it running, in a process group of its own: for tests that interrupt it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        name: str,
        params: Mapping[str, Any],
        check: bool = False,
        diff: bool = True,
        *,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
        prefix: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*prefix, *module_command(name, collections_path, python)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        started.append(process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(module_input(name, params, check, diff))
            process.stdin.close()
        process.stdin = None
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def run_module(start_module: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., ModuleResult]:
    """Runs a module of this collection to its end: `run_module(name, params, check=False, diff=True) -> ModuleResult`.

    With `fails` given, the module must have failed (True) or not (False). Also taken: env, python, prefix (a command
    before the interpreter, such as `("setpriv", …)`), timeout in seconds.
    """

    def run(
        name: str,
        params: Mapping[str, Any],
        check: bool = False,
        diff: bool = True,
        *,
        fails: bool | None = None,
        timeout: float = 180,
        **how: Any,
    ) -> ModuleResult:
        begin = time.monotonic()
        process = start_module(name, params, check, diff, **how)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"{name} did not end within {timeout} s, or something it started keeps its output open")
        seconds = time.monotonic() - begin
        result = ModuleResult(parse_module_output(out, err), process.returncode, err.decode(errors="replace"), seconds)
        if fails is not None:
            assert bool(result.get("failed")) == fails, json.dumps(result, indent=1, default=str)
        return result

    return run


def parse_module_output(out: bytes, err: bytes) -> dict[str, Any]:
    """The one JSON object on a module's standard output; warnings as plain texts, as a task's result shows them."""
    text = out.decode()
    try:
        result = json.loads(text)
    except ValueError:
        pytest.fail(f"the module printed no JSON object:\n{text}\n{err.decode(errors='replace')}")
    assert isinstance(result, dict), text
    for kind in ("warnings", "deprecations"):
        if kind in result:
            result[kind] = [_plain_message(item) for item in result[kind]]
    return result


def _plain_message(item: Any) -> str:
    if isinstance(item, dict):
        event = item.get("event", item)
        return str(event.get("msg", item))
    return str(item)


class PlaybookResult:
    """What `ansible-playbook` did: `rc`, `stdout`, `stderr`, `seconds`, and every task's result."""

    def __init__(self, rc: int, stdout: str, stderr: str, seconds: float, events: list[dict[str, Any]]) -> None:
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds
        self.events = [event for event in events if event["status"] != "stats"]
        self.stats: dict[str, dict[str, int]] = {e["host"]: e["stats"] for e in events if e["status"] == "stats"}

    def results(self, task: str, host: str | None = None) -> list[dict[str, Any]]:
        """The results of the tasks of this name, in the order in which they came."""
        return [e["result"] for e in self.events if e["task"] == task and host in (None, e["host"])]

    def result(self, task: str, host: str | None = None) -> dict[str, Any]:
        """The only result of the task of this name."""
        found = self.results(task, host)
        assert len(found) == 1, f"{len(found)} results of '{task}':\n{self.stdout}\n{self.stderr}"
        return found[0]

    @property
    def changed(self) -> int:
        """How many changes all hosts' statistics count."""
        return sum(host["changed"] for host in self.stats.values())


@pytest.fixture
def run_playbook(tmp_path: Path) -> Callable[..., PlaybookResult]:
    """Runs a playbook, given as a path or as YAML text: `run_playbook(text, "-i", inventory, env={}, fails=False)`.

    Without `-i` it sees the implicit localhost only. With `fails` given, it must have failed (True) or not (False).
    """

    def run(
        playbook: str | Path,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        fails: bool | None = None,
        timeout: float = 600,
    ) -> PlaybookResult:
        if isinstance(playbook, str):
            path = tmp_path / f"playbook-{secrets.token_hex(3)}.yml"
            path.write_text(playbook)
        else:
            path = playbook
        events = tmp_path / f"events-{secrets.token_hex(3)}"
        events.touch()
        settings = {
            "ANSIBLE_CALLBACK_PLUGINS": str(SUPPORT / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "lvt_events",
            "LVT_EVENTS": str(events),
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
        }
        begin = time.monotonic()
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), str(path), *map(str, args)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **settings, **(env or {})},
            timeout=timeout,
        )
        result = PlaybookResult(
            done.returncode,
            done.stdout,
            done.stderr,
            time.monotonic() - begin,
            [json.loads(line) for line in events.read_text().splitlines()],
        )
        if fails is not None:
            assert (done.returncode != 0) == fails, f"{done.stdout}\n{done.stderr}"
        return result

    return run


@pytest.fixture(scope="session")
def tree_hash() -> Callable[[Path], dict[str, str]]:
    """`tree_hash(path)`: what `hash_tree` says of it, equal before and after when nothing was written."""
    return hash_tree


def hash_tree(top: Path | str) -> dict[str, str]:
    """For each path at and below `top`: type, mode, owner, size, mtime, ctime and content. Links are not followed."""
    lines: dict[str, str] = {}

    def note(path: str) -> None:
        status = os.lstat(path)
        content = ""
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
        lines[os.path.relpath(path, top)] = (
            f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {size} {times} {content}"
        )

    note(str(top))
    for folder, folders, files in os.walk(str(top)):
        for name in (*folders, *files):
            note(os.path.join(folder, name))
    return lines
