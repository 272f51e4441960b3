import { AppError } from "#shared/errors";
import { cloneJson, isObject, ownField, sameJson, setField, type Json, type JsonObject } from "#shared/json";

/** As kube-apiserver (maxJSONPatchOperations). */
const maxOperations = 10_000;
/** Bytes that all copies of a patch may add, as kube-apiserver. */
const maxCopiedBytes = 3 * 1024 * 1024;
/** List items that insertions and removals may move in all; some tenths of a second. */
const maxShifted = 300_000_000;

export type PatchFault = "failed" | "too-large" | "unreadable";

/** A patch that cannot be read, does not apply, or is too large. */
export class PatchError extends AppError {
  readonly fault: PatchFault;

  constructor(fault: PatchFault, message: string) {
    super(`patch-${fault}`, message);
    this.fault = fault;
  }
}

/**
 * JSON Patch (RFC 6902) with the limits of kube-apiserver and the texts of evanphx/json-patch. Operations work on a copy one
 * after the other, so that a failure leaves nothing behind. @throws PatchError
 */
export function jsonPatch(target: JsonObject, patch: Json): JsonObject {
  if (!Array.isArray(patch))
    throw new PatchError(
      "unreadable",
      "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch",
    );
  if (patch.length > maxOperations)
    throw new PatchError(
      "too-large",
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  const document = new PatchedDocument(cloneJson(target));
  for (const operation of patch) document.apply(operation);
  if (!isObject(document.root)) throw failure("the patched object is not an object");
  return document.root;
}

const rejected = "the server rejected our request due to an error in our request: ";

function failure(message: string): PatchError {
  return new PatchError("failed", message);
}

/** Where an operation works: a field of an object or a place in a list. */
interface Place {
  readonly owner: Json[] | JsonObject;
  readonly key: string;
}

class PatchedDocument {
  root: Json;
  #copied = 0;
  #shifted = 0;

  constructor(root: Json) {
    this.root = root;
  }

  apply(operation: Json): void {
    if (!isObject(operation)) throw failure(`${rejected}an operation is not an object`);
    const op = ownField(operation, "op");
    const path = pointer(operation, "path");
    switch (typeof op === "string" ? op : "") {
      case "add":
        return this.#add(path, cloneJson(valueOf(operation)));
      case "remove":
        return void this.#remove(path, "remove");
      case "replace":
        return this.#replace(path, cloneJson(valueOf(operation)));
      case "move":
        return this.#move(pointer(operation, "from"), path);
      case "copy":
        return this.#add(path, this.#copyOf(pointer(operation, "from")));
      case "test":
        return this.#test(path, ownField(operation, "value") ?? null);
      default:
        throw failure(`${rejected}Unexpected kind: ${JSON.stringify(op ?? null).slice(0, 100)}`);
    }
  }

  #add(path: Pointer, value: Json): void {
    const place = this.#placeOf(path, "add");
    if (place === undefined) {
      this.root = value;
      return;
    }
    const { owner, key } = place;
    if (!Array.isArray(owner)) return setField(owner, key, value);
    const index = key === "-" ? owner.length : indexOf(key, path);
    if (index > owner.length) throw failure(`${rejected}Unable to access invalid index: ${index}`);
    this.#shift(owner.length - index);
    owner.splice(index, 0, value);
  }

  #remove(path: Pointer, what: string): Json {
    const place = this.#placeOf(path, what);
    if (place === undefined)
      throw failure(`${rejected}${what} operation does not apply to the whole document`);
    const value = memberOf(place, path);
    if (value === undefined) throw missing(path, what);
    const { owner, key } = place;
    if (Array.isArray(owner)) {
      const index = indexOf(key, path);
      this.#shift(owner.length - index);
      owner.splice(index, 1);
    } else delete owner[key];
    return value;
  }

  #replace(path: Pointer, value: Json): void {
    const place = this.#placeOf(path, "replace");
    if (place === undefined) {
      this.root = value;
      return;
    }
    if (memberOf(place, path) === undefined) throw missing(path, "replace");
    const { owner, key } = place;
    if (Array.isArray(owner)) owner[indexOf(key, path)] = value;
    else setField(owner, key, value);
  }

  #move(source: Pointer, path: Pointer): void {
    if (path.text.startsWith(`${source.text}/`))
      throw failure(`${rejected}a value cannot be moved into itself`);
    this.#add(path, this.#remove(source, "move"));
  }

  #copyOf(source: Pointer): Json {
    const value = this.#find(source);
    if (value === undefined) throw missing(source, "copy");
    this.#copied += Buffer.byteLength(JSON.stringify(value));
    if (this.#copied > maxCopiedBytes) {
      throw new PatchError(
        "too-large",
        `Unable to complete the copy, the accumulated size increase of copy is ${this.#copied}, exceeding the limit ${maxCopiedBytes}`,
      );
    }
    return cloneJson(value);
  }

  #test(path: Pointer, wanted: Json): void {
    const value = this.#find(path) ?? null;
    if (!sameJson(value, wanted)) throw failure(`${rejected}testing value ${path.text} failed: test failed`);
  }

  #find(path: Pointer): Json | undefined {
    const place = path.steps.length === 0 ? undefined : this.#parentOf(path);
    if (path.steps.length === 0) return this.root;
    return place && memberOf(place, path);
  }

  #placeOf(path: Pointer, what: string): Place | undefined {
    if (path.steps.length === 0) return undefined;
    const place = this.#parentOf(path);
    if (place === undefined) throw missing(path, what);
    return place;
  }

  #parentOf(path: Pointer): Place | undefined {
    let value: Json | undefined = this.root;
    for (const step of path.steps.slice(0, -1)) {
      if (typeof value !== "object" || value === null) return undefined;
      value = memberOf({ owner: value, key: step }, path);
    }
    if (typeof value !== "object" || value === null) return undefined;
    return { owner: value, key: path.steps.at(-1) ?? "" };
  }

  #shift(items: number): void {
    this.#shifted += items;
    if (this.#shifted > maxShifted)
      throw new PatchError("too-large", "the patch inserts into or removes from long lists too often");
  }
}

interface Pointer {
  readonly text: string;
  readonly steps: readonly string[];
}

function pointer(operation: JsonObject, field: string): Pointer {
  const text = ownField(operation, field);
  if (typeof text !== "string") throw failure(`${rejected}operation missing ${field} field`);
  if (text === "") return { text, steps: [] };
  if (!text.startsWith("/"))
    throw failure(`${rejected}${field} ${JSON.stringify(text)} does not start with /`);
  const steps = text.slice(1).split("/");
  return { text, steps: text.includes("~") ? steps.map(unescaped) : steps };
}

function unescaped(step: string): string {
  return step.replaceAll("~1", "/").replaceAll("~0", "~");
}

function valueOf(operation: JsonObject): Json {
  const value = ownField(operation, "value");
  if (value === undefined) throw failure(`${rejected}operation missing value field`);
  return value;
}

function memberOf({ owner, key }: Place, path: Pointer): Json | undefined {
  return Array.isArray(owner) ? owner[indexOf(key, path)] : ownField(owner, key);
}

function indexOf(step: string, path: Pointer): number {
  if (!/^(0|[1-9]\d{0,8})$/.test(step))
    throw failure(`${rejected}Unable to access invalid index: ${JSON.stringify(step)} in ${path.text}`);
  return Number(step);
}

function missing(path: Pointer, what: string): PatchError {
  return failure(
    `${rejected}${what} operation does not apply: doc is missing path: ${path.text}: missing value`,
  );
}
