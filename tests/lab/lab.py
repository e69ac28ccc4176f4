# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test lab: throw-away Debian guests with a stock kernel, systemd, AppArmor, LVM, ZFS and network links.

scripts/lab runs this, as root, with the packages that it needs. `test` ends with pytest's exit status, everything else
that goes wrong with 70. $LVT_LAB_CACHE is where images are kept, by default /var/cache/lightervisor-lab, and
$LVT_LAB_RUN where guests run, by default below that.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import keeper
import pushed
import selection
from machine import NAMES, Machine, is_used, run_folder, ssh_command
from releases import RELEASES, Release
from stages import build
from store import Store, remove

TOP = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("LVT_LAB_CACHE", "/var/cache/lightervisor-lab"))
RUNS = Path(os.environ.get("LVT_LAB_RUN", CACHE / "run"))
UP = RUNS / "up"
NO_GUEST = 70
_BEGIN = time.monotonic()


def say(text: str) -> None:
    """One line about what happens now, with the seconds since the start."""
    print(f"lab: [{time.monotonic() - _BEGIN:4.0f}s] {text}", file=sys.stderr, flush=True)


def guests(folder: Path, release: Release, names: Sequence[str]) -> list[Machine]:
    """Guests of these names, not started yet. Builds what is missing."""
    root, state, key = build(Store(CACHE, say), release, TOP)
    return [Machine(folder, root, key, name, state) for name in names]


def start(machines: Sequence[Machine]) -> None:
    """Start guests, and wait until they are of use."""
    begin = time.monotonic()
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.wait()
    say(f"{' and '.join(one.name for one in machines)} up in {time.monotonic() - begin:.1f} s")


def verb_build(args: argparse.Namespace) -> int:
    for name in args.releases or RELEASES:
        build(Store(CACHE, say), RELEASES[name], TOP)
    return 0


def verb_up(args: argparse.Namespace) -> int:
    machines = guests(UP, RELEASES[args.release], NAMES if args.two else NAMES[:1])

    def begin() -> Any:
        _folder, lock = run_folder(RUNS, UP.name)
        start(machines)
        return lock

    keeper.keep(begin)
    return verb_status(args)


def verb_status(args: argparse.Namespace) -> int:
    if not UP.exists() or not is_used(UP):
        say("down")
        return 1
    for name in NAMES:
        if (UP / name / "ssh_config").exists():
            say(f"{name} is up: scripts/lab ssh {name}, or ssh -F {UP}/{name}/ssh_config {name}")
    return 0


def verb_ssh(args: argparse.Namespace) -> int:
    words = list(args.words)
    name = words.pop(0) if words and words[0] in NAMES else NAMES[0]
    if not UP.exists() or not is_used(UP) or not (UP / name / "ssh_config").exists():
        raise RuntimeError(f"the guest '{name}' is not up")
    command = ssh_command(UP / name, *words)
    os.execvp(command[0], command)


def verb_push(args: argparse.Namespace) -> int:
    if verb_status(args):
        return 1
    pushed.push(TOP, ssh_command(UP / NAMES[0]))
    return 0


def verb_down(args: argparse.Namespace) -> int:
    if UP.exists():
        keeper.end(UP)
        remove(UP)
    say("down")
    return 0


def verb_test(args: argparse.Namespace) -> int:
    release = RELEASES[args.release]
    machines = guests(RUNS / f"run-{os.getpid()}", release, NAMES)
    folder, lock = run_folder(RUNS, f"run-{os.getpid()}")
    try:
        start(machines)
        pushed.push(TOP, machines[0].ssh())
        say("the collection and the tests are there")
        words = args.words if names_tests(args.words) else [*selection.arguments(release.name, two=True), *args.words]
        status = subprocess.run(machines[0].ssh(pushed.pytest_command(words)), check=False, stdin=subprocess.DEVNULL)
        if args.results:
            pushed.bring_back(machines, args.results)
        if status.returncode == 255 or not machines[0].is_running():
            raise RuntimeError(f"the guest 'one' was lost: {machines[0].last_words()}")
        return status.returncode
    finally:
        for machine in machines:
            machine.stop()
        remove(folder)
        lock.close()


def names_tests(words: Sequence[str]) -> bool:
    """Whether these arguments of pytest say themselves what it is to run."""
    return any((TOP / word.split("::")[0]).exists() for word in words)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="make the images and the states that are not there yet; all by default")
    verb.add_argument("releases", nargs="*", choices=[[], *RELEASES], metavar="RELEASE")
    verb = verbs.add_parser("up", help="start guests that stay until `down`")
    verb.add_argument("--release", choices=RELEASES, default="bookworm")
    verb.add_argument("--two", action="store_true", help="two of them, with links between their eth1 and their eth2")
    verbs.add_parser("push", help="copy the built collection and the tests into the guest `one`")
    verb = verbs.add_parser("ssh", help="run a command as root in a guest that is up, or a shell")
    verb.add_argument("words", nargs=argparse.REMAINDER, metavar="[one|two] [COMMAND...]")
    verbs.add_parser("down", help="end the guests; their disks go with them")
    verbs.add_parser("status", help="what is up; exit status 1 when nothing is")
    verb = verbs.add_parser(
        "test",
        help="start two guests, run pytest in the first one with all further arguments, end them",
        allow_abbrev=False,
    )
    verb.add_argument("--release", choices=RELEASES, default="bookworm")
    verb.add_argument("--results", type=Path, help="a directory for pytest's report and the guests' logs")
    return parser


def main() -> int:
    parser = arguments()
    args, further = parser.parse_known_args()
    if args.verb == "test":
        args.words = further
    elif further:
        parser.error(f"unknown arguments: {' '.join(further)}")
    if os.geteuid() != 0:
        sys.exit("scripts/lab makes file systems with their owners: run it as root")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    verbs = {name.removeprefix("verb_"): function for name, function in globals().items() if name.startswith("verb_")}
    try:
        return int(verbs[args.verb](args))
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        say(f"error: {error}")
        return NO_GUEST
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
