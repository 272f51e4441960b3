import { completeNew, podSurroundings } from "#cloud/kube-api/admission";
import type { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import {
  admitShown,
  decodeApplied,
  decodeBody,
  prepareChanged,
  prepareNew,
  shownObject,
  toStored,
  validateChanged,
  validateNew,
} from "#cloud/kube-api/kinds";
import { patchObject, serverSideApply, withFoundManagers, type PatchType } from "#cloud/kube-api/patch";
import { parseKubeObject, type UpdateVia } from "#cloud/kube-api/schema";
import { invalidStatus, Refusal, refusals } from "#cloud/kube-api/status";
import { rfc3339 } from "#shared/clock";
import { asText, cloneJson, metadataOf, type Json, type JsonObject } from "#shared/json";
import { planDeletion, type DeleteOptions } from "./deletion.ts";
import { applyOptions, tracked } from "./field-tracking.ts";
import { admitThrough, askBeforeDelete, checkCurrent, Overtaken, type Gates } from "./hooked-write.ts";
import {
  checkAbsent,
  checkApplied,
  checkIdentity,
  checkNamespace,
  checkPreconditions,
  checkType,
  checkVersion,
  keepIdentity,
  keyOf,
  newMetadata,
} from "./identity.ts";
import { resourceOf } from "./kind-registry.ts";
import { ObjectWriter, type WriterParts } from "./object-writer.ts";
import type { ServiceAddresses } from "./service-addresses.ts";
import { unwrap } from "./unwrap.ts";
import type { ObjectTarget, WriteOptions, Written } from "./write-request.ts";

export interface ObjectServiceParts extends WriterParts, Gates {
  readonly addresses: ServiceAddresses;
  readonly conversions: Conversions;
}

/** Namespace kubeedge holds the bans of nodes: without it a stolen certificate could connect again. */
const permanentNamespaces = new Set(["default", "kube-system", "kube-public", "kubeedge"]);
/** Times that a patch is tried while others write the object, as upstream (MaxRetryWhenPatchConflicts). */
const mostAttempts = 5;
/** Kinds that a PUT may create (`AllowCreateOnUpdate`). */
const createdByUpdate = new Set([
  "/events",
  "/endpoints",
  "coordination.k8s.io/leases",
  "discovery.k8s.io/endpointslices",
  "events.k8s.io/events",
  "rbac.authorization.k8s.io/roles",
  "rbac.authorization.k8s.io/rolebindings",
  "rbac.authorization.k8s.io/clusterroles",
  "rbac.authorization.k8s.io/clusterrolebindings",
]);

/**
 * Reads and writes objects by the rules of the Kubernetes API, as `Store` of apiserver/registry/generic: decode, merge, track
 * managed fields, default, admit, validate, store. Every refusal is thrown as `Refusal`.
 */
export class ObjectService {
  readonly #parts: ObjectServiceParts;
  readonly #writer: ObjectWriter;

  constructor(parts: ObjectServiceParts) {
    this.#parts = parts;
    this.#writer = new ObjectWriter(parts);
  }

  /** An object of a kind that no webhook converts. @throws Refusal (NotFound) */
  read(target: ObjectTarget): JsonObject {
    return shownObject(target.kind, this.#text(target));
  }

  /** As `read`, of any kind: at once unless a webhook may have to convert it. @throws Refusal (NotFound) */
  show(target: ObjectTarget): JsonObject | Promise<JsonObject> {
    const { conversions } = this.#parts;
    const text = this.#text(target);
    if (!conversions.concern(target.kind)) return shownObject(target.kind, text);
    return conversions.text(target.kind, text).then((shown) => shownObject(target.kind, shown));
  }

  #text(target: ObjectTarget): string {
    const text = this.#parts.store.get(resourceOf(target.kind), keyOf(target));
    if (text === undefined) throw refusals.notFound(target.kind, target.name);
    return text;
  }

  async create(target: ObjectTarget, body: Json, options: WriteOptions): Promise<Written> {
    const { kind } = target;
    checkType(kind, body);
    const object = toStored(kind, unwrap(decodeBody(kind, body, options), options.warn));
    const metadata = newMetadata(this.#parts.clock, target, object);
    const name = asText(metadata["name"]);
    checkNamespace(this.#parts.store, target, name);
    unwrap(admitShown(kind, object), options.warn);
    return this.#add({ ...storedTarget(target), name }, object, options);
  }

  async #add(target: ObjectTarget, object: JsonObject, options: WriteOptions): Promise<Written> {
    const { store, addresses } = this.#parts;
    const resource = resourceOf(target.kind);
    const key = keyOf(target);
    checkAbsent(this.#parts.store, target, object);
    if (resource === "/services") addresses.assign(key, object);
    try {
      completeNew({ kind: target.kind, name: target.name, object }, store);
      const around = resource === "/pods" ? podSurroundings(store, target.namespace, object) : undefined;
      const context = { now: this.#now(), author: options.author, around };
      const through = admitThrough(
        this.#parts,
        {
          target,
          operation: "CREATE",
          subresource: "",
          object,
          old: undefined,
          prepare: (one) => unwrap(prepareNew(target.kind, one, context), options.warn),
          validate: (one) => unwrap(validateNew(target.kind, one), options.warn),
        },
        options,
      );
      const admitted = through instanceof Promise ? await through : through;
      const converted = this.#toStore(target, admitted);
      const stored = converted && (await converted);
      if (converted || through instanceof Promise) {
        checkAbsent(this.#parts.store, target, object);
        checkNamespace(this.#parts.store, target, target.name);
      }
      const change = { target, next: admitted, current: undefined, stored };
      const written = await this.#writer.put(change, options);
      if (resource === "/services" && options.dryRun) addresses.release(key);
      return { ...written, created: true };
    } catch (error) {
      if (resource === "/services" && store.find(resource, key) === undefined) addresses.release(key);
      throw error;
    }
  }

  /** PUT of the object or of a subresource that has its shape. */
  async update(
    target: ObjectTarget,
    body: Json,
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    checkType(target.kind, body);
    checkIdentity(target, body);
    const { store } = this.#parts;
    const resource = resourceOf(target.kind);
    if (
      store.find(resource, keyOf(target)) === undefined &&
      options.via === "" &&
      createdByUpdate.has(resource)
    ) {
      options.guard?.mayCreate(target);
      return this.create(target, body, options);
    }
    return this.#replaceIn(target, body, options);
  }

  /** PATCH of the object or of a subresource that has its shape; an apply creates what is missing. */
  async patch(
    target: ObjectTarget,
    patch: { readonly type: PatchType; readonly body: Json },
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    for (let attempt = 1; ; attempt += 1)
      try {
        return await this.#patchOnce(target, patch, options);
      } catch (error) {
        if (!(error instanceof Overtaken) || attempt === mostAttempts) throw error;
      }
  }

  async #patchOnce(
    target: ObjectTarget,
    patch: { readonly type: PatchType; readonly body: Json },
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    if (patch.type === "apply") return this.#apply(target, cloneJson(patch.body), options);
    const shown = this.show(target);
    const current = shown instanceof Promise ? await shown : shown;
    const tracking = applyOptions(target.kind, options, this.#now());
    const found = withFoundManagers(cloneJson(current), patch.body, tracking);
    const next = patchObject(target.kind, found, patch);
    asPatched(() => checkType(target.kind, next));
    checkIdentity(target, next);
    checkSameUid(target, next, current);
    return target.kind.storedAs
      ? this.#replaceIn(target, next, options)
      : this.#replace(target, { current, next, isPatched: true }, options);
  }

  /** Replaces an object by one that may have another version than what is stored. */
  async #replaceIn(
    target: ObjectTarget,
    body: JsonObject,
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    const { kind } = target;
    const stored = storedTarget(target);
    const shown = this.show(stored);
    const current = shown instanceof Promise ? await shown : shown;
    if (stored === target) return this.#replace(target, { current, next: body }, options);
    const next = toStored(kind, unwrap(decodeBody(kind, body, options), options.warn));
    unwrap(admitShown(kind, next, current), options.warn);
    return this.#replace(stored, { current, next }, { ...options, duplicates: [] });
  }

  /** Stores `next` over `current` without admission: for what the server itself changes (finalize, binding). */
  async save(target: ObjectTarget, next: JsonObject, options: WriteOptions): Promise<Written> {
    return this.#writer.save(target, next, options);
  }

  async delete(
    target: ObjectTarget,
    options: DeleteOptions,
    by: Partial<Pick<WriteOptions, "author" | "warn">> = {},
  ): Promise<Written> {
    const { store, clock } = this.#parts;
    const resource = resourceOf(target.kind);
    const dryRun = options.dryRun?.includes("All") === true;
    const asked = this.#askBeforeDelete(storedTarget(target), { ...by, dryRun });
    if (asked) await asked;
    const object = parseKubeObject(this.#text(target));
    if (resource === "/namespaces" && permanentNamespaces.has(target.name)) {
      throw refusals.forbidden(target.kind, target.name, "this namespace may not be deleted");
    }
    checkPreconditions(target, object, options);
    const plan = planDeletion(resource, object, options, clock.nowMs());
    if (dryRun || plan.step === "keep") {
      return { text: JSON.stringify(object), created: false, gone: plan.step === "remove" };
    }
    const remove = plan.step === "remove";
    const change = await store.write({ resource, key: keyOf(target), object, remove, anySize: true });
    if (remove) this.#parts.quotas.released(target.namespace);
    return { text: change.text, created: false, gone: remove };
  }

  /** Undefined: nobody has to be asked. What cannot be shown is not deleted by clients, since they are answered with it. */
  #askBeforeDelete(
    target: ObjectTarget,
    { author, dryRun, warn = () => undefined }: Partial<WriteOptions> & { readonly dryRun: boolean },
  ): Promise<void> | undefined {
    const { webhooks, policies, conversions } = this.#parts;
    if (!author || (webhooks.isIdle && policies.isIdle && !conversions.concern(target.kind)))
      return undefined;
    return Promise.resolve(this.show(target)).then((old) =>
      askBeforeDelete({ webhooks, policies }, target, { old, dryRun, author, warn }),
    );
  }

  async #replace(
    target: ObjectTarget,
    change: { readonly current: JsonObject; readonly next: JsonObject; readonly isPatched?: boolean },
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    const { kind } = target;
    const { current } = change;
    const now = metadataOf(current);
    checkVersion(target, metadataOf(change.next)["resourceVersion"], now["resourceVersion"]);
    checkUid(target, metadataOf(change.next)["uid"], now["uid"]);
    const { managedFields } = metadataOf(change.next);
    const cleared = Array.isArray(managedFields) && managedFields.length === 0;
    const decode = (): JsonObject => unwrap(decodeBody(kind, change.next, options), options.warn);
    const decoded = change.isPatched === true ? asPatched(decode) : decode();
    keepIdentity(decoded, current);
    if (resourceOf(kind) === "/services" && options.via === "")
      this.#parts.addresses.keep(keyOf(target), decoded, current);
    const { via } = options;
    const through = admitThrough(
      this.#parts,
      {
        target,
        operation: "UPDATE",
        subresource: via,
        object: decoded,
        old: current,
        prepare: (one) =>
          unwrap(
            prepareChanged(kind, { next: one, current: cloneJson(current), via, now: this.#now() }),
            options.warn,
          ),
        validate: (one) => unwrap(validateChanged(kind, { next: one, current, via }), options.warn),
      },
      options,
    );
    const admitted = through instanceof Promise ? await through : through;
    const tracking = { current, next: admitted, cleared };
    const next = tracked(tracking, applyOptions(kind, options, this.#now()));
    metadataOf(next)["resourceVersion"] = now["resourceVersion"] ?? null;
    const converted = this.#toStore(target, next);
    const stored = converted && (await converted);
    if (through instanceof Promise || this.#parts.conversions.concern(kind))
      checkCurrent(this.#parts.store, target, current);
    return this.#writer.put({ target, next, current, stored }, options);
  }

  async #apply(
    target: ObjectTarget,
    body: Json,
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    checkApplied(target, body);
    checkIdentity(target, body);
    const applied = unwrap(decodeApplied(target.kind, cloneJson(body), options), options.warn);
    return this.#applyStored(storedTarget(target), toStored(target.kind, applied), options);
  }

  async #applyStored(
    target: ObjectTarget,
    applied: JsonObject,
    options: WriteOptions & { via: UpdateVia },
  ): Promise<Written> {
    const { kind } = target;
    const resource = resourceOf(kind);
    const present = this.#parts.store.find(resource, keyOf(target)) !== undefined;
    if (!present && options.via !== "") throw refusals.notFound(kind, target.name);
    if (!present) options.guard?.mayCreate(target);
    const shown = present ? this.show(target) : undefined;
    const current = shown instanceof Promise ? await shown : shown;
    const merged = serverSideApply(current, applied, applyOptions(kind, options, this.#now()));
    if (current !== undefined) {
      checkSameUid(target, merged, current);
      return this.#replace(target, { current, next: merged }, { ...options, duplicates: [] });
    }
    checkNoUid(target, applied);
    const metadata = newMetadata(this.#parts.clock, target, merged);
    checkNamespace(this.#parts.store, target, asText(metadata["name"]));
    return this.#add(target, merged, options);
  }

  /** An admitted object in the version that is stored; undefined where no webhook is asked for it. */
  #toStore({ kind }: ObjectTarget, next: JsonObject): Promise<JsonObject> | undefined {
    const { custom, group } = kind;
    if (!custom || custom.storageVersion === kind.version || !this.#parts.conversions.concern(kind))
      return undefined;
    const inStorage = { ...kind, group, version: custom.storageVersion };
    const schema = custom.schemas.get(custom.storageVersion) ?? custom.schema;
    return this.#parts.conversions.object({ ...inStorage, custom: { ...custom, schema } }, next);
  }

  #now(): string {
    return rfc3339(this.#parts.clock.nowMs());
  }
}

function storedTarget(target: ObjectTarget): ObjectTarget {
  const { storedAs } = target.kind;
  return storedAs ? { ...target, kind: storedAs } : target;
}

/** What a patch made of an object is refused as the patch, not as a body that cannot be read. @throws Refusal (Invalid) */
function asPatched<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Refusal) || error.httpStatus !== 400) throw error;
    const cause = { reason: "FieldValueInvalid", message: `Invalid value: ${error.message}`, field: "patch" };
    throw refusals.unprocessable({ group: "", plural: "", kind: "" }, "", cause);
  }
}

/** A patch changes the object that there is: it has no precondition on the uid as an update has. @throws Refusal (Invalid) */
function checkSameUid({ kind, name }: ObjectTarget, next: JsonObject, current: JsonObject): void {
  const { uid } = metadataOf(next);
  if ((uid ?? "") === "" || uid === metadataOf(current)["uid"]) return;
  const message = `Invalid value: ${JSON.stringify(asText(uid))}: field is immutable`;
  throw new Refusal(
    invalidStatus(kind, name, [{ reason: "FieldValueInvalid", field: "metadata.uid", message }]),
  );
}

/** @throws Refusal (Conflict) when an object of this identity was meant, which is not there */
function checkNoUid({ kind, name }: ObjectTarget, applied: JsonObject): void {
  const uid = asText(metadataOf(applied)["uid"]);
  if (uid === "") return;
  const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
  throw refusals.conflict(kind, name, why);
}

/** @throws Refusal (Conflict) when an object of the same name but another identity was meant */
function checkUid({ kind, name }: ObjectTarget, asked: Json | undefined, uid: Json | undefined): void {
  if (asked === undefined || asked === "" || asked === uid) return;
  const why = `Precondition failed: UID in precondition: ${asText(asked)}, UID in object meta: ${asText(uid)}`;
  throw refusals.conflict(kind, name, why);
}
