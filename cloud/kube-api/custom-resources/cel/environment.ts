import { Environment } from "@marcbachmann/cel-js";
import { addLibraries } from "#cloud/kube-api/custom-resources/cel/libraries";

/** Nodes of an expression; Kubernetes' documentation has none with more than fifty. */
const limits = { maxAstNodes: 1000, maxDepth: 50, maxListElements: 500, maxMapEntries: 500 };
/** Variables that are no data; a name may have a type of its own after a colon. */
const variableTypes: Readonly<Record<string, string>> = { authorizer: "Authorizer" };

/**
 * An environment with the functions that kube-apiserver adds to CEL. @param variables names that expressions may use, or names
 * with types, such as `old:optional<dyn>`
 */
export function createEnvironment(variables: readonly string[]): Environment {
  const environment = new Environment({
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits,
  });
  addLibraries(environment);
  for (const variable of variables) {
    const [name = "", type] = variable.split(":", 2);
    environment.registerVariable(name, type ?? variableTypes[name] ?? "dyn");
  }
  return environment;
}
