# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds what a lab guest boots: a Debian with its own cloud kernel, OpenZFS modules for it, and an initrd for QEMU.

The cloud kernel has all that the tests need and boots in seconds even where every instruction is emulated: its ELF
image is unpacked here, so that nothing is decompressed there, and the initrd holds a static busybox and a few modules.
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence

from process import run
from releases import Release

#: Bytes of the root disk, sparse.
ROOT_BYTES = 10 << 30
#: Where a guest has the collection.
COLLECTION = "/opt/collections/ansible_collections/lightervisor/lxc"
_IMAGE = "linux-image-cloud-amd64"


def mirror_lines(release: str) -> list[str]:
    """sources.list lines for the release, from the mirror that this machine's own apt uses. Raises RuntimeError."""
    form = "$(REPO_URI) $(RELEASE)"
    found = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"]).decode()
    own = {line.split()[1]: line.split()[0] for line in found.splitlines() if line.strip()}
    main = next((uri for name, uri in own.items() if "-" not in name), None)
    if main is None:
        raise RuntimeError("this machine's apt knows no Debian mirror: has 'apt-get update' been run?")
    security = next((uri for name, uri in own.items() if name.endswith("-security")), main.rstrip("/") + "-security")
    return [
        f"deb {main} {release} main contrib",
        f"deb {main} {release}-updates main contrib",
        f"deb {security} {release}-security main contrib",
    ]


def bootstrap(folder: Path, release: str, variant: str, packages: Sequence[str], *options: str) -> None:
    """A Debian in the folder. In namespaces of its own, so that a killed build leaves no mounts and no processes."""
    run(
        [
            *("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--propagation", "private"),
            *("mmdebstrap", "--quiet", f"--variant={variant}", "--mode=root"),
            *(f"--include={one}" for one in packages),
            *('--aptopt=Apt::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'),
            *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*"),
            *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"),
            *options,
            *(release, str(folder), "-"),
        ],
        "".join(f"{line}\n" for line in mirror_lines(release)).encode(),
        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    )


def kernel_inputs(release: Release) -> list[str]:
    """What the result of build_kernel depends on."""
    newest = ""
    if f"VERSION_CODENAME={release.name}\n" in Path("/etc/os-release").read_text():
        policy = run(["apt-cache", "policy", _IMAGE, "zfs-dkms"]).decode().splitlines()
        newest = "".join(line for line in policy if "Candidate:" in line)
    return [release.name, str(release.zfs), newest, inspect.getsource(bootstrap), inspect.getsource(build_kernel)]


def build_kernel(folder: Path, release: Release) -> None:
    """The release's cloud kernel as a Debian package, `kernel.deb`, and OpenZFS for it in `modules`.

    Both in one go: the mirror may have another kernel when the next image is built.
    """
    root = folder / "root"
    tools = ["gcc", "make", "libc6-dev", "dkms", "linux-headers-cloud-amd64", "xz-utils", "zfs-dkms"]
    newest = f'$(apt-cache depends {_IMAGE} | sed -n "s/.*Depends: //p" | grep linux-image-)'
    fetch = f"--customize-hook=chroot \"$1\" sh -ec 'cd /; apt-get -q download {newest}'"
    bootstrap(root, release.name, "apt", tools if release.zfs else [], fetch)
    (package,) = root.glob("linux-image-*.deb")
    shutil.move(package, folder / "kernel.deb")
    (folder / "modules").mkdir()
    if release.zfs:
        (tree,) = (root / "lib/modules").glob("*-cloud-amd64")
        if not package.name.startswith(f"linux-image-{tree.name}_"):
            raise RuntimeError(f"{package.name} is not the kernel of the headers {tree.name}")
        for module in (tree / "updates/dkms").glob("*.ko"):
            shutil.copy(module, folder / "modules")
        if not (folder / "modules/zfs.ko").exists():
            raise RuntimeError(f"zfs-dkms has built nothing for {tree.name}")
        run(["strip", "--strip-debug", *(folder / "modules").iterdir()])
    shutil.rmtree(root)


