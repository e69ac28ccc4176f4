# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to do the same to many containers: lxc_fleet, the looped peer, LXC's commands, and bare liblxc."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Sequence

from fleet_lab import BASE, HERE, PEER_PATH, PREFIX, Lab, active, create_base, defined, run

#: One life of a container, in this order.
OPERATIONS = ("create", "noop", "config", "start", "stop", "destroy")
LABELS = {
    "create": "create an overlay clone",
    "noop": "nothing to change",
    "config": "change a line of the config",
    "start": "start",
    "stop": "stop (kill)",
    "destroy": "destroy",
}
KEY = "lxc.start.order"
PEER_BASE = f"{PREFIX}peer-base"
#: Starts gain nothing from more processes than this; stops wait for the kernel and do.
BARE_WORKERS = {"start": 4, "stop": 16, "shutdown": 1}


def names(count: int, kind: str = "") -> list[str]:
    return [f"{PREFIX}{kind}{number:05}" for number in range(1, count + 1)]


def pattern(count: int, first: int = 1) -> str:
    """The same names, as lxc_fleet takes them."""
    return f"{PREFIX}[{first:05}:{count:05}]"


def description(path: Path, **options: Any) -> dict[str, Any]:
    return {
        "lxcpath": str(path),
        "clone": {"from": BASE, "snapshot": True},
        "privileged": True,
        "shutdown_timeout": 0,
        **options,
    }


class Contender:
    """Does one operation to all the names, and says how many seconds that took."""

    key = ""
    label = ""
    path: Path

    def do(self, operation: str, who: Sequence[str], value: int) -> float:
        raise NotImplementedError

    def checked(self, operation: str, who: Sequence[str], value: int = 1) -> float:
        """The same; ends the bench when what should be true then is not."""
        seconds = self.do(operation, who, value)
        end = time.monotonic() + 10
        while missing := self._missing(operation, set(who), value):
            # Programs return when the guest is gone, a moment before its monitor is.
            if time.monotonic() > end:
                raise SystemExit(f"{self.label}: {operation} left {len(missing)} of {len(who)}: {sorted(missing)[:5]}")
            time.sleep(0.05)
        return seconds

    def _missing(self, operation: str, who: set[str], value: int) -> set[str]:
        if operation == "create":
            return who - defined(self.path)
        if operation == "start":
            return who - active(self.path)
        if operation in ("stop", "shutdown"):
            return who & active(self.path)
        if operation == "destroy":
            return who & defined(self.path)
        if operation == "config":
            line = f"{KEY} = {value}\n"
            return {name for name in who if line not in (self.path / name / "config").read_text()}
        return set()


class Play(Contender):
    """lxc_fleet in a playbook: the whole `ansible-playbook` process."""

    key = "play"
    label = "lxc_fleet, whole ansible-playbook"

    def __init__(self, lab: Lab, path: Path) -> None:
        self.lab, self.path = lab, path
        self.work: dict[str, list[float]] = {}

    def params(self, operation: str, count: int, value: int) -> dict[str, Any]:
        state = {"start": "started", "destroy": "absent"}.get(operation, "stopped")
        options: dict[str, Any] = {"names": [pattern(count)], "state": state}
        if operation == "config":
            options["autostart"] = {"order": value}
        if operation == "shutdown":
            options["shutdown_timeout"] = 60
        return {"containers": [description(self.path, **options)]}

    def do(self, operation: str, who: Sequence[str], value: int) -> float:
        task = {"lightervisor.lxc.lxc_fleet": self.params(operation, len(who), value)}
        return self.lab.playbook(self.lab.play(f"{operation}-{len(who)}", [task]), operation != "noop")


class Process(Play):
    """lxc_fleet's module without Ansible; `work` keeps what its own work took of that."""

    key = "process"
    label = "lxc_fleet, the module's process"

    def do(self, operation: str, who: Sequence[str], value: int) -> float:
        found = self.lab.inside("lxc_fleet", self.params(operation, len(who), value), operation != "noop")
        self.work.setdefault(operation, []).append(found["work"])
        return float(found["process"])


class Loop(Contender):
    """LXC's commands, one after the other in a shell."""

    key = "loop"
    label = "`lxc-*` in a shell loop"

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, operation: str, value: int) -> str:
        path = self.path
        return {
            "create": f"lxc-copy -P {path} -n {BASE} -N NAME -s",
            "noop": f"lxc-info -P {path} -n NAME -H -s -c {KEY}",
            "config": f"sed -i -e '/^{KEY} /d' -e '$a{KEY} = {value}' {path}/NAME/config",
            "start": f"lxc-start -P {path} -n NAME",
            "stop": f"lxc-stop -P {path} -n NAME -k",
            "shutdown": f"lxc-stop -P {path} -n NAME -t 60",
            "destroy": f"lxc-destroy -P {path} -n NAME",
        }[operation]

    def script(self, operation: str, value: int) -> str:
        command = self.command(operation, value).replace("NAME", '"$name"')
        return f"while read -r name; do {command} </dev/null || exit 1; done"

    def do(self, operation: str, who: Sequence[str], value: int) -> float:
        script = self.script(operation, value)
        begin = time.monotonic()
        run(["sh", "-c", script], "".join(f"{name}\n" for name in who))
        return time.monotonic() - begin


