import { Hono } from "hono";
import { ConfigError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { Store } from "#edge/store";
import { describeDevice, liveTwins } from "./handlers.ts";
import type { Device, Registry } from "./registry.ts";

export interface QueryParts {
  readonly registry: Registry;
  readonly store: Store;
  readonly log: Logger;
}

export interface QueryServer extends AsyncDisposable {
  readonly port: number;
}

const mostPoints = 10_000;

/**
 * Present and past values over HTTP, for programs on the node:
 * `GET /devices`, `GET /devices/<id>`, `GET /devices/<id>/<property>?since=&until=&limit=` (milliseconds).
 * @throws ConfigError when the address is taken
 */
export function serveQueries(
  at: { readonly address: string; readonly port: number },
  parts: QueryParts,
): QueryServer {
  const app = makeApp(parts);
  try {
    const server = Bun.serve({ hostname: at.address, port: at.port, fetch: (request) => app.fetch(request) });
    return {
      port: server.port ?? at.port,
      [Symbol.asyncDispose]: () => server.stop(true),
    };
  } catch (cause) {
    throw new ConfigError("listen", `Cannot serve device values on ${at.address}:${at.port}`, { cause });
  }
}

function makeApp({ registry, store }: QueryParts): Hono {
  const app = new Hono();
  app.get("/devices", (c) => {
    const limit = number(c.req.query("limit"), 1000, mostPoints);
    const offset = number(c.req.query("offset"), 0, Number.MAX_SAFE_INTEGER);
    const page = registry.page(offset, limit);
    return c.json({ total: registry.size, devices: page.map((device) => show(device)) });
  });
  app.get("/devices/:id", (c) => {
    const device = registry.find(c.req.param("id"));
    return device ? c.json(show(device)) : c.json(missing("device", c.req.param("id")), 404);
  });
  app.get("/devices/:id/:property", (c) => {
    const device = registry.find(c.req.param("id"));
    const name = c.req.param("property");
    if (!device) return c.json(missing("device", c.req.param("id")), 404);
    const twin = device.twins.get(name);
    if (!twin) return c.json(missing("property", name), 404);
    const history = store.telemetry.query({
      deviceId: device.id,
      name,
      sinceMs: number(c.req.query("since"), 0, Number.MAX_SAFE_INTEGER),
      untilMs: number(c.req.query("until"), Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
      limit: number(c.req.query("limit"), 100, mostPoints),
    });
    return c.json({ device: device.id, property: name, twin: liveTwins(device)[name] ?? null, history });
  });
  return app;
}

function show(device: Device): unknown {
  return { ...describeDevice(device), twin: liveTwins(device) };
}

function missing(what: string, name: string): { readonly error: string } {
  return { error: `${what} "${name}" not found` };
}

/** A whole number of a query text, kept within 0 and `max`; anything else is the fallback. */
function number(text: string | undefined, fallback: number, max: number): number {
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  return Number.isInteger(value) && value >= 0 ? Math.min(value, max) : fallback;
}
