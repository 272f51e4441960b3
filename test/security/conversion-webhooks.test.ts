import { afterAll, beforeAll, expect, test } from "bun:test";
import { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { kindsOfCrd, type KindInfo } from "#cloud/kube-api/kinds";
import { RevisionStore } from "#cloud/kube-api/store";
import { systemClock } from "#shared/clock";
import { startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { startHttpsHook, type HttpsHook } from "#internal/test/support/cloud/https-hook.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* A conversion webhook belongs to the author of the definition: it may hang, drip, lie, or ask the API what it is being asked. */

let hook: HttpsHook;
let store: RevisionStore;

beforeAll(async () => {
  hook = await startHttpsHook();
  store = new RevisionStore({ path: ":memory:", historyRevisions: 10, onError: () => undefined });
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await hook[Symbol.asyncDispose]();
});

function definition(): { metadata: { name: string; uid: string; generation: number }; spec: object } {
  const schema = {
    openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  };
  const version = (name: string, storage: boolean): object => ({ name, storage, served: true, schema });
  return {
    metadata: { name: "things.example.com", uid: crypto.randomUUID(), generation: 1 },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: [version("v1", false), version("v2", true)],
      conversion: {
        strategy: "Webhook",
        webhook: {
          clientConfig: { url: hook.url, caBundle: hook.caBundle },
          conversionReviewVersions: ["v1"],
        },
      },
    },
  };
}

function oldKind(): KindInfo {
  const kind = kindsOfCrd(definition() as never).find(({ version }) => version === "v1");
  if (!kind) throw new Error("v1 is not served");
  return kind;
}

const stored = (name: string, more: object = {}): string =>
  JSON.stringify({
    apiVersion: "example.com/v2",
    kind: "Thing",
    metadata: { name, namespace: "default", uid: name, resourceVersion: "1" },
    ...more,
  });
const within = (timeoutMs: number): Conversions => new Conversions({ store, clock: systemClock, timeoutMs });
const failing = "conversion webhook for example.com/v2, Kind=Thing failed";
const messageOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => "converted",
    (error: unknown) => (error as Error).message,
  );

interface Review {
  readonly request: { readonly uid: string; readonly desiredAPIVersion: string; readonly objects: object[] };
}

function converted({ request }: Review, change: (object: object) => object = (one) => one): object {
  const { uid, desiredAPIVersion: apiVersion, objects } = request;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "ConversionReview",
    response: {
      uid,
      result: { status: "Success" },
      convertedObjects: objects.map((object) => change({ ...object, apiVersion })),
    },
  };
}

test("a webhook that does not answer ends after its time", async () => {
  const ended = Promise.withResolvers<void>();
  hook.answer = async (_body, request) => {
    request.signal.addEventListener("abort", () => ended.resolve());
    await ended.promise;
    return {};
  };
  const message = await messageOf(within(200).text(oldKind(), stored("a")));
  expect(message).toBe(`${failing}: Post "${hook.url}?timeout=0.2s": context deadline exceeded`);
  await ended.promise;
});

test("a webhook that answers a byte now and then ends after its time", async () => {
  hook.answer = () =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          controller.enqueue(new TextEncoder().encode(" "));
          await Bun.sleep(20);
        },
      }),
    );
  expect(await messageOf(within(300).text(oldKind(), stored("b")))).toMatch("context deadline exceeded");
});

test("a webhook that answers 100 MB is cut off", async () => {
  let sent = 0;
  const piece = new Uint8Array(1024 * 1024).fill(32);
  hook.answer = () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          sent += 1;
          if (sent > 100) controller.close();
          else controller.enqueue(piece);
        },
      }),
    );
  const message = await messageOf(within(30_000).text(oldKind(), stored("c")));
  expect(message).toMatch("the answer is larger than 8388608 bytes");
  expect(sent).toBeLessThan(100);
});

