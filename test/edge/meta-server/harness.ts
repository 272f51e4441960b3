import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  startMetaServer,
  type MetaServer,
  type MetaServerDeps,
  type MetaServerSettings,
} from "#edge/meta-server";
import { openStore, type Store } from "#edge/store";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import type { KubeObject } from "#shared/kube";
import type { ByteStream, RequestHead, StreamHead } from "#shared/streams";
import type { DesiredChange, EdgeCatalog } from "#shared/topics";
import type { TokenOfPodAnswer, TokenOfPodRequest } from "#shared/topics";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** What stands for the cloud; without it there is none. */
export interface PlayedCloud {
  open(head: RequestHead): Promise<ByteStream>;
  token(request: TokenOfPodRequest): Promise<TokenOfPodAnswer>;
}

/** The API on a node over HTTPS, with a database and a bus of its own. */
export interface TestNode extends AsyncDisposable {
  readonly server: MetaServer;
  readonly store: Store;
  readonly url: string;
  readonly operatorToken: string;
  /** What was set, oldest first. */
  readonly desired: readonly DesiredChange[];
  readonly caPem: string;
  readonly log: ReturnType<typeof silentLog>;
  get(path: string, token?: string, init?: RequestInit): Promise<Response>;
  /** As metamanager does. */
  put(type: string, object: KubeObject): Promise<void>;
  remove(type: string, object: KubeObject): Promise<void>;
  /** As devicetwin does when a twin has changed. */
  touch(device: string): Promise<void>;
  link(connected: boolean): Promise<void>;
}

interface NodeOptions extends Pick<Partial<MetaServerDeps>, "clock" | "findNetwork"> {
  readonly port?: number;
  readonly openHttp?: MetaServerSettings["openHttp"];
  /** What serves the pods of the node. */
  readonly takePod?: (stream: ByteStream) => void;
}

export async function startTestNode(
  cloud?: PlayedCloud,
  {
    port: listenPort = 0,
    clock = systemClock,
    findNetwork = () => undefined,
    openHttp,
    takePod,
  }: NodeOptions = {},
): Promise<TestNode> {
  await using stack = new AsyncDisposableStack();
  const { path: dataDir } = stack.use(tempDir("node-api"));
  const store = stack.use(openStore(join(dataDir, "edgecore.db")));
  const bus = stack.use(
    new Bus<EdgeCatalog>({ onFailure: (_topic, _module, error) => console.error(error) }),
  );
  const played = bus.port<
    "object.stored" | "link.changed" | "devices.changed",
    never,
    never,
    "cloud.stream" | "cloud.token" | "cloud.node" | "device.desire" | "pod.stream"
  >("test");
  const away = (): never => {
    throw new UnavailableError("link-down", "there is no link");
  };
  stack.use(
    played.answer("cloud.stream", async ({ head }: { head: StreamHead }) =>
      cloud ? cloud.open(head as RequestHead) : away(),
    ),
  );
  stack.use(played.answer("cloud.token", async (request) => (cloud ? cloud.token(request) : away())));
  stack.use(played.answer("cloud.node", async () => ({})));
  const desired: DesiredChange[] = [];
  stack.use(played.answer("device.desire", async (change) => desired.push(change) > 0));
  stack.use(
    played.answer("pod.stream", async ({ stream }) => {
      if (!takePod) throw new UnavailableError("no-pods", "no pods run here");
      takePod(stream);
      return undefined;
    }),
  );
  const log = silentLog();
  const server = stack.use(
    await startMetaServer(
      {
        address: "127.0.0.1",
        port: listenPort,
        podAddress: "",
        node: "edge-1",
        dataDir,
        wireNamespace: "default",
        openHttp,
      },
      { port: bus.port("metaserver"), store, showDevice: (device) => device, clock, log, findNetwork },
    ),
  );
  const { port, caPem } = server.address;
  const url = `https://127.0.0.1:${port}`;
  const operatorToken = readFileSync(join(dataDir, "meta-server/operator-token"), "utf8").trim();
  const nameOf = (type: string, { metadata }: KubeObject) => ({
    type,
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
  });
  const owned = stack.move();
  return {
    server,
    store,
    url,
    operatorToken,
    desired,
    caPem,
    log,
    get: (path, token = operatorToken, init = {}) => {
      const headers = new Headers(init.headers);
      if (token !== "") headers.set("authorization", `Bearer ${token}`);
      return fetch(url + path, { ...init, headers, tls: { ca: caPem }, timeout: false } as RequestInit);
    },
    put: async (type, object) => {
      const name = nameOf(type, object);
      store.metas.put({ key: store.metas.keyOf(name), type, value: JSON.stringify(object) });
      await played.emit("object.stored", name);
    },
    remove: async (type, object) => {
      const name = nameOf(type, object);
      store.metas.remove(store.metas.keyOf(name));
      await played.emit("object.stored", { ...name, removed: object });
    },
    touch: (name) => played.emit("devices.changed", { devices: [{ namespace: "default", name }] }),
    link: (connected) => played.emit("link.changed", { connected, reason: "" }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function configMap(name: string, labels: Record<string, string> = {}, filler = ""): KubeObject {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", uid: name, resourceVersion: "7", labels },
    data: { filler },
  };
}

export function podObject(name: string, serviceAccountName = "reader"): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-of-${name}`, resourceVersion: "8" },
    spec: {
      serviceAccountName,
      nodeName: "edge-1",
      containers: [{ name: "c" }],
      volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }],
    },
    status: { phase: "Pending" },
  };
}

/** Lines of a watch as they come. */
export class WatchLines {
  readonly #reader;
  #rest = "";

  constructor(response: Response) {
    if (!response.body) throw new Error("a watch without a body");
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next event; undefined when the watch has ended. */
  async next(): Promise<{ readonly type: string; readonly object: KubeObject } | undefined> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        if (line !== "") return JSON.parse(line) as { type: string; object: KubeObject };
        continue;
      }
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#rest += value;
    }
  }

  async close(): Promise<void> {
    await this.#reader.cancel();
  }
}
