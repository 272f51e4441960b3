#!/bin/sh
# Runs the arm64 edgecore on this machine under qemu, with a private set of arm64 libraries, and shows that it starts,
# opens its database and that its MQTT port takes a message. Nothing of the machine's own packages is touched.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/prepare.sh"
need_bun
need_packages
need_command qemu-aarch64-static qemu-user-static
work="$root/.run/arm64"
sysroot="$work/sysroot"
packages='libc6 libgcc-s1 libstdc++6'

private_apt() {
  apt-get -q -o "Dir::State=$work/apt/state" -o "Dir::State::status=$work/apt/status" \
    -o "Dir::Cache=$work/apt/cache" -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
    -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any -o Acquire::Retries=2 \
    -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" </dev/null >&2
}

# Ubuntu keeps arm64 on servers of its own.
with_sources() {
  if grep -q '^ID=ubuntu$' /etc/os-release 2>/dev/null; then
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    printf 'deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] %s %s main\n' \
      http://ports.ubuntu.com/ubuntu-ports "$codename" >"$work/apt/sources.list"
    private_apt -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
  else
    private_apt "$@"
  fi
}

unreachable() {
  say "arm64: cannot fetch the arm64 packages $packages: $1 failed (see the messages above)."
  say "arm64: this step needs a Debian or Ubuntu package server once; with network, run ./scripts/smoke-arm64.sh again."
  exit 1
}

if [ ! -e "$sysroot/.complete" ]; then
  rm -rf "$work"
  mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/debs" "$sysroot"
  : >"$work/apt/status"
  with_sources update || unreachable "apt-get update"
  # shellcheck disable=SC2086
  (cd "$work/debs" && with_sources download $packages) || unreachable "apt-get download"
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$sysroot"; done
  rm -rf "$work/apt" "$work/debs"
  touch "$sysroot/.complete"
fi

(cd "$root" && bun scripts/release/build.ts --target linux-arm64 --no-archives) || {
  say "arm64: cannot build for linux-arm64; the first time this fetches Bun for arm64 from the npm registry."
  exit 1
}
exec bun "$root/scripts/smoke-arm64.ts" "$sysroot"
