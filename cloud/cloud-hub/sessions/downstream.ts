import {
  adoptMessage,
  commandMessage,
  historyMessage,
  membershipMessage,
  objectMessage,
  readHistory,
  readServiceReply,
  serviceMessage,
  stampOf,
  type DownstreamMessage,
  type NodeReply,
} from "#cloud/cloud-hub/codec";
import type { Clock } from "#shared/clock";
import type { ByteStream, StreamHead } from "#shared/streams";
import type { CloudHubPort } from "./port.ts";
import type { QuestionOptions } from "./questions.ts";

/** Where messages for nodes go. */
export interface NodeLinks {
  /** Sends to the node if it is connected. */
  send(node: string, message: DownstreamMessage): void;
  /** @throws UnavailableError when the node is not connected, disconnects, or does not answer in time */
  ask(node: string, question: DownstreamMessage, options: QuestionOptions): Promise<NodeReply>;
  /** Sends what our nodes confirm. @returns whether it did; nodes of KubeEdge do not. @throws UnavailableError as `ask` */
  command(node: string, message: DownstreamMessage, options: QuestionOptions): Promise<boolean>;
  /** @throws UnavailableError when the node is not connected, has no streams or too many open; RangeError: the head is too long */
  openStream(node: string, head: StreamHead): ByteStream;
}

/** Answers the modules that deliver to nodes or ask them. */
export function answerDeliveries(
  port: Pick<CloudHubPort, "answer">,
  links: NodeLinks,
  clock: Clock,
): Disposable {
  const stamp = stampOf(clock);
  const stack = new DisposableStack();
  stack.use(
    port.answer("object.deliver", async ({ node, ...delivery }) => {
      links.send(node, objectMessage(stamp, delivery));
      return undefined;
    }),
  );
  stack.use(
    port.answer("membership.deliver", async ({ node, ...delivery }) => {
      links.send(node, membershipMessage(stamp, delivery));
      return undefined;
    }),
  );
  stack.use(
    port.answer("device.history", async ({ node, timeoutMs, ...question }, { signal }) =>
      readHistory(await links.ask(node, historyMessage(stamp, question), { timeoutMs, signal })),
    ),
  );
  stack.use(
    port.answer("database.adopt", async ({ node, timeoutMs, database }, { signal }) => {
      await links.ask(node, adoptMessage(stamp, database), { timeoutMs, signal });
      return undefined;
    }),
  );
  stack.use(answerRules(port, links, stamp));
  stack.use(port.answer("stream.open", async ({ node, head }) => links.openStream(node, head)));
  return stack;
}

function answerRules(
  port: Pick<CloudHubPort, "answer">,
  links: NodeLinks,
  stamp: ReturnType<typeof stampOf>,
): Disposable {
  const stack = new DisposableStack();
  stack.use(
    port.answer("rule.command", ({ node, command, timeoutMs }, { signal }) =>
      links.command(node, commandMessage(stamp, command), { timeoutMs, signal }),
    ),
  );
  stack.use(
    port.answer("service.call", async ({ node, call, timeoutMs }, { signal }) =>
      readServiceReply(await links.ask(node, serviceMessage(stamp, call), { timeoutMs, signal })),
    ),
  );
  return stack;
}
