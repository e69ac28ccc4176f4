# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes one connection as Ansible would and does what standard input says, without any action plugin in between.

Input: {"options": {…}, "steps": [["exec", command, input in base64 or null], ["put", from, to], ["fetch", from, to],
["reset"]]}. Output: for each step {"rc", "out", "err"} with both texts in base64, or {"error": class, "msg": text},
and "seconds".
"""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any

from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader


def do(connection: Any, step: list[Any]) -> dict[str, Any]:
    begin = time.monotonic()
    answer: dict[str, Any] = {}
    try:
        if step[0] == "exec":
            data = None if step[2] is None else base64.b64decode(step[2])
            rc, out, err = connection.exec_command(step[1], in_data=data)
            answer = {"rc": rc, "out": base64.b64encode(out).decode(), "err": base64.b64encode(err).decode()}
        elif step[0] == "put":
            connection.put_file(step[1], step[2])
        elif step[0] == "fetch":
            connection.fetch_file(step[1], step[2])
        else:
            connection.reset()
    except Exception as error:
        answer = {"error": type(error).__name__, "msg": str(error)}
    answer["seconds"] = time.monotonic() - begin
    return answer


def main() -> None:
    order = json.load(sys.stdin)
    init_plugin_loader()
    connection = connection_loader.get("lightervisor.lxc.lxc", PlayContext())
    connection.set_options(direct=order["options"])
    json.dump([do(connection, step) for step in order["steps"]], sys.stdout)


main()
