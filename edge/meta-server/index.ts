import { join } from "node:path";
import type { MetaServerConfig } from "#shared/config";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { Device, KubeObject } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ByteStream } from "#shared/streams";
import type { EdgeCatalog } from "#shared/topics";
import type { Metas } from "#edge/store";
import { AccessSync, KnownAccess, LocalAccess } from "#edge/meta-server/access";
import { DeviceWrites, documentedGroupVersions, LocalAnswers } from "#edge/meta-server/answers";
import { CloudApi, OpenApiCopy } from "#edge/meta-server/cloud";
import { NodeObjects, podKind } from "#edge/meta-server/objects";
import { PodRequests } from "#edge/meta-server/pods";
import {
  CertificateSource,
  ensureOperatorToken,
  Listeners,
  type ListenersOptions,
  NodeApi,
  OpenHttp,
  writeOperatorKubeconfig,
  type PodNetwork,
  type ServerCertificates,
} from "#edge/meta-server/server";
import { ChangedDevices } from "./changed-devices.ts";
import { NodeCopy } from "./node-copy.ts";

export type MetaServerPort = Port<
  EdgeCatalog,
  never,
  "cloud.node" | "cloud.stream" | "cloud.token" | "device.desire" | "pod.stream",
  "link.changed" | "object.stored" | "devices.changed",
  never
>;

export interface MetaServerSettings extends MetaServerConfig {
  readonly node: string;
  readonly dataDir: string;
  /** Namespace nodes travel under. */
  readonly wireNamespace: string;
}

export interface MetaServerDeps {
  readonly port: MetaServerPort;
  readonly store: { readonly metas: Metas };
  /** A Device with what devicetwin knows of it. */
  readonly showDevice: (device: Device) => Device;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of this machine unless given. */
  readonly findNetwork?: () => PodNetwork | undefined;
}

/** Where pods reach the API on the node, for their environment and files. */
export interface NodeApiAddress {
  /** For pods with a network of their own; undefined while there is no such network. */
  readonly podHost: () => string | undefined;
  /** For pods in the node's network. */
  readonly host: string;
  readonly port: number;
  readonly caPem: string;
}

export interface MetaServer extends Running {
  readonly address: NodeApiAddress;
  /** Where it is served without TLS and authentication; undefined: nowhere. */
  readonly openHttpPort: number | undefined;
}

const anyAddress = ["0.0.0.0", "::"];
const loopback = ["127.0.0.1", "::1", "localhost"];
/** What clients in pods call the API. */
const serviceNames = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/**
 * The Kubernetes API on the node, as KubeEdge's MetaServer: while there is a link, requests go to the API in the cloud with
 * the caller's token; otherwise, and always for the operator's token of the node, what the node has is answered.
 */
export async function startMetaServer(
  settings: MetaServerSettings,
  deps: MetaServerDeps,
): Promise<MetaServer> {
  await using stack = new AsyncDisposableStack();
  const { port, clock, log } = deps;
  const { node, dataDir } = settings;
  const onUnwritten = (path: string, error: unknown): void =>
    log.warn("cannot write a file of the API on the node, going on without it", { path, error });
  const operatorToken = ensureOperatorToken(dataDir, onUnwritten);
  const parts = partsOf(settings, deps, operatorToken);
  const { objects, access, local, sync, documents } = parts;
  stack.use(local);
  stack.use(sync);
  stack.use(documents);
  const nodeCopy = stack.use(new NodeCopy(settings, { ...deps, objects }));
  const link = { online: false };
  const hosts = new Set([
    ...(loopback.includes(settings.address) ? [] : [settings.address]),
    ...serviceNames,
  ]);
  const isOnline = (): boolean => link.online;
  const server = new NodeApi({ ...parts, isOnline, hosts: () => [...hosts], clock, log });
  const source = new CertificateSource(dataDir, { nowMs: () => clock.nowMs(), onUnwritten });
  const certificates = (more: readonly string[]): Promise<ServerCertificates> => {
    for (const host of more) hosts.add(host);
    return source.ensure([...loopback, ...hosts]);
  };
  const answer: ListenersOptions["answer"] = (request, offer) => server.answer(request, "tls", offer);
  const listeners = stack.use(await Listeners.open({ ...deps, ...settings, access, answer, certificates }));
  const open = settings.openHttp && stack.use(openHttpOf(settings.openHttp, server, settings, deps));
  const { caPem } = await certificates([]);
  const host = anyAddress.includes(settings.address) ? "127.0.0.1" : settings.address;
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${listeners.port}`;
  const kubeconfig = writeOperatorKubeconfig(
    dataDir,
    { server: url, caPem, token: operatorToken, node },
    onUnwritten,
  );
  log.info("serving the Kubernetes API on the node", { url, kubeconfig });
  stack.use(
    port.on("object.stored", (object) => {
      objects.stored(object);
      if (object.type === "pod") sync.podsChanged();
    }),
  );
  const changed = stack.use(new ChangedDevices(clock, (device) => objects.touched(device)));
  stack.use(port.on("devices.changed", ({ devices }) => changed.add(devices)));
  stack.use(
    port.on("link.changed", ({ connected, database }) => {
      link.online = connected && database?.held !== true;
      sync.linkChanged(link.online);
      nodeCopy.linkChanged(link.online);
      documents.linkChanged(link.online);
      if (link.online) local.online();
    }),
  );
  const address = { podHost: () => listeners.podAddress, host, port: listeners.port, caPem };
  return { ...running("metaserver", stack.move()), address, openHttpPort: open?.port };
}

function openHttpOf(
  place: NonNullable<MetaServerConfig["openHttp"]>,
  server: NodeApi,
  { dataDir }: MetaServerSettings,
  { clock, log }: MetaServerDeps,
): OpenHttp {
  const answer = (request: Request): Promise<Response> => server.answer(request, "open");
  return new OpenHttp({ ...place, dataDir, answer, clock, log });
}

interface MetaServerParts {
  readonly objects: NodeObjects;
  readonly access: LocalAccess;
  readonly local: LocalAnswers;
  readonly writes: DeviceWrites;
  readonly api: CloudApi;
  readonly pods: PodRequests;
  readonly sync: AccessSync;
  readonly documents: OpenApiCopy;
}

function partsOf(
  { node, dataDir }: MetaServerSettings,
  { port, store, showDevice, clock, log }: MetaServerDeps,
  operatorToken: string,
): MetaServerParts {
  const objects = new NodeObjects(store.metas, clock.random(), showDevice);
  const known = new KnownAccess(store.metas);
  const findPod = (namespace: string, name: string): KubeObject | undefined =>
    objects.find(podKind, namespace, name);
  const access = new LocalAccess({ known, clock, node, operatorToken, findPod });
  const api = new CloudApi((head) => port.ask("cloud.stream", { head }), clock);
  const sync = new AccessSync({
    api,
    known,
    clock,
    log,
    askToken: (request) => port.ask("cloud.token", request),
    onKeys: () => access.forgetKeys(),
    pods: () => objects.list(podKind),
    namespaces: () => objects.namespaces(),
  });
  const documents = new OpenApiCopy({
    api,
    folder: join(dataDir, "meta-server/openapi"),
    wanted: documentedGroupVersions(),
    clock,
    log,
  });
  const writes = new DeviceWrites({ objects, desire: (change) => port.ask("device.desire", change) });
  const local = new LocalAnswers({ objects, documents, clock });
  const serve = (stream: ByteStream): Promise<undefined> => port.ask("pod.stream", { stream });
  const pods = new PodRequests({ findPod, serve, clock, log });
  return { objects, access, api, pods, sync, writes, documents, local };
}
