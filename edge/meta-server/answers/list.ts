import type { HeldKind, NodeObjects } from "#edge/meta-server/objects";
import type { Form } from "./representation.ts";
import { itemText, listStart } from "./representation.ts";
import { isSelected, selectedName, type Selection } from "./selection.ts";

export interface CollectionRequest {
  readonly kind: HeldKind;
  /** undefined: all of them */
  readonly namespace: string | undefined;
  readonly selection: Selection;
  readonly form: Form;
}

/** About what is handed to the connection at once, so that a list of any length takes little memory. */
const pieceLength = 64 * 1024;

/** A list, of which each piece is read from the database when the connection has room for it. */
export function answerList(objects: NodeObjects, request: CollectionRequest, nowMs: number): Response {
  const { kind, form, selection } = request;
  const keys = keysOf(objects, request);
  const encoder = new TextEncoder();
  let text = listStart(form, kind, objects.version(objects.change));
  let index = 0;
  let isFirst = true;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        while (text.length < pieceLength && index < keys.length) {
          const object = objects.read(kind, keys[index] ?? "");
          index += 1;
          if (!object || !isSelected(selection, object)) continue;
          text += `${isFirst ? "" : ","}${itemText(form, kind, object, nowMs)}`;
          isFirst = false;
        }
        const isLast = index >= keys.length;
        controller.enqueue(encoder.encode(isLast ? `${text}]}\n` : text));
        text = "";
        if (isLast) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { "Content-Type": "application/json" } });
}

/** Keys of rows that may be selected. */
export function keysOf(
  objects: NodeObjects,
  { kind, namespace, selection }: Omit<CollectionRequest, "form">,
): string[] {
  const keys = objects.keys(kind, namespace);
  const name = selectedName(selection);
  return name === undefined ? keys : keys.filter((key) => key.endsWith(`/${kind.type}/${name}`));
}
