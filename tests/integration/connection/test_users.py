# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users: in the guest by remote_user, on the host by host_become."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.conftest import RUN, new_folder
from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import PASSWORD, execute, run
from ansible_collections.lightervisor.lxc.tests.support import leftovers

Talk = Callable[..., list[Any]]


def test_a_guest_user_has_its_groups_and_its_home(guest: str, talk: Talk) -> None:
    steps = (execute("id -un; id -gn; id -G; pwd; echo $HOME $USER $LOGNAME $SHELL"), execute("exit 7"))
    who, rc = talk(guest, *steps, remote_user="walter")
    assert who.out == b"walter\nwalter\n1000 1001\n/home/walter\n/home/walter walter walter /bin/sh\n"
    assert (who.err, rc.rc) == (b"", 7)


def test_a_guest_users_commands_are_passed_on_as_they_are(guest: str, debian: str, talk: Talk) -> None:
    data = bytes(range(256)) * 1000
    for name, user in ((guest, "walter"), (debian, "bob")):
        steps = (
            execute("tee /dev/stderr", data),
            execute("kill -9 $$"),
            execute("printf '%s' \"it's $((1 + 1)) \\\\\""),
        )
        cat, killed, quoted = talk(name, *steps, remote_user=user)
        assert (cat.out, cat.err) == (data, data)
        assert killed.rc == 137
        assert quoted.out == b"it's 2 \\"


def test_debian_users(debian: str, talk: Talk) -> None:
    (alice,) = talk(debian, execute("id -Gn; pwd; echo $PATH"), remote_user="alice")
    assert alice.out == b"alice sudo\n/home/alice\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    (bob,) = talk(debian, execute("id -un; pwd"), remote_user="bob")
    assert bob.out == b"bob\n/home/bob\n"


@pytest.mark.parametrize("kind", ["guest", "debian"])
def test_an_unknown_guest_user_is_no_exit_code(kind: str, talk: Talk, request: pytest.FixtureRequest) -> None:
    (answer,) = talk(request.getfixturevalue(kind), execute("true"), remote_user="nobody-here")
    assert answer.error == "AnsibleConnectionFailure"
    assert "nobody-here" in answer.msg
    assert "su: " in answer.msg
    (answer,) = talk(request.getfixturevalue(kind), execute("true"), remote_user="-l")
    assert (answer.error, "not a name" in answer.msg) == ("AnsibleError", True)


