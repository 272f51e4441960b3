/**
 * A content as text. Devices publish text; other contents become JSON, never by their own `toString`, which is whatever the
 * peer sent under that name.
 */
export function contentText(content: unknown): string {
  if (content === null || content === undefined) return "";
  return typeof content === "string" ? content : JSON.stringify(content);
}