test("an object that nests without end is not taken", async () => {
  const depth = 100_000;
  hook.answer = (review: Review) => {
    const text = JSON.stringify(converted(review, (one) => ({ ...one, deep: "HERE" })));
    return new Response(text.replace('"HERE"', `${"[".repeat(depth)}${"]".repeat(depth)}`));
  };
  expect(await messageOf(within(30_000).text(oldKind(), stored("d")))).not.toBe("converted");
});

test("an object that a webhook made larger than the store takes is not stored", async () => {
  const dir = tempDir("grown");
  const server = await startTestServer(dir.path);
  const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  expect((await server.call("POST", crds, definition())).status).toBe(201);
  hook.answer = (review: Review) =>
    converted(review, (one) => ({ ...one, filler: "x".repeat(3 * 1024 * 1024) }));
  const things = "/apis/example.com/v1/namespaces/default/things";
  const body = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "grown" } };
  expect((await server.call("POST", things, body)).status).toBe(413);
  expect((await server.call("GET", `${things}/grown`)).status).toBe(404);
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
}, 60_000);

test("requests that wait for a hanging webhook are bounded, and the rest of the API goes on", async () => {
  const dir = tempDir("hanging");
  const server = await startTestServer(dir.path);
  const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  expect((await server.call("POST", crds, definition())).status).toBe(201);
  const things = (version: string): string => `/apis/example.com/${version}/namespaces/default/things`;
  for (let index = 0; index < 90; index += 1)
    await server.call("POST", things("v2"), {
      apiVersion: "example.com/v2",
      kind: "Thing",
      metadata: { name: `thing-${index}` },
    });
  const released = Promise.withResolvers<void>();
  hook.forget();
  hook.answer = async (review: Review) => {
    await released.promise;
    return converted(review);
  };
  const asked = Array.from({ length: 90 }, (_none, index) =>
    server.call("GET", `${things("v1")}/thing-${index}`),
  );
  // Eight calls and 64 that wait; 18 are refused for now.
  const refused = await firstOf(asked, 18, ({ status }) => status === 429);
  expect(refused).toBe(18);
  expect(hook.seen.length).toBe(8);
  expect((await server.call("GET", `${things("v2")}/thing-1`)).status).toBe(200);
  expect((await server.call("GET", "/api/v1/namespaces")).status).toBe(200);
  released.resolve();
  const statuses = (await Promise.all(asked)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 200).length).toBe(72);
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
}, 60_000);

test("a webhook that asks for what it is converting waits for itself no longer than its time", async () => {
  const conversions = within(300);
  const kind = oldKind();
  hook.forget();
  hook.answer = async (review: Review) => {
    await messageOf(conversions.text(kind, stored("loop")));
    return converted(review);
  };
  expect(await messageOf(conversions.text(kind, stored("loop")))).toMatch("context deadline exceeded");
  expect(hook.seen.length).toBe(1);
});

test("a dry run does not show in what others read", async () => {
  const conversions = within(30_000);
  const kind = oldKind();
  hook.answer = (review: Review) => converted(review);
  await conversions.text(kind, stored("dry", { spec: "of the dry run" }));
  expect(JSON.parse(await conversions.text(kind, stored("dry", { spec: "real" })))).toMatchObject({
    apiVersion: "example.com/v1",
    spec: "real",
  });
});

test("what is converted at once is bounded", async () => {
  const text = stored("large", { filler: "x".repeat(1024 * 1024) });
  const texts = Array.from({ length: 65 }, () => text);
  expect(await messageOf(within(30_000).texts(oldKind(), texts))).toMatch(
    /^cannot convert \d+ characters at once, list with a limit$/,
  );
});

/** Resolves when so many of the answers are such. */
function firstOf<T>(all: readonly Promise<T>[], count: number, isSuch: (one: T) => boolean): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let found = 0;
  for (const one of all)
    void one.then((answer) => {
      found += Number(isSuch(answer));
      if (found === count) resolve(found);
    });
  return promise;
}
