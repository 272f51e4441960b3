import { userInfo } from "#cloud/kube-api/auth";
import { selectConverted } from "#cloud/kube-api/custom-resources/conversion";
import { answerList, answerText, readDeleteOptions } from "#cloud/kube-api/http";
import {
  resourceOf,
  type DeleteOptions,
  type ObjectTarget,
  type WriteOptions,
  type Written,
} from "#cloud/kube-api/objects";
import { parseKubeObject } from "#cloud/kube-api/schema";
import { everything, type Selection } from "#cloud/kube-api/selection";
import { refusals } from "#cloud/kube-api/status";
import type { StoredKey } from "#cloud/kube-api/store";
import {
  prefixOf,
  readSelection,
  selectedForm,
  readWanted,
  select,
  show,
  type ResourceParts,
  type ResourceRequest,
} from "./resource-request.ts";

/** Answers with the object while it exists and for the kinds that upstream marks `ReturnDeletedObject`, else with Success. */
export async function deleteObject(
  parts: ResourceParts,
  asked: ResourceRequest,
  target: ObjectTarget,
): Promise<Response> {
  const options = await readDeleteOptions(asked, parts.clock);
  const written = await parts.objects.delete(target, options, requesterOf(asked));
  if (!written.gone || answersWithObject.has(resourceOf(asked.kind))) {
    return show(parts, asked, { text: written.text, status: 200 });
  }
  const { metadata } = parseKubeObject(written.text);
  const { group, plural } = asked.kind;
  const details = {
    name: asked.target.name,
    ...(group !== "" && { group }),
    kind: plural,
    uid: metadata.uid ?? "",
  };
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
  return answerText(JSON.stringify(status), readWanted(asked).yaml, 200);
}

function requesterOf({ user, warnings }: ResourceRequest): Pick<WriteOptions, "author" | "warn"> {
  return { author: userInfo(user), warn: (text) => void warnings.push(text) };
}

/** Kinds that answer with the deleted object. */
const answersWithObject = new Set([
  "/pods",
  "/podtemplates",
  "/services",
  "/namespaces",
  "/persistentvolumes",
  "/persistentvolumeclaims",
  "/resourcequotas",
  "/serviceaccounts",
  "storage.k8s.io/csidrivers",
  "storage.k8s.io/csinodes",
  "storage.k8s.io/storageclasses",
  "storage.k8s.io/volumeattachments",
]);

/** Deletes what a selection matches, and answers with the list of it. @throws Refusal */
export async function deleteCollection(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const { kind } = asked;
  if (kind.namespaced && asked.target.namespace === "") throw refusals.methodNotAllowed();
  const options = await readDeleteOptions(asked, parts.clock);
  const { store } = parts;
  const selection = readSelection(asked);
  const pin = store.pin();
  const all = store.list(resourceOf(kind), prefixOf(asked));
  const found = await selectShown(parts, asked, { all, selection }).finally(() => pin[Symbol.dispose]());
  const results: Written[] = [];
  for (let start = 0; start < found.length; start += deletedATurn) {
    const some = found.slice(start, start + deletedATurn);
    // Not all at once: other requests get their turn between the parts.
    const written = await Promise.all(some.map(({ key }) => deleteOne(parts, asked, { key, options })));
    results.push(...written.filter((one) => one !== undefined));
  }
  const metadata = { resourceVersion: String(parts.store.revision) };
  const texts = await parts.conversions.texts(
    kind,
    results.map(({ text }) => text),
  );
  const { open } = asked;
  const shown = {
    wanted: readWanted(asked),
    nowMs: parts.clock.nowMs(),
    metadata,
    open,
    done: () => undefined,
  };
  return answerList(kind, { count: texts.length, read: (from, to) => texts.slice(from, to) }, shown);
}

async function selectShown(
  { store, conversions }: ResourceParts,
  { kind }: ResourceRequest,
  { all, selection }: { readonly all: StoredKey[]; readonly selection: Selection },
): Promise<readonly { readonly key: string }[]> {
  if (selection === everything || !conversions.concern(kind)) return select(store, kind, all, selection);
  const read = (one: StoredKey): string | undefined => store.text(one.revision);
  const parse = selectedForm(kind, selection);
  using selected = await selectConverted(conversions, kind, { all, read, selection, most: 0, parse });
  return selected.found.map(({ key }) => ({ key }));
}

/** Deletions of one commit: some milliseconds. */
const deletedATurn = 100;

/** One of a collection, unless it was deleted meanwhile. */
async function deleteOne(
  parts: ResourceParts,
  asked: ResourceRequest,
  { key, options }: { readonly key: string; readonly options: DeleteOptions },
): Promise<Written | undefined> {
  const { kind } = asked;
  const [namespace = "", name = ""] = key.split("/", 2);
  if (parts.store.find(resourceOf(kind), key) === undefined) return undefined;
  return parts.objects.delete({ kind, namespace, name }, options, requesterOf(asked));
}
