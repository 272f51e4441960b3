import {
  amountsOf,
  count,
  exceeds,
  minus,
  plus,
  sumOf,
  toObject,
  toText,
  type Amounts,
} from "#cloud/kube-api/admission/amounts";
import { parseObject, toKubeObject } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import type { RevisionStore, WriteRequest } from "#cloud/kube-api/store";
import { childOf, metadataOf, textOf, type JsonObject } from "#shared/json";
import { KeyedWorker } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { isCounted } from "./scopes.ts";
import { hasEnded, unnamedResources, usageOf } from "./usage.ts";

const resource = "/resourcequotas";

/** A write that quotas of its namespace may bound. */
export interface Spending {
  readonly resource: string;
  readonly plural: { readonly group: string; readonly plural: string };
  readonly namespace: string;
  readonly name: string;
  readonly object: JsonObject;
  readonly current: JsonObject | undefined;
}

/**
 * The ResourceQuotas of namespaces. What a write adds is compared and charged in the same turn of the event loop and stored in
 * the same commit as the object: parallel writes cannot exceed a quota together. What is released is counted again later, from
 * all objects of the namespace. Costs nothing where there is no quota.
 */
export class QuotaLedger implements AsyncDisposable {
  readonly #store: RevisionStore;
  readonly #worker: KeyedWorker<string, true>;
  readonly #following: Disposable;

  constructor(store: RevisionStore, log: Logger) {
    this.#store = store;
    this.#worker = new KeyedWorker(
      (namespace) => this.#recount(namespace),
      (namespace, error) => log.warn("cannot count the use of quotas", { namespace, error }),
    );
    this.#following = store.follow(resource, (changes) => {
      for (const { type, key } of changes) if (type !== "DELETED") this.released(namespaceOf(key));
    });
    for (const { key } of store.list(resource)) this.released(namespaceOf(key));
  }

  /** Charges the quotas that a write uses. @returns their new states, to be stored with it @throws Refusal (Forbidden) */
  charge(spending: Spending): WriteRequest[] {
    if (this.#store.count(resource) === 0) return [];
    const usage = usageOf(spending.resource, spending.object);
    const before = spending.current ? usageOf(spending.resource, spending.current) : new Map<string, never>();
    const added = new Map([...usage].map(([name, amount]) => [name, minus(amount, before.get(name))]));
    return this.#quotas(spending.namespace)
      .filter(({ quota }) => isCounted(quota, spending.resource, spending.object))
      .flatMap((one) => chargeOne(one, spending, added));
  }

  /** Something of a namespace was removed, or uses less. */
  released(namespace: string): void {
    if (this.#store.count(resource) > 0) this.#worker.submit(namespace, true);
  }

  /** The quota with what its namespace uses now: a new one is in effect at once. */
  counted(quota: JsonObject): JsonObject {
    const namespace = textOf(metadataOf(quota), "namespace");
    const hard = childOf(childOf(quota, "spec"), "hard") ?? {};
    const used = this.#usedBy(quota, namespace, Object.keys(hard));
    return { ...quota, status: { hard: { ...hard }, used } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#following[Symbol.dispose]();
    await this.#worker[Symbol.asyncDispose]();
  }

  async #recount(namespace: string): Promise<void> {
    const writes = this.#quotas(namespace).flatMap(({ key, quota }) => {
      const next = this.counted(quota);
      return Bun.deepEquals(next["status"], quota["status"])
        ? []
        : [this.#store.write({ resource, key, object: toKubeObject(next) })];
    });
    await Promise.all(writes);
  }

  #quotas(namespace: string): { readonly key: string; readonly quota: JsonObject }[] {
    return this.#store
      .list(resource, `${namespace}/`)
      .map(({ key, revision }) => ({ key, quota: parseObject(this.#store.text(revision) ?? "{}") }));
  }

  #usedBy(quota: JsonObject, namespace: string, names: readonly string[]): JsonObject {
    const used = new Map(names.map((name) => [name, count(0)]));
    for (const counted of new Set(names.flatMap(resourcesOf))) {
      const usages = this.#store.list(counted, `${namespace}/`).flatMap(({ revision }) => {
        const object = parseObject(this.#store.text(revision) ?? "{}");
        return isCounted(quota, counted, object) ? [usageOf(counted, object)] : [];
      });
      for (const [name, amount] of sumOf(usages)) if (used.has(name)) used.set(name, amount);
    }
    return toObject(used);
  }
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

/** The resources whose objects use something of this name. */
function resourcesOf(name: string): string[] {
  if (name.startsWith("count/")) {
    const [plural = "", ...group] = name.slice("count/".length).split(".");
    return [`${group.join(".")}/${plural}`];
  }
  if (name.endsWith("storage") && name.includes("requests.storage")) return ["/persistentvolumeclaims"];
  if (name.endsWith("persistentvolumeclaims")) return ["/persistentvolumeclaims"];
  if (name.startsWith("services")) return ["/services"];
  const plain = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
  return [plain.includes(name) ? `/${name}` : "/pods"];
}

function chargeOne(
  { key, quota }: { readonly key: string; readonly quota: JsonObject },
  { resource: spent, plural, name, object }: Spending,
  added: Amounts,
): WriteRequest[] {
  const status = childOf(quota, "status");
  const hard = amountsOf(childOf(childOf(quota, "spec"), "hard"));
  const called = textOf(metadataOf(quota), "name");
  const unnamed = spent === "/pods" && !hasEnded(object) ? unnamedResources(object, hard.keys()) : [];
  if (unnamed.length > 0)
    throw refusals.forbidden(plural, name, `failed quota: ${called}: must specify ${unnamed.join("; ")}`);
  const asked = new Map([...added].filter(([one, amount]) => hard.has(one) && amount.nano > 0n));
  if (asked.size === 0) return [];
  const used = amountsOf(childOf(status, "used"));
  const over = [...asked.keys()].filter((one) => exceeds(plus(used.get(one), asked.get(one)), hard.get(one)));
  if (over.length > 0) {
    const of = (amounts: Amounts): string =>
      toText(new Map(over.map((one) => [one, amounts.get(one) ?? count(0)])));
    const why = `exceeded quota: ${called}, requested: ${of(asked)}, used: ${of(used)}, limited: ${of(hard)}`;
    throw refusals.forbidden(plural, name, why);
  }
  for (const [one, amount] of asked) used.set(one, plus(used.get(one), amount));
  const next = { ...quota, status: { ...status, used: { ...childOf(status, "used"), ...toObject(used) } } };
  return [{ resource, key, object: toKubeObject(next) }];
}
