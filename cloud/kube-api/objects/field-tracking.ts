import { trackUpdate, type ApplyOptions } from "#cloud/kube-api/patch";
import type { KindInfo, UpdateVia } from "#cloud/kube-api/schema";
import { metadataOf, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import type { WriteOptions } from "./write-request.ts";

/** How an apply or update of a kind tracks fields. @param now RFC 3339 */
export function applyOptions(
  kind: KindInfo,
  options: WriteOptions & { via?: UpdateVia },
  now: string,
): ApplyOptions {
  return {
    kind,
    manager: options.manager,
    force: options.force,
    apiVersion: apiVersionOf(kind),
    now,
    ownVersionOnly: kind.custom?.conversion !== undefined,
    ...(options.via !== undefined && options.via !== "" && { subresource: options.via }),
  };
}

export interface TrackedChange {
  readonly current: JsonObject;
  readonly next: JsonObject;
  /** The client sent an empty list of managed fields: it wants them removed. */
  readonly cleared: boolean;
}

/** The next object with `managedFields` brought up to date, unless the client changed them itself. */
export function tracked({ current, next, cleared }: TrackedChange, options: ApplyOptions): JsonObject {
  const entries = metadataOf(next)["managedFields"];
  const before = metadataOf(current)["managedFields"];
  if (cleared) {
    delete metadataOf(next)["managedFields"];
    return next;
  }
  if (entries !== undefined && !Bun.deepEquals(entries, before)) return next;
  return before === undefined ? next : trackUpdate(current, next, options);
}
