# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lab guests: QEMU with throw-away disks, reached by ssh on this machine's loopback address and by nothing else."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, Sequence

from process import end_with, run
from qmp import Monitor
from store import remove

MEMORY_MB = 4096
#: Blank disks, in this order /dev/vdb and on.
DISKS = ("lvm", "zfs", "spare")
DISK_BYTES = 8 << 30
#: How many NICs a guest has besides the one for ssh. They lead to the other guest of its run, if there is one.
LINKS = 2
NAMES = ("one", "two")
_PORT_TAKEN = b"Could not set up host forwarding rule"
_APPEND = (
    "console=ttyS0 rw mitigations=off nokaslr audit=0 tsc=reliable no_timer_check random.trust_cpu=on panic=-1 "
    "net.ifnames=0 quiet systemd.show_status=1"
)


class Machine:
    """One guest. It ends with this process, however that ends: start it from the main thread."""

    def __init__(self, folder: Path, image: Path, key: Path, name: str = "one", state: Path | None = None) -> None:
        """`image`: a directory that build_root has made; `state`: one that save_state has made of it, to go on from."""
        self.folder = folder / name
        self.name = name
        self._image, self._key, self._state = image, key, state
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start QEMU; `wait` is needed before the guest is of use. Raises RuntimeError when QEMU does not run."""
        self.folder.mkdir(parents=True)
        disks = self._make_disks()
        monitor = None
        while monitor is None:
            port = _free_port()
            with (self.folder / "qemu.log").open("wb") as log:
                self._process = subprocess.Popen(
                    self.command(disks, port),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=end_with(os.getpid()),
                )
            monitor = self._monitor()
        self._write_ssh_config(port)
        if self._state:
            monitor.do("migrate-incoming", uri=f"exec:zstd -dcq {shlex.quote(str(self._state / 'memory.zst'))}")
        monitor.close()

    def _make_disks(self) -> list[tuple[str, Path, str]]:
        path, kind = (self._state / "disk", "qcow2") if self._state else (self._image / "disk", "raw")
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", path, "-F", kind, self.folder / "root"])
        for disk in DISKS:
            with (self.folder / disk).open("wb") as file:
                file.truncate(DISK_BYTES)
        return [("root", self.folder / "root", "qcow2"), *((disk, self.folder / disk, "raw") for disk in DISKS)]

    def command(self, disks: Sequence[tuple[str, Path, str]], port: int) -> list[str]:
        """What runs QEMU. A saved state fits the same machine only."""
        argv = ["qemu-system-x86_64", "-name", f"lab-{self.name}", "-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-M", "q35", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max", "-smp", "2"]
        argv += ["-m", str(MEMORY_MB), "-kernel", str(self._image / "vmlinux"), "-initrd", str(self._image / "initrd")]
        argv += ["-append", _APPEND, "-serial", f"file:{self.folder}/console", "-no-reboot"]
        argv += ["-qmp", f"unix:{self.folder}/monitor,server=on,wait=off", "-device", "virtio-rng-pci"]
        argv += ["-netdev", f"user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"]
        argv += ["-device", "virtio-net-pci,netdev=ssh,romfile="]
        other = NAMES[1 - NAMES.index(self.name)]
        for number in range(LINKS):
            local, remote = self.folder / f"link{number}", self.folder.parent / other / f"link{number}"
            addresses = f"local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"
            argv += ["-netdev", f"dgram,id=link{number},{addresses}"]
            # LACP takes no port whose speed and duplex mode are not known.
            argv += ["-device", f"virtio-net-pci,netdev=link{number},romfile=,speed=1000,duplex=full"]
        for name, path, kind in disks:
            drive = f"if=none,id={name},file={path},format={kind},cache=unsafe,discard=unmap,detect-zeroes=unmap"
            argv += ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]
        return [*argv, "-incoming", "defer"] if self._state else argv

    def _monitor(self) -> Monitor | None:
        """QEMU's monitor, or None when it did not get its port. Raises RuntimeError when it does not run."""
        end = time.monotonic() + 60
        while True:
            try:
                return Monitor(self.folder / "monitor")
            except OSError:
                if not self.is_running() and _PORT_TAKEN in (self.folder / "qemu.log").read_bytes():
                    return None
                if time.monotonic() > end or not self.is_running():
                    raise RuntimeError(f"QEMU does not run: {self._last('qemu.log')}") from None
                time.sleep(0.05)

    def _continue(self) -> None:
        monitor = self._monitor()
        if monitor is None:
            return
        end = time.monotonic() + 120
        while monitor.do("query-status")["status"] == "inmigrate":
            if time.monotonic() > end:
                raise RuntimeError("the saved state was not read within 120 s")
            time.sleep(0.1)
        monitor.do("cont")  # which opens the disks for writing
        monitor.close()
        # They are QEMU's alone from now on, and gone when it is.
        for disk in ("root", *DISKS):
            (self.folder / disk).unlink()

    def wait(self, seconds: float = 400) -> None:
        """Until a shell answers, and a resumed guest has its name, its links and the time. Raises RuntimeError."""
        end = time.monotonic() + seconds
        if self._state:
            self._continue()
        while True:
            number = NAMES.index(self.name) + 1
            wake = f"lab-wake {self.name} {number} {time.time():.0f} {os.urandom(32).hex()}"
            done = subprocess.run(
                self.ssh(wake if self._state else "true"), check=False, capture_output=True, text=True, timeout=seconds
            )
            if done.returncode == 0:
                return
            if done.returncode != 255:
                raise RuntimeError(f"the guest '{self.name}' did not wake up: {done.stdout}{done.stderr}")
            if not self.is_running():
                raise RuntimeError(f"the guest '{self.name}' has ended: {self.last_words()}")
            if time.monotonic() > end:
                raise RuntimeError(f"the guest '{self.name}' was silent for {seconds:.0f} s: {self.last_words()}")
            time.sleep(0.3)

    def save(self, to: Path) -> None:
        """End the running guest and leave its memory and disk in a directory."""
        monitor = self._monitor()
        if monitor is None:
            raise RuntimeError(f"the guest '{self.name}' has ended: {self._last('console')}")
        monitor.do("stop")
        monitor.do("migrate-set-parameters", **{"max-bandwidth": 100 << 30})
        monitor.do("migrate", uri=f"exec:zstd -q -3 -T2 >{shlex.quote(str(to / 'memory.zst'))}")
        end = time.monotonic() + 300
        while (status := monitor.do("query-migrate")["status"]) != "completed":
            if status == "failed" or time.monotonic() > end:
                raise RuntimeError(f"the state could not be saved: {status}")
            time.sleep(0.2)
        monitor.do("quit")
        monitor.close()
        if self._process is not None:
            self._process.wait()
        (self.folder / "root").rename(to / "disk")

    def ssh(self, *command: str) -> list[str]:
        """The command that runs one in the guest, as root."""
        return ssh_command(self.folder, *command)

    def is_running(self) -> bool:
        """Whether QEMU runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it; its disks are gone with it."""
        if self._process is None:
            return
        if self.is_running():
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _write_ssh_config(self, port: int) -> None:
        lines = [
            f"Host {self.name}",
            "HostName 127.0.0.1",
            f"Port {port}",
            "User root",
            f"IdentityFile {self._key / 'id'}",
            "IdentitiesOnly yes",
            "StrictHostKeyChecking no",
            "UserKnownHostsFile /dev/null",
            "GlobalKnownHostsFile /dev/null",
            "LogLevel ERROR",
            "KexAlgorithms curve25519-sha256",  # the default takes seconds where every instruction is emulated
            "ControlMaster auto",
            f"ControlPath {self.folder}/ssh",
            "ControlPersist 600",
            "ConnectTimeout 30",
        ]
        (self.folder / "ssh_config").write_text("\n".join(lines) + "\n")

    def last_words(self) -> str:
        """The end of what QEMU and the guest's console said."""
        return self._last("qemu.log") + self._last("console")

    def _last(self, file: str) -> str:
        path = self.folder / file
        return path.read_bytes()[-2000:].decode(errors="replace") if path.exists() else ""