def test_a_guest_users_files_are_its_own(debian: str, talk: Talk, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    put, owner, denied, fetch, secret = talk(
        debian,
        ["put", str(source), "file"],
        execute("stat -c '%U %G %s' /home/alice/file"),
        ["put", str(source), "/etc/file"],
        ["fetch", "/home/alice/file", str(tmp_path / "back")],
        ["fetch", "/etc/shadow", str(tmp_path / "shadow")],
        remote_user="alice",
    )
    assert put.error is None, put
    assert owner.out == b"alice alice 3000000\n"
    assert (denied.error, "Permission denied" in denied.msg) == ("AnsibleError", True)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert fetch.error is None
    assert (secret.error, "Permission denied" in secret.msg) == ("AnsibleError", True)


@pytest.fixture
def caller(checkout: Path) -> Iterator[tuple[str, list[str]]]:
    """An ordinary user of this machine, with what it needs of the collection: its name, and a prefix to run as it."""
    name = f"{leftovers.folder_prefix(RUN)}{secrets.token_hex(2)}"
    home = new_folder("home")
    collection = home / "collections/ansible_collections/lightervisor/lxc"
    shutil.copytree(checkout / "plugins", collection / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    run("useradd", "-M", "-d", home, "-s", "/bin/sh", name)
    try:
        run("chpasswd", stdin=None, input=f"{name}:{PASSWORD}\n")
        run("chown", "-R", f"{name}:", home)
        home.chmod(0o755)
        environment = [
            f"HOME={home}",
            f"ANSIBLE_COLLECTIONS_PATH={home / 'collections'}",
            f"ANSIBLE_LOCAL_TEMP={home}/t",
        ]
        shutil.copy(Path(__file__).with_name("driver.py"), home)
        as_user = [
            "setpriv",
            f"--reuid={name}",
            f"--regid={name}",
            "--init-groups",
            "env",
            "-C",
            str(home),
            *environment,
        ]
        yield name, as_user
    finally:
        leftovers.remove_user(name)
        shutil.rmtree(home)


@pytest.fixture
def sudoers(caller: tuple[str, list[str]]) -> Iterator[Callable[[str], None]]:
    """`sudoers(rule)`: what the caller may do on this machine, until the end of the test."""
    file = Path("/etc/sudoers.d") / caller[0]

    def allow(rule: str) -> None:
        draft = file.with_name(f"{file.name}.draft")  # sudo does not read names with a dot
        draft.write_text(f"Defaults:{caller[0]} !lecture\n{caller[0]} ALL = {rule}\n")
        draft.chmod(0o440)
        run("visudo", "-cqf", draft)
        draft.rename(file)

    try:
        yield allow
    finally:
        file.unlink(missing_ok=True)


def test_an_ordinary_user_without_sudo_is_told_so(guest: str, talk: Talk, caller: tuple[str, list[str]]) -> None:
    (answer,) = talk(guest, execute("true"), prefix=caller[1])
    assert answer.error == "AnsibleConnectionFailure"
    assert "Cannot attach to container 'bb': " in answer.msg
    assert answer.seconds < 3
    (answer,) = talk(guest, execute("true"), prefix=caller[1], host_become=True)
    assert answer.error == "AnsibleConnectionFailure"
    assert "a password is required" in answer.msg


def test_sudo_without_a_password(
    guest: str, talk: Talk, caller: tuple[str, list[str]], sudoers: Callable[[str], None], guests: Path
) -> None:
    sudoers("(root) NOPASSWD: /usr/bin/lxc-attach")
    big = os.urandom(5_000_000)
    steps = (execute("id -u; exit 7"), execute("cat", big), execute("cat"), ["put", "/etc/hostname", "/root/sudo"])
    # The password is not asked for. It must not become input of the command.
    for options in ({}, {"host_become_password": "never used"}):
        rc, cat, empty, put = talk(guest, *steps, prefix=caller[1], host_become=True, **options)
        assert (rc.rc, rc.out) == (7, b"0\n")
        assert cat.out == big
        assert (empty.rc, empty.out) == (0, b"")
        assert put.error is None
    (none,) = talk("nobody", execute("true"), prefix=caller[1], host_become=True)
    assert none.error == "AnsibleConnectionFailure"
    assert f"it does not exist in {guests}" in none.msg
    (late,) = talk(guest, execute("sleep 5; exit 3"), prefix=caller[1], host_become=True, timeout=2)
    assert late.rc == 3


def test_sudo_with_a_password(
    guest: str, talk: Talk, caller: tuple[str, list[str]], sudoers: Callable[[str], None]
) -> None:
    sudoers("(root) /usr/bin/lxc-attach")
    steps = (execute("cat"), execute("cat", b"data"), execute("cat"))
    answers = talk(guest, *steps, prefix=caller[1], host_become=True, host_become_password=PASSWORD)
    assert [(a.rc, a.out, a.err) for a in answers] == [(0, b"", b""), (0, b"data", b""), (0, b"", b"")]
    run("su", "-s", "/bin/sh", "-c", "sudo -K", caller[0])
    (wrong,) = talk(guest, execute("cat"), prefix=caller[1], host_become=True, host_become_password="wrong")
    assert wrong.error == "AnsibleConnectionFailure"
    assert "the password in ansible_lxc_host_become_password is wrong" in wrong.msg
    assert "wrong\n" not in wrong.msg


def test_host_become_is_idle_for_who_it_already_is(guest: str, talk: Talk) -> None:
    (answer,) = talk(guest, execute("exit 7"), host_become=True, host_become_method="doas")
    assert answer.rc == 7


def test_su_on_the_host(guest: str, talk: Talk, caller: tuple[str, list[str]]) -> None:
    options = {"host_become": True, "host_become_method": "su", "host_become_user": caller[0]}
    (answer,) = talk(guest, execute("true"), **options)
    assert answer.error == "AnsibleConnectionFailure", "root's container is not that user's"
    (answer,) = talk(guest, execute("true"), **{**options, "host_become_user": "no-such-user"})
    assert (answer.error, "no user 'no-such-user'" in answer.msg) == ("AnsibleError", True)
    (answer,) = talk(guest, execute("true"), host_become=True, host_become_method="doas", host_become_user=caller[0])
    assert (answer.error, "doas was not found" in answer.msg) == ("AnsibleError", True)


#: A guest's shell that asks for a password in all words that it knows or finds, keeps what it is told and goes on.
ASKING_SHELL = """\
#!/bin/busybox ash
{
    printf '[host password for lxc-attach] [sudo] password for root: Password: '
    cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n' | grep 'host password'
    printf 'Password: '
} 2>/dev/null >&2
printf 'Password: '
IFS= read -t 2 -r line && printf '%s\\n' "$line" >> /root/told
printf 'Password: ' >&2
exec /bin/busybox ash "$@"
"""


@pytest.fixture(scope="session")
def asking(make: Callable[..., str], guests: Path) -> tuple[str, Path]:
    """A running guest with such a shell, and the file in which it keeps what it is told."""
    name = make("asking")
    rootfs = guests / name / "rootfs"
    shell = rootfs / "bin" / "asking"
    shell.write_text(ASKING_SHELL)
    shell.chmod(0o755)
    shell.rename(rootfs / "bin" / "sh")
    return name, rootfs / "root" / "told"


@pytest.fixture
def another_root() -> Iterator[tuple[str, str]]:
    """Another name of root, with a password of its own."""
    name, password = f"{leftovers.folder_prefix(RUN)}{secrets.token_hex(2)}", secrets.token_hex(12)
    run("useradd", "-o", "-u", "0", "-g", "0", "-N", "-M", "-d", "/nonexistent", "-s", "/bin/sh", name)
    try:
        run("chpasswd", stdin=None, input=f"{name}:{password}\n")
        yield name, password
    finally:
        leftovers.remove_user(name)


def test_no_guest_is_told_the_hosts_password(
    asking: tuple[str, Path],
    talk: Talk,
    caller: tuple[str, list[str]],
    sudoers: Callable[[str], None],
    another_root: tuple[str, str],
) -> None:
    name, told = asking
    step = execute("id -u; exit 7")
    options = {"host_become": True, "host_become_password": PASSWORD}
    for rule in ("(root) NOPASSWD: /usr/bin/lxc-attach", "(root) /usr/bin/lxc-attach"):
        sudoers(rule)
        (answer,) = talk(name, step, prefix=caller[1], **options)
        assert (answer.rc, answer.out.endswith(b"0\n")) == (7, True), answer
        assert not told.exists()
    # su asks root for nothing, and others before it becomes somebody else.
    user, password = another_root
    options = {"host_become": True, "host_become_method": "su", "host_become_user": user}
    for prefix in ([], caller[1]):
        (answer,) = talk(name, step, prefix=prefix, host_become_password=password, **options)
        assert (answer.rc, answer.out.endswith(b"0\n")) == (7, True), answer
        assert not told.exists()


def test_su_with_a_password(
    guest: str, talk: Talk, caller: tuple[str, list[str]], another_root: tuple[str, str]
) -> None:
    user, password = another_root
    options = {"prefix": caller[1], "host_become": True, "host_become_method": "su", "host_become_user": user}
    steps = (execute("cat", b"data"), execute("cat; echo there >&2; exit 7"))
    data, rc = talk(guest, *steps, host_become_password=password, **options)
    assert (data.rc, data.out, data.err) == (0, b"data", b"")
    assert (rc.rc, rc.out, rc.err) == (7, b"", b"there\n")
    (none,) = talk("nobody", execute("true"), host_become_password=password, **options)
    assert none.error == "AnsibleConnectionFailure"
    assert "lxc-host-" not in none.msg
    (wrong,) = talk(guest, execute("true"), host_become_password="wrong", **options)
    assert wrong.error == "AnsibleConnectionFailure"
    assert "wrong" not in wrong.msg.replace("is wrong", "")


def test_the_first_lxcpath_of_a_configuration_counts(talk: Talk, caller: tuple[str, list[str]], guests: Path) -> None:
    home = Path(pwd.getpwnam(caller[0]).pw_dir)
    (home / ".config/lxc").mkdir(parents=True)
    (home / ".config/lxc/lxc.conf").write_text(f"lxc.lxcpath = {guests}/first/\nlxc.lxcpath = {guests}\n")
    # What liblxc makes of it.
    assert run(*caller[1], "lxc-config", "lxc.lxcpath").stdout.rstrip("/\n") == f"{guests}/first"
    (answer,) = talk("nowhere", execute("true"), prefix=caller[1], lxcpath=None)
    assert f"it does not exist in {guests}/first." in answer.msg


def test_a_scope_that_can_not_be_made_is_no_exit_code(guest: str, talk: Talk) -> None:
    if Path("/run/user/0/systemd/private").exists():
        assert talk(guest, execute("exit 7"), unprivileged="scope")[0].rc == 7
        return
    (answer,) = talk(guest, execute("true"), unprivileged="scope")
    assert answer.error == "AnsibleConnectionFailure"
    assert "Failed to" in answer.msg
