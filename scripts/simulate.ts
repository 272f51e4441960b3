import { connect, type MqttClient } from "mqtt";
import { advance, makeRoom, readings, type Room } from "./rooms.ts";
import { help, readOptions, type SimulateOptions } from "./simulate-options.ts";
import { applyThermostats } from "./thermostats.ts";

/**
 * Devices that are not there: each a thermostat over real MQTT, with a room that warms and cools, a set-point it
 * follows and noise. `bun scripts/simulate.ts --help` says how to use it.
 */
interface Figures {
  sent: number;
  answered: number;
  refused: number;
  targets: number;
}

interface Simulation {
  readonly options: SimulateOptions;
  readonly rooms: readonly Room[];
  readonly byId: ReadonlyMap<string, Room>;
  readonly clients: readonly MqttClient[];
  readonly figures: Figures;
  readonly stop: Promise<void>;
}

const arrivalLimitMs = 30_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") {
    console.log(help);
    return 0;
  }
  try {
    if ("refusal" in options) throw new Error(options.refusal);
    await simulate(options);
    return 0;
  } catch (error) {
    console.error(`simulate: ${error instanceof Error ? error.message : String(error)}`);
    return "refusal" in options ? 2 : 1;
  }
}

async function simulate(options: SimulateOptions): Promise<void> {
  const { devices, prefix, node, kubeconfig } = options;
  const figures: Figures = { sent: 0, answered: 0, refused: 0, targets: 0 };
  const rooms = Array.from({ length: devices }, (_, n) => makeRoom(`${prefix}${n + 1}`, n));
  if (node !== undefined) {
    await applyThermostats({ names: rooms.map(({ id }) => id), node, kubeconfig });
    console.log(`wrote ${devices} Devices of node ${node}`);
  }
  const stop = ended(options.seconds);
  const clients = dial(options);
  const byId = new Map(rooms.map((room) => [room.id, room]));
  const run: Simulation = { options, rooms, byId, clients, figures, stop };
  await Promise.race([talk(run), stop]);
  for (const client of clients) await client.endAsync(!client.connected);
  console.log(JSON.stringify(figures));
}

/** Clients that go on trying; of a broker that is away they tell once, all together. */
function dial({ broker, devices, connections }: SimulateOptions): MqttClient[] {
  const shown = broker.replace(/\/\/[^/]*@/, "//");
  let away = false;
  return Array.from({ length: Math.min(devices, connections) }, (_, n) => {
    const client = connect(broker, {
      reconnectPeriod: 1000,
      protocolVersion: 4,
      clientId: `simulator-${process.pid}-${n}`,
    });
    const tell = (why: string): void => {
      if (!away && !client.disconnecting) console.error(`${shown}: ${why}; trying again every second`);
      away = true;
    };
    client.on("error", (error: Error & { readonly code?: string | number }) =>
      tell(error.message === "" ? String(error.code) : error.message),
    );
    client.on("close", () => tell("the connection was closed"));
    client.on("connect", () => {
      if (away) console.error(`${shown}: connected`);
      away = false;
    });
    return client;
  });
}

async function talk(run: Simulation): Promise<void> {
  const { options, rooms, clients, figures, stop } = run;
  await Promise.all(clients.map((client) => (client.connected ? undefined : once(client))));
  for (const [index, client] of clients.entries()) {
    client.on("message", (topic, payload) => hear(run, topic, payload.toString()));
    const mine = rooms.filter((_, n) => n % clients.length === index);
    await client.subscribeAsync(
      mine.flatMap(({ id }) => topicsOf(id)),
      { qos: 1 },
    );
  }
  if (options.node !== undefined) await arrival(run, options.node);
  const { intervalMs, quiet } = options;
  const timers = rooms.map((room, n) => {
    const client = clients[n % clients.length];
    return setTimeout(
      () => {
        client?.publish(`$hw/events/device/${room.id}/state/update`, body({ state: "online" }), { qos: 1 });
        timers[n] = setInterval(() => client && report(client, room, figures, intervalMs), intervalMs);
      },
      (intervalMs * n) / rooms.length,
    );
  });
  const shown = setInterval(() => !quiet && console.log(JSON.stringify(figures)), 5000);
  await stop;
  for (const timer of timers) clearInterval(timer);
  clearInterval(shown);
}

function once(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("connect", () => resolve()));
}

/** Waits until the node knows the last of the Devices just written: before, it would refuse their reports. */
async function arrival({ rooms, clients, stop }: Simulation, node: string): Promise<void> {
  const [client, last] = [clients[(rooms.length - 1) % clients.length], rooms.at(-1)];
  if (!client || !last) return;
  const topic = `$hw/events/device/${last.id}/twin/get`;
  const known = Promise.withResolvers<boolean>();
  client.on("message", (heard, payload) => {
    if (heard === `${topic}/result` && codeOf(payload.toString()) === undefined) known.resolve(true);
  });
  await client.subscribeAsync(`${topic}/result`);
  const asking = setInterval(() => client.connected && client.publish(topic, body({})), 200);
  const limit = setTimeout(() => known.resolve(false), arrivalLimitMs);
  const found = await Promise.race([known.promise, stop.then(() => true)]);
  clearInterval(asking);
  clearTimeout(limit);
  await client.unsubscribeAsync(`${topic}/result`);
  if (!found)
    console.error(
      `${last.id} has not reached the node after ${arrivalLimitMs / 1000} s: is ${node} the node of this broker, and Ready?`,
    );
}

function topicsOf(id: string): string[] {
  return [`$hw/events/device/${id}/twin/update/result`, `$hw/events/device/${id}/twin/update/delta`];
}

function report(client: MqttClient, room: Room, figures: Figures, intervalMs: number): void {
  advance(room, intervalMs / 1000);
  // Without a broker a report is lost, as a real thermostat would lose it.
  if (!client.connected) return;
  figures.sent += 1;
  client.publish(`$hw/events/device/${room.id}/twin/update`, body({ twin: readings(room) }), { qos: 1 });
}

function body(content: object): string {
  return JSON.stringify({ event_id: crypto.randomUUID(), timestamp: Date.now(), ...content });
}

function codeOf(text: string): number | undefined {
  return (JSON.parse(text) as { readonly code?: number }).code;
}

function hear({ byId, figures }: Simulation, topic: string, text: string): void {
  const id = topic.split("/")[3] ?? "";
  const room = byId.get(id);
  const message = JSON.parse(text) as {
    readonly code?: number;
    readonly reason?: string;
    readonly delta?: { readonly target?: string };
  };
  if (topic.endsWith("/update/result")) {
    figures[message.code === undefined ? "answered" : "refused"] += 1;
    if (message.code !== undefined && figures.refused === 1) explainRefusal(id, message.code, message.reason);
  }
  const target = message.delta?.target;
  if (!room || target === undefined || Number.isNaN(Number(target)) || target === room.target) return;
  room.target = target;
  figures.targets += 1;
  console.log(`${room.id}: set to ${target}`);
}

function explainRefusal(id: string, code: number, reason = "no reason"): void {
  const hint =
    code === 404
      ? `; a Device "${id}" has to exist on the node of this broker: --apply --node NAME makes it`
      : "";
  console.error(`${id}: the first report refused: ${code} ${reason}${hint}`);
}

async function ended(seconds: number): Promise<void> {
  const stop = Promise.withResolvers<void>();
  process.once("SIGINT", stop.resolve);
  process.once("SIGTERM", stop.resolve);
  if (seconds > 0) setTimeout(stop.resolve, seconds * 1000);
  await stop.promise;
}
