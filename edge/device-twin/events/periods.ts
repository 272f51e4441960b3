/** Losses and announcements come in bursts: the first Event waits for those that follow at once. */
export const settleMs = 5000;
/** The figures of an Event on the Node change with each; people need them every five minutes at most. */
export const repeatMs = 300_000;
