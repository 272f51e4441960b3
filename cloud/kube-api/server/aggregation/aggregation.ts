import type { ReachPod, Trust } from "#cloud/kube-api/http/service-calls";
import { ownWrite, type KindRegistry, type ObjectService, type ObjectTarget } from "#cloud/kube-api/objects";
import { parseObject, toJsonObject } from "#cloud/kube-api/schema";
import { Refusal } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { rfc3339, type Clock } from "#shared/clock";
import { childOf, metadataOf, recordOf, textOf, type JsonObject } from "#shared/json";
import type { Logger } from "#shared/log";
import {
  local,
  readApiService,
  withVerdict,
  type AggregatedVersion,
  type ApiService,
  type Verdict,
} from "./api-service.ts";
import { checkService, type Checked } from "./check.ts";
import { isManaged, localServices, ownGroup } from "./local-services.ts";

export interface AggregationParts {
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly objects: ObjectService;
  readonly clock: Clock;
  readonly log: Logger;
  /** The client certificate by which servers know this API. */
  readonly identity: Trust["identity"];
  readonly reach: ReachPod;
}

const resource = `${ownGroup}/apiservices`;
/** As the availability controller of kube-aggregator: a server that fails is noticed within this time. */
const checkEveryMs = 30_000;

/** An APIService that names a Service, and whether its server is reached. */
export interface Aggregated {
  readonly service: ApiService;
  readonly isAvailable: boolean;
}

interface Known {
  readonly service: ApiService;
  readonly checked: Checked | undefined;
}

/** Keeps the APIServices of what this API serves itself, and knows which of the others are reached. */
export class Aggregation implements AsyncDisposable {
  readonly #parts: AggregationParts;
  readonly #known = new Map<string, Known>();
  readonly #owned = new DisposableStack();
  readonly #stopping = new AbortController();
  readonly #checking = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  #keeping: Promise<void> = Promise.resolve();
  #isDirty = false;

  constructor(parts: AggregationParts) {
    this.#parts = parts;
    const { store, clock } = parts;
    const read = (): void => this.#read();
    for (const followed of [resource, "apiextensions.k8s.io/customresourcedefinitions"])
      this.#owned.use(store.follow(followed, read));
    for (const followed of ["/services", "/endpoints"])
      this.#owned.use(
        store.follow(followed, (changes) => this.#recheck(new Set(changes.map(({ key }) => key)))),
      );
    this.#owned.use(clock.every(checkEveryMs, () => this.#recheck()));
    read();
  }

