import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  adminToken,
  startTestServer,
  type Body,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import recorded from "./recorded-answers.json";

/** A request and what a real kube-apiserver answered, times and identities made alike. */
interface Step {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly raw?: string;
  readonly headers?: Record<string, string>;
  readonly anonymous?: boolean;
  readonly token?: string;
  readonly stream?: number;
  readonly save?: Record<string, string>;
  readonly compare?: readonly string[];
  readonly want: { readonly status: number; readonly body: unknown };
}

/** Answers that show the work of controllers, which this server does not hold. */
const ofControllers = new Set(["table deployments", "namespace emptied and gone"]);

const volatileFields = new Set(
  `managedFields selfLink resourceVersion uid creationTimestamp deletionTimestamp firstTimestamp lastTimestamp
  eventTime renewTime remainingItemCount clusterIP clusterIPs lastTransitionTime lastProbeTime lastUpdateTime hash
  storageVersionHash expirationTimestamp token continue buildDate platform`.split(/\s+/),
);

const dir = tempDir("recorded");
const saved = new Map<string, string>();
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

function alike(value: unknown, field = ""): unknown {
  if (volatileFields.has(field) && value !== null && value !== "") return "<volatile>";
  if (Array.isArray(value)) return value.map((item) => alike(item));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, alike(inner, key)]));
  }
  if (typeof value !== "string") return value;
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value)) return "<time>";
  if (/^(<unknown>|\d+(d|h|m|s|ms)(\d+[hms])?)$/.test(value)) return "<age>";
  if (/^10\.\d+\.\d+\.\d+$/.test(value)) return "<ip>";
  return value.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uid>");
}

/** What of the wanted answer is missing or other; more than wanted is fine. */
function missing(want: unknown, got: unknown, path = ""): string[] {
  if (Array.isArray(want)) {
    if (!Array.isArray(got) || got.length !== want.length) return [`${path}: ${JSON.stringify(got)}`];
    return want.flatMap((item, index) => missing(item, got[index], `${path}[${index}]`));
  }
  if (typeof want === "object" && want !== null) {
    if (typeof got !== "object" || got === null) return [`${path}: ${JSON.stringify(got)}`];
    const fields = got as Record<string, unknown>;
    return Object.entries(want).flatMap(([key, value]) => {
      if (key === "managedFields" || (!(key in fields) && isEmpty(value))) return [];
      return missing(value, fields[key], `${path}.${key}`);
    });
  }
  return Object.is(want, got) ? [] : [`${path}: want ${JSON.stringify(want)}, got ${JSON.stringify(got)}`];
}

function isEmpty(value: unknown): boolean {
  return value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
}

function valueAt(body: unknown, path: readonly string[]): unknown {
  let at = body;
  for (const step of path) at = (at as Record<string, unknown> | undefined)?.[step];
  return at;
}

/** Only the fields a step is about: those the recording holds. */
async function answer(step: Step): Promise<{ status: number; body: unknown }> {
  const path = step.path.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => saved.get(name) ?? "");
  if (step.stream !== undefined) {
    const response = await server.stream(path);
    const lines = (await response.text()).split("\n").filter((line) => line.trim() !== "");
    return { status: response.status, body: { events: lines.map((line) => JSON.parse(line) as Body) } };
  }
  const authorization = step.anonymous ? "" : `Bearer ${step.token ?? adminToken}`;
  const result = await server.call(step.method, path, step.raw ?? step.body, {
    authorization,
    ...step.headers,
  });
  for (const [name, place] of Object.entries(step.save ?? {})) {
    saved.set(name, String(valueAt(result.body, place.split("."))));
  }
  return result;
}

test("recorded requests are answered as kube-apiserver answered them", async () => {
  const differing: Record<string, unknown> = {};
  for (const step of recorded as unknown as readonly Step[]) {
    const { status, body } = await answer(step);
    if (ofControllers.has(step.name)) continue;
    const problems =
      status === step.want.status ? missing(step.want.body, alike(body)) : [`status ${status}`];
    if (problems.length > 0) differing[step.name] = problems;
  }
  expect(differing).toEqual({});
}, 30_000);
