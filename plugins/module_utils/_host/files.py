# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading text files, and replacing them so that a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from .._errors import OperationError

#: Bytes that no file of a container's own has: who owns its directory decides how many there are.
_LIMIT = 1 << 24
#: The mode of a file that was not there before.
NEW_FILE_MODE = 0o640

_TEMPORARY = ".lightervisor-tmp-"
#: Extended attributes that describe the content of a file, so they must not be copied to another content.
_OF_THE_CONTENT = ("security.ima", "security.evm", "security.capability")


def read_text(path: str) -> str | None:
    """The text of the file, None if there is none. Bytes that are not UTF-8 survive as surrogates.

    Raises OperationError when the file is there and cannot be read, or is not a regular file.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed("read", path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OperationError("read", "file", path, "it is not a regular file")
        parts: list[bytes] = []
        while True:
            part = os.read(fd, 1 << 16)
            if not part:
                return b"".join(parts).decode("utf-8", "surrogateescape")
            parts.append(part)
    except OSError as error:
        raise _failed("read", path, error) from error
    finally:
        os.close(fd)


def read_regular(path: str) -> tuple[bytes, os.stat_result]:
    """The content of a file whose directory may be a guest's, and what fstat says of that very file.

    Neither waits for anything nor follows a symbolic link. Raises OSError, also for what is no regular file or has
    more than 16 MiB.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        parts: list[bytes] = []
        left = _LIMIT
        while left >= 0:
            part = os.read(fd, min(left + 1, 1 << 16))
            if not part:
                return b"".join(parts), found
            parts.append(part)
            left -= len(part)
        raise OSError(errno.EFBIG, "it has more than 16 MiB", path)
    finally:
        os.close(fd)


def write_atomic(path: str, text: str, mode: int | None = None, durable: bool = True) -> None:
    """Replace the file's content, or make the file, so that after a power cut the old or the new text is there.

    Without `durable` that is so after the death of this process only, and takes a tenth of the time.

    A file that exists keeps its owner, mode (unless `mode` is given) and extended attributes. What is there must
    be a regular file: a symbolic link is refused, because its target may be somebody else's.
    Hard links to the old file keep the old text. Temporary files that a killed run left beside it are removed.
    Raises OperationError; the directory is then as before.
    """
    folder, base = os.path.split(path)
    try:
        folder_fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _failed("write", path, error) from error
    try:
        before = _existing(folder_fd, base, path)
        _sweep(folder_fd, base)
        _replace(folder_fd, base, text.encode("utf-8", "surrogateescape"), before, mode, durable)
    except OSError as error:
        raise _failed("write", path, error) from error
    finally:
        os.close(folder_fd)


def sweep_temporary(path: str) -> int:
    """Remove what killed runs of `write_atomic(path, …)` left behind, and say how many files. A live writer's stays."""
    folder, base = os.path.split(path)
    try:
        folder_fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _failed("clean up after", path, error) from error
    try:
        return _sweep(folder_fd, base)
    except OSError as error:
        raise _failed("clean up after", path, error) from error
    finally:
        os.close(folder_fd)


def _failed(verb: str, path: str, error: OSError) -> OperationError:
    return OperationError(verb, "file", path, error.strerror or str(error))


def _existing(folder_fd: int, base: str, path: str) -> os.stat_result | None:
    try:
        found = os.stat(base, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(base, dir_fd=folder_fd)
        raise OperationError(
            "write", "file", path, f"it is a symbolic link to {target}", "Put the file itself in the place of the link."
        )
    if not stat.S_ISREG(found.st_mode):
        raise OperationError("write", "file", path, "it is not a regular file")
    return found


def _prefix(base: str) -> str:
    # A file name has at most 255 bytes.
    return f".{base[:100]}{_TEMPORARY}"


def _sweep(folder_fd: int, base: str) -> int:
    removed = 0
    prefix = _prefix(base)
    for name in os.listdir(folder_fd):
        if not name.startswith(prefix):
            continue
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        except FileNotFoundError:
            continue
        try:
            # Its writer holds a lock on it for as long as it lives.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=folder_fd)
            removed += 1
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            os.close(fd)
    return removed


def _temporary(folder_fd: int, base: str) -> tuple[int, str]:
    while True:
        name = _prefix(base) + os.urandom(6).hex()
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, name
        # Another run swept it between the open and the lock.
        os.close(fd)


def _replace(
    folder_fd: int, base: str, content: bytes, before: os.stat_result | None, mode: int | None, durable: bool
) -> None:
    fd, name = _temporary(folder_fd, base)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if before is not None:
            own = os.fstat(fd)
            if (own.st_uid, own.st_gid) != (before.st_uid, before.st_gid):
                os.fchown(fd, before.st_uid, before.st_gid)
            _copy_xattrs(folder_fd, base, fd)
            wanted = stat.S_IMODE(before.st_mode) if mode is None else mode
        else:
            wanted = NEW_FILE_MODE if mode is None else mode
        # After the ACL: with one, the group bits of the mode are its mask.
        os.fchmod(fd, wanted)
        if durable:
            os.fsync(fd)
        os.rename(name, base, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        try:
            os.unlink(name, dir_fd=folder_fd)
        except FileNotFoundError:
            pass
        raise
    finally:
        os.close(fd)
    if durable:
        os.fsync(folder_fd)


def _copy_xattrs(folder_fd: int, base: str, to_fd: int) -> None:
    from_fd = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        try:
            names = os.listxattr(from_fd)
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
                return
            raise
        for name in names:
            if name in _OF_THE_CONTENT:
                continue
            try:
                os.setxattr(to_fd, name, os.getxattr(from_fd, name))
            except OSError as error:
                # A label that only the kernel's security module may set is given by its policy to the new file too.
                if not (name.startswith(("security.", "trusted.")) and error.errno in (errno.EPERM, errno.ENOTSUP)):
                    raise
    finally:
        os.close(from_fd)
