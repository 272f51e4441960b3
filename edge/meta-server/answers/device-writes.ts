import { isObject, type JsonObject } from "#shared/json";
import { validateDevice, type Device, type DeviceModel, type KubeObject } from "#shared/kube";
import type { DesiredChange } from "#shared/topics";
import { deviceKind, modelKind, type NodeObjects } from "#edge/meta-server/objects";
import { changedDevice, desiredChange } from "./device-change.ts";
import { refuse, type RequestRefusal } from "./refusal.ts";
import { jsonOf } from "./representation.ts";
import { parseTarget, type ResourceAccess, type Target } from "./target.ts";

export interface WriteRequest {
  readonly request: Request;
  readonly url: URL;
  /** @throws RequestRefusal for what the caller may not change */
  readonly authorize: (access: ResourceAccess) => void;
  /** Refuses what cannot be changed here. @param what in the words of the request */
  readonly refuseOther: (what: string) => RequestRefusal;
}

export interface DeviceWritesParts {
  readonly objects: Pick<NodeObjects, "find">;
  /** Sets desired values on this node; @returns false when there is no such Device any more, or too much to keep */
  readonly desire: (change: DesiredChange) => Promise<boolean>;
}

const verbs: Readonly<Record<string, "patch" | "update">> = { PATCH: "patch", PUT: "update" };

/** The one change that a node makes itself: desired values of its own Devices. */
export class DeviceWrites {
  readonly #parts: DeviceWritesParts;
  /** The last write of each Device that is not done: a later one is judged by what it leaves. */
  readonly #tails = new Map<string, Promise<unknown>>();

  constructor(parts: DeviceWritesParts) {
    this.#parts = parts;
  }

  /** Answers when the change is on disk and in effect. @throws RequestRefusal, UnavailableError */
  async answer(write: WriteRequest): Promise<Response> {
    const { request, url, authorize, refuseOther } = write;
    const target = parseTarget(url.pathname);
    if (!target) throw refuse.notFound("the server could not find the requested resource");
    const verb = verbs[request.method];
    if (!verb || !isDevice(target)) throw refuseOther(`${request.method} ${url.pathname}`);
    const { namespace = "", name = "" } = target;
    authorize({ verb, group: deviceKind.group, resource: deviceKind.plural, namespace, name });
    const text = await request.text();
    const key = `${namespace}/${name}`;
    const done = (this.#tails.get(key) ?? Promise.resolve()).then(() =>
      this.#write(write, { namespace, name }, text),
    );
    const tail = done.catch(() => undefined);
    this.#tails.set(key, tail);
    try {
      return Response.json(await done);
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  async #write(
    { request, url, refuseOther }: WriteRequest,
    { namespace, name }: { readonly namespace: string; readonly name: string },
    text: string,
  ): Promise<KubeObject> {
    const { desire } = this.#parts;
    const isDry = isDryRun(url);
    const before = this.#find(namespace, name);
    const after = changedDevice(request.method, request.headers.get("content-type"), {
      device: jsonOf(before),
      text,
    });
    refuseConflict(before, after);
    const change = desiredChange(jsonOf(before), after);
    if (!change.ok) throw refuseOther(`${change.field} of devices ${JSON.stringify(name)}`);
    const { values } = change;
    // Nothing else of it differs from what the API made.
    const wanted = { ...before, spec: after["spec"] } as Device;
    this.#validate(wanted, new Set(values.keys()));
    if (isDry || values.size === 0) return wanted;
    if (!(await desire({ namespace, name, uid: before.metadata.uid, values })))
      throw refuse.conflict(
        `devices ${JSON.stringify(name)} has changed, or has too much to keep; try again`,
      );
    return this.#find(namespace, name);
  }

  #find(namespace: string, name: string): KubeObject {
    const device = this.#parts.objects.find(deviceKind, namespace, name);
    if (device) return device;
    throw refuse.notFound(
      `${deviceKind.plural}.${deviceKind.group} ${JSON.stringify(name)} not found on this node`,
    );
  }

  /** As the API does, as far as the node has the model. */
  #validate(device: Device, changed: ReadonlySet<string>): void {
    const { namespace = "", name = "" } = device.metadata;
    const modelName = device.spec?.deviceModelRef?.name ?? "";
    const model: DeviceModel | undefined = this.#parts.objects.find(modelKind, namespace, modelName);
    const paths = (device.spec?.properties ?? []).flatMap((property, index) =>
      changed.has(property.name) ? [`spec.properties[${index}].desired`] : [],
    );
    const causes = validateDevice(device, model).filter(({ field }) =>
      paths.some((path) => field === path || field.startsWith(`${path}.`)),
    );
    if (causes.length === 0) return;
    const texts = causes.map(({ field, message }) => `${field}: ${message}`).join(", ");
    const what = `${deviceKind.kind}.${deviceKind.group} ${JSON.stringify(name)}`;
    throw refuse.invalid(`${what} is invalid: ${texts}`);
  }
}

function isDevice({ group, version, plural, name, namespace, subresource }: Target): boolean {
  const isKind = group === deviceKind.group && version === deviceKind.version && plural === deviceKind.plural;
  return isKind && name !== undefined && namespace !== undefined && subresource === undefined;
}

/** The client has seen another version, or another Device of this name; or it does not say which. */
function refuseConflict({ metadata }: KubeObject, after: JsonObject): void {
  const sent = isObject(after["metadata"]) ? after["metadata"] : {};
  if (metadata.resourceVersion !== undefined && (sent["resourceVersion"] ?? "") === "")
    throw refuse.invalid(
      `${deviceKind.plural}.${deviceKind.group} ${JSON.stringify(metadata.name)} is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update`,
    );
  for (const field of ["resourceVersion", "uid"] as const) {
    const value = sent[field];
    if (value === undefined || value === "" || value === metadata[field]) continue;
    throw refuse.conflict(
      `Operation cannot be fulfilled on devices ${JSON.stringify(metadata.name)}: the object has been modified; please apply your changes to the latest version and try again`,
    );
  }
}

function isDryRun({ searchParams }: URL): boolean {
  const values = searchParams.getAll("dryRun");
  if (values.some((value) => value !== "All"))
    throw refuse.badRequest(`dryRun: expected All, got ${JSON.stringify(values.join(", "))}`);
  return values.length > 0;
}
