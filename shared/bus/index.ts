/**
 * The typed bus between the modules of one process.
 *
 * 1. Events of one topic reach each hearer in the order they were emitted, one at a time.
 * 2. Different hearers may be at different points.
 * 3. `emit` resolves when every hearer has handled the event; whoever must not wait does not await it.
 *    A hearer that takes long queues the work itself, bounded, and returns.
 * 4. A hearer's failure goes to `onHearerError` with topic and module, never to the emitter.
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
