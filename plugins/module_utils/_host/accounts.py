# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which subordinate ids a user of this host may give to containers."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from .._errors import OperationError
from .._model.idmap import IdRange, parse_subid
from .files import read_text


@dataclass(frozen=True)
class SubordinateRanges:
    """A user's ranges in /etc/subuid and /etc/subgid, and everybody else's, which a container must not share."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    foreign_uids: tuple[IdRange, ...]
    foreign_gids: tuple[IdRange, ...]


def subordinate_ranges(
    user: str | int | None = None, subuid: str = "/etc/subuid", subgid: str = "/etc/subgid"
) -> SubordinateRanges:
    """The subordinate ranges of a user, by login name or number; of the one who runs this without `user`.

    Read from the two files; a `subid:` source in nsswitch.conf(5) other than files is not asked. Also root has only
    the ranges that stand there: liblxc goes through newuidmap(1) for root too where that is installed.
    Raises OperationError for an unknown user or an unreadable file.
    """
    names = _spellings(os.geteuid() if user is None else user)
    uids, foreign_uids = parse_subid(read_text(subuid) or "", names)
    gids, foreign_gids = parse_subid(read_text(subgid) or "", names)
    return SubordinateRanges(uids, gids, foreign_uids, foreign_gids)


def _spellings(user: str | int) -> set[str]:
    try:
        entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        if isinstance(user, int):
            # A process may run under a number that has no name; subuid(5) lets it have ranges.
            return {str(user)}
        raise OperationError("find", "user", user, "there is no such account") from None
    return {entry.pw_name, str(entry.pw_uid)}
