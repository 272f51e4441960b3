import { isKubeError, KubeError, objectAt, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Device } from "#shared/kube";
import type { CloudCatalog } from "#shared/topics";
import type { ChangeTimes } from "./change-times.ts";
import { mergeDesired } from "./merge.ts";

export interface DesiredWritesOptions {
  readonly kube: KubeClient;
  readonly type: ResourceType;
  readonly times: Pick<ChangeTimes, "of">;
}

type Request = CloudCatalog["device.desire"]["body"];
type Reply = CloudCatalog["device.desire"]["reply"];

/** Others write the Device at the same time: its status twice a second at most, its spec seldom. */
const mostAttempts = 5;

/** Puts desired values that were set on a node into the API, where they are newer than what that has. */
export class DesiredWrites {
  readonly #options: DesiredWritesOptions;

  constructor(options: DesiredWritesOptions) {
    this.#options = options;
  }

  /** May be repeated: values that are there already change nothing. @throws KubeError */
  async write(request: Request): Promise<Reply> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(request);
      } catch (error) {
        if (!isKubeError(error, 409) || attempt === mostAttempts) throw error;
      }
    }
  }

  async #attempt(request: Request): Promise<Reply> {
    const { kube, type, times } = this.#options;
    const { node, namespace, name, uid } = request;
    const device = await kube.get<Device>(type, { namespace, name });
    if (device.metadata.uid !== uid || device.spec?.nodeName !== node) throw notOfNode(request);
    const { properties, conflicts } = mergeDesired(device, request, {
      nowMs: request.receivedMs,
      changedMs: (property) => times.of(device, property),
    });
    if (!properties) return { device, isWritten: false, conflicts };
    return { device: await this.#patch(device, properties), isWritten: true, conflicts };
  }

  /** By the version it is a later one that is refused (409), also of another object. */
  #patch(device: Device, properties: NonNullable<ReturnType<typeof mergeDesired>["properties"]>) {
    const { kube, type } = this.#options;
    const { resourceVersion } = device.metadata;
    const patch = { metadata: { resourceVersion }, spec: { properties } };
    return kube.patch<Device>(type, objectAt(device), patch, { type: "merge" });
  }
}

function notOfNode({ node, namespace, name }: Request): KubeError {
  const message = `Device "${namespace}/${name}" is not of node "${node}" any more`;
  return new KubeError(404, "NotFound", message, {
    status: "Failure",
    message,
    reason: "NotFound",
    code: 404,
  });
}
