import { ignoreMissing, isKubeError, resources, type KubeClient } from "#cloud/kube-client";
import { UnavailableError } from "#shared/errors";
import type { ConfigMap, KubeObject, Node } from "#shared/kube";
import {
  accessNamespace,
  readRecord,
  recordLabel,
  recordName,
  writeRecord,
  type NodeRecord,
} from "./node-record.ts";

/** Attempts to write over a record that others change at the same time. */
const tries = 10;

export interface FreshRecord {
  readonly record: NodeRecord | undefined;
  readonly node: Node | undefined;
}

/** The records of nodes in the API, read without a cache and written only over the version that was read. */
export class RecordStore {
  readonly #kube: KubeClient;

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  /** @throws ProtocolError when the record is damaged */
  async read(node: string): Promise<FreshRecord> {
    const [found, object] = await Promise.all([
      this.#find(node),
      this.#kube.find<Node>(resources.nodes, { name: node }),
    ]);
    return { record: found && readRecord(found), node: object };
  }

  /**
   * Replaces a record by what `change` makes of it, which is called again when others write at the same time.
   * `change` returning its argument (or undefined of a missing one) writes nothing.
   * @throws UnavailableError after too many conflicts
   */
  async update(
    node: string,
    change: (record: NodeRecord | undefined, node: Node | undefined) => NodeRecord | undefined,
  ): Promise<NodeRecord | undefined> {
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const [stored, object] = await Promise.all([
        this.#find(node),
        this.#kube.find<Node>(resources.nodes, { name: node }),
      ]);
      const before = stored && readRecord(stored);
      const after = change(before, object);
      if (after === before || after === undefined) return before;
      if (await this.#write(writeRecord(after, stored?.metadata.resourceVersion))) return after;
    }
    throw new UnavailableError("record-busy", `Cannot write the record of node "${node}": it keeps changing`);
  }

  async list(): Promise<readonly ConfigMap[]> {
    const options = { namespace: accessNamespace, labelSelector: recordLabel };
    return (await this.#kube.list<ConfigMap>(resources.configMaps, options)).items;
  }

  /** Removes a record unless it has changed since it was read. */
  async remove(object: ConfigMap): Promise<void> {
    const { name = "", uid } = object.metadata;
    const now = await this.#kube.find(resources.configMaps, { namespace: accessNamespace, name });
    if (now?.metadata.resourceVersion !== object.metadata.resourceVersion) return;
    await this.#kube.remove(
      resources.configMaps,
      { namespace: accessNamespace, name },
      uid === undefined ? {} : { uid },
    );
  }

  async #find(node: string): Promise<ConfigMap | undefined> {
    return this.#kube.find<ConfigMap>(resources.configMaps, {
      namespace: accessNamespace,
      name: recordName(node),
    });
  }

  /** @returns false on a conflict */
  async #write(object: ConfigMap): Promise<boolean> {
    try {
      if (object.metadata.resourceVersion !== undefined)
        await this.#kube.replace(resources.configMaps, object);
      else await createWithNamespace(this.#kube, () => this.#kube.create(resources.configMaps, object));
      return true;
    } catch (error) {
      if (isKubeError(error, 404, 409)) return false;
      throw error;
    }
  }
}

/** Creates an object of node access, and its namespace when that is what is missing. */
export async function createWithNamespace<T extends KubeObject>(
  kube: KubeClient,
  create: () => Promise<T>,
): Promise<T> {
  const made = await ignoreMissing(create());
  if (made) return made;
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: accessNamespace } };
  await ignoreMissing(kube.create(resources.namespaces, namespace), 409);
  return create();
}
