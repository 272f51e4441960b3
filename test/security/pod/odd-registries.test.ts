import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { openDockerRuntime } from "#edge/runtime/docker";
import type { ContainerRuntime, PullProgress } from "#edge/runtime";
import { systemClock } from "#shared/clock";
import { engineSocket, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { layerOf, startOddRegistry, type Manners } from "#internal/test/support/machine/odd-registry.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

setDefaultTimeout(60_000);
const layer = layerOf(3_000_000);

const open = (): Promise<ContainerRuntime> =>
  openDockerRuntime({
    address: `unix://${engineSocket}`,
    owner: "odd-registries",
    clock: systemClock,
    log: silentLog(),
  });

interface Outcome {
  readonly code: string;
  readonly message: string;
  readonly isPresent: boolean;
  readonly requests: readonly string[];
}

/** What becomes of a pull from a registry with such manners. */
async function pullFrom(manners: Manners, idleMs: number): Promise<Outcome> {
  await using runtime = await open();
  await using registry = startOddRegistry(layer, manners);
  const { image, requests } = registry;
  const error = await runtime.pullImage(image, { idleMs }).then(
    () => ({ code: "", message: "" }),
    (thrown: { code: string; message: string }) => thrown,
  );
  const found = await runtime.findImage(image);
  if (found) await runtime.removeImage(found.id);
  return { code: error.code, message: error.message, isPresent: found !== undefined, requests };
}

const never = new Promise<Response>(() => undefined);
const isBlob = ({ url }: Request): boolean => url.includes("/blobs/");

describe.skipIf(!hasEngine())("a pull", () => {
  test("is complete when the registry behaves", async () => {
    expect(await pullFrom({}, 20_000)).toMatchObject({ code: "", isPresent: true });
  });

  test.each([
    ["at once", { answer: () => never }],
    ["at the manifest", { answer: ({ url }: Request) => (url.includes("/manifests/") ? never : undefined) }],
    [
      "within a layer",
      {
        layer: (bytes: Uint8Array<ArrayBuffer>) =>
          new ReadableStream({
            pull: async (stream) => {
              stream.enqueue(bytes.subarray(0, bytes.length / 2));
              await never;
            },
          }),
      },
    ],
  ] satisfies [string, Manners][])("from a registry that hangs %s is cancelled", async (_where, manners) => {
    const outcome = await pullFrom(manners, 1500);
    expect(outcome).toMatchObject({
      code: "image-pull",
      message: "no progress for 1.5 seconds",
      isPresent: false,
    });
  });

  test("that is slow goes on as long as bytes come", async () => {
    await using runtime = await open();
    const steps = 8;
    await using registry = startOddRegistry(layer, {
      layer: (bytes) =>
        new ReadableStream({
          start: async (stream) => {
            for (let step = 0; step < steps; step += 1) {
              const size = Math.ceil(bytes.length / steps);
              stream.enqueue(bytes.subarray(step * size, (step + 1) * size));
              await Bun.sleep(400);
            }
            stream.close();
          },
        }),
    });
    const seen: PullProgress[] = [];
    await runtime.pullImage(registry.image, { idleMs: 2500, onProgress: (now) => seen.push(now) });
    const found = await runtime.findImage(registry.image);
    await runtime.removeImage(found?.id ?? "");
    const { doneBytes = 0, totalBytes } = seen.at(-1) ?? {};
    expect(found?.names).toContain(registry.image);
    // The engine reports half megabytes.
    expect([doneBytes, doneBytes > layer.length / 2]).toEqual([totalBytes ?? -1, true]);
  });

  test("of a layer with another digest fails, and leaves no image", async () => {
    const layerOfOthers = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
      const other = Uint8Array.from(bytes);
      other[1000] = (other[1000] ?? 0) ^ 1;
      return other;
    };
    const outcome = await pullFrom({ layer: layerOfOthers }, 30_000);
    expect(outcome).toMatchObject({ code: "image-pull", isPresent: false });
    expect(outcome.message).toMatch(/verification failed for digest/);
  });

  test("that is asked for credentials again and again ends", async () => {
    const answer = (request: Request): Response => {
      const { origin, pathname } = new URL(request.url);
      if (pathname === "/token") return Response.json({ token: "t" });
      const challenge = `Bearer realm="${origin}/token",service="odd"`;
      return new Response("{}", { status: 401, headers: { "www-authenticate": challenge } });
    };
    const outcome = await pullFrom({ answer }, 20_000);
    expect(outcome).toMatchObject({ code: "image-pull", isPresent: false });
    expect(outcome.requests.length).toBeLessThan(20);
  });

  test("that is refused for the rate of requests says so", async () => {
    const body = JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "slow down" }] });
    const refuse = (request: Request): Response | undefined =>
      request.url.endsWith("/v2/")
        ? undefined
        : new Response(body, {
            status: 429,
            headers: { "retry-after": "3600", "content-type": "application/json" },
          });
    const outcome = await pullFrom({ answer: refuse }, 20_000);
    expect(outcome).toMatchObject({ code: "image-pull", isPresent: false });
    expect(outcome.message).toMatch(/toomanyrequests/i);
  });

  test("whose layer is refused each time is cancelled, though the engine tries again and says so", async () => {
    const answer = (request: Request): Response | undefined =>
      isBlob(request) ? new Response("busy", { status: 503 }) : undefined;
    const outcome = await pullFrom({ answer }, 3000);
    expect(outcome).toMatchObject({ code: "image-pull", isPresent: false });
  });

  test("that is aborted ends, and the engine stops", async () => {
    await using runtime = await open();
    await using registry = startOddRegistry(layer, {
      answer: (request) => (isBlob(request) ? never : undefined),
    });
    const abort = new AbortController();
    const pull = runtime.pullImage(registry.image, { idleMs: 60_000, signal: abort.signal });
    const reason = new Error("the pod was deleted");
    setTimeout(() => abort.abort(reason), 500);
    expect(await pull.catch((error: unknown) => error)).toBe(reason);
  });
});
