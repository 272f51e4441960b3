import { parseArgs } from "node:util";
import { connectAsync, type MqttClient } from "mqtt";

/**
 * Devices that are not there: each a thermostat over real MQTT, with a room that warms and cools, a set-point it
 * follows and noise. `bun scripts/simulate.ts --help` says how to use it.
 */
const help = `Simulate thermostats over MQTT.

  bun scripts/simulate.ts [--broker mqtt://127.0.0.1:1884] [--devices 10] [--prefix thermo-]
                          [--interval 1000] [--connections 10] [--seconds 0] [--quiet]

Each device <prefix><n> reports temperature, humidity and target on
$hw/events/device/<id>/twin/update every <interval> ms and takes a new target from its delta.
--seconds 0 runs until interrupted.`;

interface Room {
  readonly id: string;
  temperature: number;
  humidity: number;
  target: number;
  /** seconds into its day */
  phase: number;
}

interface Figures {
  sent: number;
  answered: number;
  refused: number;
  targets: number;
}

const { values } = parseArgs({
  options: {
    broker: { type: "string", default: "mqtt://127.0.0.1:1884" },
    devices: { type: "string", default: "10" },
    prefix: { type: "string", default: "thermo-" },
    interval: { type: "string", default: "1000" },
    connections: { type: "string", default: "10" },
    seconds: { type: "string", default: "0" },
    quiet: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) console.log(help);
else await simulate();

async function simulate(): Promise<void> {
  const count = Number(values.devices);
  const interval = Number(values.interval);
  const figures: Figures = { sent: 0, answered: 0, refused: 0, targets: 0 };
  const rooms = Array.from({ length: count }, (_, n) => makeRoom(`${values.prefix}${n + 1}`, n));
  const byId = new Map(rooms.map((room) => [room.id, room]));
  const clients = await connectAll(Math.min(count, Number(values.connections)));
  for (const [index, client] of clients.entries()) {
    client.on("message", (topic, payload) => hear(byId, figures, { topic, text: payload.toString() }));
    const mine = rooms.filter((_, n) => n % clients.length === index);
    await client.subscribeAsync(
      mine.flatMap(({ id }) => topicsOf(id)),
      { qos: 1 },
    );
  }
  const timers = rooms.map((room, n) => {
    const client = clients[n % clients.length];
    return setTimeout(
      () => {
        client?.publish(`$hw/events/device/${room.id}/state/update`, body({ state: "online" }), { qos: 1 });
        timers[n] = setInterval(() => client && report(client, room, figures, interval), interval);
      },
      (interval * n) / count,
    );
  });
  const shown = setInterval(() => !values.quiet && console.log(JSON.stringify(figures)), 5000);
  await ended(Number(values.seconds));
  for (const timer of timers) clearInterval(timer);
  clearInterval(shown);
  for (const client of clients) await client.endAsync();
  console.log(JSON.stringify(figures));
}

function connectAll(count: number): Promise<MqttClient[]> {
  const options = { reconnectPeriod: 1000, protocolVersion: 4 as const };
  return Promise.all(
    Array.from({ length: count }, (_, n) =>
      connectAsync(values.broker, { ...options, clientId: `simulator-${process.pid}-${n}` }),
    ),
  );
}

function makeRoom(id: string, n: number): Room {
  return { id, temperature: 18 + (n % 7), humidity: 45, target: 21, phase: n * 137 };
}

function topicsOf(id: string): string[] {
  return [`$hw/events/device/${id}/twin/update/result`, `$hw/events/device/${id}/twin/update/delta`];
}

/** A room moves towards its set-point, with a daily swing and noise. */
function advance(room: Room, seconds: number): void {
  room.phase += seconds;
  const outside = 8 + 6 * Math.sin((room.phase / 86_400) * 2 * Math.PI);
  const heating = Math.max(-1, Math.min(1, room.target - room.temperature));
  const noise = (Math.random() - 0.5) * 0.1;
  room.temperature += seconds * (heating * 0.05 + (outside - room.temperature) * 0.0005) + noise;
  room.humidity = Math.min(95, Math.max(15, room.humidity + (Math.random() - 0.5)));
}

function report(client: MqttClient, room: Room, figures: Figures, interval: number): void {
  advance(room, interval / 1000);
  const reading = (value: number): object => ({
    actual: { value: value.toFixed(1) },
    metadata: { type: "float" },
  });
  figures.sent += 1;
  const twin = {
    temperature: reading(room.temperature),
    humidity: reading(room.humidity),
    target: reading(room.target),
  };
  client.publish(`$hw/events/device/${room.id}/twin/update`, body({ twin }), { qos: 1 });
}

function body(content: object): string {
  return JSON.stringify({ event_id: crypto.randomUUID(), timestamp: Date.now(), ...content });
}

function hear(
  rooms: ReadonlyMap<string, Room>,
  figures: Figures,
  { topic, text }: { readonly topic: string; readonly text: string },
): void {
  const room = rooms.get(topic.split("/")[3] ?? "");
  const message = JSON.parse(text) as {
    readonly code?: number;
    readonly delta?: { readonly target?: string };
  };
  if (topic.endsWith("/result")) figures[message.code === undefined ? "answered" : "refused"] += 1;
  const target = Number(message.delta?.target);
  if (!room || message.delta?.target === undefined || Number.isNaN(target) || target === room.target) return;
  room.target = target;
  figures.targets += 1;
  console.log(`${room.id}: set to ${target}`);
}

async function ended(seconds: number): Promise<void> {
  const stop = Promise.withResolvers<void>();
  process.once("SIGINT", stop.resolve);
  process.once("SIGTERM", stop.resolve);
  if (seconds > 0) setTimeout(stop.resolve, seconds * 1000);
  await stop.promise;
}
