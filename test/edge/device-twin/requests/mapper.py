"""A mapper as they are written for KubeEdge's topics: needs nothing but paho (Debian: python3-paho-mqtt).

Prints a JSON line for each step on standard output; ends when its device is removed from the node.
"""

import argparse
import json
import sys

import paho.mqtt.client as mqtt

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, required=True)
options.add_argument("--node", required=True)
options.add_argument("--device", required=True, help="<id>, or <namespace>/<name>")
options.add_argument("--protocol", choices=["3.1", "3.1.1"], default="3.1.1")
options.add_argument("--transport", choices=["tcp", "websockets"], default="tcp")
options.add_argument("--qos", type=int, choices=[0, 1, 2], default=0)
options = options.parse_args()

NODE = f"$hw/events/node/{options.node}/"
DEVICE = f"$hw/events/device/{options.device}/"
HEARD = [
    NODE + "membership/updated",
    NODE + "membership/get/result",
    DEVICE + "state/update/result",
    DEVICE + "twin/get/result",
    DEVICE + "twin/update/result",
    DEVICE + "twin/update/document",
    DEVICE + "twin/update/delta",
]


def say(step, **facts):
    print(json.dumps({"step": step, **facts}), flush=True)


def publish(client, topic, body):
    client.publish(topic, json.dumps(body), qos=options.qos)


def report(client, values):
    """The word in the type is what the public mappers send."""
    twin = {name: {"actual": {"value": value}, "metadata": {"type": "Updated"}} for name, value in values.items()}
    publish(client, DEVICE + "twin/update", {"event_id": "", "timestamp": 0, "twin": twin})


def connected(client, _data, _flags, code, *_):
    if code != 0:
        sys.exit(f"broker refused the connection: {code}")
    client.subscribe([(topic, options.qos) for topic in HEARD])


def subscribed(client, _data, _id, granted, *_):
    say("subscribed", granted=[int(getattr(code, "value", code)) for code in granted])
    publish(client, NODE + "membership/get", {"event_id": "members", "timestamp": 0})


def on_message(client, _data, message):
    body = json.loads(message.payload)
    if "code" in body:
        say("refused", topic=message.topic, reason=body["reason"])
    elif message.topic == NODE + "membership/get/result":
        say("members", event=body["event_id"], devices=[device["id"] for device in body["devices"]])
        publish(client, DEVICE + "state/update", {"state": "online"})
    elif message.topic == DEVICE + "state/update/result":
        say("state", state=body["device"]["state"])
        # A body as for an update: mappers send one struct for both.
        twin = {"power-status": {"actual": {"value": "unknown"}, "metadata": {"type": "Updated"}}}
        publish(client, DEVICE + "twin/get", {"event_id": "", "timestamp": 0, "twin": twin})
    elif message.topic == DEVICE + "twin/get/result":
        twin = body["twin"]
        wanted = {name: side["expected"]["value"] for name, side in twin.items() if "expected" in side}
        say("twin", names=sorted(twin), wanted=wanted)
        report(client, {"temperature-status": "25C", **wanted})
    elif message.topic == DEVICE + "twin/update/result":
        say("reported", twin={name: side["actual"]["value"] for name, side in body["twin"].items()})
    elif message.topic == DEVICE + "twin/update/document":
        say("document", names=sorted(body["twin"]))
    elif message.topic == DEVICE + "twin/update/delta":
        say("delta", delta=body["delta"])
        report(client, body["delta"])
    elif message.topic == NODE + "membership/updated":
        gone = [device["name"] for device in body["removed_devices"] or []]
        if options.device.split("/")[-1] in gone:
            say("gone")
            client.disconnect()


versions = getattr(mqtt, "CallbackAPIVersion", None)
client = mqtt.Client(
    *([versions.VERSION1] if versions else []),
    client_id="mapper",
    protocol={"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311}[options.protocol],
    transport=options.transport,
)
client.on_connect = connected
client.on_subscribe = subscribed
client.on_message = on_message
client.connect("127.0.0.1", options.port, keepalive=30)
client.loop_forever(retry_first_connection=False)
