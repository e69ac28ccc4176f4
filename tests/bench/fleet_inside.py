# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one module with the arguments on standard input and says how long its own work took.

`python fleet_inside.py MODULE FOLDER-with-ansible_collections`. Prints one JSON object: `work`, the seconds from the
beginning of the check of its arguments to the result, without Python's start and the imports at the top; `result`.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from typing import Any


def main() -> None:
    name, collections = sys.argv[1:]
    parameters = sys.stdin.buffer.read()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.path[0] = collections
    from ansible.module_utils import basic

    begin = [0.0]
    init = basic.AnsibleModule.__init__

    def started(self: Any, *args: Any, **kwargs: Any) -> None:
        begin[0] = time.monotonic()
        init(self, *args, **kwargs)

    def ended(self: Any, **result: Any) -> None:
        seconds = time.monotonic() - begin[0]
        print(json.dumps({"work": seconds, "result": result}, default=str))
        sys.exit(0)

    def failed(self: Any, msg: str, **result: Any) -> None:
        ended(self, failed=True, msg=msg, **result)

    basic.AnsibleModule.__init__ = started
    basic.AnsibleModule.exit_json = ended
    basic.AnsibleModule.fail_json = failed
    basic._ANSIBLE_ARGS = parameters
    basic._ANSIBLE_PROFILE = "legacy"
    fqcn = f"ansible_collections.lightervisor.lxc.plugins.modules.{name}"
    sys.argv = [fqcn]
    runpy.run_module(
        fqcn, init_globals={"_module_fqn": fqcn, "_modlib_path": collections}, run_name="__main__", alter_sys=True
    )


main()