class Xargs(Loop):
    """The same commands, some at a time."""

    def __init__(self, path: Path, parallel: int) -> None:
        super().__init__(path)
        self.key = f"xargs{parallel}"
        self.label = f"`lxc-*` under `xargs -P {parallel}`"
        self.parallel = parallel

    def script(self, operation: str, value: int) -> str:
        return f"xargs -P {self.parallel} -I NAME {self.command(operation, value)}"


class Bare(Contender):
    key = "bare"
    label = "bare liblxc, one process"

    def __init__(self, path: Path) -> None:
        self.path = path

    def do(self, operation: str, who: Sequence[str], value: int) -> float:
        rest = {"create": [BASE], "config": [KEY, str(value)]}.get(operation, [])
        workers = str(BARE_WORKERS.get(operation, 1))
        argv = ["/usr/bin/python3", HERE / "fleet_bare.py", operation, self.path, workers, *rest]
        text = "\n".join(who)
        begin = time.monotonic()
        run(argv, text)
        return time.monotonic() - begin


class Peer(Contender):
    """community.general.lxc_container in a loop. Some of its operations know the default lxcpath only."""

    key = "peer"
    label = "community.general.lxc_container, looped"
    path = PEER_PATH

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.path.mkdir(exist_ok=True)
        if not (self.path / PEER_BASE).exists():
            create_base(self.path, name=PEER_BASE)

    def do(self, operation: str, who: Sequence[str], value: int) -> float:
        options: dict[str, Any] = {"name": "{{ item }}", "state": "stopped"}
        if operation == "create":
            options.update(name=PEER_BASE, clone_name="{{ item }}", clone_snapshot=True, backing_store="overlayfs")
        elif operation in ("noop", "config"):
            options["container_config"] = [f"{KEY}={value}"] if operation == "config" else peer_options()
        elif operation == "start":
            options["state"] = "started"
        elif operation == "destroy":
            options["state"] = "absent"
        task = {"community.general.lxc_container": options, "loop": list(who)}
        return self.lab.playbook(self.lab.play(f"peer-{operation}", [task]), operation != "noop")

    def prepare(self, who: Sequence[str]) -> None:
        """Have the lines in the configs that its task with nothing to change declares. No time is taken of it."""
        for name in who:
            file = self.path / name / "config"
            lines = [line.split("=", 1) for line in peer_options()]
            taken = {key for key, _value in lines}
            kept = [line for line in file.read_text().splitlines() if line.split(" =")[0] not in taken]
            file.write_text("\n".join([*kept, *(f"{key} = {value}" for key, value in lines), ""]))

    def surround(self, who: Sequence[str], others: Sequence[str]) -> None:
        """Define others beside them, with the config of the first: it looks through all that there are each time."""
        text = (self.path / who[0] / "config").read_text()
        for name in others:
            (self.path / name).mkdir()
            (self.path / name / "config").write_text(text.replace(who[0], name))


def peer_options() -> list[str]:
    return ["lxc.start.order=7", "lxc.start.auto=0", "lxc.tty.max=1", "lxc.pty.max=64", "lxc.environment=A=1"]


def full_item(path: Path, number: int) -> dict[str, Any]:
    """One container with its options written out, as a generated list has it."""
    return description(
        path,
        name=f"{PREFIX}{number:05}",
        state="stopped",
        **_details(f"{number:x}", str(number)),
    )


def compact_item(path: Path, count: int) -> dict[str, Any]:
    """The same containers, described once."""
    return description(path, names=[pattern(count)], state="stopped", **_details("{number:x}", "{number}"))


def _details(hexadecimal: str, decimal: str) -> dict[str, Any]:
    return {
        "networks": [
            {
                "type": "veth",
                "link": f"{PREFIX}br0",
                "name": "eth0",
                "ipv6": [f"fd00:1e:1::{hexadecimal}/64"],
                "ipv6_gateway": "fd00:1e:1::ffff",
            }
        ],
        "config": {
            "lxc.tty.max": 1,
            "lxc.pty.max": 64,
            "lxc.prlimit.nofile": 1024,
            "lxc.environment": [f"NUMBER={decimal}", "ROLE=bench"],
        },
        "autostart": {"auto": False, "delay": 0, "order": 7, "groups": ["bench"]},
    }


def definitions(lab: Lab, path: Path, count: int) -> Path:
    """A definitions file with every item written out."""
    file = lab.folder / f"definitions-{count}.json"
    file.write_text(json.dumps([full_item(path, number) for number in range(1, count + 1)]))
    return file
