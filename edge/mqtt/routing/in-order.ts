import { describeError } from "#shared/errors";
import type { BrokerClient } from "#edge/mqtt/connection";

export interface Ending {
  readonly finish: () => void;
  readonly giveUp?: () => void;
}

/**
 * Runs `finish` when the work is done and all that the client asked before was answered, at once where there is neither; a
 * failure ends the connection. Nothing more is read of the client meanwhile.
 */
export function inOrder(
  client: BrokerClient,
  work: Promise<unknown> | undefined,
  { finish, giveUp }: Ending,
): void {
  if (!work && !client.tail) return finish();
  // Counted as aedes does, which reads on when what it has read is dealt with.
  client._parsingBatch += 1;
  const before = client.tail;
  const run = async (): Promise<void> => {
    let problem: unknown;
    try {
      await Promise.all([work, before]);
      if (client.broken) problem = new Error("an earlier message could not be taken");
    } catch (error) {
      problem = error;
    }
    if (client.tail === tail) client.tail = undefined;
    if (problem === undefined) {
      finish();
      client._nextBatch();
      return;
    }
    client.broken = true;
    giveUp?.();
    client._nextBatch(new Error(describeError(problem)));
  };
  const tail = run();
  client.tail = tail;
}

/** @throws when something the client asked before could not be done */
export async function afterEarlier(client: BrokerClient, more?: Promise<unknown>): Promise<void> {
  await Promise.all([client.tail, more]);
  if (client.broken) throw new Error("an earlier message could not be taken");
}
