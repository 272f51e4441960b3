#!/bin/sh
# Runs the arm64 edgecore on this machine under qemu, with a private set of arm64 libraries, and shows that it starts,
# opens its database and tries its link (and serves MQTT). Nothing of the machine's own packages is touched.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/prepare.sh"
need_bun
need_packages
need_command qemu-aarch64-static qemu-user-static
work="$root/.run/arm64"
sysroot="$work/sysroot"

if [ ! -e "$sysroot/lib/aarch64-linux-gnu/libstdc++.so.6" ] && [ ! -e "$sysroot/usr/lib/aarch64-linux-gnu/libstdc++.so.6" ]; then
  rm -rf "$work/apt" "$sysroot"
  mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/debs" "$sysroot"
  : >"$work/apt/status"
  private_apt() {
    apt-get -q \
      -o "Dir::State=$work/apt/state" -o "Dir::State::status=$work/apt/status" -o "Dir::Cache=$work/apt/cache" \
      -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root "$@" </dev/null >&2
  }
  private_apt update
  (cd "$work/debs" && private_apt download libc6 libgcc-s1 libstdc++6)
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$sysroot"; done
fi

(cd "$root" && bun scripts/build.ts --target linux-arm64 --no-archives)
exec bun "$root/scripts/smoke-arm64.ts" "$sysroot"
