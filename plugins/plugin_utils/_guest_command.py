# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs inside a guest: plain /bin/sh, as in dash and busybox, with `cat` and `wc` for files.

Each command is wrapped so that it begins with a line on stderr that nobody else writes, the mark. What stands before
the mark comes from lxc-attach, sudo, systemd-run or su; what follows comes from the command. An exit code without
a mark is therefore never the command's.
"""

from __future__ import annotations

import re
import secrets
import shlex
from typing import List

#: Exit codes of the file scripts below, besides what the shell and `cat` themselves return.
MISSING = 64
NOT_A_FILE = 65

#: HOME is kept where it is known (lxc.environment, su); tilde expansion asks the guest's own user database.
_LOGIN = """\
case ${HOME-} in /*) ;; *) HOME=~root ;; esac
case $HOME in /*) ;; *) HOME=/ ;; esac
export HOME
"""
_ROOT = """\
USER=root LOGNAME=root SHELL=/bin/sh
export USER LOGNAME SHELL
"""
_START = """\
cd "$HOME" 2>/dev/null || cd /
echo %s >&2
"""

#: What dash, busybox and bash put in front of their own messages.
_SHELL_PREFIX = re.compile(r"^(?:/bin/)?(?:sh|bash|ash): (?:line )?\d*(?:: )?")
#: lxc-attach makes the standard streams mode 0600 where it can: other users could not open /dev/stdout.
#: What chmod may complain about comes before the mark.
_SU = """\
chmod 666 /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2
exec su -s /bin/sh -c "$1" "$2"
"""

#: `lxc-attach: NAME: ../src/lxc/attach.c: get_attach_context: 406 reason - message`, and without a source line.
_LOG_PREFIX = re.compile(r"^lxc-attach: (?:.*?: )?(?:\S+\.c: \w+: \d+ )?")


def new_mark(place: str = "guest") -> str:
    """A word that occurs nowhere else."""
    return f"lxc-{place}-{secrets.token_hex(12)}"


def marked(argv: List[str], mark: str) -> str:
    """A command line for /bin/sh on the host that runs `argv`, and writes the mark before it does."""
    return f"echo {mark} >&2; exec {shlex.join(argv)}"


def guest_argv(command: str, user: str, mark: str) -> List[str]:
    """The argument vector for lxc-attach that runs `command` in /bin/sh as `user`, in that user's home directory.

    Only `su` knows, from inside, a user's supplementary groups and what PAM adds in this guest. `lxc-attach --uid`
    would leave all groups out. The user's own shell is not used: it may be one that refuses to run commands.
    """
    if user == "root":
        return ["/bin/sh", "-c", _LOGIN + _ROOT + _START % mark + command]
    inner = _LOGIN + _START % mark + command
    return ["/bin/sh", "-c", _SU, "sh", inner, user]


def put_command(path: str) -> str:
    """Writes its stdin to `path` and then prints the size that the file has, if it is an ordinary file."""
    return f"""\
f={shlex.quote(path)}
cat > "$f" || exit
if [ -f "$f" ] && [ -r "$f" ]; then wc -c < "$f"; fi
"""


def fetch_command(path: str) -> str:
    """Prints the size of the ordinary file `path` on a line of its own, then its contents.

    The size comes first so that a guest can't send without an end. Never opens a FIFO or a device.
    """
    return f"""\
f={shlex.quote(path)}
if [ ! -f "$f" ]; then
  if [ -d "$f" ]; then echo 'Is a directory' >&2; exit {NOT_A_FILE}; fi
  if [ -e "$f" ]; then echo 'Not an ordinary file' >&2; exit {NOT_A_FILE}; fi
  cat < "$f" > /dev/null
  exit {MISSING}
fi
wc -c < "$f" || exit
exec cat < "$f"
"""


def readable(stderr: bytes) -> str:
    """What the tools in front of the guest's command said, on one line, without liblxc's source lines."""
    lines = []
    for line in stderr.decode(errors="replace").splitlines():
        text = _SHELL_PREFIX.sub("", _LOG_PREFIX.sub("", line)).strip()
        if text and text not in lines:
            lines.append(text)
    return "; ".join(lines)
