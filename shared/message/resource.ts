import { noNamespace } from "./words.ts";

/** `<namespace>/<type>[/<name>]`, the resource string as the edge sees it. A name may hold slashes. */
export interface ResourcePath {
  readonly namespace: string;
  readonly type: string;
  readonly name: string;
}

/** @returns undefined when the text has fewer than two elements. */
export function parseResource(text: string): ResourcePath | undefined {
  const [namespace, type, ...rest] = text.split("/");
  if (!namespace || !type) return undefined;
  return { namespace, type, name: rest.join("/") };
}

export function formatResource(type: string, namespace: string | undefined, name?: string): string {
  const base = `${namespace || noNamespace}/${type}`;
  return name === undefined || name === "" ? base : `${base}/${name}`;
}
