"""Loaded by Python before one of mosquitto's tests: starts our broker instead of mosquitto, on ports that are free."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.getcwd(), ".."))
_Popen = subprocess.Popen


class Popen(_Popen):
    def __init__(self, args, *more, **named):
        if isinstance(args, list) and os.path.basename(args[0]) == "mosquitto" and "MQTT_SUITE_BUN" in os.environ:
            args = [os.environ["MQTT_SUITE_BUN"], os.environ["MQTT_SUITE_BROKER"]] + args[1:]
        super().__init__(args, *more, **named)


subprocess.Popen = Popen

try:
    import mosq_test
except ModuleNotFoundError:
    mosq_test = None


def get_port(count=1):
    ports = [int(port) for port in os.environ["MQTT_SUITE_PORTS"].split(",")]
    return ports[0] if count == 1 else ports[:count]


if mosq_test is not None:
    mosq_test.get_port = get_port