def ssh_command(folder: Path, *command: str) -> list[str]:
    """What runs a command as root in the guest that has this folder; a shell without one."""
    return ["ssh", "-F", str(folder / "ssh_config"), folder.name, *command]


def save_state(folder: Path, image: Path, key: Path, warm_up: str) -> None:
    """Boot an image, run a script in it, and leave `memory.zst` and `disk` to go on from."""
    machine = Machine(folder / "run", image, key)
    try:
        machine.start()
        machine.wait()
        run(machine.ssh(warm_up), timeout=300)
        subprocess.run(machine.ssh("-O", "exit"), check=False, capture_output=True)
        machine.save(folder)
    finally:
        machine.stop()
    shutil.rmtree(folder / "run")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def run_folder(where: Path, name: str) -> tuple[Path, IO[str]]:
    """A folder for the guests of this run, and the lock that says that it is in use, with this process's id in it.

    Removes what killed runs left. Raises RuntimeError when the folder is in use.
    """
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = where / name
    with (where / ".lock").open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for left in where.iterdir():
            if left.is_dir() and not is_used(left):
                remove(left)
        if folder.exists():
            raise RuntimeError(f"there are guests in {folder} already")
        folder.mkdir()
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
    return folder, lock


def is_used(folder: Path) -> bool:
    """Whether the process that made the run folder is alive."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
