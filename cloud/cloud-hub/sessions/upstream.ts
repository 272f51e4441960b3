import {
  membershipAnswer,
  reportAnswer,
  requestAnswer,
  stampOf,
  targetAnswer,
  targetFailure,
  type DownstreamMessage,
  type ModuleMessage,
  type ReplyAddress,
  type TwinMessage,
} from "#cloud/cloud-hub/codec";
import type { Clock } from "#shared/clock";
import { describeError, quote } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ByteStream } from "#shared/streams";
import type { DeviceUpload, TargetRequest } from "#shared/topics";
import type { CloudHubPort } from "./port.ts";

export interface UpstreamOptions {
  readonly port: Pick<CloudHubPort, "ask">;
  /** Whether there is a device controller; without one messages about devices stay unanswered. */
  readonly devices: boolean;
  /** Whether there is a router; without one nobody wants uploads besides telemetry, and no target can be called. */
  readonly rules: boolean;
  /** Sends an answer over the connection the node has by then. */
  readonly send: (node: string, message: DownstreamMessage) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Hands what nodes send to the modules, and their answers back to the nodes. */
export class Upstream {
  readonly #options: UpstreamOptions;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Resolves when the node has its answer, or gets none. The order of a node's messages is kept until they are handed over. */
  async forward(node: string, message: ModuleMessage): Promise<void> {
    const { send, log } = this.#options;
    try {
      const answer = await this.#answer(node, message);
      if (answer) send(node, answer);
    } catch (error) {
      log.debug("cannot answer a node", { node, error: describeError(error) });
    }
  }

  /** Hands a stream that a node opened to the module that serves it; one that nobody serves is reset. */
  async accept(node: string, stream: ByteStream): Promise<void> {
    const { service } = stream.head;
    if (service !== "kube-api") {
      stream.reset(`cloudcore does not serve streams of service ${quote(service)}`);
      return;
    }
    try {
      await this.#options.port.ask("api.stream", { node, stream });
    } catch (error) {
      stream.reset(describeError(error));
    }
  }

  /** @returns whether it is on disk */
  async store(upload: DeviceUpload): Promise<boolean> {
    const { port, log, rules } = this.#options;
    try {
      const isStored = await port.ask("device.upload", upload);
      return isStored && (!rules || (await port.ask("rule.upload", upload)));
    } catch (error) {
      log.error("cannot store an upload of a node", { node: upload.node, error });
      return false;
    }
  }

  async #answer(node: string, message: ModuleMessage): Promise<DownstreamMessage | undefined> {
    const { port, clock, devices } = this.#options;
    const stamp = stampOf(clock);
    const { address } = message;
    switch (message.kind) {
      case "request":
        return requestAnswer(stamp, address, await port.ask("node.request", message.request));
      case "unserved":
        return requestAnswer(stamp, address, { ok: false, status: badRequest(message.problem) });
      case "twin":
        return devices ? this.#answerTwin(node, message.message, address) : undefined;
      case "target":
        return this.#callTarget(message.request, address);
    }
  }

  async #callTarget(request: TargetRequest, address: ReplyAddress): Promise<DownstreamMessage> {
    const { port, clock, rules } = this.#options;
    const stamp = stampOf(clock);
    if (!rules) return targetFailure(stamp, address, "the router of this cloud is disabled");
    try {
      return targetAnswer(stamp, address, await port.ask("rule.request", request));
    } catch (error) {
      return targetFailure(stamp, address, describeError(error));
    }
  }

  /** A node ignores a second answer to a message: reports may come again. */
  async #answerTwin(node: string, message: TwinMessage, address: ReplyAddress): Promise<DownstreamMessage> {
    const { port, clock, log } = this.#options;
    const stamp = stampOf(clock);
    switch (message.kind) {
      case "members":
        return membershipAnswer(stamp, address, await port.ask("membership.list", { node }));
      case "report":
        await port.ask("device.report", message.report);
        break;
      case "rule-status":
        await port.ask("device.rule-status", message.report);
        break;
      case "discovered":
        await port.ask("device.discovered", message.discovered);
        break;
      case "unreadable":
        log.debug("a message about a device is not readable", { node, device: message.device });
    }
    return reportAnswer(stamp, address);
  }
}

function badRequest(message: string) {
  return { metadata: {}, status: "Failure", message, reason: "BadRequest", code: 400 } as const;
}
