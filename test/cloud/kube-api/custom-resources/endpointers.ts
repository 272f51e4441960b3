import { expect } from "bun:test";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { startHttpsHook, type HttpsHook } from "#internal/test/support/cloud/https-hook.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* "Versions in CustomResourceDefinitions" of the Kubernetes documentation: v1 has hostPort, v2 host and port. */

export interface Item {
  readonly apiVersion: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Record<string, string>;
    readonly resourceVersion?: string;
  };
  readonly hostPort?: string;
  readonly host?: string;
  readonly port?: string;
}

export interface Review {
  readonly apiVersion: string;
  readonly request: {
    readonly uid: string;
    readonly desiredAPIVersion: string;
    readonly objects: readonly Item[];
  };
}

export const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
export const [v1, v2] = ["v1", "v2"].map(
  (version) => `/apis/example.com/${version}/namespaces/default/endpointers`,
) as [string, string];
export const merge = { "content-type": "application/merge-patch+json" };

/** An API with a definition and the webhook that converts its objects. */
export interface Endpointers extends AsyncDisposable {
  readonly server: TestServer;
  readonly hook: HttpsHook;
  define(more?: object, storage?: "v1" | "v2"): Promise<Answer>;
  create(path: string, name: string, fields: object): Promise<Answer>;
  /** Removes the definition with its objects. */
  remove(): Promise<void>;
  reviews(): Review[];
}

export async function startEndpointers(): Promise<Endpointers> {
  const dir = tempDir("conversion");
  const server = await startTestServer(dir.path);
  const hook = await startHttpsHook();
  return {
    server,
    hook,
    define: async (more = {}, storage = "v2") => {
      hook.answer = convert;
      const applied = await server.call("POST", crds, definitionOf(hook, storage, more));
      expect(applied.status).toBe(201);
      return applied;
    },
    create: (path, name, fields) =>
      server.call("POST", path, {
        apiVersion: `example.com/${path === v1 ? "v1" : "v2"}`,
        kind: "Endpointer",
        metadata: { name },
        ...fields,
      }),
    remove: async () => {
      const path = `${crds}/endpointers.example.com`;
      await server.call("DELETE", path);
      while ((await server.call("GET", path)).status !== 404) await Bun.sleep(5);
      hook.forget();
    },
    reviews: () => hook.seen as Review[],
    [Symbol.asyncDispose]: async () => {
      await hook[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      dir[Symbol.dispose]();
    },
  };
}

function toVersion(object: Item, apiVersion: string): object {
  if (object.apiVersion === apiVersion) return object;
  if (apiVersion.endsWith("/v2")) {
    const { hostPort = ":", ...rest } = object;
    const [host, port] = hostPort.split(":");
    return { ...rest, apiVersion, host, port };
  }
  const { host, port, ...rest } = object;
  return { ...rest, apiVersion, hostPort: `${host}:${port}` };
}

export function convert({ apiVersion, request }: Review): object {
  const { uid, desiredAPIVersion, objects } = request;
  const convertedObjects = objects.map((object) => toVersion(object, desiredAPIVersion));
  const result = { status: "Success" };
  return { apiVersion, kind: "ConversionReview", response: { uid, result, convertedObjects } };
}

const text = { type: "string" };
export const schemaOf = (properties: object): object => ({
  openAPIV3Schema: { type: "object", properties },
});

export function definitionOf(hook: HttpsHook, storage: "v1" | "v2", more: object): object {
  const column = (jsonPath: string): object => ({ name: jsonPath.slice(1), type: "string", jsonPath });
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "endpointers.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "endpointers", kind: "Endpointer" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: storage === "v1",
          schema: schemaOf({ hostPort: text }),
          additionalPrinterColumns: [column(".hostPort")],
        },
        {
          name: "v2",
          served: true,
          storage: storage === "v2",
          schema: schemaOf({ host: text, port: text, tier: { ...text, default: "plain" } }),
          additionalPrinterColumns: [column(".host"), column(".port")],
          subresources: { status: {} },
        },
      ],
      conversion: {
        strategy: "Webhook",
        webhook: {
          clientConfig: { url: hook.url, caBundle: hook.caBundle },
          conversionReviewVersions: ["v1", "v1beta1"],
        },
      },
      ...more,
    },
  };
}

export interface Event {
  readonly type: string;
  readonly object: Item;
}

/** The events of a watch. */
export async function* linesOf(response: Response): AsyncGenerator<Event, void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const piece of response.body ?? []) {
    rest += decoder.decode(piece as Uint8Array, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield JSON.parse(line) as Event;
  }
}
