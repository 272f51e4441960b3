import { describeError } from "#shared/errors";
import type { BrokerClient } from "#edge/mqtt/connection";
import { reasons } from "#edge/mqtt/packet";

export interface CompletionSteps {
  readonly finish: () => void;
  /** Undoes what the packet left behind, when it or an earlier one failed. */
  readonly giveUp?: () => void;
}

/**
 * Calls `finish` when `work` is done and all earlier packets of the client are answered (MQTT 3.1.1 section 4.6), at once
 * if there is neither. A failure closes the connection, so that the client repeats what was not acknowledged. Meanwhile
 * nothing more is read from the client.
 */
export function inOrder(
  client: BrokerClient,
  work: Promise<unknown> | undefined,
  { finish, giveUp }: CompletionSteps,
): void {
  if (!work && !client.tail) return finish();
  client.reader.hold();
  const earlier = client.tail;
  const run = async (): Promise<void> => {
    let problem: unknown;
    try {
      await Promise.all([work, earlier]);
      if (client.broken) problem = earlierFailed();
    } catch (error) {
      problem = error;
    }
    if (client.tail === tail) client.tail = undefined;
    if (problem === undefined) {
      finish();
      client.reader.release();
      return;
    }
    client.broken = true;
    giveUp?.();
    client.fail(describeError(problem), reasons.unspecified);
  };
  const tail = run();
  client.tail = tail;
}

/**
 * Waits for `work` and for the earlier packets of the client.
 * @throws when one of them failed
 */
export async function afterEarlier(client: BrokerClient, work?: Promise<unknown>): Promise<void> {
  await Promise.all([client.tail, work]);
  if (client.broken) throw earlierFailed();
}

function earlierFailed(): Error {
  return new Error("an earlier message could not be stored");
}
