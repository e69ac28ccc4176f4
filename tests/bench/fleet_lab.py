# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The place where fleets are measured: folders, base containers, a quick end of everything, and ways to run things."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = TOP / ".cache"
WHERE = Path("/var/tmp")
FOLDER = "lvt-bench-fleet-"
#: What every container of a bench is called, in folders of its own and in the peer's default one.
PREFIX = "lvt-bench-"
BASE = f"{PREFIX}base"
PEER_PATH = Path("/var/lib/lxc")
#: The link group of the bridges of a bench, a number that nobody else has.
GROUP = 0x6C764265
LOCK = Path("/run/lvt-bench-fleet.lock")

sys.path.insert(0, str(TOP / "tests" / "support"))
import leftovers  # noqa: E402


def run(argv: Sequence[str | os.PathLike[str]], text: str | None = None, **how: Any) -> str:
    """What a program printed; it ends the bench when it fails."""
    done = subprocess.run(list(argv), input=text or "", capture_output=True, text=True, check=False, **how)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, argv))[:200]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def active(path: Path) -> set[str]:
    """The names below `path` whose monitor listens (/proc/net/unix)."""
    with open("/proc/net/unix", errors="surrogateescape") as file:
        return set(re.findall(rf" @{re.escape(str(path))}/([^/\n]+)/command$", file.read(), re.MULTILINE))


def defined(path: Path, prefix: str = PREFIX) -> set[str]:
    """The names below `path` that have a config."""
    there = [entry for entry in os.scandir(path) if entry.name.startswith(prefix)]
    return {entry.name for entry in there if Path(entry, "config").exists()}


def monitors(path: Path) -> dict[str, int]:
    """The monitors of the containers below `path`, by the title that liblxc gives them."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                title = Path(entry.path, "cmdline").read_bytes().rstrip(b"\0")
                match = re.fullmatch(rb"\[lxc monitor\] (.*) ([^ ]+)", title)
                if match and os.fsdecode(match.group(1)) == str(path):
                    found[os.fsdecode(match.group(2))] = int(entry.name)
    return found


def stop_all(path: Path) -> None:
    """Kill the guests below `path`, all at once, and wait for their monitors to tidy up. No time is taken of it."""
    end = time.monotonic() + 300
    while (there := monitors(path)) and time.monotonic() < end:
        handles = []
        for pid in there.values():
            with contextlib.suppress(OSError):
                handles.append(os.pidfd_open(pid))
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
        # One that was just starting its guest has none yet: it is looked at again.
        patience = time.monotonic() + 2 + len(handles) / 50
        for handle in handles:
            select.select([handle], [], [], max(0, patience - time.monotonic()))
            os.close(handle)


def end_programs(folder: Path) -> None:
    """Kill what has this folder in its arguments but is no monitor: what an interrupted bench had started."""
    needle = os.fsencode(folder)
    found = True
    while found:
        found = False
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                handle = os.pidfd_open(int(entry.name))
                try:
                    words = Path(entry.path, "cmdline").read_bytes()
                    if needle in words and not words.startswith(b"[lxc monitor]"):
                        found = True
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        select.select([handle], [], [], 5)
                finally:
                    os.close(handle)


def clear(folder: Path) -> None:
    """Take away a folder of lxcpaths, with all that runs or is mounted in it."""
    end_programs(folder)
    for entry in os.scandir(folder):
        stop_all(Path(entry.path))
    mounted = folder / "btrfs"
    if mounted.is_dir():
        remove_subvolumes(sorted(mounted.glob("*/rootfs")))
    leftovers.clear_lxcpath(folder)


def remove_subvolumes(roots: Sequence[Path]) -> None:
    if roots:
        subprocess.run(
            ["xargs", "-0", "btrfs", "-q", "subvolume", "delete"],
            check=False,
            capture_output=True,
            input="\0".join(map(str, roots)).encode(),
        )


def clear_all() -> None:
    """What a bench left that was killed: the lock says that none is running."""
    for folder in WHERE.glob(f"{FOLDER}*"):
        clear(folder)
    clear_peers()
    clear_bridges()


def clear_bridges() -> None:
    """What worlds.yml made on the host for worlds of this prefix: bridges, rules that keep them shut, a template."""
    remove_bridges(sorted(link.name for link in Path("/sys/class/net").glob(f"{PREFIX}*")))
    for table in re.findall(r"^table inet (lightervisor-worlds-\d+)$", run(["nft", "list", "tables"]), re.MULTILINE):
        if f'"{PREFIX}*"' in run(["nft", "list", "table", "inet", table]):
            run(["nft", "delete", "table", "inet", table])
    shutil.rmtree(f"/var/lib/lightervisor/worlds/{PREFIX}", ignore_errors=True)


def add_bridges(names: Sequence[str]) -> None:
    """Bridges as worlds.yml has them, by one program: no IPv6 of the host's, no ARP, no snooping."""
    lines = [f"link add name {name} group {GROUP} type bridge mcast_snooping 0" for name in names]
    lines += [f"link set dev {name} addrgenmode none arp off" for name in names]
    lines += [f"link set dev {name} up" for name in names]
    run(["ip", "-batch", "-"], "\n".join(lines))


def remove_bridges(names: Sequence[str]) -> None:
    """All in one request, for which the kernel waits once."""
    if names:
        lines = [f"link set dev {name} group {GROUP}" for name in names]
        run(["ip", "-batch", "-"], "\n".join([*lines, f"link delete group {GROUP}"]))


def clear_peers() -> None:
    if PEER_PATH.is_dir() and (found := defined(PEER_PATH)):
        handles = {name: pid for name, pid in monitors(PEER_PATH).items() if name in found}
        for name in handles:
            subprocess.run(["lxc-stop", "-k", "-n", name], check=False, capture_output=True)
    for folder in PEER_PATH.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


