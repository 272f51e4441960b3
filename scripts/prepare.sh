# Sourced by the commands for newcomers: brings what a bare Debian or Ubuntu machine lacks. POSIX sh.
bun_version=1.4.4
tools="$root/.run/tools"

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else
    say "This needs root: $*"
    exit 1
  fi
}

# need_command COMMAND PACKAGE: installs the package when the command is missing.
need_command() {
  if command -v "$1" >/dev/null 2>&1; then return 0; fi
  add_package "$1" "$2"
}

# need_python MODULE PACKAGE: installs the package when no Python of this machine has the module.
need_python() {
  for python in python3 /usr/bin/python3; do
    if "$python" -c "import $1" >/dev/null 2>&1; then return 0; fi
  done
  add_package "$1" "$2"
}

# add_package WHAT PACKAGE: installs the package that brings what is missing.
add_package() {
  if ! command -v apt-get >/dev/null 2>&1; then
    say "\"$1\" is missing; install it and run this again (Debian: apt-get install $2)"
    exit 1
  fi
  say "\"$1\" is missing: apt-get install $2"
  apt_update_once
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" </dev/null >&2 || {
    say "Could not install \"$1\"; try: apt-get update && apt-get install $2"
    exit 1
  }
}

apt_updated=no
apt_update_once() {
  if [ "$apt_updated" = no ]; then as_root apt-get update -q </dev/null >&2 || true; fi
  apt_updated=yes
}

# Puts the pinned Bun first in PATH; a private copy when the machine has another one or none.
need_bun() {
  if command -v bun >/dev/null 2>&1 && [ "$(bun --version 2>/dev/null)" = "$bun_version" ]; then return 0; fi
  PATH="$tools/node_modules/.bin:$PATH"
  export PATH
  if [ "$(bun --version 2>/dev/null)" = "$bun_version" ]; then return 0; fi
  if ! command -v npm >/dev/null 2>&1; then need_command npm npm; fi
  say "Installing Bun $bun_version into $tools"
  mkdir -p "$tools"
  npm install --silent --no-audit --no-fund --prefix "$tools" "bun@$bun_version" </dev/null >&2 || {
    say "Could not install Bun; try: npm install -g bun@$bun_version"
    exit 1
  }
  if [ "$(bun --version 2>/dev/null)" != "$bun_version" ]; then
    say "Bun does not run on this machine; try: npm install -g bun@$bun_version"
    exit 1
  fi
}

# Installs the project's packages when package.json or bun.lock changed since the last time.
need_packages() {
  stamp="$root/node_modules/.installed"
  if [ -e "$stamp" ] && [ ! "$root/bun.lock" -nt "$stamp" ] && [ ! "$root/package.json" -nt "$stamp" ]; then return 0; fi
  (cd "$root" && bun install --frozen-lockfile </dev/null >&2) || {
    say "Could not install the packages; try: bun install"
    exit 1
  }
  touch "$stamp"
}

# A container engine: the running one, else docker.io is installed (who starts it is decided later).
need_engine() {
  if [ -S /var/run/docker.sock ]; then return 0; fi
  if command -v dockerd >/dev/null 2>&1 || [ -x /usr/sbin/dockerd ]; then return 0; fi
  say "No container engine: apt-get install docker.io"
  need_command dockerd docker.io
}

# What containerd needs for pods: runc, the plugins of their network, and what these run.
need_containerd_parts() {
  need_command runc runc
  need_command ip iproute2
  need_command iptables iptables
  if [ ! -e /usr/lib/cni/bridge ] && [ ! -e /opt/cni/bin/bridge ]; then
    add_package "the CNI plugins" containernetworking-plugins
  fi
}

# mosquitto's own tests of brokers (Debian's source package), into .run/mqtt-tests; says so when they cannot be had.
need_mqtt_tests() {
  suite="$root/.run/mqtt-tests"
  if [ -e "$suite/ready" ]; then return 0; fi
  need_command dpkg-source dpkg-dev
  need_command python3 python3
  say "Getting the tests of mosquitto: apt-get source mosquitto"
  rm -rf "$suite"
  mkdir -p "$suite/lists/partial"
  if ls /etc/apt/sources.list.d/*.sources >/dev/null 2>&1; then
    list="$suite/source.sources"
    for file in /etc/apt/sources.list.d/*.sources; do
      sed 's/^Types:.*/Types: deb-src/' "$file"
      echo
    done >"$list"
  else
    list="$suite/source.list"
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed 's/^deb /deb-src /' >"$list"
  fi
  (
    cd "$suite" || exit 1
    set -- -q -o "Dir::Etc::SourceList=$list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$suite/lists" \
      -o APT::Sandbox::User=root
    apt-get "$@" update && apt-get "$@" --download-only source mosquitto &&
      dpkg-source --no-check -x ./*.dsc source && cd source/test/ssl && ./gen.sh && touch "$suite/ready"
  ) </dev/null >"$suite.log" 2>&1 || say "Cannot get them ($suite.log): they are left out"
}
