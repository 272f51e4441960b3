import { ProtocolError } from "#shared/errors";
import type { KubeObject, Status } from "#shared/kube";

export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; readonly object: KubeObject }
  | { readonly type: "ERROR"; readonly object: Status };

/** In characters. API servers limit request bodies to 3 MiB, so no event is nearly as long. */
const longestLine = 32 * 1024 * 1024;

/**
 * The events of a watch body, one JSON text a line (Kubernetes API concepts, "Efficient detection of changes"). Ends with
 * the body; an incomplete last line is dropped, as the next watch starts from the version before it.
 * @throws ProtocolError for a line that cannot be read: the caller has to list again, never skip it.
 */
export async function* watchEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<WatchEvent[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const text = decoder.decode(chunk, { stream: true });
    const lastBreak = text.lastIndexOf("\n");
    if (lastBreak < 0) rest += text;
    else {
      const lines = (rest + text.slice(0, lastBreak)).split("\n");
      rest = text.slice(lastBreak + 1);
      yield lines.filter((line) => line.trim() !== "").map(parseEvent);
    }
    if (rest.length > longestLine)
      throw new ProtocolError("watch-line", "The API server sent a watch line of more than 32 MiB");
  }
}

const changes: readonly unknown[] = ["ADDED", "MODIFIED", "DELETED"];

function parseEvent(line: string): WatchEvent {
  // Only what the informer relies on is checked: type, name and version.
  const event = parseJson(line) as Partial<WatchEvent> | null;
  if (event?.type === "ERROR") return { type: "ERROR", object: event.object as Status };
  if (event && isReadable(event)) return event as WatchEvent;
  throw new ProtocolError("watch-line", "The API server sent a watch event that cannot be read");
}

function isReadable({ type, object }: Partial<WatchEvent>): boolean {
  const metadata = object?.metadata;
  if (!metadata?.["resourceVersion"]) return false;
  return type === "BOOKMARK" || (changes.includes(type) && Boolean(metadata["name"]));
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (error) {
    throw new ProtocolError("watch-line", "The API server sent a watch line that is not JSON", {
      cause: error,
    });
  }
}