class Lab:
    """Folders and helpers of one run of the bench."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._settings = {
            "ANSIBLE_COLLECTIONS_PATH": f"{CACHE / 'collections'}:{folder / 'collections'}:{CACHE / 'peer'}",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(folder / "ansible" / "tmp"),
            "LC_ALL": "C.UTF-8",
            # Byte code is kept, as on any machine that is not told otherwise.
            "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
        }

    #: The interpreter of all that is measured: it sees python3-lxc.
    python = sys.executable

    @property
    def env(self) -> dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**keep, **self._settings}

    def size(self, wanted: int) -> int:
        return min(wanted, self.limit) if self.limit else wanted

    def lxcpath(self, name: str) -> Path:
        """A fresh lxcpath with a stopped, privileged busybox container in it: the base of clones."""
        path = self.folder / name
        path.mkdir(mode=0o755)
        create_base(path)
        return path

    def btrfs(self, name: str = "btrfs") -> Path:
        """The same on a btrfs file system in a file."""
        image, path = self.folder / f"{name}.image", self.folder / name
        with image.open("wb") as file:
            file.truncate(16 << 30)
        run(["mkfs.btrfs", "-q", image])
        path.mkdir()
        run(["mount", "-o", "loop", image, path])
        path.chmod(0o755)
        create_base(path, "btrfs")
        return path

    def wipe(self, path: Path, keep: str = BASE) -> None:
        """Take all away but the base, without asking LXC. No time is taken of it."""
        stop_all(path)
        names = [entry.name for entry in os.scandir(path) if entry.name != keep]
        if path.name == "btrfs":
            remove_subvolumes([path / name / "rootfs" for name in names])
        for name in names:
            if (path / name).is_dir():
                shutil.rmtree(path / name)
            else:
                (path / name).unlink()
        (path / keep / "lxc_snapshots").unlink(missing_ok=True)

    def play(self, name: str, tasks: list[dict[str, Any]], files: Mapping[str, Any] | None = None) -> Path:
        """A playbook for localhost, written as JSON, which is YAML; `files` become its vars_files."""
        play: dict[str, Any] = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
        if files:
            values = self.folder / f"{name}.vars.json"
            values.write_text(json.dumps(files))
            play["vars_files"] = [str(values)]
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps([play]))
        return path

    def playbook(self, path: Path, changed: bool | None = None, extra: Sequence[str] = ()) -> float:
        """Seconds that the whole `ansible-playbook` process takes. Ends the bench if it does not do as told."""
        log = self.folder / f"{path.stem}.log"
        with log.open("wb") as output:
            begin = time.monotonic()
            status = subprocess.run(
                [Path(sys.executable).with_name("ansible-playbook"), path, *extra],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.folder,
            ).returncode
            seconds = time.monotonic() - begin
        text = log.read_text(errors="replace")
        counts = re.search(r"changed=(\d+)", text)
        was = bool(counts and int(counts.group(1)))
        if status or (changed is not None and was != changed):
            what = f"ended with {status}" if status else f"changed {'something' if was else 'nothing'}"
            raise SystemExit(f"the playbook {path.name} {what}:\n{text[-4000:]}")
        return seconds

    def inside(self, module: str, params: Mapping[str, Any], changed: bool | None = None) -> dict[str, Any]:
        """Run one of our modules as a process without Ansible. See fleet_inside.py for what it returns."""
        arguments = {"ANSIBLE_MODULE_ARGS": {**params, **_internal(module)}}
        begin = time.monotonic()
        argv = [sys.executable, HERE / "fleet_inside.py", module, CACHE / "collections"]
        out = run(argv, json.dumps(arguments), env=self.env)
        seconds = time.monotonic() - begin
        found = json.loads(out.splitlines()[-1])
        result = found["result"]
        if result.get("failed") or (changed is not None and result.get("changed") != changed):
            raise SystemExit(f"the module {module} did not do what it should: {json.dumps(result)[:3000]}")
        return {**found, "process": seconds}


def _internal(module: str) -> dict[str, Any]:
    return {
        "_ansible_check_mode": False,
        "_ansible_diff": False,
        "_ansible_module_name": f"lightervisor.lxc.{module}",
        "_ansible_remote_tmp": "/tmp",
        "_ansible_no_log": False,
        "_ansible_debug": False,
        "_ansible_verbosity": 0,
    }


def create_base(path: Path, backingstore: str = "dir", name: str = BASE) -> None:
    with tempfile.NamedTemporaryFile("w", prefix=PREFIX, suffix=".conf") as file:
        file.write("lxc.net.0.type = empty\n")
        file.flush()
        run(["lxc-create", "-P", path, "-n", name, "-f", file.name, "-B", backingstore, "-t", "busybox"])


@contextlib.contextmanager
def lab(limit: int) -> Iterator[Lab]:
    """A lab that is taken away again, whatever happens; only one at a time. SIGTERM and SIGHUP end it like Ctrl-C."""

    def interrupted(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("scripts/bench fleet is running on this machine already") from None
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupted)
        clear_all()
        folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=WHERE))
        folder.chmod(0o755)
        try:
            yield Lab(folder, limit)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            clear(folder)
            clear_peers()
            clear_bridges()


@contextlib.contextmanager
def sysctl(name: str, least: int) -> Iterator[None]:
    """A kernel setting of at least this value, and then as before: if the bench is killed, after the next one."""
    file, note = Path("/proc/sys") / name.replace(".", "/"), LOCK.with_suffix(f".{name}")
    before = note.read_text() if note.exists() else file.read_text()
    note.write_text(before)
    try:
        if int(before) < least:
            file.write_text(str(least))
        yield
    finally:
        file.write_text(before)
        note.unlink()
