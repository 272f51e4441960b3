import type { Port } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";

/** The topics of usage. */
export type UsagePort = Port<CloudCatalog, never, "stream.open", never, never>;
