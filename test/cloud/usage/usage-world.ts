import { createKubeClient } from "#cloud/kube-client";
import { startUsage } from "#cloud/usage";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { asText } from "#shared/json";
import { encodeBlock, type ByteStream, type StreamHead } from "#shared/streams";
import type { CloudCatalog } from "#shared/topics";
import { ownToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** A node that reports what the test says. */
export class ReportingNode {
  /** What it sends as soon as it is asked. */
  first: unknown;
  /** How often it was asked, and why the last stream ended. */
  asked = 0;
  ended: string | undefined;
  #wakeAsked: () => void = () => undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(first: unknown) {
    this.first = first;
  }

  /** Resolves when it has been asked so often. */
  async untilAsked(count: number): Promise<void> {
    while (this.asked < count) {
      await new Promise<void>((resolve) => {
        this.#wakeAsked = resolve;
      });
    }
  }

  send(report: unknown): void {
    this.#controller?.enqueue(encodeBlock(report));
  }

  /** The link is lost. */
  cut(): void {
    this.#controller?.error(new UnavailableError("link-lost", "the link is lost"));
  }

  open(head: StreamHead): ByteStream {
    this.asked += 1;
    this.#wakeAsked();
    this.ended = undefined;
    const { promise: closed, resolve } = Promise.withResolvers<{ readonly reason: string | undefined }>();
    const end = (reason: string): void => {
      this.ended ??= reason;
      resolve({ reason });
    };
    const readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        if (this.first !== undefined) this.send(this.first);
      },
    });
    return {
      head,
      readable,
      writable: new WritableStream(),
      closed,
      reset: (reason) => {
        end(reason);
        try {
          this.#controller?.error(new UnavailableError("reset", reason));
        } catch {
          // It has ended already.
        }
      },
    };
  }
}

export interface UsageWorld extends AsyncDisposable {
  readonly server: TestServer;
  readonly clock: FakeClock;
  readonly log: ReturnType<typeof silentLog>;
  /** Nodes that are connected. */
  readonly nodes: Map<string, ReportingNode>;
  readonly get: (path: string, headers?: Record<string, string>) => ReturnType<TestServer["call"]>;
}

/** The embedded API with metrics.k8s.io, and nodes that report as the test says. */
export async function usageWorld(): Promise<UsageWorld> {
  await using stack = new AsyncDisposableStack();
  const { path: dataDir } = stack.use(tempDir());
  const server = stack.use(await startTestServer(dataDir));
  const clock = new FakeClock();
  const log = silentLog();
  const access = {
    from: "inline",
    server: "http://localhost",
    socket: server.api.socket,
    token: ownToken,
  } as const;
  const kube = stack.use(await createKubeClient(access, { clock: systemClock, log }));
  const bus = stack.use(new Bus<CloudCatalog>({ onFailure: () => undefined }));
  const nodes = new Map<string, ReportingNode>();
  stack.use(
    bus.port<never, never, never, "stream.open">("hub").answer("stream.open", async ({ node, head }) => {
      const found = nodes.get(node);
      if (!found) throw new UnavailableError("not-connected", `node "${node}" is not connected`);
      return found.open(head);
    }),
  );
  const usage = stack.use(await startUsage({ port: bus.port("usage"), kube, clock, log }));
  stack.use(server.api.serve(usage.apiEndpoints));
  const owned = stack.move();
  return {
    server,
    clock,
    log,
    nodes,
    get: (path, headers) => server.call("GET", `/apis/metrics.k8s.io/v1beta1/${path}`, undefined, headers),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Creates a node, and what it reports of itself. */
export async function addNode(at: UsageWorld, name: string, first: unknown): Promise<ReportingNode> {
  await at.server.call("POST", "/api/v1/nodes", { metadata: { name, labels: { site: name } } });
  const node = new ReportingNode(first);
  at.nodes.set(name, node);
  return node;
}

/** Creates a pod on a node. @returns its uid */
export async function addPod(
  at: UsageWorld,
  name: string,
  nodeName: string,
  containers = ["web"],
): Promise<string> {
  const made = await at.server.call("POST", "/api/v1/namespaces/default/pods", {
    metadata: { name, labels: { app: name } },
    spec: { nodeName, containers: containers.map((one) => ({ name: one, image: "busybox:1" })) },
  });
  return asText(made.body["metadata"]?.["uid"]);
}
