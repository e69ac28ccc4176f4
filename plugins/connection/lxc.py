# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lxc
author: the lightervisor.lxc contributors (@lightervisor)
short_description: Run tasks in LXC containers of this machine
version_added: 0.1.0
description:
  - Runs commands in a running container, and moves files in and out of it, with C(lxc-attach).
  - The container needs no network, no SSH server and, for M(ansible.builtin.raw), no Python, only C(/bin/sh) with
    C(cat) and C(wc), as in a busybox guest. The machine needs the command line tools of LXC 5.0 or later and no
    Python binding.
  - Files are written and read by a process inside the container as its root, or as O(remote_user). No path of the
    guest is ever
    followed on the host.
notes:
  - The exit code is that of the command. A command that was killed by signal N gives 128+N, as in a shell.
  - A container that does not exist, does not run or is frozen makes the host unreachable; so does one that goes
    down while a command
    runs in it.
  - Standard input is at its end unless a module is sent through it. Commands have no terminal, so that a guest can't
    type on the host. C(sudo) and C(su) in the guest read their password from standard input; become methods that
    insist on a terminal do not work.
  - A command is over when it exits, even if it left a process in the background that holds its output open.
  - C(/proc/sys/kernel/random/boot_id) is the host's in every container. M(ansible.builtin.reboot) therefore needs
    an own
    C(boot_time_command), for example C(stat -c %Z /proc/1).
