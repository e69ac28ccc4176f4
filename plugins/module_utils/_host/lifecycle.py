# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making containers and taking them away: lxc-create, lxc-copy, lxc-destroy, and what they leave behind when killed."""

from __future__ import annotations

import os
import stat
from typing import Optional, Sequence, Tuple

from .._errors import OperationError
from .._model.config import ConfigDocument
from .._model.container import ContainerSpec
from .._model.idmap import parse_idmap
from .._model.observed import OK, Observed, Reference
from .._model.source import mask
from . import journal
from .commands import Finished, run, why
from .config_check import as_file
from .dependants import forget_dependency
from .mounts import mounted_in
from .observe import observe
from .removal import drop_stale_dependants, folder_of, in_the_way, kept_places, lies_in, reason_to_keep, untouched
from .shift import shift_tree
from .trees import remove_tree
from .wait import wait_until

#: Seconds for those to go that share their rootfs with one that is destroyed.
LEAVING_S = 5.0
#: What a privileged container's ids amount to.
_IDENTITY = ("u 0 0 4294967295", "g 0 0 4294967295")
#: The profile of lxc-copy, where it has one of its own.
_CONFINED = "/etc/apparmor.d/usr.bin.lxc-copy"
#: What makes a directory a container, and goes with the definition wherever the rootfs is.
_DEFINITION = ("config", "lxc_rdepends", "lxc_snapshots", "partial", journal.FILE)


def directory(lxcpath: str, name: str) -> str:
    """The container's own directory."""
    return os.path.join(lxcpath, name)


def create(spec: ContainerSpec, document: ConfigDocument, lock_fd: int) -> None:
    """Make the container by lxc-create, with `document` as its first config.

    Raises OperationError with liblxc's reason. The caller has written the journal.
    """
    template = spec.template
    if template is None:
        raise OperationError("create", "container", spec.name, "no template is given", "Say 'template'")
    config = as_file(document.render())
    try:
        path = f"/proc/self/fd/{config}"
        argv = ["lxc-create", "-P", spec.lxcpath, "-n", spec.name, "-f", path, "-t", template.name]
        if spec.backingstore:
            argv += spec.backingstore.create_arguments()
        argv += ["--", *template.arguments]
        finished = run(argv, keep_fds=[lock_fd, config])
    finally:
        os.close(config)
    _expect_defined("create", spec, finished, template.secrets)


def clone(spec: ContainerSpec, store: str, lock_fd: int) -> None:
    """Make the container by lxc-copy. Raises OperationError with liblxc's reason. The caller wrote the journal."""
    origin = spec.clone
    if origin is None:
        raise OperationError("clone", "container", spec.name, "no origin is given", "Say 'clone'")
    argv = ["lxc-copy", "-P", origin.lxcpath, "-n", origin.source, "-p", spec.lxcpath, "-N", spec.name, "-B", store]
    argv += ["-s"] if origin.snapshot else []
    argv += ["-K"] if origin.keep_name else []
    argv += ["-M"] if origin.keep_mac else []
    if spec.backingstore and spec.backingstore.size:
        # Bytes: the unit is part of the number (get_fssize in storage_utils.c), whatever the man page says.
        argv += ["-L", f"{spec.backingstore.size}b"]
    if store in ("dir", "loop", "lvm", "zfs") and not origin.snapshot:
        run(["rsync", "--version"])
    finished = run(argv, keep_fds=[lock_fd])
    _expect_defined("clone", spec, finished)


def _expect_defined(verb: str, spec: ContainerSpec, finished: Finished, secrets: Sequence[str] = ()) -> None:
    there = observe(spec.name, spec.lxcpath)
    if finished.returncode == 0 and there.health == "ok":
        return
    cause = why(finished) if finished.returncode else there.problem or "lxc reports success, but there is no container"
    log = [mask(line, secrets) for line in finished.stderr.splitlines()[-20:]]
    raise OperationError(verb, "container", spec.name, mask(cause, secrets), _advice(finished.stderr), log)


def _advice(stderr: str) -> str:
    """What helps where LXC may not mount: Debian 13 gives lxc-copy the AppArmor profile of starting containers."""
    if "Failed to rsync" not in stderr or not os.path.exists(_CONFINED):
        return ""
    return (
        "Where AppArmor confines lxc-copy, as on Debian 13, full clones can be made below /var/lib/lxc only: use that "
        f"lxcpath, a snapshot clone, or allow more in {_CONFINED}"
    )


def without_secrets(document: ConfigDocument, secrets: Sequence[str]) -> ConfigDocument:
    """The config with its template's secrets masked in the comment in which lxc-create has noted its arguments."""
    lines = (
        mask(line.text, secrets) if line.text.startswith("# Parameters passed to the template:") else line.text
        for line in document.lines
    )
    return ConfigDocument.parse("".join(lines)) if secrets else document


def own_rootfs(spec: ContainerSpec, observed: Observed, idmap: Sequence[str], before: Sequence[str]) -> None:
    """Give the files of a new full clone the owners of its id map, instead of those of `before`, its origin's."""
    shift_tree(
        observed.rootfs.path,
        parse_idmap(before or _IDENTITY),
        parse_idmap(idmap or _IDENTITY),
    )
    # liblxc lets the guest's root own the container's directory.
    folder = directory(spec.lxcpath, spec.name)
    uid, gid = mapped_root(idmap)
    os.chown(folder, uid, gid)


