#!/bin/sh
# Installs what the tests need and runs all of them; the last line says how many passed, failed and were skipped.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/prepare.sh"
PATH="$PATH:/usr/sbin:/sbin"
need_bun
need_packages
need_engine
need_command containerd containerd
need_containerd_parts
need_command kubectl kubernetes-client
need_command mosquitto_pub mosquitto-clients
need_command mosquitto mosquitto
need_command docker-registry docker-registry
need_command busybox busybox-static
need_command openssl openssl
need_command curl curl
need_mqtt_tests
need_python paho.mqtt.client python3-paho-mqtt
exec bun "$root/scripts/test.ts" "$@"
