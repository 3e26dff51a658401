# shellcheck shell=bash disable=SC2034
# The packages the project needs, and their installation; sourced by tools/demo and tools/check.

# What tools/demo needs: a compiler, the libraries, and the servers of the local twin.
packages_demo=(
    gcc meson ninja-build pkg-config libc6-dev
    libyaml-dev libjansson-dev libsqlite3-dev libpq-dev libgnutls28-dev libsodium-dev libnftables-dev
    libmimalloc-dev nettle-dev
    libcurl4-gnutls-dev libmicrohttpd-dev
    haproxy postgresql-15 prometheus prometheus-alertmanager prometheus-node-exporter
    iproute2 curl
)
# What tools/check needs on top.
packages_check=(
    ccache clang libclang-rt-14-dev clang-format clang-tidy valgrind libc6-dbg
    prometheus-blackbox-exporter docker.io dnsmasq-base udhcpc
    shellcheck codespell gcovr pmccabe coccinelle git python3 python3-jsonschema util-linux nftables systemd
    mount e2fsprogs
)

# What the tests with other people's programs need on top of that, beside an npm.
packages_interop=(python3-venv chromium chromium-driver)

# Prints those of its arguments that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
            echo "$package"
    done
}

# Installs packages without letting their services start: the tests start their own servers.
apt_install() {
    local policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf status=0
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e "$cluster" ] && [ ! -d /usr/lib/postgresql ]; then
        mkdir -p "${cluster%/*}"
        echo 'create_main_cluster = false' >"$cluster"
    fi
    if [ -e "$policy" ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get update -q </dev/null || true
    apt-get install -y -q --no-install-recommends \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null ||
        status=$?
    [ -z "$policy" ] || rm -f "$policy"
    return "$status"
}

# Makes sure that all the packages named are there: installs them as root; as an ordinary user says
# which are missing and the command. Returns 0 when all are there in the end.
need_packages() {
    local missing log
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is no Debian, so nothing is installed. Needed, under the names of Debian 12: $*"
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "Missing packages: ${missing[*]}"
        echo "Install them, then run this again: sudo apt-get install --no-install-recommends ${missing[*]}"
        return 1
    fi
    echo "Installing ${#missing[@]} missing packages: ${missing[*]}"
    log=$(mktemp)
    if ! apt_install "${missing[@]}" >"$log" 2>&1; then
        tail -n 20 "$log"
        rm -f "$log"
        echo "apt-get could not install them; see above."
        return 1
    fi
    rm -f "$log"
}

# Prints a folder to build in that this user may write and that no other user's run can break:
# build/ in the clone for its owner, build-USER/ for others, a folder in /tmp when the clone is not
# writable.
build_folder() {
    local top=$1 user folder
    user=$(id -un 2>/dev/null || id -u)
    folder=$top/build
    [ "$(stat -c %u "$top")" = "$(id -u)" ] || folder=$top/build-$user
    if [ -e "$folder" ] && [ ! -O "$folder" ]; then
        folder=$top/build-$user
    fi
    if ! mkdir -p "$folder" 2>/dev/null || [ ! -w "$folder" ]; then
        folder=${TMPDIR:-/tmp}/parley-build-$user-$(printf %s "$top" | cksum | cut -d' ' -f1)
        mkdir -p "$folder" || return 1
        [ -O "$folder" ] || return 1
    fi
    printf '%s\n' "$folder"
}
