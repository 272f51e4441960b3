"""Loaded by Python before one of mosquitto's tests: starts our broker instead of mosquitto, and ends the test where it
switches to MQTT 5, which the built-in broker does not support.

Exit codes besides the test's own: 78 if what ran before the switch passed and exchanged at least one packet, 77 if nothing
ran."""
import os
import subprocess
import sys

NOTHING_RAN = 77
PASSED_UNTIL_MQTT5 = 78

sys.path.insert(0, os.path.join(os.getcwd(), ".."))
_Popen = subprocess.Popen
_started = []
_received = []


class Popen(_Popen):
    def __init__(self, args, *more, **named):
        if isinstance(args, list) and os.path.basename(args[0]) == "mosquitto" and "MQTT_SUITE_BUN" in os.environ:
            args = [os.environ["MQTT_SUITE_BUN"], os.environ["MQTT_SUITE_BROKER"]] + args[1:]
        super().__init__(args, *more, **named)
        _started.append(self)


subprocess.Popen = Popen

try:
    import mosq_test
except ModuleNotFoundError:
    mosq_test = None


def counting(receive):
    """A function that counts the packets which arrived as expected; it raises or returns False for others."""

    def counted(*args, **named):
        result = receive(*args, **named)
        if result is not False:
            _received.append(args)
        return result

    return counted


if mosq_test is not None:
    _gen_connect = mosq_test.gen_connect

    def gen_connect(*args, **named):
        if named.get("proto_ver", 4) == 5:
            for process in _started:
                process.kill()
            # Not sys.exit: the tests' own clean-up would turn it into a failure.
            os._exit(PASSED_UNTIL_MQTT5 if _received else NOTHING_RAN)
        return _gen_connect(*args, **named)

    def get_port(count=1):
        ports = [int(port) for port in os.environ["MQTT_SUITE_PORTS"].split(",")]
        return ports[0] if count == 1 else ports[:count]

    mosq_test.gen_connect = gen_connect
    mosq_test.get_port = get_port
    mosq_test.expect_packet = counting(mosq_test.expect_packet)
    mosq_test.receive_unordered = counting(mosq_test.receive_unordered)
