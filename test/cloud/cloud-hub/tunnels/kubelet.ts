import { join } from "node:path";
import { systemClock } from "#shared/clock";
import type { JsonObject } from "#shared/json";
import { answerKubeletRequest, kubeletTarget } from "#shared/kubelet-api";
import {
  askPod,
  podStreamHead,
  readPodStreamHead,
  refusePod,
  type PodStreamRequest,
} from "#shared/pod-streams";
import { openLocalStream, type ByteStream } from "#shared/streams";
import { serveUpgrades } from "#shared/upgrades";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export const pod: JsonObject = {
  metadata: { namespace: "default", name: "web", uid: "u1" },
  spec: { nodeName: "edge-1", containers: [{ name: "a" }] },
};

/** The server of a kubelet with one pod, which answers as `serve` says. */
export interface TestKubelet extends AsyncDisposable {
  readonly socket: string;
  readonly asked: PodStreamRequest[];
  readonly open: Set<ByteStream>;
}

export async function startKubelet(
  serve: (stream: ByteStream, request: PodStreamRequest) => Promise<void>,
): Promise<TestKubelet> {
  const dir = tempDir("kubelet");
  const socket = join(dir.path, "k.sock");
  const asked: PodStreamRequest[] = [];
  const open = new Set<ByteStream>();
  const parts = {
    findPod: async (namespace: string, name: string) => {
      if (namespace !== "default" || name !== "web") throw refusePod.notFound("pod does not exist");
      return pod;
    },
    ask: async (_node: string, request: PodStreamRequest, signal: AbortSignal) => {
      asked.push(request);
      const stream = openLocalStream(podStreamHead(request), (far) => {
        open.add(far);
        void far.closed.then(() => open.delete(far));
        serve(far, readPodStreamHead(far.head)).catch((error: unknown) => far.reset(String(error)));
      });
      return { stream, fromNode: await askPod(stream, signal) };
    },
    seat: () => new DisposableStack(),
    connected: () => undefined,
    failed: () => undefined,
    clock: systemClock,
  };
  const server = serveUpgrades({
    address: { unix: socket },
    mostBodyBytes: 0,
    upgradable: ["/*"],
    fetch: () => new Response(null, { status: 404 }),
    upgrade: async (request, offer) => {
      const target = kubeletTarget(request.method, new URL(request.url).pathname);
      if (!target) return new Response("404 page not found\n", { status: 404 });
      return answerKubeletRequest(parts, request, { target, offer });
    },
    clock: systemClock,
  });
  return {
    socket,
    asked,
    open,
    [Symbol.asyncDispose]: async () => {
      await server.stop(true);
      dir[Symbol.dispose]();
    },
  };
}
