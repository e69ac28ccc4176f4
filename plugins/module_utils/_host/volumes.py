# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root file systems that are no directory: they are mounted to be looked into, where nobody else sees it."""

from __future__ import annotations

import os
from typing import Tuple

from .._errors import OperationError
from .._model.observed import Observed
from .commands import run, why

#: Backingstores whose rootfs is a file system of its own, and how that is mounted. Without its helper, mount.zfs, ZFS
#: does not mind where a data set is to be mounted otherwise.
VOLUMES = {
    "lvm": (),
    "loop": ("-o", "loop"),
    "rbd": (),
    "zfs": ("-i", "-t", "zfs"),
}
_CHOWN = 'owner=$1 place=$2; shift 2; mount "$@" "$place"; chown "$owner" "$place"; stat -c %u:%g "$place"'


def own_top(observed: Observed, owner: Tuple[int, int]) -> None:
    """Make a volume's top directory belong to `owner`, uid and gid of the host. Raises OperationError.

    do_storage_create in lxccontainer.c changes the owner of the mount point, and only then mounts the new file system
    there: in an unprivileged container `/` would be nobody's.
    """
    store, path = observed.rootfs.backingstore, observed.rootfs.path
    wanted, place = f"{owner[0]}:{owner[1]}", os.path.join(observed.lxcpath, observed.name, "rootfs")
    # The mount ends with the namespace, whatever happens here.
    finished = run(["unshare", "--mount", "sh", "-ec", _CHOWN, "sh", wanted, place, *VOLUMES[store], path])
    if finished.stdout.strip() != wanted:
        cause = f"its root file system {path} could not be given to the guest's root: {why(finished)}"
        raise OperationError("create", "container", observed.name, cause)
