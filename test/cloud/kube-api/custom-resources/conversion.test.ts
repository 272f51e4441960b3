import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Answer, Body } from "#internal/test/support/cloud/api-server.ts";
import { startHttpsHook } from "#internal/test/support/cloud/https-hook.ts";
import {
  crds,
  linesOf,
  convert,
  merge,
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

describe("objects of a definition with a conversion webhook", () => {
  test("are stored in one version and shown in each", async () => {
    await world.define();
    const created = await world.create(v1, "one", { hostPort: "localhost:80" });
    expect(created).toMatchObject({
      status: 201,
      body: { apiVersion: "example.com/v1", hostPort: "localhost:80" },
    });
    expect(world.reviews().map(({ request }) => request.desiredAPIVersion)).toEqual([
      "example.com/v2",
      "example.com/v1",
    ]);
    world.hook.forget();
    const stored = await world.server.call("GET", `${v2}/one`);
    expect(stored.body as unknown).toMatchObject({ host: "localhost", port: "80", tier: "plain" });
    expect(world.hook.seen).toEqual([]);
    const shown = await world.server.call("GET", `${v1}/one`);
    const { host, tier } = shown.body;
    expect([shown.body["hostPort"], host, tier] as unknown[]).toEqual(["localhost:80", undefined, undefined]);
    const { uid } = created.body["metadata"] ?? {};
    expect((shown.body["metadata"] as { uid?: unknown }).uid).toEqual(uid as unknown);
  });

  test("are changed in either version", async () => {
    await world.define();
    await world.create(v1, "one", { hostPort: "a:1" });
    const patched = await world.server.call("PATCH", `${v1}/one`, { hostPort: "b:2" }, merge);
    expect(patched).toMatchObject({ status: 200, body: { hostPort: "b:2", metadata: { generation: 2 } } });
    const same = await world.server.call("PATCH", `${v1}/one`, { hostPort: "b:2" }, merge);
    expect(same.body["metadata"] as unknown).toMatchObject({ generation: 2 });
    const put = { ...patched.body, hostPort: "c:3" };
    expect(await world.server.call("PUT", `${v1}/one`, put)).toMatchObject({
      status: 200,
      body: { hostPort: "c:3" },
    });
    const applied = await world.server.call(
      "PATCH",
      `${v1}/one?fieldManager=me&force=true`,
      { apiVersion: "example.com/v1", kind: "Endpointer", metadata: { name: "one" }, hostPort: "d:4" },
      { "content-type": "application/apply-patch+yaml" },
    );
    expect(applied).toMatchObject({ status: 200, body: { hostPort: "d:4" } });
    expect((await world.server.call("GET", `${v2}/one`)).body as unknown).toMatchObject({
      host: "d",
      port: "4",
    });
    const stale = await world.server.call("PUT", `${v1}/one`, put);
    expect(stale.status).toBe(409);
    expect(await world.server.call("DELETE", `${v1}/one`)).toMatchObject({
      status: 200,
      body: { status: "Success" },
    });
    expect((await world.server.call("GET", `${v2}/one`)).status).toBe(404);
  });

  test("keep the fields that other versions' managers own", async () => {
    await world.define();
    const apply = (path: string, manager: string, fields: object): Promise<Answer> =>
      world.server.call(
        "PATCH",
        `${path}/one?fieldManager=${manager}`,
        {
          apiVersion: `example.com/${path === v1 ? "v1" : "v2"}`,
          kind: "Endpointer",
          metadata: { name: "one" },
          ...fields,
        },
        { "content-type": "application/apply-patch+yaml" },
      );
    expect((await apply(v1, "old", { hostPort: "a:1" })).status).toBe(201);
    const applied = await apply(v2, "new", { tier: "gold" });
    expect(applied).toMatchObject({ status: 200, body: { host: "a", port: "1", tier: "gold" } });
    const entries = (applied.body["metadata"] as unknown as { managedFields: Body[] }).managedFields;
    expect(
      entries.map(({ manager, apiVersion, fieldsV1 }) => [manager, apiVersion, fieldsV1]) as unknown[],
    ).toEqual([
      ["new", "example.com/v2", { "f:tier": {} }],
      ["old", "example.com/v1", { "f:hostPort": {} }],
    ]);
  });

  test("are listed with one call, and stay readable when the storage version changes", async () => {
    await world.define({}, "v1");
    for (const name of ["a", "b", "c"]) await world.create(v1, name, { hostPort: `${name}:1` });
    expect(world.hook.seen).toEqual([]);
    const versions = (await world.server.call("GET", `${crds}/endpointers.example.com`)).body["spec"]?.[
      "versions"
    ] as unknown as object[];
    const swapped = versions.map((version, index) => ({ ...version, storage: index === 1 }));
    const moved = await world.server.call(
      "PATCH",
      `${crds}/endpointers.example.com`,
      { spec: { versions: swapped } },
      merge,
    );
    expect(moved.body["status"]?.["storedVersions"] as unknown).toEqual(["v1", "v2"]);
    await world.create(v2, "d", { host: "d", port: "1" });
    world.hook.forget();
    const list = await world.server.call("GET", v2);
    expect((list.body["items"] as unknown as Item[]).map(({ host }) => host)).toEqual(["a", "b", "c", "d"]);
    expect(world.reviews().map(({ request }) => request.objects.length)).toEqual([3]);
    const page = await world.server.call("GET", `${v1}?limit=2`);
    expect(page.body["metadata"] as unknown).toMatchObject({ remainingItemCount: 2 });
    const dropped = await world.server.call(
      "PATCH",
      `${crds}/endpointers.example.com`,
      { spec: { versions: swapped.slice(1) } },
      merge,
    );
    expect(dropped).toMatchObject({
      status: 422,
      body: { details: { causes: [{ field: "status.storedVersions[0]" }] } },
    });
  });

  test("are watched in each version, converted once for all watchers", async () => {
    await world.define();
    await world.create(v2, "first", { host: "f", port: "1" });
    world.hook.forget();
    const abort = new AbortController();
    const watches = await Promise.all(
      [1, 2, 3].map(() => world.server.stream(`${v1}?watch=true`, abort.signal)),
    );
    const readers = watches.map((watch) => linesOf(watch));
    const first = await Promise.all(readers.map((reader) => reader.next()));
    expect(first.map(({ value }) => [value?.type, value?.object.hostPort])).toEqual(
      Array.from({ length: 3 }, () => ["ADDED", "f:1"]),
    );
    await world.server.call("PATCH", `${v2}/first`, { port: "2" }, merge);
    const second = await Promise.all(readers.map((reader) => reader.next()));
    expect(second.map(({ value }) => [value?.type, value?.object.hostPort])).toEqual(
      Array.from({ length: 3 }, () => ["MODIFIED", "f:2"]),
    );
    await world.server.call("DELETE", `${v2}/first`);
    const third = await Promise.all(readers.map((reader) => reader.next()));
    expect(third.map(({ value }) => [value?.type, value?.object.hostPort])).toEqual(
      Array.from({ length: 3 }, () => ["DELETED", "f:2"]),
    );
    expect(world.hook.seen.length).toBe(3);
    abort.abort();
  });

  test("are selected by the labels that they have in the version", async () => {
    await world.define();
    await world.create(v2, "one", { host: "f", port: "1" });
    await world.create(v2, "two", { host: "g", port: "1" });
    world.hook.answer = (review: Review) => {
      const objects = review.request.objects.map((object) => ({
        ...object,
        metadata: { ...object.metadata, labels: { host: object.host ?? "none" } },
      }));
      return convert({ ...review, request: { ...review.request, objects } });
    };
    const list = await world.server.call("GET", `${v1}?labelSelector=host%3Dg`);
    expect((list.body["items"] as unknown as Item[]).map(({ metadata }) => metadata.name)).toEqual(["two"]);
    const gone = await world.server.call("DELETE", `${v1}?labelSelector=host%3Dg`);
    expect((gone.body["items"] as unknown as Item[]).map(({ hostPort }) => hostPort)).toEqual(["g:1"]);
    expect((await world.server.call("GET", `${v2}/one`)).status).toBe(200);
  });

  test("have the columns of their version, and its OpenAPI", async () => {
    await world.define();
    await world.create(v2, "one", { host: "f", port: "1" });
    const table = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
    const old = await world.server.call("GET", v1, undefined, table);
    const cells = (old.body["rows"] as unknown as { cells: unknown[] }[]).map((row) => row.cells);
    expect(cells).toEqual([["one", "f:1"]]);
    const api = await world.server.call("GET", "/openapi/v3/apis/example.com/v1");
    expect(
      Object.keys(api.body["components"]?.["schemas"]?.["com.example.v1.Endpointer"]?.["properties"] ?? {}),
    ).toContain("hostPort");
  });

  test("are seen by admission webhooks in the version of their rules", async () => {
    await world.define();
    const configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    const seen: object[] = [];
    await using admission = await startHttpsHook();
    admission.answer = ({ request }: { request: { uid: string; object: Item } }) => {
      seen.push(request.object);
      const patch = Buffer.from(
        JSON.stringify([{ op: "replace", path: "/hostPort", value: "z:9" }]),
      ).toString("base64");
      return { response: { uid: request.uid, allowed: true, patchType: "JSONPatch", patch } };
    };
    const rule = {
      operations: ["CREATE"],
      apiGroups: ["example.com"],
      apiVersions: ["v1"],
      resources: ["endpointers"],
    };
    const webhook = {
      name: "old.example.com",
      clientConfig: { url: admission.url, caBundle: admission.caBundle },
      rules: [rule],
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
    };
    await world.server.call("POST", configurations, { metadata: { name: "old" }, webhooks: [webhook] });
    const created = await world.create(v2, "one", { host: "f", port: "1" });
    await world.server.call("DELETE", `${configurations}/old`);
    expect(seen).toMatchObject([{ apiVersion: "example.com/v1", hostPort: "f:1" }]);
    expect(created).toMatchObject({ status: 201, body: { host: "z", port: "9" } });
  });
});
