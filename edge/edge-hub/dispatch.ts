import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { Delivery } from "#shared/topics";
import {
  groups,
  newMessage,
  ok,
  operations,
  parseResource,
  resourceTypes,
  responseTo,
  sources,
  type Stamp,
  type WireMessage,
} from "#shared/wire";

export interface DispatchOptions {
  readonly stamp: Stamp;
  readonly log: Logger;
  /** While the cloud is held back, only answers to what was asked are taken. */
  readonly held: () => boolean;
  readonly send: (message: WireMessage) => void;
  /** Hands a response to the request or outbox entry with its parent id. @returns the request, or `true` for an entry */
  readonly settle: (response: WireMessage) => WireMessage | true | undefined;
  readonly deliver: (to: Receiver, message: WireMessage) => Promise<Delivery>;
}

export type Receiver = "object" | "twin" | "user";

/** More than this under way is not taken: what was not acknowledged comes again. */
const mostUnderWay = 4096;

/** Gives what the cloud sends to its module: in order for one object, side by side for different ones. */
export class Dispatch {
  readonly #options: DispatchOptions;
  readonly #tails = new Map<string, Promise<void>>();
  #underWay = 0;

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  take(message: WireMessage): void {
    if (this.#settled(message)) return;
    const { group } = message.route;
    if (this.#options.held()) {
      this.#options.log.debug("rejected a message of a cloud with another database", {
        resource: message.route.resource,
      });
      return;
    }
    const to = receiverOf(group);
    if (to === undefined) {
      this.#options.log.warn("message of a group nobody serves", { group, resource: message.route.resource });
      return;
    }
    if (this.#underWay >= mostUnderWay) {
      this.#options.log.warn("too many messages under way: left one for the cloud to repeat", {
        resource: message.route.resource,
      });
      return;
    }
    this.#chain(to === "twin" ? "twin" : `${to}:${message.route.resource ?? ""}`, () =>
      this.#deliver(to, message),
    );
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  #settled(message: WireMessage): boolean {
    if (!message.header.parent_msg_id) return false;
    const { settle, send, stamp } = this.#options;
    const request = settle(message);
    const toTwin = message.route.group === groups.twin;
    if (request === undefined || request === true) {
      if (!request && !toTwin) this.#late(message);
      return !toTwin;
    }
    if (wantsAcknowledgement(request, message)) send(responseTo(stamp, message, ok));
    return true;
  }

  /** KubeEdge's cloud holds back everything else for a node while an object it sent in answer is not acknowledged. */
  #late(message: WireMessage): void {
    const { send, stamp, log } = this.#options;
    log.debug("response to nobody", { resource: message.route.resource });
    if (message.header.resourceversion !== undefined && isObjectAnswer(message))
      send(responseTo(stamp, message, ok));
  }

  #chain(key: string, run: () => Promise<void>): void {
    this.#underWay += 1;
    const before = this.#tails.get(key);
    const tail = (before ? before.then(run) : run()).finally(() => {
      this.#underWay -= 1;
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    this.#tails.set(key, tail);
  }

  async #deliver(to: Receiver, message: WireMessage): Promise<void> {
    const { deliver, send, stamp, log } = this.#options;
    try {
      const { ack, answer } = await deliver(to, message);
      if (ack) send(responseTo(stamp, message, answer ?? ok, acknowledgementRoute(message)));
    } catch (error) {
      const { resource, source, group } = message.route;
      log.warn("cannot take a message of the cloud", { to, resource, error: describeError(error) });
      if (to === "user") return;
      send(
        newMessage(stamp, {
          source: source ?? sources.metaManager,
          group: group ?? groups.resource,
          operation: operations.error,
          resource: resource ?? "",
          content: describeError(error),
          parentId: message.header.msg_id,
        }),
      );
    }
  }
}

function receiverOf(group: string | undefined): Receiver | undefined {
  if (group === groups.resource || group === groups.func) return "object";
  if (group === groups.twin) return "twin";
  return group === groups.user ? "user" : undefined;
}

/** The cloud repeats an object it sent in answer to a query until it is acknowledged. */
function wantsAcknowledgement(request: WireMessage, response: WireMessage): boolean {
  return request.route.operation === operations.query && isObjectAnswer(response);
}

function isObjectAnswer({ route, content }: WireMessage): boolean {
  return route.operation === operations.response && typeof content === "object" && content !== null;
}

/** KubeEdge rewrites the route of inserted device objects before it acknowledges them. */
function acknowledgementRoute({ route }: WireMessage): { readonly source?: string; readonly group?: string } {
  const type = parseResource(route.resource ?? "")?.type;
  const isDevice = type === resourceTypes.device || type === resourceTypes.deviceModel;
  const inserted = route.source === sources.deviceController && route.operation === operations.insert;
  return isDevice && inserted ? { source: sources.metaManager, group: groups.twin } : {};
}
