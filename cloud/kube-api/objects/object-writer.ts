import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { brokenLimits, growthFault, limitRangesOf, type QuotaLedger } from "#cloud/kube-api/admission";
import { storedForm } from "#cloud/kube-api/kinds";
import { parseKubeObject, toKubeObject, type KindInfo, type UpdateVia } from "#cloud/kube-api/schema";
import { invalidStatus, Refusal, refusals } from "#cloud/kube-api/status";
import {
  TooLargeError,
  type RevisionChange,
  type RevisionStore,
  type WriteRequest,
} from "#cloud/kube-api/store";
import { rfc3339, type Clock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import { childOf, itemsOf, textOf, type JsonObject } from "#shared/json";
import { isReleased } from "./deletion.ts";
import { established } from "./established-definition.ts";
import { keyOf } from "./identity.ts";
import { crdResource, resourceOf, type KindRegistry } from "./kind-registry.ts";
import type { Admission, Listing, Lookup, ObjectTarget, WriteOptions, Written } from "./write-request.ts";

export interface WriterParts {
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly quotas: QuotaLedger;
  readonly clock: Clock;
  readonly admit?: Admission;
}

/** A validated object and what it replaces. */
export interface ObjectChange {
  readonly target: ObjectTarget;
  readonly next: JsonObject;
  readonly current: JsonObject | undefined;
  /** `next` in the version that is stored, where a webhook has converted it. */
  readonly stored?: JsonObject | undefined;
}

/** What nodes report again and again, and again after a crash: the status of devices, and that they are there. */
function isReportedAgain({ target, current }: ObjectChange, via: UpdateVia = ""): boolean {
  const { kind, namespace } = target;
  const resource = resourceOf(kind);
  if (!current) return false;
  if (resource === "coordination.k8s.io/leases") return namespace === "kube-node-lease";
  return resource === "devices.kubeedge.io/devices" && via === "status";
}

/** Resources that LimitRanges bound. */
const limited = new Set(["/pods", "/persistentvolumeclaims"]);

/** The last step of a write: what may forbid a valid object, then the commit. All in one turn of the event loop. */
export class ObjectWriter {
  readonly #parts: WriterParts;
  /** What admission has listed, by kind and namespace, then by revision. */
  readonly #listed = new Map<string, ReadonlyMap<number, KubeObject>>();

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** Judges and stores an object; one that is as before is not written. @throws Refusal */
  async put(change: ObjectChange, options: WriteOptions & { via?: UpdateVia }): Promise<Written> {
    const { target, current } = change;
    const { via = "" } = options;
    const ofSpec = via === "" || via === "resize";
    if (ofSpec) this.#judge(change);
    options.guard?.mayStore(target, change.next, current);
    const next = this.#completed(target.kind, change.next, current);
    if (current && Bun.deepEquals(next, current))
      return { text: JSON.stringify(current), created: false, gone: false };
    if (ofSpec) this.#checkLimits({ ...change, next });
    const along = ofSpec ? [...this.#charge({ ...change, next }), ...this.#defaultAccount(change)] : [];
    const stored = change.stored ?? storedForm(target.kind, next);
    const isVolatile = isReportedAgain(change, options.via);
    const written = await this.save(target, stored, { ...options, isVolatile }, along);
    if (written.gone || hasEnded(target, next)) this.#parts.quotas.released(target.namespace);
    return written;
  }

  /** Stores an object, or removes it when nothing holds it any longer. `along` is committed with it, unless it is refused. */
  async save(
    target: ObjectTarget,
    next: JsonObject,
    options: WriteOptions & { readonly isVolatile?: boolean },
    along: readonly WriteRequest[] = [],
  ): Promise<Written> {
    const { store } = this.#parts;
    const resource = resourceOf(target.kind);
    const object = toKubeObject(next);
    const gone = isReleased(resource, object);
    if (options.dryRun) return { text: JSON.stringify(object), created: false, gone };
    const key = keyOf(target);
    const present = store.find(resource, key) !== undefined;
    const { isVolatile = false } = options;
    const stored = this.#store({ resource, key, object, remove: gone && present, isVolatile }, along);
    // What was charged for an object that is not stored is counted again.
    stored.catch(() => this.#parts.quotas.released(target.namespace));
    const { text } = await stored;
    return { text, created: false, gone };
  }

  async #store(request: WriteRequest, along: readonly WriteRequest[]): Promise<RevisionChange> {
    try {
      return await this.#parts.store.write(request, along);
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      throw refusals.entityTooLarge(error.message);
    }
  }

  /** Only when the spec changed: labels, finalizers and status of an admitted object can always change. */
  #judge({ target: { kind, name }, next, current }: ObjectChange): void {
    const { admit } = this.#parts;
    if (!admit || (current && Bun.deepEquals(next["spec"], current["spec"]))) return;
    const causes = admit(toKubeObject(next), this.#lookup, this.#list);
    if (causes.length > 0) throw new Refusal(invalidStatus(kind, name, causes));
  }

  /** A CustomResourceDefinition is served, and a new quota is counted, from the moment it is stored. */
  #completed(kind: KindInfo, object: JsonObject, current: JsonObject | undefined): JsonObject {
    const { registry, quotas, clock } = this.#parts;
    const resource = resourceOf(kind);
    if (resource === crdResource) return established(registry, object, rfc3339(clock.nowMs()));
    return resource === "/resourcequotas" && !current ? quotas.counted(object) : object;
  }

  /** Pods do not change what they ask for. */
  #checkLimits({ target: { kind, namespace, name }, next, current }: ObjectChange): void {
    const resource = resourceOf(kind);
    if (!limited.has(resource) || (current && resource === "/pods" && wantsSame(next, current))) return;
    const isClaim = resource === "/persistentvolumeclaims";
    const fault = current && isClaim ? growthFault({ object: next, current }, this.#parts.store) : undefined;
    if (fault !== undefined) throw refusals.forbidden(kind, name, fault);
    const broken = brokenLimits(resource, next, limitRangesOf(this.#parts.store, namespace));
    if (broken.length > 0)
      throw refusals.forbidden(
        kind,
        name,
        broken.length === 1 ? (broken[0] ?? "") : `[${broken.join(", ")}]`,
      );
  }

  #charge({ target: { kind, namespace, name }, next, current }: ObjectChange): WriteRequest[] {
    const resource = resourceOf(kind);
    if (namespace === "" || (current && resource === "/pods" && wantsSame(next, current))) return [];
    return this.#parts.quotas.charge({ resource, plural: kind, namespace, name, object: next, current });
  }

  /** Of a new namespace: pods that are sent right after it need the account. */
  #defaultAccount({ target: { kind, name: namespace }, current }: ObjectChange): WriteRequest[] {
    if (current || resourceOf(kind) !== "/namespaces") return [];
    const { store, clock } = this.#parts;
    const resource = "/serviceaccounts";
    const key = keyOf({ namespace, name: "default" });
    if (store.find(resource, key) !== undefined) return [];
    const creationTimestamp = rfc3339(clock.nowMs());
    const metadata = { name: "default", namespace, uid: randomUUID(), creationTimestamp };
    return [{ resource, key, object: { apiVersion: "v1", kind: "ServiceAccount", metadata } }];
  }

  readonly #lookup: Lookup = (group, plural, key) => {
    const text = this.#parts.store.get(`${group}/${plural}`, `${key.namespace}/${key.name}`);
    return text === undefined ? undefined : parseKubeObject(text);
  };

  /** An object that has not changed is the same one in each list. */
  readonly #list: Listing = (group, plural, namespace) => {
    const { store } = this.#parts;
    const resource = `${group}/${plural}`;
    const place = `${resource} ${namespace}`;
    const before = this.#listed.get(place);
    const after = new Map<number, KubeObject>();
    for (const { revision } of store.list(resource, `${namespace}/`)) {
      const known = before?.get(revision);
      const text = known ? undefined : store.text(revision);
      const object = known ?? (text === undefined ? undefined : parseKubeObject(text));
      if (object) after.set(revision, object);
    }
    if (after.size > 0) this.#listed.set(place, after);
    else this.#listed.delete(place);
    return [...after.values()];
  };
}

function hasEnded({ kind }: ObjectTarget, object: JsonObject): boolean {
  return (
    resourceOf(kind) === "/pods" &&
    ["Succeeded", "Failed"].includes(textOf(childOf(object, "status"), "phase"))
  );
}

/** Whether a pod asks for as much as before: all that changes it but a resize. */
function wantsSame(next: JsonObject, current: JsonObject): boolean {
  const [is, was] = [next, current].map((pod) =>
    ["containers", "initContainers"].map((list) =>
      itemsOf(childOf(pod, "spec"), list).map(({ resources }) => resources),
    ),
  );
  return isDeepStrictEqual(is, was);
}
