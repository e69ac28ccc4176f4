# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026 the lightervisor.lxc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What scripts/test and scripts/demo share: sourced, not run.
# Expects `set -euo pipefail`; sets TOP (the checkout), CACHE (git-ignored) and VENV.

TOP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$TOP/.cache
VENV=$CACHE/venv

# say TEXT: one line about what happens now, with the seconds since the start.
say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

# die TEXT: the reason on standard error, and the end.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

need_root() { [ "$(id -u)" = 0 ] || die "$1 makes real containers: run it as root"; }

# apt_packages PROFILE: the Debian packages that bindep.txt lists without a profile or for this one.
apt_packages() {
    awk -v profile="$1" '
        /^[a-z0-9]/ && /platform:dpkg/ {
            wanted = 1
            selectors = $0
            gsub(/.*\[|\].*/, "", selectors)
            n = split(selectors, words, " ")
            if (n > 1) { wanted = 0; for (i = 1; i <= n; i++) if (words[i] == profile) wanted = 1 }
            if (wanted) print $1
        }' "$TOP/bindep.txt"
}

# ensure_packages PROFILE: install those of them that are missing; asks apt for nothing when none is.
ensure_packages() {
    local package missing=()
    for package in $(apt_packages "$1"); do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "these packages are missing and there is no apt-get: ${missing[*]}"
    [ "$(id -u)" = 0 ] || die "these packages are missing and only root can install them: ${missing[*]}"
    say "installing packages: ${missing[*]}"
    local options=(-q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-install-recommends)
    export DEBIAN_FRONTEND=noninteractive
    mkdir -p "$CACHE"
    if ! apt-get "${options[@]}" install "${missing[@]}" </dev/null >"$CACHE/apt.log" 2>&1; then
        { apt-get -q -o DPkg::Lock::Timeout=300 update && apt-get "${options[@]}" install "${missing[@]}"; } \
            </dev/null >"$CACHE/apt.log" 2>&1 || { tail -n 20 "$CACHE/apt.log" >&2; die "apt-get could not install them"; }
    fi
}

# ensure_venv: a virtual environment that sees the system's python3-lxc, with requirements-dev.txt installed in it.
# It is built again when that file or the system's Python changes. Puts its programs first on PATH.
ensure_venv() {
    local want have
    want=$(cat "$TOP/requirements-dev.txt" <(/usr/bin/python3 -VV) | sha256sum)
    mkdir -p "$CACHE"
    exec {venv_lock}>"$CACHE/venv.lock"
    flock "$venv_lock"
    have=$(cat "$VENV/built-from" 2>/dev/null || true)
    if [ "$want" != "$have" ]; then
        say "building the virtual environment"
        rm -rf "$VENV"
        /usr/bin/python3 -m venv --system-site-packages "$VENV"
        if ! "$VENV/bin/pip" install -q --disable-pip-version-check --no-input -r "$TOP/requirements-dev.txt" \
            </dev/null >"$CACHE/pip.log" 2>&1; then
            tail -n 20 "$CACHE/pip.log" >&2
            die "pip could not install requirements-dev.txt"
        fi
        printf '%s\n' "$want" >"$VENV/built-from"
    fi
    exec {venv_lock}>&-
    export PATH="$VENV/bin:$PATH"
    export VIRTUAL_ENV="$VENV"
    unset PYTHONHOME PYTHONPATH
}

# link_collection: make the checkout an installed collection for Ansible, under $CACHE/collections.
link_collection() {
    local link=$CACHE/collections/ansible_collections/lightervisor/lxc
    mkdir -p "${link%/*}"
    [ "$(readlink "$link" 2>/dev/null)" = "$TOP" ] || ln -sfn "$TOP" "$link"
    export ANSIBLE_COLLECTIONS_PATH="$CACHE/collections"
}
