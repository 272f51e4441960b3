import { expect, test } from "bun:test";
import { join } from "node:path";
import { resources } from "#cloud/kube-client";
import { cloudMessage, judgeReply, podRequests } from "#edge/edge-hub/codec";
import { openStore } from "#edge/store";
import type { Pod } from "#shared/kube";
import type { PodVerdict } from "#shared/topics";
import { newMessage, type WireMessage } from "#shared/wire";
import { ReceivedObjects } from "#internal/edge/meta-manager/received-objects.ts";
import { PodCheck } from "#internal/edge/meta-manager/pod-check.ts";
import { startCloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";
import { overTheWire } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import recorded from "./golden/kubeedge-1.15-pod-questions.json" with { type: "json" };

/** What our edgecore (node our-1) asked a KubeEdge 1.15.4 cloudcore about pods, and what that answered. */
interface Exchange {
  readonly question: WireMessage;
  readonly answer: WireMessage;
}
type What = "here" | "not found" | "another uid" | "on another node";

const node = "our-1";
const exchanges = recorded as unknown as Readonly<Record<What, Exchange>>;
const at = { namespace: "default", name: "p1" };

function uidIn({ question }: Exchange): string | undefined {
  const patch = JSON.parse(String(question.content)) as { readonly metadata: { readonly uid?: string } };
  return patch.metadata.uid;
}

test.each<[What, PodVerdict, string[]]>([
  ["here", "here", ["default/pod/p1"]],
  ["not found", "gone", []],
  ["another uid", "gone", []],
  ["on another node", "unknown", []],
])("edgecore takes KubeEdge's answer about a pod that is %s for %p", async (what, verdict, stored) => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edgecore.db"));
  const log = silentLog();
  const { question, answer } = exchanges[what];
  const asked: unknown[] = [];
  const check = new PodCheck({
    node,
    store,
    received: new ReceivedObjects(store, { notify: async () => undefined, onStored: () => undefined, log }),
    log,
    ask: overTheWire(podRequests, (message) => {
      const { route, content } = newMessage({ id: () => "m", nowMs: () => 1 }, message);
      asked.push({ route, content });
      return answer;
    }),
    mayRemoveUnknown: () => true,
  });
  const uid = uidIn(exchanges[what]);
  expect(await check.confirm({ ...at, ...(uid !== undefined && { uid }) })).toBe(verdict);
  expect(asked).toEqual([{ route: question.route, content: question.content }]);
  expect(store.metas.listByType("pod").map(({ key }) => key)).toEqual(stored);
});

test.each<[What, string]>([
  ["here", "done"],
  ["not found", "refused"],
  ["another uid", "refused"],
])("edgecore settles the status of a pod that is %s: %s", (what, kind) => {
  expect(judgeReply(cloudMessage(exchanges[what].answer)).kind).toBe(kind as "done");
});

test.each<[What, (pod: Pod) => Pod | undefined, object]>([
  ["here", (pod) => pod, { Object: { metadata: { uid: "U" } }, Err: null }],
  ["not found", () => undefined, { Err: { ErrStatus: { reason: "NotFound", code: 404 } } }],
  [
    "another uid",
    (pod) => ({ ...pod, metadata: { ...pod.metadata, uid: "newer" } }),
    { Err: { ErrStatus: { reason: "NotFound", code: 404 } } },
  ],
  // Stricter than KubeEdge's, which gives the pod.
  [
    "on another node",
    (pod) => ({ ...pod, spec: { ...pod.spec, nodeName: "c1" } }),
    { Err: { ErrStatus: { reason: "Forbidden", code: 403 } } },
  ],
])("cloudcore answers the recorded question about a pod that is %s", async (what, place, expected) => {
  const { question } = exchanges[what];
  const uid = uidIn(exchanges[what]) ?? "U";
  const label = { "node-role.kubernetes.io/edge": "" };
  await using cloud = await startCloud((kube) => {
    kube.put(resources.nodes, { metadata: { name: node, labels: label } });
    const pod = place({ metadata: { ...at, uid }, spec: { nodeName: node, containers: [] } });
    if (pod) kube.put(resources.pods, pod);
  });
  await cloud.settle();
  const answer = await cloud.pass(node, question);
  const content = JSON.parse(JSON.stringify(answer?.content ?? null).replaceAll(uid, "U")) as unknown;
  expect(content).toMatchObject(expected);
  const failure = exchanges[what].answer.content as { readonly Err?: { readonly ErrStatus?: object } };
  if (what === "not found")
    expect(content).toMatchObject({ Err: { ErrStatus: failure.Err?.ErrStatus ?? {} } });
});
