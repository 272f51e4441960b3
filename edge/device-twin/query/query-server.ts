import { Hono, type Context } from "hono";
import type { Clock } from "#shared/clock";
import type { TwinConfig } from "#shared/config";
import { isRecord } from "#shared/json";
import { serveLocally, type LocalServer } from "#shared/local-http";
import type { Logger } from "#shared/log";
import { expositionType } from "#shared/prometheus";
import { historyBounds, mostPoints, readWholeNumbers } from "#shared/query";
import type { HistoryPoint, Store } from "#edge/store";
import { describeDevice, liveTwins, type BoundDevice, type DeviceRegistry } from "#edge/device-twin/devices";

export interface QueryParts {
  readonly registry: DeviceRegistry;
  readonly store: Pick<Store, "telemetry" | "outbox" | "backlog">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly figures?: ((part: string) => Promise<string | undefined>) | undefined;
}

type QuerySources = Omit<QueryParts, "clock" | "log" | "figures">;

interface QueryRefusal {
  readonly code: 400 | 404;
  readonly error: string;
}

interface PropertyHistory {
  readonly device: string;
  readonly property: string;
  readonly twin: unknown;
  /** Oldest first. */
  readonly history: readonly HistoryPoint[];
}

/**
 * Bytes of values in one answer: a quarter of what a message of the link may have, the rest is for escapes and fields.
 */
const mostAnswerBytes = 8 * 1024 * 1024;
const pageBounds = {
  limit: { fallback: 1000, least: 1, most: mostPoints },
  offset: { fallback: 0, least: 0, most: Number.MAX_SAFE_INTEGER },
};

/**
 * Values and history over HTTP, for programs on the node:
 * `GET /devices`, `GET /devices/<id>`, `GET /devices/<id>/<property>?since=&until=&limit=` (milliseconds). An id is the
 * name of a Device, or its namespace, a slash and its name. Other machines need the token.
 * @throws ConfigError when the address is taken or the token cannot be read
 */
export function serveQueries(config: NonNullable<TwinConfig["query"]>, parts: QueryParts): LocalServer {
  const { address, port, tokenFile, folder } = config;
  const { clock, log } = parts;
  return serveLocally(makeApp(parts), {
    address,
    port,
    ...(tokenFile !== undefined && {
      tokenFile: { path: tokenFile, setting: "devicetwin.query-token-file" },
    }),
    what: "device values",
    portSetting: "devicetwin.query-port",
    folder,
    name: "devices",
    clock,
    log,
  });
}

/** The answer to a history query of the cloud: as over HTTP, or why the query is refused. */
export function answerHistory(
  sources: QuerySources,
  deviceId: string,
  content: unknown,
): PropertyHistory | QueryRefusal {
  const query = isRecord(content) ? content : {};
  const { property } = query;
  if (typeof property !== "string") return { code: 400, error: "property: expected the name of a property" };
  return readHistory(sources, { deviceId, property }, (name) => query[name]);
}

function makeApp(parts: QueryParts): Hono {
  const { registry } = parts;
  const app = new Hono();
  addOutboxRoute(app, parts.store);
  if (parts.figures) addFigureRoutes(app, parts.figures);
  app.get("/devices", (c) => {
    const read = readWholeNumbers(pageBounds, (name) => c.req.query(name));
    if (!read.ok) return c.json({ error: read.problem }, 400);
    const page = registry.page(read.values.offset, read.values.limit);
    return c.json({ total: registry.size, devices: page.map((device) => show(device)) });
  });
  app.get("/devices/:id", (c) => {
    const device = registry.find(c.req.param("id"));
    return device ? c.json(show(device)) : c.json({ error: missing("device", c.req.param("id")).error }, 404);
  });
  const history = (c: Context, deviceId: string, property: string): Response => {
    const found = readHistory(parts, { deviceId, property }, (name) => c.req.query(name));
    return "error" in found ? c.json({ error: found.error }, found.code) : c.json(found);
  };
  app.get("/devices/:id/:property", (c) => {
    const { id, property } = c.req.param();
    const qualified = registry.find(id) ? undefined : registry.find(`${id}/${property}`);
    return qualified ? c.json(show(qualified)) : history(c, id, property);
  });
  app.get("/devices/:namespace/:name/:property", (c) => {
    const { namespace, name, property } = c.req.param();
    return history(c, `${namespace}/${name}`, property);
  });
  return app;
}

/** `GET /outbox`: messages that wait for the cloud, and how many were folded or dropped since when. */
function addOutboxRoute(app: Hono, { outbox, backlog }: Pick<Store, "outbox" | "backlog">): void {
  app.get("/outbox", (c) => {
    const { sinceMs, lastMs, ...losses } = backlog.losses();
    const lost = { ...losses, since: sinceMs ?? null, last: lastMs ?? null };
    return c.json({ ...outbox.size(), limitBytes: backlog.limitBytes, ...lost });
  });
}

/** `GET /metrics` for Prometheus, and as kubelet has them `/metrics/cadvisor` and `/metrics/resource`. */
function addFigureRoutes(app: Hono, figures: NonNullable<QueryParts["figures"]>): void {
  const answer = async (c: Context, part: string): Promise<Response> => {
    const text = await figures(part);
    return text === undefined ? c.notFound() : c.body(text, 200, { "Content-Type": expositionType });
  };
  app.get("/metrics", (c) => answer(c, ""));
  app.get("/metrics/:part", (c) => answer(c, c.req.param("part")));
}

/** Reads history, for HTTP and for the cloud alike. @param given a parameter of the query, by name */
function readHistory(
  { registry, store }: QuerySources,
  { deviceId, property }: { readonly deviceId: string; readonly property: string },
  given: (name: string) => unknown,
): PropertyHistory | QueryRefusal {
  const device = registry.find(deviceId);
  if (!device) return missing("device", deviceId);
  if (!device.twins.has(property)) return missing("property", property);
  const read = readWholeNumbers(historyBounds, given);
  if (!read.ok) return { code: 400, error: read.problem };
  const { since: sinceMs, until: untilMs, limit } = read.values;
  const points = store.telemetry.query({ deviceId: device.id, name: property, sinceMs, untilMs, limit });
  const live = liveTwins(device);
  const twin = Object.hasOwn(live, property) ? (live[property] ?? null) : null;
  return { device: device.id, property, twin, history: newestWithin(points, mostAnswerBytes) };
}

/** The newest points whose values fit into so many bytes. */
function newestWithin(points: readonly HistoryPoint[], mostBytes: number): readonly HistoryPoint[] {
  let bytes = 0;
  const fits = points.findLastIndex(({ value }) => (bytes += Buffer.byteLength(value)) > mostBytes);
  return points.slice(fits + 1);
}

function show(device: BoundDevice): unknown {
  return { ...describeDevice(device), twin: liveTwins(device) };
}

function missing(what: string, name: string): QueryRefusal {
  return { code: 404, error: `${what} "${name}" not found` };
}
