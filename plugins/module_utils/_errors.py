# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two kinds of error that users of the collection see."""

from __future__ import annotations

from typing import Sequence


class InputError(ValueError):
    """A value of the user's that is refused before anything is touched.

    `path` names the value as the user wrote it, such as `networks[0].hwaddr`.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem

    def under(self, prefix: str) -> InputError:
        """The same error with the path seen from one level further out."""
        if not self.path:
            return InputError(prefix, self.problem)
        joint = "" if self.path.startswith("[") else "."
        return InputError(f"{prefix}{joint}{self.path}", self.problem)


class OperationError(Exception):
    """Something that could not be done: `Cannot <verb> <object> '<name>': <cause>. <advice>`.

    `log` holds the lines that the tool which failed wrote about it, oldest first.
    """

    def __init__(
        self, verb: str, obj: str, name: str, cause: str, advice: str = "", log: Sequence[str] = ()
    ) -> None:
        text = f"Cannot {verb} {obj} '{name}': {cause.rstrip('.')}."
        super().__init__(f"{text} {advice}".rstrip())
        self.verb = verb
        self.cause = cause
        self.advice = advice
        self.log = tuple(log)
