import { longestTwinValue } from "#shared/devices";

/** More properties than any real device has: a client that invents names must not fill the memory. */
export const mostTwinsADevice = 1000;

/** KubeEdge's limit, in characters. */
const longestKey = 128;

/** Characters of names and values that KubeEdge allows. */
const alphabet = /^[a-zA-Z0-9\-_.,:/@#]*$/;

/** Whether a text may be the name of a twin; as KubeEdge's `dtcommon/util.go`, ValidateTwinKey. */
export function isTwinKey(name: string): boolean {
  return name.length > 0 && name.length <= longestKey && alphabet.test(name);
}

/** Whether a text may be the value of a twin, whatever its type; as KubeEdge's ValidateTwinValue, but also empty. */
export function isTwinValue(value: string): boolean {
  return value.length <= longestTwinValue && hasTwinCharacters(value);
}

/** Whether a text has only characters that values of twins may have. */
export function hasTwinCharacters(value: string): boolean {
  return alphabet.test(value);
}
