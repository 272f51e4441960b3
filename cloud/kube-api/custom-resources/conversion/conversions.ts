import { randomUUID } from "node:crypto";
import { hookedAt, post } from "#cloud/kube-api/admission/calls";
import { defaultObject, pruneObject } from "#cloud/kube-api/custom-resources";
import { parseObject, type ConversionWebhook, type KindInfo } from "#cloud/kube-api/schema";
import { Refusal, refusals } from "#cloud/kube-api/status";
import type { ReachPod } from "#cloud/kube-api/http/service-calls";
import type { RevisionStore } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { asText, metadataOf, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import { KeptTexts } from "./kept-texts.ts";
import { conversionReview, convertedObjects, kindOf, reviewVersion } from "./review.ts";
import { Turns } from "./turns.ts";

export interface ConversionParts {
  readonly store: RevisionStore;
  /** The way to pods on their nodes. */
  readonly reach?: ReachPod | undefined;
  readonly clock: Clock;
  /** Of one call, as upstream: 30 s. */
  readonly timeoutMs?: number;
}

/** Of one call: upstream sends a whole list, which a list of large objects would take beyond what a webhook reads. */
const mostObjects = 500;
const mostCharacters = 2 * 1024 * 1024;
/** Characters of objects that are being converted, and of lists that were and are being sent. */
const mostHeldCharacters = 64 * 1024 * 1024;
const defaultTimeoutMs = 30_000;

interface Wanted {
  readonly key: string;
  readonly object: JsonObject;
  readonly size: number;
  readonly answer: PromiseWithResolvers<string>;
}

/**
 * Objects of custom resources in other versions than their own, by the webhook of their definition. A stored object is converted
 * once for all who want to see it at about the same time.
 */
export class Conversions {
  readonly #parts: ConversionParts;
  readonly #kept: KeptTexts;
  readonly #turns = new Turns();
  /** What is being converted, by its key. */
  readonly #pending = new Map<string, Promise<string>>();
  #heldCharacters = 0;

  constructor(parts: ConversionParts) {
    this.#parts = parts;
    this.#kept = new KeptTexts(parts.clock);
  }

  /** Whether objects of the kind may have to be converted by a webhook: without one reading and writing wait for nobody. */
  concern({ custom }: KindInfo): boolean {
    return custom?.conversion !== undefined && custom.schemas.size > 1;
  }

  /** A stored object in the version of a kind. @throws Refusal */
  async text(kind: KindInfo, text: string): Promise<string> {
    const [shown = text] = this.concern(kind) ? await this.texts(kind, [text]) : [];
    return shown;
  }

  /** Stored objects in the version of a kind, in the same order. @throws Refusal */
  async texts(kind: KindInfo, texts: readonly string[]): Promise<string[]> {
    const webhook = kind.custom?.conversion;
    if (!webhook) return [...texts];
    using _room = this.reserve(texts.reduce((sum, { length }) => sum + length, 0));
    const wanted: Wanted[] = [];
    const shown = texts.map((text) => this.#shown(kind, { text, webhook }, wanted));
    const failing = { failed: false };
    for (const batch of batchesOf(wanted)) void this.#convertBatch(kind, { webhook, batch, failing });
    return await Promise.all(shown.map(async (one) => one));
  }

  /** An object, stored or not, in the version of a kind. @throws Refusal */
  async object(kind: KindInfo, object: JsonObject): Promise<JsonObject> {
    const webhook = kind.custom?.conversion;
    if (!webhook || object["apiVersion"] === apiVersionOf(kind)) return object;
    using _room = this.reserve(JSON.stringify(object).length);
    const [converted = object] = await this.#call(kind, webhook, [object]);
    return converted;
  }

  /** Counts the characters of what is held; released by disposing of it. @throws Refusal when too many are held */
  reserve(characters: number): Disposable {
    if (characters > mostHeldCharacters)
      throw refusals.unknown(`cannot convert ${characters} characters at once, list with a limit`);
    if (this.#heldCharacters + characters > mostHeldCharacters) throw refusals.overloaded();
    this.#heldCharacters += characters;
    return { [Symbol.dispose]: () => void (this.#heldCharacters -= characters) };
  }

  /** The text that is shown, at once or later; what nobody has asked for yet is added to `wanted`. */
  #shown(
    kind: KindInfo,
    { text, webhook }: { readonly text: string; readonly webhook: ConversionWebhook },
    wanted: Wanted[],
  ): string | Promise<string> {
    const object = parseObject(text);
    if (object["apiVersion"] === apiVersionOf(kind)) return text;
    // By its text too: a dry run shows what is never stored.
    const { uid, resourceVersion } = metadataOf(object);
    const key = [webhook.id, kind.version, asText(uid), asText(resourceVersion), Bun.hash(text)].join(" ");
    const known = this.#kept.get(key) ?? this.#pending.get(key);
    if (known !== undefined) return known;
    const answer = Promise.withResolvers<string>();
    this.#pending.set(key, answer.promise);
    wanted.push({ key, object: withDefaults(kind, object), size: text.length, answer });
    return answer.promise;
  }

  async #convertBatch(
    kind: KindInfo,
    {
      webhook,
      batch,
      failing,
    }: {
      readonly webhook: ConversionWebhook;
      readonly batch: readonly Wanted[];
      readonly failing: { failed: boolean };
    },
  ): Promise<void> {
    try {
      const objects = batch.map(({ object }) => object);
      const converted = await this.#call(kind, webhook, objects, failing);
      for (const [index, { key, answer }] of batch.entries()) {
        const text = JSON.stringify(converted[index]);
        this.#kept.keep(key, text);
        answer.resolve(text);
      }
    } catch (error) {
      failing.failed = true;
      for (const { answer } of batch) answer.reject(error);
    } finally {
      for (const { key } of batch) this.#pending.delete(key);
    }
  }

  async #call(
    kind: KindInfo,
    webhook: ConversionWebhook,
    objects: readonly JsonObject[],
    failing = { failed: false },
  ): Promise<JsonObject[]> {
    const { custom } = kind;
    const turn = this.#turns.take(custom?.crdName ?? "", async () => {
      if (failing.failed) throw refusals.unknown("another part of the list could not be converted");
      return this.#ask(kind, webhook, objects);
    });
    if (!turn) throw refusals.overloaded();
    try {
      const converted = await turn;
      for (const object of converted) pruneTo(kind, object);
      return converted;
    } catch (error) {
      throw error instanceof Refusal ? error : refusals.unknown(asError(error).message);
    }
  }

  async #ask(
    kind: KindInfo,
    { client, reviewVersions }: ConversionWebhook,
    objects: readonly JsonObject[],
  ): Promise<JsonObject[]> {
    const version = reviewVersion(reviewVersions);
    if (!version) throw new Error("no supported conversion review versions");
    const request = { uid: randomUUID(), desired: apiVersionOf(kind), objects };
    const body = JSON.stringify(conversionReview(version, request));
    const answer = await this.#post(client, body).catch((error: unknown) => {
      const what = `conversion webhook for ${kindOf(objects[0] ?? {})}`;
      throw new Error(`${what} failed: ${asError(error).message}`, { cause: error });
    });
    return convertedObjects(version, request, answer);
  }

  async #post(client: JsonObject, body: string): Promise<string> {
    const { store, reach, timeoutMs = defaultTimeoutMs } = this.#parts;
    return post(hookedAt(client, store), { body, timeoutMs }, reach);
  }
}

function batchesOf(wanted: readonly Wanted[]): Wanted[][] {
  const batches: Wanted[][] = [];
  let size = Infinity;
  for (const one of wanted) {
    const last = batches.at(-1);
    if (last && last.length < mostObjects && size + one.size <= mostCharacters) last.push(one);
    else batches.push([one]);
    size = last === batches.at(-1) ? size + one.size : one.size;
  }
  return batches;
}

/** What the version that is stored fills in is there for the webhook. */
function withDefaults({ custom }: KindInfo, object: JsonObject): JsonObject {
  const version = asText(object["apiVersion"]).split("/").at(-1) ?? "";
  const schema = custom?.schemas.get(version);
  if (!schema) return object;
  pruneObject(schema, object);
  defaultObject(schema, object);
  return object;
}

/** What the version does not know is dropped, as of everything that clients send. */
function pruneTo({ custom }: KindInfo, object: JsonObject): void {
  if (custom && !custom.preserveUnknownFields) pruneObject(custom.schema, object);
}
