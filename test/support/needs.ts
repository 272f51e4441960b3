/**
 * Whether what tests need is on this machine. Prints what is missing, once for each call: scripts/test.ts gives it as the
 * reason of the tests that the file skips.
 */
export function needs(parts: Readonly<Record<string, boolean>>): boolean {
  const missing = Object.keys(parts).filter((part) => parts[part] !== true);
  if (missing.length > 0) console.warn(`skipped: needs ${missing.join(", ")}`);
  return missing.length === 0;
}

export function needsCommands(...names: readonly string[]): boolean {
  return needs(Object.fromEntries(names.map((name) => [name, Bun.which(name) !== null])));
}
