declare const KUBEEDGE_VERSION: string | undefined;
declare const KUBEEDGE_COMMIT: string | undefined;

/** What this program is; both are baked in by `bun run build`. */
export const version = typeof KUBEEDGE_VERSION === "string" ? KUBEEDGE_VERSION : "0.0.0-source";
export const commit = typeof KUBEEDGE_COMMIT === "string" ? KUBEEDGE_COMMIT : "unknown";
