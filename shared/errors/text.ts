/** A value as error texts show it: strings in double quotes, anything else as JSON, cut at 200 characters. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
