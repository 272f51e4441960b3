import { Hono, type Context } from "hono";
import { asError, ConfigError } from "#shared/errors";
import type { ExtraReply, ExtraResource } from "#cloud/apiwire";
import type { Questions } from "./questions.ts";

export interface HttpDoor extends AsyncDisposable {
  readonly port: number;
}

/**
 * `GET /uploads?node=&topic=&after=&limit=` and `GET /devices/<namespace>/<name>/<property>?since=&until=&limit=`, for
 * programs on this machine: whoever reaches the address may ask.
 * @throws ConfigError when the address is taken
 */
export function openHttpDoor(
  at: { readonly address: string; readonly port: number },
  questions: Questions,
): HttpDoor {
  const app = new Hono();
  app.get("/uploads", (c) => show(c, questions.uploads(queryOf(c))));
  app.get("/devices/:namespace/:device/:property", async (c) => {
    const { signal } = c.req.raw;
    return show(c, await questions.history({ ...c.req.param(), given: queryOf(c), signal }));
  });
  app.notFound((c) => c.json({ error: `there is nothing at "${c.req.path}"` }, 404));
  try {
    const server = Bun.serve({
      hostname: at.address,
      port: at.port,
      idleTimeout: 60,
      fetch: (request) => app.fetch(request),
    });
    return { port: server.port ?? at.port, [Symbol.asyncDispose]: () => server.stop(true) };
  } catch (cause) {
    const text = `Cannot serve telemetry on ${at.address}:${at.port}: ${asError(cause).message}; telemetry.port names another`;
    throw new ConfigError("listen", text, { cause });
  }
}

/** The same questions as paths of the embedded Kubernetes API, under its authentication and RBAC. */
export function apiDoors(questions: Questions): readonly ExtraResource[] {
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
