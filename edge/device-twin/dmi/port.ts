import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

export type DmiPort = Port<
  EdgeCatalog,
  "event.recorded" | "mapper.registered",
  "mapper.report",
  "object.stored",
  never
>;