options:
  remote_addr:
    description: Name of the container.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_lxc_host
  lxcpath:
    description:
      - The directory that holds the container. Without it, the one that C(lxc.lxcpath) in lxc.system.conf(5) of the
        user that
        attaches names, or the usual place.
    type: str
    env:
      - name: ANSIBLE_LXC_LXCPATH
    ini:
      - section: lxc_connection
        key: lxcpath
    vars:
      - name: ansible_lxc_lxcpath
  remote_user:
    description:
      - User in the container. Any other than V(root) is entered with C(su), which sets its groups and its home
        directory. It may have
        any login shell, and none of its shell's profile files are read.
      - Files are then written and read as that user.
    type: str
    default: root
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    vars:
      - name: ansible_user
      - name: ansible_lxc_user
    cli:
      - name: user
    keyword:
      - name: remote_user
  executable:
    description: The C(lxc-attach) to use, by name or path.
    type: str
    default: lxc-attach
    env:
      - name: ANSIBLE_LXC_ATTACH_EXECUTABLE
    ini:
      - section: lxc_connection
        key: executable
    vars:
      - name: ansible_lxc_attach_executable
  attach_args:
    description:
      - Further arguments for C(lxc-attach), quoted as in a shell.
      - Some take protection away, among them C(--elevated-privileges) and C(--namespaces).
    type: str
    default: ''
    env:
      - name: ANSIBLE_LXC_ATTACH_ARGS
    ini:
      - section: lxc_connection
        key: attach_args
    vars:
      - name: ansible_lxc_attach_args
  clear_env:
    description:
      - Keep the environment of the Ansible process out of the guest. Commands then see C(container), C(PATH) with
        the C(sbin) directories,
        C(HOME), C(USER), C(LOGNAME), C(SHELL) and what C(lxc.environment) sets.
    type: bool
    default: true
    vars:
      - name: ansible_lxc_clear_env
  keep_env:
    description: Names of variables that are handed on although O(clear_env=true).
    type: list
    elements: str
    default: []
    vars:
      - name: ansible_lxc_keep_env
  set_env:
    description:
      - Variables to set for each command in the guest.
      - They can be read in the process list of the host; secrets belong in the C(environment) keyword of a task.
    type: dict
    default: {}
    vars:
      - name: ansible_lxc_set_env
  host_become:
    description:
      - Become O(host_become_user) on the host for C(lxc-attach). For an ordinary user that works on root's
        containers. Has no effect when that is the user that runs Ansible.
      - This is independent of C(become), which works inside the guest.
    type: bool
    default: false
    env:
      - name: ANSIBLE_LXC_HOST_BECOME
    ini:
      - section: lxc_connection
        key: host_become
    vars:
      - name: ansible_lxc_host_become
  host_become_method:
    description: How to become O(host_become_user). C(doas) can't be given a password.
    type: str
    choices: [sudo, su, doas]
    default: sudo
    env:
      - name: ANSIBLE_LXC_HOST_BECOME_METHOD
    ini:
      - section: lxc_connection
        key: host_become_method
    vars:
      - name: ansible_lxc_host_become_method
  host_become_user:
    description: The user on the host that the containers belong to.
    type: str
    default: root
    env:
      - name: ANSIBLE_LXC_HOST_BECOME_USER
    ini:
      - section: lxc_connection
        key: host_become_user
    vars:
      - name: ansible_lxc_host_become_user
  host_become_password:
    description:
      - The password that O(host_become_method) asks for. It is only written when there is a prompt for it.
      - No guest can ask for it. C(su) is not answered any more once it has become the other user. C(sudo) is made to
        ask with words that are new each time and that no guest gets to see; other users of the host see them in the
        process list, so do not let users of the host whom you do not trust be root of a guest that is reached with
        this option.
    type: str
    vars:
      - name: ansible_lxc_host_become_password
  unprivileged:
    description:
      - How an ordinary user attaches to its own containers.
      - V(scope) makes a delegated scope first (C(systemd-run --user --scope -p Delegate=yes)). On hosts with cgroup
        v2 C(lxc-attach) can
        only enter the container's cgroup from one.
      - V(plain) runs C(lxc-attach) as it is.
      - V(auto) takes V(scope) where the user that attaches is not root and has a systemd user manager that runs.
    type: str
    choices: [auto, scope, plain]
    default: auto
    env:
      - name: ANSIBLE_LXC_UNPRIVILEGED
    ini:
      - section: lxc_connection
        key: unprivileged
    vars:
      - name: ansible_lxc_unprivileged
  timeout:
    description:
      - Seconds until a command must have begun in the guest, and until privilege escalation in the guest must have
        succeeded. How long
        the command itself takes is not limited; see the C(timeout) keyword of tasks for that.
    type: int
    default: 10
    env:
      - name: ANSIBLE_TIMEOUT
      - name: ANSIBLE_LXC_TIMEOUT
    ini:
      - section: defaults
        key: timeout
      - section: lxc_connection
        key: timeout
    vars:
      - name: ansible_lxc_timeout
    cli:
      - name: timeout
  max_output:
    description:
      - The number of bytes that one command may print. A command that prints more is ended, so that a guest can't
        fill the controller's
        memory. V(0) is no limit.
    type: int
    default: 536870912
    env:
      - name: ANSIBLE_LXC_MAX_OUTPUT
    ini:
      - section: lxc_connection
        key: max_output
    vars:
      - name: ansible_lxc_max_output
  pipelining:
    description: Send modules through standard input instead of copying them into the guest first.
    type: bool
    default: true
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
      - section: lxc_connection
        key: pipelining
    vars:
      - name: ansible_pipelining
      - name: ansible_lxc_pipelining
"""

EXAMPLES = r"""
# Everything in a host that is a container of this machine
- name: Work in a container
  hosts: web1
  vars:
    ansible_connection: lightervisor.lxc.lxc
  tasks:
    - name: See that Ansible works there
      ansible.builtin.ping:

