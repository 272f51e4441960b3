import { ownWrite, type KindRegistry, type ObjectService, type ObjectTarget } from "#cloud/kube-api/objects";
import { parseObject } from "#cloud/kube-api/schema";
import { Refusal } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { rfc3339, type Clock } from "#shared/clock";
import { childOf, itemsOf, textOf, type JsonObject } from "#shared/json";
import { KeyedWorker } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

const group = "flowcontrol.apiserver.k8s.io";
const schemas = `${group}/flowschemas`;
const levels = `${group}/prioritylevelconfigurations`;

interface Parts {
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly objects: ObjectService;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the condition `Dangling` of each FlowSchema, which says whether its level exists (apiserver/util/flowcontrol). When the
 * promise resolves, all have theirs.
 */
export async function startLevelReferences(parts: Parts): Promise<AsyncDisposable> {
  const { store, log } = parts;
  const worker = new KeyedWorker<string, "check">(
    (name) => check(parts, name),
    (name, error) => log.warn("cannot write the status of a FlowSchema", { name, error }),
  );
  const names = (): string[] => store.list(schemas).map(({ key }) => key.slice(1));
  const following = [
    store.follow(schemas, (changes) => {
      for (const { type, key } of changes) if (type !== "DELETED") worker.submit(key.slice(1), "check");
    }),
    store.follow(levels, (changes) => {
      if (changes.every(({ type }) => type === "MODIFIED")) return;
      for (const name of names()) worker.submit(name, "check");
    }),
  ];
  for (const name of names()) worker.submit(name, "check");
  await worker.idle();
  return {
    [Symbol.asyncDispose]: async () => {
      for (const one of following) one[Symbol.dispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

async function check({ store, objects, registry, clock }: Parts, name: string): Promise<void> {
  const text = store.get(schemas, `/${name}`);
  const kind = registry.find(group, "v1", "flowschemas");
  if (text === undefined || !kind) return;
  const schema = parseObject(text);
  const level = textOf(childOf(childOf(schema, "spec"), "priorityLevelConfiguration"), "name");
  const isFound = store.find(levels, `/${level}`) !== undefined;
  const conditions = withDangling(schema, { level, isFound }, rfc3339(clock.nowMs()));
  if (!conditions) return;
  const target: ObjectTarget = { kind, namespace: "", name };
  try {
    const body: JsonObject = { status: { conditions } };
    await objects.patch(target, { type: "merge", body }, { ...ownWrite, via: "status" });
  } catch (error) {
    if (!(error instanceof Refusal && error.httpStatus === 404)) throw error;
  }
}

/** Undefined when the condition is there already. */
function withDangling(
  schema: JsonObject,
  { level, isFound }: { readonly level: string; readonly isFound: boolean },
  now: string,
): JsonObject[] | undefined {
  const conditions = itemsOf(childOf(schema, "status"), "conditions");
  const was = conditions.find(({ type }) => type === "Dangling");
  const status = isFound ? "False" : "True";
  const what = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`;
  const message = isFound ? `${what} and it exists` : `${what} but there is no such object`;
  if (was?.["status"] === status && was["message"] === message) return undefined;
  const lastTransitionTime = was?.["status"] === status ? (was["lastTransitionTime"] ?? now) : now;
  const reason = isFound ? "Found" : "NotFound";
  const others = conditions.filter(({ type }) => type !== "Dangling");
  return [...others, { type: "Dangling", status, lastTransitionTime, reason, message }];
}
