# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules packed without Python's garbage collector, which more than halves the time that it takes.

Before it ships a module, Ansible parses all that the module imports. The collector looks through the many small objects
of that, and through all of Ansible's own, again and again, and finds nothing to collect.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from ansible.plugins.action.normal import ActionModule as NormalAction


@contextmanager
def paused_collector() -> Iterator[None]:
    """No search for garbage meanwhile."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class ModuleAction(NormalAction):
    """Runs a module as Ansible runs any, but packs it without the collector."""

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        with paused_collector():
            result: Dict[str, Any] = super().run(tmp, task_vars)
        return result
