# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be seen before a guest's command may have the input: that it was reached, that it became another user."""

from __future__ import annotations

import re
from typing import Any, Optional

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._conversation import Gate

#: What any program prints that waits for a password: the last thing on a line ends in a colon.
_ANY_PROMPT = re.compile(rb"[:\xef\xbc\x9a]\s*\Z")


class MarkGate(Gate):
    """Passed when the mark stands on a line of stderr. `preface` is what stood before it, less the prompt.

    `password` is written once, when the prompt appears: to a program that asks for none, it would become the
    command's input. Without a `prompt`, anything that ends in a colon is one. A guest may print either: a prompt must
    be something that it can't know, or the mark must come before the guest does.
    """

    def __init__(self, seconds: float, mark: str, password: Optional[str] = None, prompt: str = "") -> None:
        super().__init__(seconds)
        self.preface = b""
        self._mark = mark.encode() + b"\n"
        self._password = password
        self._prompt = prompt.encode()
        self._asked = 0

    def passed(self, out: bytearray, err: bytearray) -> bool:
        before, found, after = bytes(err).partition(self._mark)
        if not found:
            return False
        self.preface = before[self._asked :]
        err[:] = after
        return True

    def answer(self, out: bytes, err: bytes) -> Optional[bytes]:
        if self._password is None:
            return None
        fresh = err[self._asked :] or out
        if not (self._prompt in fresh if self._prompt else _ANY_PROMPT.search(fresh)):
            return None
        if self._asked:
            raise AnsibleConnectionFailure(
                "Cannot become another user on the host: the password in ansible_lxc_host_become_password is wrong."
            )
        self._asked = len(err)
        return self._password.encode() + b"\n"


class BecomeGate(Gate):
    """Passed when Ansible's become plugin finds its own mark on stdout; the mark and the prompt are then taken away."""

    def __init__(self, seconds: float, become: Any, play_context: Any) -> None:
        super().__init__(seconds)
        self._become = become
        self._play_context = play_context
        self._success = to_bytes(become.success)
        self._seen_out = 0
        self._seen_err = 0
        self._asked = False

    def passed(self, out: bytearray, err: bytearray) -> bool:
        start = out.find(self._success)
        end = out.find(b"\n", start)
        if start < 0 or end < 0:
            return False
        del out[: end + 1]
        if self._asked:
            err[:] = self._become.strip_become_prompt(bytes(err))
        return True

    def answer(self, out: bytes, err: bytes) -> Optional[bytes]:
        become = self._become
        if become.check_incorrect_password(out) or become.check_incorrect_password(err):
            raise AnsibleError(f"Incorrect {become.name} password")
        if become.check_missing_password(out) or become.check_missing_password(err):
            raise AnsibleError(f"Missing {become.name} password")
        if not (
            become.check_password_prompt(out[self._seen_out :]) or become.check_password_prompt(err[self._seen_err :])
        ):
            return None
        password = become.get_option("become_pass", playcontext=self._play_context)
        if self._asked:
            raise AnsibleError(f"Incorrect {become.name} password")
        if not password:
            raise AnsibleError(f"Missing {become.name} password")
        self._seen_out, self._seen_err, self._asked = len(out), len(err), True
        return str(password).encode(errors="surrogateescape") + b"\n"

    def give_up(self, rc: int, out: bytes, err: bytes) -> None:
        """The process ended before this gate was passed: raise AnsibleError with what it said."""
        self.answer(out, err)
        said = to_text(out + err, errors="surrogate_or_replace").strip() or f"exit code {rc}"
        raise AnsibleError(f"Cannot become another user with {self._become.name}: {said}")
