# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions, and the plan that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Tuple


@dataclass(frozen=True)
class Action:
    """One step: `verb` selects what the executor does, `detail` is what it needs for it."""

    verb: str
    name: str
    summary: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.summary or f"{self.verb} {self.name}"


@dataclass(frozen=True)
class Plan:
    """What must be done to get from `before` to `after`. No actions: nothing is to be done."""

    actions: Tuple[Action, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    warnings: Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether applying this plan changes anything: Ansible's `changed`."""
        return bool(self.actions)

    def verbs(self) -> Tuple[str, ...]:
        """The actions' verbs, in order."""
        return tuple(action.verb for action in self.actions)


def render_diff(before: Mapping[str, Any], after: Mapping[str, Any], header: str) -> Dict[str, str]:
    """Ansible's diff of two states, one `key: value` line for each, texts of several lines indented below their key."""
    return {
        "before": _render(before),
        "after": _render(after),
        "before_header": header,
        "after_header": header,
    }


def _render(state: Mapping[str, Any]) -> str:
    lines: List[str] = []
    for key, value in state.items():
        if value is None or value == "":
            continue
        if isinstance(value, str) and "\n" in value:
            lines.append(f"{key}:")
            lines.extend(f"  {line}" for line in value.splitlines())
        elif isinstance(value, (list, tuple)):
            lines.append(f"{key}:")
            lines.extend(f"  - {item}" for item in value)
        else:
            lines.append(f"{key}: {value}")
    return "".join(f"{line}\n" for line in lines)