# An inventory file: containers in an own directory, reached by a user who may use sudo
# web1 ansible_connection=lightervisor.lxc.lxc ansible_lxc_lxcpath=/srv/lxc ansible_lxc_host_become=true
"""

import os
import pwd
import re
import shlex
import signal
from typing import Any, Callable, List, Optional, Tuple

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import command_socket
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.liblxc import default_lxcpath
from ansible_collections.lightervisor.lxc.plugins.plugin_utils import _guest_command, _local_files
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._conversation import (
    Conversation,
    Gate,
    TimedOut,
    TooMuch,
    joined,
)
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._gates import BecomeGate, MarkGate

display = Display()

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: In the ninth field of proc(5)'s /proc/PID/stat, from the kernel's include/linux/sched.h. An init has it before its
#: exit takes the other processes along.
_PF_EXITING = 0x4
_HIDDEN = "********"


class Connection(ConnectionBase):
    """Commands and files through `lxc-attach`. There is nothing to set up or to tear down."""

    transport = "lightervisor.lxc.lxc"
    has_pipelining = True
    has_tty = False
    _init: Optional[int] = None

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        """Nothing is kept open between commands."""
        self._connected = False

    def reset(self) -> None:
        """The next command starts from the options as they are then."""
        self.close()

    def exec_command(
        self, cmd: str, in_data: Optional[bytes] = None, sudoable: bool = True
    ) -> Tuple[int, bytes, bytes]:
        """Run a shell command in the guest: its exit code, stdout and stderr.

        Raises AnsibleConnectionFailure when it could not begin or the container went down meanwhile, AnsibleError
        when
        privilege escalation in the guest failed or there was too much output.
        """
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        command = to_text(cmd, errors="surrogate_or_strict")
        feed = _local_files.chunks(in_data) if in_data else None
        become = self.become if sudoable else None
        if become and not (become.success and become.success in command):
            become = None  # there is one for the task, but not for this command
        rc, out, err = self._run(command, become, feed)
        if rc in (128 + signal.SIGTERM, 128 + signal.SIGKILL) and self._went_down():
            raise AnsibleConnectionFailure(f"Container '{self._name}' went down while a command ran in it.")
        return rc, out, err

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the controller into the guest.

        Raises AnsibleFileNotFound when the controller has no such file, else AnsibleError with the guest's reason.
        """
        super().put_file(in_path, out_path)
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._name)
        try:
            source = open(to_bytes(in_path, errors="surrogate_or_strict"), "rb")  # noqa: SIM115
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f"Cannot read file '{in_path}': it does not exist.") from error
        except OSError as error:
            raise AnsibleError(f"Cannot read file '{in_path}': {error.strerror}.") from error
        with source:
            counted = _local_files.Counter(source)
            rc, out, err = self._run(_guest_command.put_command(out_path), None, counted.read)
        written = out.strip()
        if rc:
            raise self._refused("write", out_path, rc, err)
        if written and written != str(counted.count).encode():
            raise AnsibleError(
                f"Cannot write file '{out_path}' in container '{self._name}': {counted.count} bytes were sent and"
                f" {to_text(written)} are there."
            )

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the guest to the controller. What `out_path` held stays if that fails."""
        super().fetch_file(in_path, out_path)
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._name)
        try:
            with _local_files.Receiver(to_bytes(out_path, errors="surrogate_or_strict")) as receiver:
                rc, out, err = self._run(_guest_command.fetch_command(in_path), None, None, receiver.take)
                if rc == 0:
                    receiver.finish()
        except _local_files.Complete:
            return
        except _local_files.Bad as error:
            raise AnsibleError(f"Cannot fetch file '{in_path}' from container '{self._name}': {error}.") from error
        except OSError as error:
            raise AnsibleError(f"Cannot write file '{out_path}': {error.strerror}.") from error
        if rc:
            raise self._refused("fetch", in_path, rc, err)

    # ---- the command line

    @property
    def _name(self) -> str:
        name = self.get_option("remote_addr")
        if not name or name in (".", "..") or any(c in name for c in "/\n\0"):
            raise AnsibleError(
                f"Cannot attach to container {name!r}: a container can't have this name. Check ansible_host."
            )
        return str(name)

    @property
    def _become_user(self) -> Optional[str]:
        """Whom to become on the host, None if nobody."""
        user = self.get_option("host_become_user")
        if not self.get_option("host_become") or user == pwd.getpwuid(os.geteuid()).pw_name:
            return None
        return str(user)

    @property
    def _lxcpath(self) -> Optional[str]:
        """Where the container is; None when only another user's configuration tells."""
        lxcpath = self.get_option("lxcpath")
        if lxcpath:
            # Compared as text: a running container's command socket is named after it.
            return os.path.normpath(os.path.join(os.getcwd(), os.path.expanduser(lxcpath)))
        user = self._become_user
        if user not in (None, "root"):
            return None
        try:
            return default_lxcpath(root=True if user == "root" else None)
        except OperationError as error:
            raise AnsibleError(str(error)) from error

    def _state(self) -> Tuple[str, Optional[int]]:
        """The container's state and its init, as its monitor says; "unknown" and None where that can't be told."""
        lxcpath = self._lxcpath
        if lxcpath is None:
            return command_socket.UNKNOWN, None
        key = (lxcpath, self._name)
        return command_socket.read_states([key])[key]

    def _went_down(self) -> bool:
        """Whether the init that was there before the last command has ended, or is about to."""
        state, pid = self._state()
        if state == command_socket.UNKNOWN or self._init is None:
            return False
        if pid != self._init:
            return True
        try:
            with open(f"/proc/{pid}/stat", "rb") as stream:
                flags = int(stream.read().rpartition(b")")[2].split()[6])
        except OSError:
            return True
        return bool(flags & _PF_EXITING)

    def _attach_argv(self, command: str, mark: str, hide: bool = False) -> List[str]:
        """The argument vector of lxc-attach; to be shown and not run, with `hide`, less the values of set_env."""
        argv = [self.get_option("executable"), f"--name={self._name}"]
        if self.get_option("lxcpath"):
            argv.append(f"--lxcpath={self._lxcpath}")
        if self.get_option("clear_env"):
            argv.append("--clear-env")
            argv += [f"--keep-var={_variable(name)}" for name in self.get_option("keep_env")]
        for name, value in self.get_option("set_env").items():
            if "\0" in str(value):
                raise AnsibleError(f"set_env.{name}: a NUL can't be part of an environment variable.")
            argv.append(f"--set-var={_variable(name)}={_HIDDEN if hide else value}")
        argv += shlex.split(self.get_option("attach_args"))
        user = self.get_option("remote_user") or "root"
        if user.startswith("-") or any(c in user for c in "\n\0:"):
            raise AnsibleError(f"remote_user: {user!r} is not a name that a user can have.")
        argv += ["--", *_guest_command.guest_argv(command, user, mark)]
        return self._scoped(argv)

    def _scoped(self, argv: List[str]) -> List[str]:
        mode = self.get_option("unprivileged")
        user = self._become_user
        if mode == "plain":
            return argv
        try:
            uid = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
        except KeyError as error:
            raise AnsibleError(f"host_become_user: this machine has no user {user!r}.") from error
        runtime = f"/run/user/{uid}"
        if mode == "auto" and (uid == 0 or not os.path.exists(f"{runtime}/systemd/private")):
            return argv
        scope = ["systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "--"]
        return ["env", f"XDG_RUNTIME_DIR={runtime}", *scope, *argv]

    def _as_user(self, argv: List[str], mark: str, prompt: str) -> List[str]:
        """How to run `argv` as the host_become_user: su writes `mark` when it is done, sudo asks with `prompt`."""
        user = self._become_user
        if user is None:
            return argv
        method = self.get_option("host_become_method")
        if method == "doas":
            return ["doas", "-n", "-u", user, *argv]
        if method == "su":
            return ["su", "-s", "/bin/sh", "-c", _guest_command.marked(argv, mark), user]
        how = ["-S", "-p", prompt] if self.get_option("host_become_password") else ["-n"]
        return ["sudo", "-H", *how, "-u", user, "--", *argv]

    # ---- running it

    def _run(
        self,
        command: str,
        become: Any,
        feed: Optional[Callable[[int], bytes]],
        sink: Optional[Callable[[bytes], None]] = None,
    ) -> Tuple[int, bytes, bytes]:
        state, self._init = self._state()
        if state != "stopped":  # lxc-attach finds that out itself; frozen, it would hang
            self._refuse(state)
        mark = _guest_command.new_mark()
        host_mark = _guest_command.new_mark("host")
        # A guest that does not know the words can't ask for the password: they are not among what runs in it.
        prompt = f"[host password for {_guest_command.new_mark('attach')}] "
        timeout = self.get_option("timeout")
        password = self.get_option("host_become_password") if self._become_user else None
        method = self.get_option("host_become_method") if self._become_user else None
        # sudoers(5) may allow lxc-attach and nothing else, so that no shell can write a mark behind sudo.
        attach = MarkGate(timeout, mark, password, prompt) if method == "sudo" else MarkGate(timeout, mark)
        gates: List[Gate] = [MarkGate(timeout, host_mark, password)] if method == "su" else []
        gates += [attach, *([BecomeGate(timeout, become, self._play_context)] if become else [])]
        argv = self._as_user(self._attach_argv(command, mark), host_mark, prompt)
        shown = self._as_user(self._attach_argv(command, mark, hide=True), host_mark, prompt)
        talk = Conversation(argv, gates, feed, sink, self.get_option("max_output"))
        display.vvv(f"EXEC {joined(shown)}", host=self._name)
        try:
            rc = talk.run()
        except FileNotFoundError as error:
            known = error.filename == self.get_option("executable")
            advice = "Install the package lxc." if known else "Install it or choose another method."
            raise AnsibleError(
                f"Cannot attach to container '{self._name}': {error.filename} was not found. {advice}"
            ) from error
        except TimedOut as error:
            if attach not in talk.gates:
                raise AnsibleConnectionFailure(
                    f"Cannot become another user in container '{self._name}': no answer within {timeout} s."
                    f" {_guest_command.readable(bytes(talk.out + talk.err))}".rstrip()
                ) from error
            self._refuse(self._state()[0])
            raise AnsibleConnectionFailure(
                f"Cannot attach to container '{self._name}': it did not answer within {timeout} s."
                f" {_guest_command.readable(bytes(talk.err))}".rstrip()
            ) from error
        except TooMuch as error:
            raise AnsibleError(
                f"Cannot run a command in container '{self._name}': it printed more than"
                f" {self.get_option('max_output')} bytes. If that is right, raise ansible_lxc_max_output."
            ) from error
        except OSError as error:
            raise AnsibleError(f"Cannot attach to container '{self._name}': {error}.") from error
        if attach in talk.gates:
            self._refuse(self._state()[0])
            reason = _guest_command.readable(bytes(talk.err)) or f"lxc-attach ended with exit code {rc}"
            raise AnsibleConnectionFailure(f"Cannot attach to container '{self._name}': {reason}.")
        if talk.gates:
            talk.gates[0].give_up(rc, bytes(talk.out), bytes(talk.err))
        if attach.preface:
            display.vvv(f"BEFORE THE COMMAND {to_text(attach.preface)}", host=self._name)
        return rc, bytes(talk.out), bytes(talk.err)

    def _refuse(self, state: str) -> None:
        """Raise AnsibleConnectionFailure if lxc-attach can't work, or would hang, in this state."""
        name, lxcpath = self._name, self._lxcpath
        option = f" -P {shlex.quote(lxcpath)}" if lxcpath and self.get_option("lxcpath") else ""
        quoted = shlex.quote(name)
        if state in ("frozen", "freezing"):
            raise AnsibleConnectionFailure(
                f"Cannot attach to container '{name}': it is frozen."
                f" Thaw it with lxc-unfreeze{option} -n {quoted}, or by lightervisor.lxc.lxc_container."
            )
        if state != "stopped" or lxcpath is None:
            return
        try:
            os.stat(os.path.join(lxcpath, name, "config"))
        except PermissionError:
            cause = f"it is not running, or there is none in {lxcpath}"
            advice = "Check ansible_host and ansible_lxc_lxcpath, or set ansible_lxc_host_become."
        except OSError:
            cause, advice = f"it does not exist in {lxcpath}", "Check ansible_host and ansible_lxc_lxcpath."
        else:
            cause = "it is not running"
            advice = f"Start it with lxc-start{option} -n {quoted}, or by lightervisor.lxc.lxc_container."
        raise AnsibleConnectionFailure(f"Cannot attach to container '{name}': {cause}. {advice}")

    def _refused(self, verb: str, path: str, rc: int, err: bytes) -> AnsibleError:
        reason = _guest_command.readable(err) or f"exit code {rc}"
        source = "from" if verb == "fetch" else "in"
        kind = AnsibleFileNotFound if rc == _guest_command.MISSING and verb == "fetch" else AnsibleError
        return kind(f"Cannot {verb} file '{path}' {source} container '{self._name}': {reason}.")


def _variable(name: str) -> str:
    if not _VARIABLE.match(name):
        raise AnsibleError(f"{name!r} is not a name that an environment variable can have.")
    return name
