import { randomUUID } from "node:crypto";
import type { MqttClient } from "mqtt";
import type { Host } from "#shared/cli";
import { UnavailableError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { connected, dial } from "./clients.ts";
import type { SimulateOptions } from "./options.ts";
import { advance, makeRoom, readings, type Room } from "./rooms.ts";
import { applyThermostats } from "./thermostats.ts";

interface Figures {
  sent: number;
  answered: number;
  refused: number;
  targets: number;
}

interface Simulation {
  readonly options: SimulateOptions;
  readonly host: Host;
  readonly rooms: readonly Room[];
  readonly byId: ReadonlyMap<string, Room>;
  readonly clients: readonly MqttClient[];
  readonly figures: Figures;
  readonly stop: Promise<void>;
}

/** A Device reaches its node within a second or two; longer means that node and broker do not belong together. */
const arrivalLimitMs = 30_000;

/**
 * Thermostats over real MQTT, each with a room that warms and cools, a set-point it follows and noise.
 * @throws UnavailableError when no report was accepted
 */
export async function simulate(options: SimulateOptions, host: Host): Promise<void> {
  const { devices, prefix, node, kubeconfig, seconds } = options;
  const figures: Figures = { sent: 0, answered: 0, refused: 0, targets: 0 };
  const rooms = Array.from({ length: devices }, (_, n) => makeRoom(`${prefix}${n + 1}`, n));
  if (node !== undefined) {
    await applyThermostats({ names: rooms.map(({ id }) => id), node, kubeconfig });
    host.out(`wrote ${devices} Devices of node ${node}\n`);
  }
  const stopped = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) host.onSignal(signal, stopped.resolve);
  using _end = seconds > 0 ? host.clock.after(seconds * 1000, stopped.resolve) : undefined;
  const clients = dial(options, host);
  const byId = new Map(rooms.map((room) => [room.id, room]));
  const run: Simulation = { options, host, rooms, byId, clients, figures, stop: stopped.promise };
  const ready = Promise.all(clients.map(connected)).then(() => true);
  const met = await Promise.race([ready, run.stop.then(() => false)]);
  if (met) await Promise.race([talk(run), run.stop]);
  for (const client of clients) await client.endAsync(!client.connected);
  host.out(`${JSON.stringify(figures)}\n`);
  judgeRun(options, figures, met);
}

/** A run in which no report was accepted has failed, however it ended. */
function judgeRun({ shown }: SimulateOptions, { sent, answered, refused }: Figures, met: boolean): void {
  if (!met) throw new UnavailableError("away", `Cannot simulate: no connection to ${shown}`);
  if (sent === 0 || answered > 0) return;
  const why =
    refused > 0
      ? `every report was refused (${refused} of ${sent})`
      : `none of ${sent} reports was answered; is edgecore behind ${shown}?`;
  throw new UnavailableError("nothing-taken", `Cannot simulate: ${why}`);
}

async function talk(run: Simulation): Promise<void> {
  const { options, host, rooms, clients, figures, stop } = run;
  for (const [index, client] of clients.entries()) {
    client.on("message", (topic, payload) => receive(run, topic, payload.toString()));
    const mine = rooms.filter((_, n) => n % clients.length === index);
    await client.subscribeAsync(
      mine.flatMap(({ id }) => topicsOf(id)),
      { qos: 1 },
    );
  }
  if (options.node !== undefined) await arrival(run, options.node);
  using timers = new DisposableStack();
  for (const [n, room] of rooms.entries()) {
    const client = clients[n % clients.length];
    if (!client) continue;
    const begin = (): void => {
      send(run, client, `${room.id}/state/update`, { state: "online" });
      timers.use(host.clock.every(options.intervalMs, () => report(run, client, room)));
    };
    timers.use(host.clock.after((options.intervalMs * n) / rooms.length, begin));
  }
  timers.use(host.clock.every(5000, () => !options.quiet && host.out(`${JSON.stringify(figures)}\n`)));
  await stop;
}

/** Waits until the last of the Devices just written has reached the node: until then it refuses their reports. */
async function arrival(run: Simulation, node: string): Promise<void> {
  const { rooms, clients, stop, host } = run;
  const [client, last] = [clients[(rooms.length - 1) % clients.length], rooms.at(-1)];
  if (!client || !last) return;
  const answer = `$hw/events/device/${last.id}/twin/get/result`;
  const known = Promise.withResolvers<boolean>();
  client.on("message", (heard, payload) => {
    if (heard === answer && codeOf(payload.toString()) === undefined) known.resolve(true);
  });
  await client.subscribeAsync(answer);
  {
    const ask = (): void => void (client.connected && send(run, client, `${last.id}/twin/get`, {}));
    using _asking = host.clock.every(200, ask);
    using _limit = host.clock.after(arrivalLimitMs, () => known.resolve(false));
    const found = await Promise.race([known.promise, stop.then(() => true)]);
    const seconds = arrivalLimitMs / 1000;
    const hint = `is ${node} the node of this broker, and Ready?`;
    if (!found) host.err(`${last.id} has not reached the node after ${seconds} s: ${hint}\n`);
  }
  await client.unsubscribeAsync(answer);
}

function topicsOf(id: string): string[] {
  return [`$hw/events/device/${id}/twin/update/result`, `$hw/events/device/${id}/twin/update/delta`];
}

function report(run: Simulation, client: MqttClient, room: Room): void {
  const { host, figures, options } = run;
  advance(room, options.intervalMs / 1000, () => host.clock.random());
  // Without a broker a report is lost, as a real thermostat would lose it.
  if (!client.connected) return;
  figures.sent += 1;
  send(run, client, `${room.id}/twin/update`, { twin: readings(room) });
}

function send({ host }: Simulation, client: MqttClient, topic: string, content: object): void {
  const body = { event_id: randomUUID(), timestamp: host.clock.nowMs(), ...content };
  client.publish(`$hw/events/device/${topic}`, JSON.stringify(body), { qos: 1 });
}

interface Reply {
  /** Of a refusal; undefined for a success. */
  readonly code: number | undefined;
  readonly reason: string | undefined;
  readonly target: string | undefined;
}

function parseReply(text: string): Reply {
  const reply = recordOf(JSON.parse(text));
  const { code, reason, delta } = reply;
  const { target } = recordOf(delta);
  return {
    code: typeof code === "number" ? code : undefined,
    reason: typeof reason === "string" ? reason : undefined,
    target: typeof target === "string" ? target : undefined,
  };
}

function codeOf(text: string): number | undefined {
  return parseReply(text).code;
}

function receive({ byId, figures, host }: Simulation, topic: string, text: string): void {
  const id = topic.split("/")[3] ?? "";
  const room = byId.get(id);
  const { code, reason, target } = parseReply(text);
  if (topic.endsWith("/update/result")) {
    figures[code === undefined ? "answered" : "refused"] += 1;
    if (code !== undefined && figures.refused === 1) host.err(explainRefusal(id, code, reason));
  }
  if (!room || target === undefined || Number.isNaN(Number(target)) || target === room.target) return;
  room.target = target;
  figures.targets += 1;
  host.out(`${room.id}: set to ${target}\n`);
}

function explainRefusal(id: string, code: number, reason = "no reason"): string {
  const hint =
    code === 404
      ? `; a Device "${id}" has to exist on the node of this broker: --apply --node NAME makes it`
      : "";
  return `${id}: the first report refused: ${code} ${reason}${hint}\n`;
}
