import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

/** The topics of figures. */
export type FiguresPort = Port<EdgeCatalog, never, "usage.measure", "link.changed", never>;
