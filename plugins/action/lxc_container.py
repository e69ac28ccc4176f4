# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs lxc_container as Ansible runs any module, but sooner.

The documentation is the module's.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._collector import paused_collector


class ActionModule(NormalAction):
    """Ansible's own action for modules."""

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        with paused_collector():
            result: Dict[str, Any] = super().run(tmp, task_vars)
        return result
