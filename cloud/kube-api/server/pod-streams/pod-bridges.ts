import { createServer, connect as connectTcp, type Server, type Socket } from "node:net";
import type { ServicePod } from "#cloud/kube-api/http/service-calls";
import { socketPath } from "#shared/connections";
import { AppError } from "#shared/errors";
import { passConnection } from "#shared/remote-command";
import { connectionOfSocket } from "#shared/upgrades";
import type { NodeStreams } from "./node-streams.ts";

/** Pods that were called last; each takes a socket. */
const mostBridges = 64;

interface Bridge {
  readonly path: string;
  readonly place: Disposable;
  readonly server: Server;
  readonly open: Set<Socket>;
}

/**
 * Unix sockets whose connections lead to ports of pods. Edge nodes have no cluster network: a connection crosses the link of the
 * node, as that of `kubectl port-forward`, and TLS is with the pod itself. Where the node has no link, it goes to the address of
 * the pod, to which there may be a route.
 */
export class PodBridges implements Disposable {
  readonly #dataDir: string;
  readonly #nodeStreams: Pick<NodeStreams, "ask">;
  /** The one that was used longest ago first. */
  readonly #bridges = new Map<string, Bridge>();
  #made = 0;

  constructor(dataDir: string, nodeStreams: Pick<NodeStreams, "ask">) {
    this.#dataDir = dataDir;
    this.#nodeStreams = nodeStreams;
  }

  /** @returns the path of the socket */
  reach(pod: ServicePod, address: { readonly host: string; readonly port: number }): string {
    const id = JSON.stringify([pod, address]);
    const bridge = this.#bridges.get(id) ?? this.#build(pod, address);
    this.#bridges.delete(id);
    this.#bridges.set(id, bridge);
    for (const [oldest, old] of this.#bridges) {
      if (this.#bridges.size <= mostBridges) break;
      this.#bridges.delete(oldest);
      // Connections that are open go on.
      old.server.close();
      old.place[Symbol.dispose]();
    }
    return bridge.path;
  }

  [Symbol.dispose](): void {
    for (const { server, open, place } of this.#bridges.values()) {
      server.close();
      for (const socket of open) socket.destroy();
      place[Symbol.dispose]();
    }
    this.#bridges.clear();
  }

  #build(pod: ServicePod, address: { readonly host: string; readonly port: number }): Bridge {
    this.#made += 1;
    const place = socketPath(this.#dataDir, `pod-${this.#made}.sock`);
    const open = new Set<Socket>();
    // Each direction ends by itself, as on a connection to the pod.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => open.delete(socket));
      void this.#carry(socket, pod, address);
    });
    server.listen(place.path);
    return { path: place.path, place, server, open };
  }

  async #carry(
    socket: Socket,
    { node, port, ...target }: ServicePod,
    address: { readonly host: string; readonly port: number },
  ): Promise<void> {
    const gone = new AbortController();
    socket.once("close", () => gone.abort());
    try {
      const request = { kind: "port-forward", port, ...target } as const;
      const toPod = await this.#nodeStreams.ask(node, request, gone.signal);
      const { readable, writable } = connectionOfSocket(socket, new Uint8Array());
      const fail = async (): Promise<void> => void socket.destroy();
      await passConnection({ port, readable, writable, fail }, async () => toPod);
    } catch (error) {
      if (!(error instanceof AppError) || gone.signal.aborted) socket.destroy();
      else connectDirectly(socket, address);
    }
  }
}

function connectDirectly(socket: Socket, address: { readonly host: string; readonly port: number }): void {
  const direct = connectTcp({ ...address, allowHalfOpen: true });
  direct.on("error", () => socket.destroy());
  direct.once("close", () => socket.destroy());
  socket.once("close", () => direct.destroy());
  direct.once("connect", () => {
    socket.pipe(direct);
    direct.pipe(socket);
  });
}
