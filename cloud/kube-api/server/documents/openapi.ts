import { createHash } from "node:crypto";
import type { KindInfo } from "#cloud/kube-api/kinds";
import type { KindRegistry, ServedVersion } from "#cloud/kube-api/objects";
import { openApiDocument } from "#cloud/kube-api/schema/openapi";
import type { JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import type { Served } from "./discovery.ts";

/** `/openapi/v3`: where the documents of the group versions are, those of other servers included. */
export function openApiIndex({ registry, aggregated }: Served): JsonObject {
  const others = aggregated.flatMap(({ group, version, openApiHash }) => {
    const path = `apis/${group}/${version}`;
    const hash = encodeURIComponent(openApiHash ?? "");
    return hash === "" ? [] : [[path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }]];
  });
  const paths = registry.versions().map((served) => {
    const path = openApiPath(served);
    const names = served.kinds.map((kind) => `${kind.plural}${schemaHash(kind)}`);
    const hash = createHash("sha256").update(names.join(",")).digest("hex").slice(0, 32);
    return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
  });
  // The types of Object.fromEntries do not follow pairs that were made by map.
  return { paths: Object.fromEntries([...paths, ...others]) as JsonObject };
}

const schemaHashes = new WeakMap<JsonObject, string>();

/** kubectl requests the index often; a schema may be a megabyte and does not change. */
export function schemaHash({ custom }: KindInfo): string {
  if (!custom) return "";
  const known = schemaHashes.get(custom.schema);
  if (known !== undefined) return known;
  const hash = createHash("sha256").update(JSON.stringify(custom.schema)).digest("hex");
  schemaHashes.set(custom.schema, hash);
  return hash;
}

/** The OpenAPI v3 document of `/openapi/v3/<path>`, undefined when it is not served. */
export function documentAt(registry: KindRegistry, path: string): JsonObject | undefined {
  const served = registry.versions().find((version) => openApiPath(version) === path);
  return served && openApiDocument(apiVersionOf(served), served.kinds);
}

function openApiPath(served: ServedVersion): string {
  return served.group === "" ? `api/${served.version}` : `apis/${served.group}/${served.version}`;
}