def build_root(folder: Path, release: Release, kernel: Path, key: Path, requirements: Sequence[str]) -> None:
    """`disk`, `vmlinux` and `initrd`. `key`: the directory of the key pair that opens all guests."""
    root = folder / "root"
    bootstrap(root, release.name, "minbase", release.packages)
    version = _install_kernel(root, folder, kernel)
    _settle(root, release.name, key)
    _install_python(root, folder, release, requirements)
    _make_initrd(root, version, folder)
    with (folder / "disk").open("wb") as disk:
        disk.truncate(ROOT_BYTES)
    lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "lab", "-E", lazy, "-d", root, folder / "disk"])
    shutil.rmtree(root)


def _install_kernel(root: Path, folder: Path, kernel: Path) -> str:
    """Unpack the kernel's package, without its scripts: no initramfs and no boot loader is wanted. Its version."""
    top = folder / "kernel.d"
    run(["dpkg-deb", "-x", kernel / "kernel.deb", top])
    (tree,) = [*top.glob("lib/modules/*"), *top.glob("usr/lib/modules/*")]
    shutil.move(tree, root / "usr/lib/modules" / tree.name)
    shutil.copy(top / f"boot/config-{tree.name}", root / "boot")
    shutil.copytree(kernel / "modules", root / "usr/lib/modules" / tree.name / "updates")
    run(["chroot", root, "depmod", tree.name])
    _unpack_kernel(top / f"boot/vmlinuz-{tree.name}", folder / "vmlinux")
    shutil.rmtree(top)
    return tree.name


#: Makes a resumed guest one of its own: NAME NUMBER SECONDS SEED, the time since 1970 and something random.
_WAKE = """\
#!/bin/sh
set -e
date -s "@$3" >/dev/null
echo "$4" >/dev/urandom
perl -e 'open F, "<", "/dev/urandom" and ioctl F, 0x5207, 0 or die "RNDRESEEDCRNG: $!"'
hostname "$1"
echo "$1" >/etc/hostname
printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n::1 localhost\\n' "$1" >/etc/hosts
for link in 1 2; do
    ip link set eth$link address "52:54:00:1a:b$link:0$2" up
done
"""
#: How one guest reaches the other: by the address that eth1 gives itself. The key exchange is a cheap one.
_SSH = """\
Host one
    HostName fe80::5054:ff:fe1a:b101%%eth1
Host two
    HostName fe80::5054:ff:fe1a:b102%%eth1
Host *
    KexAlgorithms curve25519-sha256
"""


def _settle(root: Path, release: str, key: Path) -> None:
    """Make the fresh Debian a lab guest. The tests know one by /etc/lightervisor-lab."""

    def write(path: str, text: str, mode: int = 0o644) -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    write("etc/lightervisor-lab", f"{release}\n")
    write("etc/hostname", "lab\n")
    write("etc/hosts", "127.0.0.1 localhost lab\n::1 localhost\n")
    write("etc/fstab", "/dev/vda / ext4 noatime 0 0\n")
    write("etc/motd", "")
    # Ansible wants UTF-8. sshd and su read this file by pam_env.
    path = "/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    collections = COLLECTION.split("/ansible_collections", 1)[0]
    write("etc/environment", f"LC_ALL=C.UTF-8\nPATH={path}\nANSIBLE_COLLECTIONS_PATH={collections}\n")
    write("usr/local/sbin/lab-wake", _WAKE, 0o755)
    write(
        "etc/systemd/network/10-lab.network",
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
    )
    rules = [
        f'KERNEL=="vd{letter}{part}", SYMLINK+="disk-{name}{link}"'
        for letter, name in (("b", "lvm"), ("c", "zfs"), ("d", "spare"))
        for part, link in (("", ""), ("[0-9]", "-part%n"))
    ]
    write("etc/udev/rules.d/60-lab.rules", "\n".join(rules) + "\n")
    _quicken_busybox(root / "usr/share/lxc/templates/lxc-busybox")
    run(["chroot", root, "systemctl", "--quiet", "enable", "systemd-networkd", "ssh"])
    units = (
        "systemd-networkd-wait-online.service systemd-udev-settle.service systemd-timesyncd.service zfs-zed.service "
        "getty@tty1.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer "
        "e2scrub_reap.service fstrim.timer logrotate.timer"
    )
    run(["chroot", root, "systemctl", "--quiet", "mask", *units.split()])
    run(["chroot", root, "useradd", "-m", "-s", "/bin/bash", "alice"])
    write("var/lib/systemd/linger/alice", "")
    _let_in(root, key)


