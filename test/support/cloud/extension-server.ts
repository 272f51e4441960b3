import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { createAuthority, type Authority } from "#shared/pki";

/** What an extension server was asked. */
export interface ExtensionRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  /** The common name of the certificate that the client showed; undefined without a trusted one. */
  readonly client: string | undefined;
  readonly body: string;
}

export interface ExtensionServer extends AsyncDisposable {
  readonly port: number;
  /** In base64, as an APIService has it. */
  readonly caBundle: string;
  readonly asked: readonly ExtensionRequest[];
  /** Sends an event to everybody who watches. */
  emit(event: object): void;
  /** Whether it answers with errors from now on. */
  fail(isBroken: boolean): void;
}

export const extensionGroup = "wardle.example.com";
export const extensionVersion = "v1alpha1";
const root = `/apis/${extensionGroup}/${extensionVersion}`;

/** An API server of another group, over HTTPS, that believes clients with a certificate of `clientCa`. */
export async function startExtensionServer(clientCa: string, service: string): Promise<ExtensionServer> {
  const nowMs = Date.now();
  const authority: Authority = await createAuthority({ commonName: "extension-ca", days: 1, nowMs });
  const subject = { commonName: service };
  const pair = await authority.issue({ subject, hosts: [service], usage: "server", days: 1, nowMs });
  const asked: ExtensionRequest[] = [];
  const watchers = new Set<ServerResponse>();
  const sockets = new Set<TLSSocket>();
  let isBroken = false;
  const http = createServer((request, response) => void answer(request, response));
  http.on("upgrade", (request: IncomingMessage, socket: TLSSocket) => {
    asked.push(seen(request, ""));
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
    );
    socket.on("data", (bytes: Buffer) => socket.write(`echo ${bytes.toString("latin1")}`));
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    asked.push(seen(request, Buffer.concat(pieces).toString("utf8")));
    const url = new URL(request.url ?? "/", "https://x");
    const json = (body: object, status = 200): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (isBroken) return json({}, 500);
    if (url.pathname === root) return json(resourceList);
    if (url.pathname === "/openapi/v3")
      return json({ paths: { [root.slice(1)]: { serverRelativeURL: `/openapi/v3${root}?hash=ABC` } } });
    if (url.pathname === `/openapi/v3${root}`) return json({ openapi: "3.0.0", info: {}, paths: {} });
    if (url.searchParams.get("watch") !== null || url.pathname.startsWith(`${root}/watch/`)) {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      watchers.add(response);
      response.once("close", () => watchers.delete(response));
      return;
    }
    const metadata = { name: "one", namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" };
    const one = { apiVersion: `${extensionGroup}/${extensionVersion}`, kind: "Flunder", metadata };
    if (request.method === "POST") return json(one, 201);
    json(
      url.pathname.endsWith("/flunders") ? { ...one, kind: "FlunderList", metadata: {}, items: [one] } : one,
    );
  }
  const server = createTlsServer(
    { cert: pair.cert, key: pair.key, ca: clientCa, requestCert: true, rejectUnauthorized: false },
    (socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => sockets.delete(socket));
      http.emit("connection", socket);
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(authority.certPem).toString("base64"),
    asked,
    emit: (event) => {
      for (const watcher of watchers) watcher.write(`${JSON.stringify(event)}\n`);
    },
    fail: (broken) => void (isBroken = broken),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      http.close();
    },
  };
}

function seen(request: IncomingMessage, body: string): ExtensionRequest {
  const socket = request.socket as TLSSocket;
  const { method = "", url = "", rawHeaders } = request;
  const name = socket.authorized ? socket.getPeerCertificate().subject.CN : undefined;
  return { method, url, rawHeaders, client: Array.isArray(name) ? name[0] : name, body };
}

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const resourceList = {
  kind: "APIResourceList",
  apiVersion: "v1",
  groupVersion: `${extensionGroup}/${extensionVersion}`,
  resources: [
    {
      name: "flunders",
      singularName: "flunder",
      namespaced: true,
      kind: "Flunder",
      verbs,
      shortNames: ["fl"],
    },
    {
      name: "flunders/status",
      singularName: "",
      namespaced: true,
      kind: "Flunder",
      verbs: ["get", "patch", "update"],
    },
  ],
};

/** The objects that lead this API to an extension server. */
export function extensionObjects(
  { port, caBundle }: ExtensionServer,
  namespace: string,
  address: object = { ip: "127.0.0.1" },
): [path: string, object: object][] {
  const metadata = { name: "extension", namespace };
  return [
    [
      `/api/v1/namespaces/${namespace}/services`,
      { apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ port: 443, targetPort: port }] } },
    ],
    [
      `/api/v1/namespaces/${namespace}/endpoints`,
      {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata,
        subsets: [{ addresses: [address], ports: [{ port }] }],
      },
    ],
    [
      "/apis/apiregistration.k8s.io/v1/apiservices",
      {
        apiVersion: "apiregistration.k8s.io/v1",
        kind: "APIService",
        metadata: { name: `${extensionVersion}.${extensionGroup}` },
        spec: {
          group: extensionGroup,
          version: extensionVersion,
          groupPriorityMinimum: 2000,
          versionPriority: 200,
          service: { name: "extension", namespace, port: 443 },
          caBundle,
        },
      },
    ],
  ];
}