  /** Whom a request for a version is passed on to; undefined for those of no APIService, and for what is served here. */
  find(group: string, version: string): Aggregated | undefined {
    const id = `${group}/${version}`;
    const known = this.#known.get(id);
    // A definition that was just made is served before its change is followed.
    if (!known || this.#parts.registry.version(id)) return undefined;
    return { service: known.service, isAvailable: isAvailable(known) };
  }

  versions(): AggregatedVersion[] {
    return [...this.#known.values()].map((known) => {
      const { group, version, groupPriority, versionPriority } = known.service;
      const { resources = [], openApiHash } = known.checked ?? {};
      return {
        group,
        version,
        groupPriority,
        versionPriority,
        isAvailable: isAvailable(known),
        resources,
        openApiHash,
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#owned.dispose();
    await Promise.all([...this.#checking.values(), this.#keeping]);
  }

  #stored(): JsonObject[] {
    const { store } = this.#parts;
    return store.list(resource).flatMap(({ revision }) => {
      const text = store.text(revision);
      return text === undefined ? [] : [parseObject(text)];
    });
  }

  #read(): void {
    const services = this.#stored().flatMap((object) => readApiService(object) ?? []);
    const remote = services.filter(
      ({ group, version }) => !this.#parts.registry.version(group === "" ? version : `${group}/${version}`),
    );
    const before = new Map(this.#known);
    this.#known.clear();
    for (const service of remote) {
      const id = `${service.group}/${service.version}`;
      const was = before.get(id);
      const isSame = was !== undefined && Bun.deepEquals(was.service, service);
      // What was found holds until it is looked at again, so that a change of its priority interrupts nobody.
      const checked = was?.service.uid === service.uid ? was.checked : undefined;
      this.#known.set(id, isSame ? was : { service, checked });
      if (!isSame) this.#check(id);
    }
    this.#isDirty = true;
    this.#keeping = this.#keeping.then(() => this.#keepLocal());
  }

  #recheck(changed?: ReadonlySet<string>): void {
    for (const [id, { service }] of this.#known)
      if (!changed || changed.has(service.serviceKey)) this.#check(id);
  }

  #check(id: string): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#checking.has(id)) return void this.#again.add(id);
    const checking = this.#checkNow(id).finally(() => {
      this.#checking.delete(id);
      if (this.#again.delete(id)) this.#check(id);
    });
    this.#checking.set(id, checking);
  }

  async #checkNow(id: string): Promise<void> {
    const { store, identity, reach, log } = this.#parts;
    const service = this.#known.get(id)?.service;
    if (!service) return;
    const checked = await checkService(service, { store, identity, reach, signal: this.#stopping.signal });
    const known = this.#known.get(id);
    if (this.#stopping.signal.aborted || known?.service !== service) return;
    const { verdict } = checked;
    if (isAvailable(known) !== (verdict.status === "True"))
      log.info("availability of an aggregated API has changed", { service: service.name, ...verdict });
    // What it served last is still shown, as stale.
    const { resources = known.checked?.resources, openApiHash = known.checked?.openApiHash } = checked;
    this.#known.set(id, { service, checked: { verdict, resources, openApiHash } });
    await this.#write(service.name, service.uid, verdict);
  }

  /** What is served here has an APIService each, which comes back when somebody removes or changes it. */
  async #keepLocal(): Promise<void> {
    if (!this.#isDirty || this.#stopping.signal.aborted) return;
    this.#isDirty = false;
    const { registry, objects, log } = this.#parts;
    const stored = new Map(this.#stored().map((object) => [textOf(metadataOf(object), "name"), object]));
    const wanted = localServices(registry.versions());
    const names = new Set(wanted.map(({ metadata }) => metadata.name ?? ""));
    try {
      // At once: writes that arrive together share a commit.
      await Promise.all(
        wanted.map(async (one) => {
          const name = one.metadata.name ?? "";
          const found = stored.get(name);
          const body = toJsonObject(structuredClone(one));
          if (!found) await objects.create(this.#target(""), body, ownWrite);
          else if (hasChanged(found, body))
            await objects.patch(this.#target(name), { type: "merge", body }, { ...ownWrite, via: "" });
          await this.#write(name, undefined, local);
        }),
      );
      const outdated = [...stored].filter(([name, object]) => !names.has(name) && isOwn(object));
      await Promise.all(outdated.map(([name]) => objects.delete(this.#target(name), {})));
    } catch (error) {
      log.warn("cannot keep the APIServices of this API", { error });
    }
  }

  /** @param uid of the APIService that was checked: another one of its name has a verdict of its own */
  async #write(name: string, uid: string | undefined, verdict: Verdict): Promise<void> {
    const { store, objects, clock, log } = this.#parts;
    const text = store.get(resource, `/${name}`);
    const object = text === undefined ? undefined : parseObject(text);
    if (!object || (uid !== undefined && textOf(metadataOf(object), "uid") !== uid)) return;
    const conditions = withVerdict(object, verdict, rfc3339(clock.nowMs()));
    if (!conditions) return;
    const body: JsonObject = { status: { conditions } };
    try {
      await objects.patch(this.#target(name), { type: "merge", body }, { ...ownWrite, via: "status" });
    } catch (error) {
      if (error instanceof Refusal && error.httpStatus === 404) return;
      log.warn("cannot write the status of an APIService", { service: name, error });
    }
  }

  #target(name: string): ObjectTarget {
    const kind = this.#parts.registry.find(ownGroup, "v1", "apiservices");
    if (!kind) throw new Error("APIService is not a served kind");
    return { kind, namespace: "", name };
  }
}

function isAvailable({ checked }: Known): boolean {
  return checked?.verdict.status === "True";
}

function isOwn(object: JsonObject): boolean {
  const isServedHere = childOf(childOf(object, "spec"), "service") === undefined;
  return isServedHere && isManaged(recordOf(metadataOf(object)["labels"]));
}

/** One that names a Service was written by somebody, who keeps it: it is not followed all the same. */
function hasChanged(found: JsonObject, wanted: JsonObject): boolean {
  const spec = childOf(found, "spec");
  return !childOf(spec, "service") && !Bun.deepEquals(spec, wanted["spec"]);
}