def _quicken_busybox(template: Path) -> None:
    """Have LXC's busybox template make its 270 links with one program: it starts one for each, for 11 s in a guest."""
    text = template.read_text()
    slow = "xargs -n1 ln -s busybox\n"
    if text.count(slow) != 1:
        raise RuntimeError(f"{template.name} makes its links in another way now")
    template.write_text(text.replace(slow, """xargs perl -e 'symlink "busybox", $_ for @ARGV'\n"""))


def _let_in(root: Path, key: Path) -> None:
    """Root and alice are reached with the lab's key, from outside, from the other guest and from this one."""
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text("UseDNS no\nPrintMotd no\n")
    host = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    (root / "etc/ssh/ssh_known_hosts").write_text(f"* {host}")
    for home in ("root", "home/alice"):
        ssh = root / home / ".ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(key / "id.pub", ssh / "authorized_keys")
    shutil.copy(key / "id", root / "root/.ssh/id_ed25519")
    (root / "root/.ssh/config").write_text(_SSH)
    run(["chroot", root, "chown", "-R", "alice:alice", "/home/alice/.ssh"])


def _install_python(root: Path, folder: Path, release: Release, requirements: Sequence[str]) -> None:
    """A virtual environment with what the tests need, in /opt/lab. This machine's pip fetches it."""
    run([sys.executable, "-m", "venv", folder / "venv"])
    wheels = root / "tmp/wheels"
    fetch = ["download", "-q", "--only-binary=:all:", "--python-version", release.python, "-d", wheels]
    run([folder / "venv/bin/pip", *fetch, *requirements])
    shutil.rmtree(folder / "venv")
    run(["chroot", root, "python3", "-m", "venv", "--system-site-packages", "/opt/lab"])
    install = ["install", "-q", "--no-cache-dir", "--no-index", "--find-links=/tmp/wheels"]
    run(
        ["chroot", root, "/opt/lab/bin/pip", *install, *requirements],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
    )
    shutil.rmtree(wheels)


def _unpack_kernel(image: Path, elf: Path) -> None:
    """The ELF file that is compressed in a bzImage. The compression is told by its magic number."""
    data = image.read_bytes()
    for magic, program in ((b"\x02\x21\x4c\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ", "xz")):
        at = data.find(magic)
        while at >= 0:
            # What follows the compressed part makes the program complain.
            found = subprocess.run([program, "-dc"], input=data[at:], capture_output=True, check=False).stdout
            if found.startswith(b"\x7fELF"):
                elf.write_bytes(found)
                return
            at = data.find(magic, at + 1)
    raise RuntimeError(f"there is no compressed kernel in {image.name}")


def _make_initrd(root: Path, version: str, folder: Path) -> None:
    """An initrd that mounts /dev/vda and goes on from there."""
    top = folder / "initrd.d"
    for name in ("bin", "dev", "mod", "newroot"):
        (top / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", top / "bin/busybox")
    lines = ["#!/bin/busybox sh", "b=/bin/busybox", "$b mount -t devtmpfs dev /dev"]
    wanted = ("virtio_pci", "virtio_blk", "ext4")
    shown = run(["chroot", root, "modprobe", "--show-depends", "--set-version", version, "--all", *wanted]).decode()
    for line in shown.splitlines():
        kind, path = line.split()[:2]
        place = top / "mod" / Path(path).name.removesuffix(".xz")
        if kind == "insmod" and not place.exists():
            found = root / path.lstrip("/")
            place.write_bytes(run(["xz", "-dc", found]) if found.suffix == ".xz" else found.read_bytes())
            run(["strip", "--strip-debug", place])
            lines.append(f"$b insmod /mod/{place.name}")
    lines += [
        "n=0; until [ -b /dev/vda ] || [ $n = 200 ]; do $b sleep 0.05; n=$((n+1)); done",
        "$b mount -t ext4 -o rw,noatime /dev/vda /newroot || exec $b sh",
        "$b mount --move /dev /newroot/dev",
        "exec $b switch_root /newroot /sbin/init",
    ]
    (top / "init").write_text("\n".join(lines) + "\n")
    (top / "init").chmod(0o755)
    files = "".join(f"{path.relative_to(top)}\n" for path in sorted(top.rglob("*"))).encode()
    archive = run(["cpio", "-o", "-H", "newc", "--quiet", "--owner=0:0"], files, cwd=top)
    (folder / "initrd").write_bytes(run(["lz4", "-l", "-9", "-c"], archive))
    shutil.rmtree(top)
