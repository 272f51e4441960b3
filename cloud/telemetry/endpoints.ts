import { Hono, type Context } from "hono";
import type { ExtraReply, ExtraResource } from "#cloud/kube-api/http";
import type { Clock } from "#shared/clock";
import type { TelemetryConfig } from "#shared/config";
import type { ConnectionBudget } from "#shared/connections";
import { serveLocally, type LocalServer } from "#shared/local-http";
import type { Logger } from "#shared/log";
import { expositionType } from "#shared/prometheus";
import type { Questions } from "./questions.ts";

export interface TelemetryServerOptions {
  readonly http: NonNullable<TelemetryConfig["http"]>;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connections?: ConnectionBudget | undefined;
  readonly figures?: (() => string) | undefined;
}

/**
 * `GET /uploads?node=&topic=&after=&limit=` and `GET /devices/<namespace>/<name>/<property>?since=&until=&limit=`, for
 * programs on this machine, or with the token.
 * @throws ConfigError when the address is taken or the token cannot be read
 */
export function serveTelemetry(
  { http, dataDir, ...parts }: TelemetryServerOptions,
  questions: Questions,
): LocalServer {
  const app = new Hono();
  app.get("/uploads", (c) => show(c, questions.uploads(queryOf(c))));
  app.get("/devices/:namespace/:device/:property", async (c) => {
    const { signal } = c.req.raw;
    return show(c, await questions.history({ ...c.req.param(), given: queryOf(c), signal }));
  });
  const { figures } = parts;
  if (figures) app.get("/metrics", (c) => c.body(figures(), 200, { "Content-Type": expositionType }));
  const { address, port, tokenFile } = http;
  return serveLocally(app, {
    address,
    port,
    ...(tokenFile !== undefined && { tokenFile: { path: tokenFile, setting: "telemetry.token-file" } }),
    what: "telemetry",
    portSetting: "telemetry.port",
    folder: dataDir,
    name: "telemetry",
    clock: parts.clock,
    log: parts.log,
    ...(parts.connections && { connections: parts.connections }),
  });
}

/** The same questions as paths of the embedded Kubernetes API, under its authentication and RBAC. */
export function apiEndpoints(questions: Questions): readonly ExtraResource[] {
  const api = { group: "devices.kubeedge.io", version: "v1beta1" };
  return [
    {
      ...api,
      resource: "uploads",
      subresource: "",
      namespaced: false,
      verb: "list",
      answer: ({ query }) => Promise.resolve(questions.uploads((name) => query.get(name) ?? undefined)),
    },
    {
      ...api,
      resource: "devices",
      subresource: "history",
      namespaced: true,
      verb: "get",
      answer: ({ namespace, name: device, query, signal }) => {
        const given = (name: string): string | undefined => query.get(name) ?? undefined;
        return questions.history({ namespace, device, property: given("property") ?? "", given, signal });
      },
    },
  ];
}

function queryOf(c: Context): (name: string) => string | undefined {
  return (name) => c.req.query(name);
}

function show(c: Context, reply: ExtraReply): Response {
  return reply.ok ? c.json(reply.body) : Response.json({ error: reply.text }, { status: reply.code });
}
