#!/bin/sh
# Runs a test program from a folder of its own, with copies of the programs that it finds beside
# itself; with --as-user as an ordinary user, who may not be able to read the build folder.
#
#   beside.sh [--as-user] TEST [PROGRAM ...]
set -eu

user=
if [ "$1" = --as-user ]; then
    shift
    if [ "$(id -u)" -ne 0 ]; then
        echo "1..0 # SKIP this is an ordinary user already"
        exit 0
    fi
    user="setpriv --reuid 65534 --regid 65534 --clear-groups"
    unset XDG_RUNTIME_DIR
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cp "$@" "$folder"
$user "$folder/$(basename "$1")"