def mapped_root(idmap: Sequence[str]) -> Tuple[int, int]:
    """Who the guest's root is on the host, as uid and gid."""
    chosen = parse_idmap(idmap or _IDENTITY)
    return chosen.to_host("u", 0) or 0, chosen.to_host("g", 0) or 0


def destroy(
    spec: ContainerSpec, snapshots: bool = False, stays: Optional[str] = None, leaving: Sequence[str] = ()
) -> None:
    """Destroy a stopped container, with its snapshots if told. Raises OperationError.

    By lxc-destroy, unless all that would do is to remove the directory. When that fails the note stays, unless it
    provably had not begun to delete. `stays` is what `reason_to_keep` says, if that is known, of the time when the
    containers `leaving` are gone, which have the rootfs too.
    """
    folder = directory(spec.lxcpath, spec.name)
    before = observe(spec.name, spec.lxcpath)
    _expect_gone(spec, before, leaving)
    mounted = in_the_way(before, stays)
    if mounted:
        raise OperationError("destroy", "container", spec.name, f"{mounted[0]} is mounted in it", "Unmount it first")
    if not snapshots and _is_one_directory(before):
        if before.running or before.dependants or before.snapshots:
            raise OperationError("destroy", "container", spec.name, "it is in use again", "Run it again")
        _take_away(spec)
        return
    drop_stale_dependants(spec.lxcpath, spec.name)
    journal.begin(folder, "destroy")
    since = os.lstat(os.path.join(folder, journal.FILE)).st_ctime_ns
    finished = run(["lxc-destroy", "-P", spec.lxcpath, "-n", spec.name] + (["-s"] if snapshots else []))
    if os.path.lexists(folder):
        after = observe(spec.name, spec.lxcpath)
        if not before.journal and after.health == OK and untouched(after, since):
            journal.end(folder)
        raise OperationError("destroy", "container", spec.name, why(finished))


def _expect_gone(spec: ContainerSpec, observed: Observed, leaving: Sequence[str]) -> None:
    """Raises OperationError when one of those is still there whose removal has begun before this one's."""

    def there() -> Optional[str]:
        configs = {name: os.path.join(directory(spec.lxcpath, name), "config") for name in leaving}
        return next((name for name, config in configs.items() if os.path.lexists(config)), None)

    # Another process may be at it at this moment.
    if not wait_until(lambda: there() is None, LEAVING_S):
        cause = f"its rootfs {observed.rootfs.path} belongs to '{there()}' too, which could not be removed before it"
        raise OperationError("destroy", "container", spec.name, cause, "Remove that first")


def undefine(spec: ContainerSpec, observed: Observed) -> None:
    """Remove a container's definition without liblxc, with its directory, but for a rootfs that must be kept.

    For containers that liblxc can't load, or whose rootfs it must leave alone. See `reason_to_keep`.
    """
    folder = directory(spec.lxcpath, spec.name)
    kept = kept_places(observed) if reason_to_keep(observed) else ()
    stays = []
    with os.scandir(folder) as entries:
        for entry in entries:
            shared = any(lies_in(entry.path, place) or lies_in(place, entry.path) for place in kept)
            if shared and entry.name not in _DEFINITION and not entry.is_symlink():
                stays.append(entry.name)
    if not stays:
        _take_away(spec)
        return
    forget_dependency(Reference(spec.lxcpath, spec.name), folder)
    for name in sorted(os.listdir(folder), key=lambda name: (name == journal.MARK, name == "config")):
        if name not in stays:
            _remove(os.path.join(folder, name))


def discard(spec: ContainerSpec) -> None:
    """Remove a half-made container: its directory, and its name from the list of its origin's dependants.

    Never through lxc-destroy, whose idea of the rootfs may still be the origin's. A rootfs elsewhere goes if the note
    says that it was made for this container.
    """
    noted = journal.read_journal(directory(spec.lxcpath, spec.name)).get("rootfs", "")
    if noted:
        _remove(noted)
    _take_away(spec)


def _is_one_directory(observed: Observed) -> bool:
    """Whether the container is nothing but its directory, so that lxc-destroy would just remove that."""
    return (
        os.geteuid() == 0
        and observed.health == OK
        and not observed.journal
        and observed.rootfs.backingstore in ("dir", "overlay")
        and os.path.realpath(observed.rootfs.path).startswith(os.path.realpath(folder_of(observed)) + "/")
        and not any(observed.effective.values(key) for key in ("lxc.hook.destroy", "lxc.rootfs.managed"))
    )


def _take_away(spec: ContainerSpec) -> None:
    """Remove the container's directory and its name from the list of its origin's dependants.

    First it gets a hidden name: a run that is killed halfway leaves what the next one knows to be going. Its fleet's
    mark goes last, so that a fleet that lists it no more still finds it.
    """
    folder, itself = directory(spec.lxcpath, spec.name), Reference(spec.lxcpath, spec.name)
    going = journal.unfinished(folder)
    if os.path.lexists(folder):
        if os.path.lexists(going):
            forget_dependency(itself, going)
            _remove(going)
        _refuse_mounts(folder)
        os.rename(folder, going)
    forget_dependency(itself, going)
    _remove(going)


def _remove(path: str) -> None:
    """Remove a file or a whole tree, never following a symbolic link. Refused while something is mounted in it."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    _refuse_mounts(path)
    remove_tree(path, last=[journal.MARK])


def _refuse_mounts(path: str) -> None:
    mounted = mounted_in(path)
    if mounted:
        raise OperationError("remove", "directory", path, f"{mounted[0]} is mounted in it", "Unmount it first")
