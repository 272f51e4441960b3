import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";

// The event bus in a process of its own, so that its memory can be measured: `broker-process.ts DIRECTORY BROKER_JSON`.
const [directory = "", broker = "{}"] = process.argv.slice(2);
const edge = await startBus(directory, { broker: JSON.parse(broker) });
const { mqttPort, websocketPort } = edge.bus;
process.on("message", () => process.send?.({ lines: edge.log.lines }));
process.on("disconnect", () => process.exit(0));
process.send?.({ mqttPort, websocketPort });
