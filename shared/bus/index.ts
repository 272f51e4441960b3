/**
 * The typed bus between the modules of one process.
 *
 * 1. Events of one topic reach each subscriber in the order they were emitted, one at a time.
 * 2. Different subscribers may be at different points.
 * 3. `emit` resolves when every subscriber has handled the event; an emitter that must not wait does not await it.
 *    A subscriber with long work puts it into a bounded queue of its own and returns.
 * 4. A subscriber's failure goes to `onFailure` with topic and module, never to the emitter.
 * 5. A question has exactly one answerer: a second one is an error when wired, a missing one when asked.
 * 6. Bodies must not be changed after they were emitted.
 * 7. After disposal questions reject with ClosedError and events go nowhere.
 */
export {
  Bus,
  type AskBody,
  type AskOptions,
  type AskTopic,
  type BusOptions,
  type EventBody,
  type EventTopic,
  type Port,
  type Reply,
} from "./bus.ts";
