#!/bin/sh
# Sets everything up and runs the main job: cloudcore and one edgecore on this machine, a Deployment applied with
# kubectl, its page fetched. Stays up until Ctrl-C; with --once it ends after success.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/prepare.sh"
PATH="$PATH:/usr/sbin:/sbin"
need_bun
need_packages
need_engine
need_command kubectl kubernetes-client
if [ ! -x /bin/busybox ] || ! /bin/busybox httpd --help >/dev/null 2>&1; then need_command busybox busybox-static; fi
if [ "$(id -u)" != 0 ] && [ ! -w /var/run/docker.sock ]; then
  exec sudo -E env "PATH=$PATH" "$(command -v bun)" "$root/scripts/demo.ts" "$@"
fi
exec bun "$root/scripts/demo.ts" "$@"
