/** What was typed so far, and whether that is all: `typed` ends with Enter or Ctrl-D, `cancelled` with Ctrl-C. */
export interface Typing {
  readonly text: string;
  readonly end: "typed" | "cancelled" | undefined;
}

/** Keys a terminal would see to itself while it shows what is typed: Enter, Backspace, Ctrl-U, Ctrl-D, Ctrl-C. */
export function typeOn(before: string, keys: string): Typing {
  let text = before;
  for (const key of keys) {
    if (key === "\r" || key === "\n" || key === "\u{4}") return { text, end: "typed" };
    if (key === "\u{3}") return { text: "", end: "cancelled" };
    if (key === "\u{7f}" || key === "\b") text = text.replace(/.$/su, "");
    else if (key === "\u{15}") text = "";
    else if (key >= " ") text += key;
  }
  return { text, end: undefined };
}

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The first line of standard input. At a terminal it is asked for, and not shown while it is typed. */
export async function readSecret(ask: () => void): Promise<string> {
  if (process.stdin.isTTY) return readTyped(ask);
  let text = "";
  for await (const chunk of Bun.stdin.stream()) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n") || text.length > 10_000) break;
  }
  return text.split("\n")[0] ?? "";
}

/** Whatever ends it, the terminal shows again what is typed. @returns an empty text when it was cancelled */
async function readTyped(ask: () => void): Promise<string> {
  const { stdin } = process;
  const { promise, resolve } = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let typed = "";
  const take = (chunk: Uint8Array): void => {
    const { text, end } = typeOn(typed, decoder.decode(chunk, { stream: true }));
    typed = text;
    if (end !== undefined) resolve(text);
  };
  const giveUp = (): void => resolve("");
  stdin.setRawMode(true);
  try {
    for (const signal of endings) process.once(signal, giveUp);
    stdin.on("data", take);
    stdin.once("end", giveUp);
    ask();
    return await promise;
  } finally {
    stdin.setRawMode(false);
    stdin.off("data", take);
    stdin.pause();
    for (const signal of endings) process.off(signal, giveUp);
  }
}
