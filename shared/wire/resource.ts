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

/** The resource of a request for the history of a device. Not a word of KubeEdge's: its edge leaves it unanswered. */
export function historyResource(deviceId: string): string {
  return `device/${deviceId}/history`;
}

/** @returns the device's id, undefined for any other resource */
export function deviceOfHistory(resource: string): string | undefined {
  return /^device\/(.+)\/history$/.exec(resource)?.[1];
}
