import type { JsonBody } from "#shared/topics";
import { climateEntities } from "./climate.ts";
import { lightParts } from "./light.ts";
import { movingEntities } from "./moving.ts";
import { partOf, type Part } from "./part.ts";
import { simpleEntities, type EntityTable } from "./simple.ts";

export type { Part } from "./part.ts";

const entities: EntityTable = Object.assign(
  Object.create(null) as object,
  simpleEntities,
  movingEntities,
  climateEntities,
  {
    light: lightParts,
  },
);

/** Components whose payloads are pictures or sounds, which are no values. */
const withoutValues: ReadonlySet<string> = new Set(["camera", "image", "infrared", "remote"]);

/**
 * The properties of an entity, as Home Assistant's documentation of its component has them.
 * @returns what is wrong with the component, when it has no properties here
 */
export function partsOf(component: string, body: JsonBody): readonly Part[] | string {
  if (withoutValues.has(component)) return `component ${component} has no values`;
  const describe = entities[component];
  if (!describe) return `component ${JSON.stringify(component)} is not known`;
  const { encoding } = body;
  if (encoding !== undefined && encoding !== "utf-8")
    return `encoding ${JSON.stringify(encoding)} is not read`;
  const parts = describe(body).flatMap((fields) => partOf(body, fields) ?? []);
  return parts.length === 0 ? `no topic of a ${component} that can be read or written` : parts;
}
