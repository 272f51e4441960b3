import type { Environment } from "@marcbachmann/cel-js";
import { addAccess } from "./access.ts";
import { addAddresses } from "./addresses.ts";
import { addFormats } from "./formats.ts";
import { addLists } from "./lists.ts";
import { addQuantities } from "./quantities.ts";
import { addStrings } from "./strings.ts";
import { addUrls } from "./urls.ts";

/** The functions that kube-apiserver adds to CEL (Kubernetes documentation, "Kubernetes CEL libraries"), those of version 1.32. */
export { accessValue, type AccessCheck, type AccessQuestion } from "./access.ts";

export function addLibraries(environment: Environment): void {
  for (const add of [addLists, addStrings, addQuantities, addUrls, addAddresses, addFormats, addAccess])
    add(environment);
}
