import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demoImage } from "#internal/scripts/engine.ts";
import { freePorts } from "#internal/scripts/service.ts";
import { deployment, hasPair, startPair, until } from "#internal/test/support/pair.ts";
import { readField, resolveEnv } from "#internal/edge/edged/environment/env.ts";
import { volumeFiles } from "#internal/edge/edged/volumes/volume-files.ts";
import { isSelectedBy } from "#internal/cloud/controllers/framework/claim.ts";
import { fitsType, twinTypeOf } from "#shared/devices";
import { quantityNumber, type Pod } from "#shared/kube";

const hostile = ["__proto__", "constructor", "toString"];
const text = `{"metadata":{"name":"m"},"data":{${hostile.map((key) => `"${key}":"kept"`).join(",")}}}`;
const objects = new Map([["configmap/m", JSON.parse(text) as { metadata: { name: string } }]]);
const facts = { nodeName: "n", hostIp: "10.0.0.1", podIps: [], allocatable: {} };
const pod: Pod = {
  metadata: { name: "p", namespace: "default", labels: { app: "a" } },
  spec: { containers: [] },
};

test("keys of a ConfigMap that objects inherit are files of a volume and variables of a container", () => {
  const sources = { pod, objects, facts, tokens: new Map<string, string>() };
  const all = volumeFiles({ name: "v", configMap: { name: "m" } }, sources) ?? [];
  expect(all.map(({ path, data }) => [path, data.toString()])).toEqual(hostile.map((key) => [key, "kept"]));
  const items = [{ key: "__proto__", path: "a" }];
  const some = volumeFiles({ name: "v", configMap: { name: "m", items } }, sources) ?? [];
  expect(some.map(({ path, data }) => [path, data.toString()])).toEqual([["a", "kept"]]);
  const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "m", key: "constructor" } } }];
  const resolved = resolveEnv(
    pod,
    { name: "c", image: "i", env, envFrom: [{ configMapRef: { name: "m" } }] },
    objects,
    facts,
  );
  expect(resolved.ok && [...resolved.env]).toEqual([
    ...hostile.map((key): [string, string] => [key, "kept"]),
    ["A", "kept"],
  ]);
});

test("what an object inherits is no label, limit or type of it", () => {
  expect(readField(pod, "metadata.labels['constructor']", facts)).toBe("");
  const limits = [{ name: "A", valueFrom: { resourceFieldRef: { resource: "limits.constructor" } } }];
  const resolved = resolveEnv(pod, { name: "c", image: "i", env: limits }, objects, facts);
  expect(resolved.ok && [...resolved.env]).toEqual([["A", "0"]]);
  const expression = { key: "constructor", operator: "Exists" };
  expect(isSelectedBy({ matchExpressions: [expression] }, { app: "a" })).toBe(false);
  expect(twinTypeOf({ type: "constructor" as "INT" })).toBe("string");
});

/** A number of a device with half a million digits: matched by trying each split of them it took minutes. */
test.each([
  ["a twin value", () => fitsType(`${"1".repeat(500_000)}x`, "float")],
  ["a quantity", () => quantityNumber(`${"1".repeat(500_000)}x`) !== undefined],
] as const)("%s of half a million digits is judged at once", (_what, judge) => {
  const since = performance.now();
  expect(judge()).toBe(false);
  expect(performance.now() - since).toBeLessThan(500);
});

test.skipIf(!hasPair())(
  "a ConfigMap key called __proto__ is a file in the volume of a pod when kubectl applied it",
  async () => {
    await using pair = await startPair();
    const [hostPort = 0] = freePorts(1);
    const file = join(tmpdir(), `hostile-${crypto.randomUUID()}.json`);
    writeFileSync(
      file,
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"},"data":{"__proto__":"one"}}',
    );
    await pair.kubectl("apply", "-f", file);
    await pair.apply(
      deployment("web", {
        terminationGracePeriodSeconds: 1,
        volumes: [{ name: "pages", configMap: { name: "web" } }],
        containers: [
          {
            name: "httpd",
            image: demoImage,
            imagePullPolicy: "IfNotPresent",
            command: ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"],
            ports: [{ containerPort: 8080, hostPort }],
            volumeMounts: [{ name: "pages", mountPath: "/www" }],
          },
        ],
      }),
    );
    const shows = (text: string): Promise<void> =>
      until(20_000, async () => {
        const page = await fetch(`http://127.0.0.1:${hostPort}/__proto__`)
          .then((answer) => answer.text())
          .catch(String);
        return page === text || `the page is ${page}`;
      });
    await shows("one");
    writeFileSync(
      file,
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"},"data":{"__proto__":"two"}}',
    );
    await pair.kubectl("apply", "-f", file);
    await shows("two");
    rmSync(file);
  },
  60_000,
);
