# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's monitor protocol (docs/interop/qmp-spec.rst), as far as the lab needs it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class Monitor:
    """A connection to a running QEMU. Raises OSError when it goes away, RuntimeError when it refuses something."""

    def __init__(self, path: Path, timeout: float = 60) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rw", encoding="utf-8")
        self._answer()
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: Any) -> Any:
        """What the command returns."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(f"QEMU refuses {command}: {answer['error'].get('desc')}")
        return answer.get("return")

    def _answer(self) -> dict[str, Any]:
        while line := self._stream.readline():
            message: dict[str, Any] = json.loads(line)
            if "event" not in message:
                return message
        raise OSError("QEMU has closed its monitor")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()
