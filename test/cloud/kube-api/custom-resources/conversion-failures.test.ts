import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { HttpsHook } from "#internal/test/support/cloud/https-hook.ts";
import {
  crds,
  convert,
  linesOf,
  merge,
  schemaOf,
  startEndpointers,
  v1,
  v2,
  type Endpointers,
  type Item,
  type Review,
} from "./endpointers.ts";

let world: Endpointers;

beforeAll(async () => {
  world = await startEndpointers();
}, 60_000);
afterEach(() => world.remove(), 60_000);
afterAll(() => world[Symbol.asyncDispose]());

describe("a conversion webhook", () => {
  const failing = "conversion webhook for example.com/v2, Kind=Endpointer";
  const failure = async (answer: HttpsHook["answer"]): Promise<unknown> => {
    world.hook.answer = answer;
    // What was converted a moment ago is known.
    await world.server.call("PATCH", `${v2}/one`, { port: String(Math.random()) }, merge);
    const { status, body } = await world.server.call("GET", `${v1}/one`);
    expect(status).toBe(500);
    return body["message"];
  };
  const altered =
    (change: (object: Item) => object, response: object = {}) =>
    (review: Review): object => {
      const whole = convert(review) as { response: { convertedObjects: Item[] } };
      const convertedObjects = whole.response.convertedObjects.map(change);
      return { ...whole, response: { ...whole.response, convertedObjects, ...response } };
    };

  test("that answers what cannot be used is an error with upstream's words", async () => {
    await world.define();
    await world.create(v2, "one", { host: "f", port: "1" });
    expect(await failure(() => new Response("no", { status: 503 }))).toMatch(
      `${failing} failed: Post "${world.hook.url}?timeout=30s": the server answered 503: no`,
    );
    expect(await failure(() => new Response("garbage"))).toBe(
      `${failing} failed: the answer is not a JSON object`,
    );
    expect(await failure(altered((one) => one, { uid: "other" }))).toMatch(
      /failed: expected response.uid="[^"]+", got "other"$/,
    );
    expect(await failure(altered((one) => one, { result: { status: "Failed", message: "bad luck" } }))).toBe(
      `${failing} failed: bad luck`,
    );
    expect(await failure(altered((one) => one, { convertedObjects: [] }))).toBe(
      `${failing} returned 0 objects, expected 1`,
    );
    expect(await failure(altered((one) => ({ ...one, apiVersion: "example.com/v3" })))).toBe(
      `${failing} returned invalid converted object at index 0: invalid groupVersion (expected example.com/v1, received example.com/v3)`,
    );
    expect(await failure(altered((one) => ({ ...one, metadata: { ...one.metadata, name: "two" } })))).toBe(
      `${failing} returned invalid converted object at index 0: must have the same name: one != two`,
    );
    expect(await failure(altered((one) => ({ ...one, metadata: { ...one.metadata, uid: "x" } })))).toMatch(
      /must have the same UID: \S+ != x$/,
    );
    expect(
      await failure(altered((one) => ({ ...one, metadata: { ...one.metadata, labels: { "a b": "c" } } }))),
    ).toMatch(/returned invalid metadata in object at index 0: metadata.labels: Invalid value: "a b"/);
    expect((await world.server.call("GET", v1)).status).toBe(500);
    expect((await world.server.call("GET", `${v2}/one`)).status).toBe(200);
  });

  test("changes labels and annotations, nothing else of the metadata", async () => {
    await world.define();
    await world.create(v2, "one", { host: "f", port: "1" });
    world.hook.answer = altered((one) => ({
      ...one,
      extra: "dropped",
      metadata: { ...one.metadata, labels: { a: "b" }, finalizers: ["example.com/x"], resourceVersion: "1" },
    }));
    const { body } = await world.server.call("GET", `${v1}/one`);
    expect(body["metadata"] as unknown).toMatchObject({ labels: { a: "b" } });
    expect([body["extra"], body["metadata"]?.["finalizers"]] as unknown[]).toEqual([undefined, undefined]);
    expect(body["metadata"]?.["resourceVersion"] as unknown).not.toBe("1");
  });

  test("of v1beta1 need not repeat the uid", async () => {
    await world.define({
      conversion: {
        strategy: "Webhook",
        webhook: {
          clientConfig: { url: world.hook.url, caBundle: world.hook.caBundle },
          conversionReviewVersions: ["v1beta1"],
        },
      },
    });
    await world.create(v2, "one", { host: "f", port: "1" });
    world.hook.answer = altered((one) => one, { uid: "" });
    expect((await world.server.call("GET", `${v1}/one`)).body["hostPort"] as unknown).toBe("f:1");
    expect(world.reviews().at(-1)?.apiVersion).toBe("apiextensions.k8s.io/v1beta1");
  });

  test("that fails ends a watch with an error", async () => {
    await world.define();
    await world.create(v2, "one", { host: "f", port: "1" });
    world.hook.answer = () => new Response("no", { status: 503 });
    const reader = linesOf(await world.server.stream(`${v1}?watch=true`));
    expect((await reader.next()).value).toMatchObject({ type: "ERROR", object: { code: 500 } });
    expect((await reader.next()).done).toBe(true);
  });

  test("is not asked when a definition is removed with its objects", async () => {
    await world.define();
    await world.create(v2, "one", { host: "f", port: "1" });
    world.hook.answer = () => new Response("no", { status: 503 });
    world.hook.forget();
    await world.server.call("DELETE", `${crds}/endpointers.example.com`);
    while ((await world.server.call("GET", `${crds}/endpointers.example.com`)).status !== 404)
      await Bun.sleep(5);
    expect(world.hook.seen).toEqual([]);
  });

  test("is validated with its definition", async () => {
    const conversion = {
      strategy: "Webhook",
      webhook: { clientConfig: { url: "http://x.example" }, conversionReviewVersions: ["v9"] },
    };
    world.hook.answer = convert;
    const refused = await world.server.call("POST", crds, {
      metadata: { name: "endpointers.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "endpointers", kind: "Endpointer" },
        versions: [{ name: "v1", served: true, storage: true, schema: schemaOf({}) }],
        conversion,
      },
    });
    const causes = refused.body["details"]?.["causes"] as unknown as { field: string }[];
    expect(causes.map(({ field }) => field)).toEqual([
      "spec.conversion.webhook.clientConfig.url",
      "spec.conversion.webhook.conversionReviewVersions",
    ]);
  });
});
