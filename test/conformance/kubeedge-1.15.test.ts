import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";
import { decode, encode, type WireMessage } from "#shared/wire";
import { needsAck } from "#internal/cloud/cloud-hub/codec/downstream-message.ts";
import { readUpstream } from "#internal/cloud/cloud-hub/codec/upstream-message.ts";
import { startCloud, type Cloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";
import recorded from "./golden/kubeedge-1.15-edgecontroller.json" with { type: "json" };

/** Messages that a KubeEdge 1.15 cloudcore and edgecore exchanged, compared with ours. */
interface Recorded {
  readonly exchanges: readonly { readonly request: WireMessage; readonly answer: WireMessage }[];
  readonly deliveries: readonly WireMessage[];
  readonly kinds: readonly { readonly to: "edge" | "cloud"; readonly message: WireMessage }[];
}

const { exchanges, deliveries, kinds } = recorded as unknown as Recorded;
const node = "ke-edge";

function objectOf({ content }: WireMessage): KubeObject {
  return structuredClone(content) as KubeObject;
}

function answerTo(resource: string): WireMessage {
  const found = exchanges.find(({ answer }) => answer.route.resource === resource);
  if (!found) throw new Error(`no recorded answer for ${resource}`);
  return found.answer;
}

async function startRecordedCloud(): Promise<Cloud> {
  const lease = answerTo("kube-node-lease/lease/ke-edge").content as { Object: KubeObject };
  const cloud = await startCloud((kube) => {
    kube.put(resources.nodes, objectOf(answerTo("default/node/ke-edge")));
    kube.put(resources.leases, structuredClone(lease.Object));
    kube.put(resources.configMaps, objectOf(answerTo("default/configmap/page")));
    kube.put(resources.secrets, objectOf(answerTo("default/secret/cred")));
    kube.put(resources.serviceAccounts, { metadata: { namespace: "default", name: "robot" } });
    const [insert] = deliveries;
    const pod = objectOf(insert as WireMessage) as KubeObject & { spec: { volumes: object[] } };
    pod.spec.volumes.push({ name: "p", configMap: { name: "page" } });
    kube.put(resources.pods, pod);
    const token = { name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } };
    const uid = "bc32c44a-09f6-4d9c-a473-bb9766ccedac";
    kube.put(resources.pods, {
      metadata: { namespace: "default", name: "sat", uid },
      spec: { nodeName: node, serviceAccountName: "robot", containers: [], volumes: [token] },
    });
  });
  await cloud.settle();
  return cloud;
}

/** Which fields a message has, and what kind of content. */
function formOf({ header, route, content }: WireMessage): object {
  return { header: Object.keys(header).toSorted(), route, content: contentForm(content) };
}

function contentForm(content: unknown): unknown {
  if (typeof content !== "object" || content === null) return content;
  const { Object: object, Err: error, metadata, kind } = content as Record<string, KubeObject | undefined>;
  if (object === undefined) return { kind, ...identity(metadata) };
  const status = (error as { ErrStatus?: Record<string, unknown> } | null | undefined)?.ErrStatus;
  const { reason, code, message } = status ?? {};
  return { ...identity(object.metadata), failed: error !== null, reason, code, message };
}

function identity(metadata: unknown): object {
  const { name, namespace, uid } = (metadata ?? {}) as Record<string, unknown>;
  return { name, namespace, uid };
}

for (const { request, answer } of exchanges) {
  const { operation, resource } = request.route;
  test(`the answer to ${operation} ${resource} has the recorded form`, async () => {
    await using cloud = await startRecordedCloud();
    const passed = decode(encode(request));
    if (!passed.ok) throw new Error(passed.reason);
    const got = await cloud.pass(node, passed.message);
    const same = got && { ...got, content: plain(got.content) };
    expect(same && formOf(same)).toEqual(formOf({ ...answer, content: plain(answer.content) }));
  });
}

/** A token request's own name is of no use to an edge. */
function plain(content: unknown): unknown {
  const { kind } = (content ?? {}) as { kind?: string };
  return kind === "TokenRequest" ? { kind } : content;
}

test("objects travel as recorded", async () => {
  const [insert, remove, update, secret] = deliveries.map((message) => objectOf(message));
  await using cloud = await startCloud((kube) => {
    kube.put(resources.nodes, objectOf(answerTo("default/node/ke-edge")));
  });
  await cloud.settle();
  cloud.kube.put(resources.secrets, secret as KubeObject);
  cloud.kube.put(resources.configMaps, update as KubeObject);
  cloud.kube.put(resources.pods, insert as KubeObject);
  await cloud.settle();
  cloud.kube.put(resources.pods, remove as KubeObject);
  await cloud.settle();
  await cloud.kube.remove(resources.pods, { namespace: "default", name: "envy" }, { graceSeconds: 0 });
  await cloud.settle();
  const pods = cloud.sent.filter(({ route }) => route.resource === "default/pod/envy");
  expect(pods.map(({ route }) => route.operation)).toEqual(["insert", "update", "delete"]);
  const [first, , last] = pods;
  const expected = [deliveries[0], deliveries[1]] as [WireMessage, WireMessage];
  expect([first, last].map((message) => message && withoutVersions(message))).toEqual(
    expected.map(withoutVersions),
  );
});

/** What the API and the moment decide. */
function withoutVersions({ header, route, content }: WireMessage): object {
  const { metadata, ...rest } = content as KubeObject;
  const { resourceVersion: _version, generation: _generation, ...meta } = metadata;
  return { header: Object.keys(header).toSorted(), route, content: { ...rest, metadata: meta } };
}

test("every recorded message of an edge finds its way", () => {
  const ways = kinds
    .filter(({ to }) => to === "cloud")
    .map(({ message: { route }, message }) => [
      `${route.source} ${route.operation} ${route.resource}`,
      readUpstream(node, encode(message)).kind,
    ]);
  const wrong = ways.filter(([what = "", way]) => way !== expectedWay(what));
  expect(wrong).toEqual([]);
});

function expectedWay(what: string): string {
  if (what.startsWith("websocket keepalive")) return "keepalive";
  if (what.includes(" response ")) return "reply";
  return what.startsWith("twin ") ? "twin" : "request";
}

test("what an edge was seen to acknowledge reliably is what we repeat", () => {
  const repeated = kinds
    .filter(({ to, message }) => to === "edge" && needsAck(message))
    .map(({ message: { route } }) => `${route.operation} ${route.resource}`);
  expect(repeated).toEqual([
    "response default/configmap/page",
    "insert default/devicemodel/thermo-model",
    "insert default/device/thermo-1",
    "update default/device/thermo-1",
    "insert default/pod/envy",
    "update default/pod/envy",
    "response default/secret/cred",
    "update default/secret/cred",
    "update default/configmap/page",
    "delete default/pod/envy",
    "delete default/devicemodel/thermo-model",
    "delete default/device/thermo-1",
  ]);
});
