# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes each result of a playbook as one JSON line to the file that LVT_EVENTS names."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lvt_events
type: aggregate
short_description: One JSON line for each result
description: For the tests; see tests/integration/conftest.py.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lvt_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = open(os.environ["LVT_EVENTS"], "a", buffering=1)  # noqa: SIM115 - open as long as the run lasts

    def _write(self, status, outcome):
        line = {"status": status, "host": outcome._host.get_name(), "task": outcome._task.get_name()}
        line["result"] = json.loads(self._dump_results(outcome._result))
        self._file.write(json.dumps(line) + "\n")

    def v2_runner_on_ok(self, result):
        self._write("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)

    def v2_playbook_on_stats(self, stats):
        for host in stats.processed:
            self._file.write(json.dumps({"status": "stats", "host": host, "stats": stats.summarize(host)}) + "\n")
