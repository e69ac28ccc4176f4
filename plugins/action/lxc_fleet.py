# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs lxc_fleet in batches, so that somebody who waits for it sees how far it is.

The documentation is the module's.
"""

from __future__ import annotations

import time
from typing import Any, Dict, Mapping, Optional

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError, OperationError
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._collector import paused_collector
from ansible_collections.lightervisor.lxc.plugins.plugin_utils._fleet_progress import (
    batch_seconds,
    merge_results,
    progress_line,
)

display = Display()


class ActionModule(ActionBase):
    """One call of the module in check mode and for `async`, else as many as it takes; one result in any case."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result: Dict[str, Any] = super().run(tmp, task_vars)
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        batch = self._task.args.get("batch") or {}
        if not isinstance(batch, Mapping):
            raise AnsibleActionFail(str(InputError("batch", f"{batch!r} is not a mapping")))
        if self._task.check_mode or self._task.async_val:
            result.update(self._call(None, task_vars, wrap_async))
        else:
            result.update(self._in_batches(batch, task_vars or {}))
        if display.verbosity < 3:
            result.pop("invocation", None)
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _call(
        self, batch: Optional[Mapping[str, Any]], task_vars: Optional[Dict[str, Any]], wrap_async: bool = False
    ) -> Dict[str, Any]:
        args = {name: value for name, value in self._task.args.items() if name != "batch"}
        if batch is not None:
            args["batch"] = dict(batch)
        with paused_collector():
            outcome: Dict[str, Any] = self._execute_module(module_args=args, task_vars=task_vars, wrap_async=wrap_async)
        return outcome

    def _in_batches(self, batch: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Call the module until nothing remains, nothing goes on or a failure ends it. Returns what all did together.

        `batch` is the user's: its `seconds`, if any, are the length of every batch.
        """
        who = str(task_vars.get("inventory_hostname", ""))
        if self._task.delegate_to:
            who = f"{who} -> {self._task.delegate_to}"
        begin = time.monotonic()
        seconds = batch.get("seconds") or batch_seconds(None)
        result: Dict[str, Any] = {}
        while True:
            start = time.monotonic()
            done = self._call({**batch, "seconds": seconds}, task_vars)
            stuck = bool(result) and not done.get("changed") and done.get("remaining", 0) >= result["remaining"]
            result = merge_results(result, done) if result else done
            if not done.get("remaining") or (done.get("failed") and self._task.args.get("on_error") != "continue"):
                return result
            if stuck:
                result.pop("exception", None)
                return {**result, "failed": True, "msg": self._stuck(who, result, seconds)}
            # Without a terminal, what goes to standard output may lie in a buffer until the playbook ends.
            display.display(progress_line(who, result.get("counts", {}), time.monotonic() - begin), stderr=True)
            batch = {"since": result["began"], **batch} if "began" in result else batch
            failed = [one for one in result.get("containers", []) if one.get("failed")]
            if failed:
                batch = {**batch, "failed": {f"{one['lxcpath']}/{one['name']}": one["msg"] for one in failed}}
            if not batch.get("seconds"):
                seconds = batch_seconds(time.monotonic() - start - seconds)

    @staticmethod
    def _stuck(who: str, result: Mapping[str, Any], seconds: Any) -> str:
        error = OperationError(
            "converge",
            "fleet",
            who,
            f"nothing was done in a batch of {seconds} s, and {result['remaining']} containers remain",
            "Give 'batch.seconds' more than it takes to read the host",
        )
        return f"{result['msg']} {error}" if result.get("msg") else str(error)
