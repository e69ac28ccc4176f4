# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container's removal must not touch, and what stands in its way."""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

from .._model.observed import ABSENT, NO_ROOTFS, UNREADABLE, Observed
from .._model.rootfs import is_managed
from .container_dir import read_dependants, snapshots_folder
from .disklock import disk_lock
from .files import read_text, write_atomic
from .mounts import mounted_in
from .observe import observe_host
from .rootfs_users import RootfsUsers

#: Where a container's files lie in its own directory, whatever its config says.
_LAYERS = ("rootfs", "overlay", "delta0", "rootdev")
#: Stores whose files are found below the rootfs path.
_DIRECTORIES = ("", "dir", "btrfs", "overlay")


def folder_of(observed: Observed) -> str:
    """The container's own directory."""
    return os.path.join(observed.lxcpath, observed.name)


def lies_in(top: str, path: str) -> bool:
    """Whether `path` is `top` or below it, whatever links or bind mounts either of them is named through."""
    real, place = os.path.realpath(top), os.path.realpath(path)
    try:
        wanted = os.stat(real)
    except OSError:
        wanted = None
    while True:
        if place == real:
            return True
        try:
            if wanted is not None and os.path.samestat(os.stat(place), wanted):
                return True
        except OSError:
            pass
        if place == os.path.dirname(place):
            return False
        place = os.path.dirname(place)


def reason_to_keep(observed: Observed, users: Optional[RootfsUsers] = None) -> str:
    """Why removing the container must leave its rootfs, as a sentence without its full stop; "" if it need not.

    `users` tells of the lxcpath's containers, which are read if it is not given.
    """
    name, path = observed.name, observed.rootfs.path
    if observed.health == ABSENT:
        return ""
    if not observed.complete:
        there = [place for place in kept_places(observed) if os.path.lexists(place)]
        return f"The config of '{name}' can't be read whole, so its rootfs {there[0]} stays" if there else ""
    if not path or (path.startswith("/") and not os.path.lexists(path)):
        return ""
    values = [value for key, value in observed.effective.entries() if key == "lxc.rootfs.managed"]
    broken = observed.health == UNREADABLE
    if not is_managed(values) or (broken and not all(is_managed([value]) for value in values)):
        return f"lxc.rootfs.managed is 0, so the rootfs {path} of '{name}' stays"
    other = (users or RootfsUsers(observe_host([observed.lxcpath], states=False))).other_user(observed)
    if other:
        return f"The rootfs {path} of '{name}' belongs to '{other}' too and stays"
    if observed.health in (UNREADABLE, NO_ROOTFS) and not lies_in(folder_of(observed), path):
        return f"The rootfs {path} of '{name}' is not in its directory and stays"
    return ""


def kept_places(observed: Observed) -> Tuple[str, ...]:
    """The paths that stay when there is a reason to keep the rootfs."""
    places = [observed.rootfs.path] if observed.rootfs.path.startswith("/") else []
    if not observed.complete:
        places += [os.path.join(folder_of(observed), layer) for layer in _LAYERS]
    return tuple(places)


def in_the_way(observed: Observed, stays: Optional[str] = None) -> Tuple[str, ...]:
    """What is mounted where removing the container would delete: lxc-destroy would delete what is mounted, too.

    `stays` is what `reason_to_keep` says, if that is known.

    A guest's own mounts are in its own namespace, and not seen here. What a running guest's hook has mounted on the
    host may go with the guest: that counts only once it has stopped.
    """
    if observed.running and observed.effective.values("lxc.hook.pre-start"):
        return ()
    places = [folder_of(observed), snapshots_folder(observed.lxcpath, observed.name)]
    store, path = observed.rootfs.backingstore, observed.rootfs.path
    noted = observed.journal.get("rootfs", "")
    kept: Tuple[str, ...] = ()
    if reason_to_keep(observed) if stays is None else stays:
        kept = tuple(os.path.realpath(place) for place in kept_places(observed))
    elif path.startswith("/") and store in _DIRECTORIES:
        places.append(path)
    places += [noted] if noted else []
    found = dict.fromkeys(point for place in places for point in mounted_in(place))
    return tuple(
        point
        for point in found
        # zfs destroy unmounts its own.
        if not (store == "zfs" and point == os.path.realpath(path))
        and not any(point == place or point.startswith(f"{place}/") for place in kept)
    )


def drop_stale_dependants(lxcpath: str, name: str) -> None:
    """Take clones that are no more out of `lxc_snapshots`: as long as it names any, liblxc refuses to destroy."""
    path = os.path.join(lxcpath, name, "lxc_snapshots")
    with disk_lock(lxcpath, name):
        listed = read_text(path)
        if listed is None:
            return
        kept = "".join(f"{other.lxcpath}\n{other.name}\n" for other in read_dependants(lxcpath, name))
        if not kept:
            os.unlink(path)
        elif kept != listed:
            write_atomic(path, kept)


def untouched(observed: Observed, since: int) -> bool:
    """Whether provably nothing was removed of the container's files since a time of the file system's clock, in ns.

    Whatever is removed from a directory changes the directory's own ctime. Top of all is the container's directory,
    where the note itself is written.
    """
    folder, path = folder_of(observed), observed.rootfs.path
    tops: List[str] = []
    try:
        with os.scandir(folder) as entries:
            tops += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        snapshots = snapshots_folder(observed.lxcpath, observed.name)
        if observed.snapshots and not snapshots.startswith(f"{folder}/"):
            tops.append(snapshots)
        if path.startswith("/") and observed.rootfs.backingstore in _DIRECTORIES:
            tops.append(path)
        for top in tops:
            for place, _folders, _files in os.walk(top, onerror=_fail):
                if os.lstat(place).st_ctime_ns >= since:
                    return False
    except (OSError, RecursionError):
        return False
    return True


def _fail(error: OSError) -> None:
    raise error
