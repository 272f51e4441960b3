import type { Clock } from "#shared/clock";
import type { Will } from "#edge/mqtt/packet";
import type { Inbox } from "#edge/mqtt/stored";
import type { QueueLimits } from "./session-queues.ts";
import type { SessionTarget } from "./subscription-index.ts";

export interface SessionLimits extends QueueLimits {
  readonly clock: Clock;
  /** A message was not retained: there is no room (see `Retained`). */
  readonly onNotRetained: (topic: string) => void;
  /** A session was ended to make room for a new one. */
  readonly onEvicted: (client: string) => void;
  /** A session has ended, with these subscriptions. */
  readonly onEnded: (client: string, topics: readonly string[]) => void;
  /** A will is to be published: its delay is over, or its session has ended. */
  readonly onWill: (will: Will) => void;
}

export interface SessionCounts {
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
  /** messages in the queues of all sessions */
  readonly queued: number;
}

/** What a publication changes on disk. */
export interface StoredPublication {
  /** number of sessions that it is for */
  readonly sessions: number;
  /** Rejects when it could not be written. */
  readonly committed: Promise<void>;
  /** It is on disk: sessions may send it. */
  release(): void;
  /** The commit failed, or an earlier packet of the client did: sessions do not send it. */
  discard(): void;
}

export interface StoreOptions {
  readonly sender?:
    { readonly client: string; readonly messageId: number; readonly inbox: Inbox } | undefined;
  readonly shared?: readonly SessionTarget[] | undefined;
}

export interface SessionStart {
  readonly clean: boolean;
  /** Seconds for which the session is kept after the connection; undefined: without end. */
  readonly expiry: number | undefined;
  readonly will: Will | undefined;
}

export interface SessionBegun {
  readonly present: boolean;
  readonly kept: boolean;
  readonly committed: Promise<void>;
}

export interface SessionEnd {
  /** The session is one of those that are kept here. */
  readonly kept: boolean;
  readonly expiry: number | undefined;
  /** Whether the will is published. */
  readonly will: boolean;
}
