import { KubeError, type Informer, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import { describeError } from "#shared/errors";
import { contentDigest, type DeviceRule, type KubeObject } from "#shared/kube";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { CloudCatalog, DeliveredObject, RuleStatusReport } from "#shared/topics";

export interface DeviceRulesOptions {
  readonly port: Pick<Port<CloudCatalog, never, "object.deliver" | "object.delivered", never, never>, "ask">;
  readonly kube: KubeClient;
  readonly type: ResourceType;
  readonly rules: Informer<DeviceRule>;
  readonly log: Logger;
}

const apiVersion = "rules.kubeedge.io/v1alpha1";
const kind = "DeviceRule";

/** Brings each DeviceRule to its node, and what the node counts into the status. */
export class DeviceRules implements AsyncDisposable {
  readonly #options: DeviceRulesOptions;
  readonly #queues: KeyedQueue<string>;
  readonly #watch: Disposable;
  readonly #connected = new Set<string>();

  constructor(options: DeviceRulesOptions) {
    const { rules, log } = options;
    this.#options = options;
    this.#queues = new KeyedQueue((node, error) =>
      log.warn("cannot send device rules to a node now; it is compared again", {
        node,
        error: describeError(error),
      }),
    );
    this.#watch = rules.watch({
      added: (rule) => this.#changed(rule),
      updated: (rule, old) => {
        if (contentDigest(forNode(rule)) === contentDigest(forNode(old))) return;
        this.#changed(rule);
        if (old.spec?.nodeName !== rule.spec?.nodeName) this.#changed(old);
      },
      removed: (rule) => this.#changed(rule),
    });
  }

  /** Compares what a node has with what it should have. */
  compare(node: string): void {
    this.#connected.add(node);
    this.#queues.run(node, () => this.#compare(node));
  }

  /** Settles when the status is in the API, or when it never will be. */
  async status({ node, namespace, name, uid, status }: RuleStatusReport): Promise<undefined> {
    const { rules, kube, type, log } = this.#options;
    const rule = rules.get(`${namespace}/${name}`);
    if (rule?.metadata.uid !== uid || rule.spec?.nodeName !== node) return undefined;
    try {
      await kube.patch(type, { namespace, name }, { status }, { type: "merge", subresource: "status" });
    } catch (error) {
      const httpStatus = error instanceof KubeError ? error.httpStatus : undefined;
      if (httpStatus === undefined || httpStatus >= 500 || httpStatus === 429) throw error;
      log.debug("the API refuses the status of a device rule", { rule: `${namespace}/${name}`, httpStatus });
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#queues[Symbol.asyncDispose]();
  }

  #changed({ spec }: DeviceRule): void {
    const node = spec?.nodeName;
    if (node !== undefined && this.#connected.has(node)) this.compare(node);
  }

  async #compare(node: string): Promise<void> {
    const { port, rules } = this.#options;
    const delivered = await port.ask("object.delivered", { node });
    const known = new Map(
      delivered
        .filter((object) => object.apiVersion === apiVersion && object.kind === kind)
        .map((object) => [object.uid, object]),
    );
    const wanted = rules.list().filter(({ spec }) => spec?.nodeName === node);
    const uids = new Set(wanted.map(({ metadata }) => metadata.uid));
    for (const [uid, record] of known)
      if (!uids.has(uid)) await this.#deliver(node, "delete", goneOf(record));
    for (const rule of wanted) {
      const object = forNode(rule);
      const record = known.get(rule.metadata.uid ?? "");
      if (record?.digest !== undefined && record.digest === contentDigest(object)) continue;
      if (record?.resourceVersion === rule.metadata.resourceVersion) continue;
      await this.#deliver(node, record ? "update" : "insert", object);
    }
  }

  async #deliver(node: string, operation: "delete" | "insert" | "update", object: KubeObject): Promise<void> {
    await this.#options.port.ask("object.deliver", { node, operation, object });
  }
}

/** The status is no matter of the node, which makes it. */
function forNode(rule: DeviceRule): KubeObject {
  const { status: _status, ...rest } = rule;
  return { apiVersion, kind, ...rest };
}

function goneOf({ namespace, name, uid, resourceVersion }: DeliveredObject): KubeObject {
  return { apiVersion, kind, metadata: { namespace, name, uid, resourceVersion } };
}
