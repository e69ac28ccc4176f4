# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands in a guest: what they return, what they see, and what they can't reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import execute

Talk = Callable[..., list[Any]]


def test_exit_codes_are_the_commands_own(guest: str, talk: Talk) -> None:
    steps = [execute(c) for c in ("exit 0", "exit 1", "exit 7", "exit 126", "exit 255", "no-such-command", "if then")]
    assert [a.rc for a in talk(guest, *steps)] == [0, 1, 7, 126, 255, 127, 2]


def test_killed_by_a_signal_is_128_and_the_signal(guest: str, talk: Talk) -> None:
    steps = [execute(f"kill -{s} $$") for s in ("KILL", "TERM", "SEGV")]
    assert [a.rc for a in talk(guest, *steps)] == [137, 143, 139]


def test_a_child_that_is_killed(guest: str, talk: Talk) -> None:
    assert talk(guest, execute("sh -c 'kill -9 $$'; exit $?"))[0].rc == 137


def test_output_is_passed_byte_for_byte(guest: str, talk: Talk) -> None:
    every = bytes(range(256)) * 300
    (answer,) = talk(guest, execute("tee /dev/stderr", every))
    assert answer.out == every
    assert answer.err == every


def test_standard_streams_can_be_opened_by_name(guest: str, mapped: str, talk: Talk) -> None:
    for name, user in ((guest, "root"), (mapped, "root"), (guest, "walter"), (mapped, "walter")):
        (answer,) = talk(name, execute("cat /dev/stdin > /dev/stdout; echo e > /dev/stderr", b"in"), remote_user=user)
        assert (answer.rc, answer.out, answer.err) == (0, b"in", b"e\n"), (name, user)


def test_nothing_else_is_printed(guest: str, talk: Talk) -> None:
    (answer,) = talk(guest, execute("true"))
    assert (answer.rc, answer.out, answer.err) == (0, b"", b"")


def test_stdin_is_at_its_end(guest: str, talk: Talk) -> None:
    (answer,) = talk(guest, execute("cat; echo done"))
    assert answer.out == b"done\n"
    assert answer.seconds < 2


def test_input_that_is_not_read_does_no_harm(guest: str, talk: Talk) -> None:
    (answer,) = talk(guest, execute("exit 3", b"x" * 5_000_000))
    assert answer.rc == 3


def test_much_goes_in_and_out_at_the_same_time(guest: str, talk: Talk) -> None:
    data = os.urandom(20_000_000)
    (answer,) = talk(guest, execute("cat", data))
    assert answer.out == data


def test_a_background_process_does_not_hold_the_command(guest: str, talk: Talk) -> None:
    (answer,) = talk(guest, execute("sleep 60 & echo started; exit 4"))
    assert (answer.rc, answer.out) == (4, b"started\n")
    assert answer.seconds < 5


def test_the_environment_is_a_guests_own(guest: str, talk: Talk) -> None:
    prefix = ("env", "SECRET_OF_THE_HOST=1", "PATH=/usr/bin:/bin", "KEPT=yes")
    (answer,) = talk(guest, execute("env"), prefix=prefix, keep_env=["KEPT"], set_env={"SET": "a b'c\nd"})
    text = answer.out.decode()
    assert "SECRET" not in text
    assert "KEPT=yes\n" in text
    assert "SET=a b'c\nd\n" in text
    assert "container=lxc\n" in text
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" in text
    for line in ("HOME=/root\n", "USER=root\n", "LOGNAME=root\n", "SHELL=/bin/sh\n"):
        assert line in text


def test_commands_start_at_home_with_an_ordinary_umask(guest: str, talk: Talk) -> None:
    prefix = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    (answer,) = talk(guest, execute("pwd; umask; echo ~"), prefix=prefix)
    assert answer.out == b"/root\n0022\n/root\n"


def test_a_guest_gets_no_terminal_and_nothing_of_the_hosts(guest: str, talk: Talk) -> None:
    (answer,) = talk(guest, execute("ls /proc/$$/fd; (: < /dev/tty) 2>&1 || echo none"))
    assert b"none" in answer.out
    assert [line for line in answer.out.splitlines() if line.isdigit() and int(line) > 2] in ([], [b"10"])


def test_output_without_end_is_ended(guest: str, talk: Talk) -> None:
    flood, after = talk(guest, execute("yes"), execute("ps | grep -c '[y]es$'"), max_output=1_000_000)
    assert flood.error == "AnsibleError"
    assert "printed more than 1000000 bytes" in flood.msg
    assert after.out.strip() == b"0"


def test_no_name_reaches_out_of_the_lxcpath(guest: str, talk: Talk, tmp_path: Path) -> None:
    for name in (f"../{guest}", "a/b", "..", "a\nb", ""):
        (answer,) = talk(name, execute("true"))
        assert answer.error == "AnsibleError", name
        assert "can't have this name" in answer.msg
    (answer,) = talk("--help", execute("true"))
    assert (answer.error, "does not exist" in answer.msg) == ("AnsibleConnectionFailure", True)


def test_attach_args_and_another_executable(guest: str, talk: Talk) -> None:
    assert talk(guest, execute("uname -m"), attach_args="--arch i686")[0].out == b"i686\n"
    (answer,) = talk(guest, execute("true"), executable="/nonexistent/lxc-attach")
    assert answer.error == "AnsibleError"
    assert "/nonexistent/lxc-attach was not found. Install the package lxc" in answer.msg
