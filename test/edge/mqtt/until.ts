/**
 * Waits until `check` returns true, for what cannot be awaited as an event.
 * @throws after `limitMs`, with the source of the condition
 */
export async function until(check: () => boolean | Promise<boolean>, limitMs = 20_000): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await check())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${limitMs} ms: ${check.toString()}`);
    await Bun.sleep(5);
  }
}
