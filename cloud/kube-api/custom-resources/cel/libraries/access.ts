import type { Environment } from "@marcbachmann/cel-js";

/** A question about a right of a user; of the one who sends the request unless `account` names another. */
export interface AccessQuestion {
  readonly verb: string;
  readonly account?: string;
  readonly path?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

export type AccessCheck = (question: AccessQuestion) => boolean;

type Part = Omit<AccessQuestion, "verb">;

/** What the functions of the authorizer make step by step. */
class Asking {
  readonly ask: AccessCheck;
  readonly part: Part;

  constructor(ask: AccessCheck, part: Part) {
    this.ask = ask;
    this.part = part;
  }
}

class CelAuthorizer extends Asking {
  readonly requestResource: ResourceCheck;

  constructor(ask: AccessCheck, part: Part, target: Part) {
    super(ask, part);
    this.requestResource = new ResourceCheck(ask, { ...target, ...part });
  }
}
class PathCheck extends Asking {}
class GroupCheck extends Asking {}
class ResourceCheck extends Asking {}

class Decision {
  readonly allowed: boolean;

  constructor(allowed: boolean) {
    this.allowed = allowed;
  }
}

/** The variable `authorizer`. @param target the resource of the request */
export function accessValue(ask: AccessCheck, target: Part): unknown {
  return new CelAuthorizer(ask, {}, target);
}

export function addAccess(environment: Environment): void {
  const refine = (asking: Asking, more: Part): ResourceCheck =>
    new ResourceCheck(asking.ask, { ...asking.part, ...more });
  const check = ({ ask, part }: Asking, verb: string): Decision => new Decision(ask({ ...part, verb }));
  environment
    .registerType("ResourceCheck", ResourceCheck)
    .registerType("Authorizer", { ctor: CelAuthorizer, fields: { requestResource: "ResourceCheck" } })
    .registerType("PathCheck", PathCheck)
    .registerType("GroupCheck", GroupCheck)
    .registerType("Decision", Decision)
    .registerFunction(
      "Authorizer.path(string): PathCheck",
      ({ ask, part }: Asking, path: string) => new PathCheck(ask, { ...part, path }),
    )
    .registerFunction(
      "Authorizer.group(string): GroupCheck",
      ({ ask, part }: Asking, group: string) => new GroupCheck(ask, { ...part, group }),
    )
    .registerFunction(
      "Authorizer.serviceAccount(string, string): Authorizer",
      ({ ask, part }: CelAuthorizer, namespace: string, name: string) => {
        const account = `system:serviceaccount:${namespace}:${name}`;
        return new CelAuthorizer(ask, { ...part, account }, {});
      },
    )
    .registerFunction("GroupCheck.resource(string): ResourceCheck", (asking: Asking, resource: string) =>
      refine(asking, { resource }),
    )
    .registerFunction(
      "ResourceCheck.subresource(string): ResourceCheck",
      (asking: Asking, subresource: string) => refine(asking, { subresource }),
    )
    .registerFunction("ResourceCheck.namespace(string): ResourceCheck", (asking: Asking, namespace: string) =>
      refine(asking, { namespace }),
    )
    .registerFunction("ResourceCheck.name(string): ResourceCheck", (asking: Asking, name: string) =>
      refine(asking, { name }),
    )
    .registerFunction("PathCheck.check(string): Decision", check)
    .registerFunction("ResourceCheck.check(string): Decision", check)
    .registerFunction("Decision.allowed(): bool", ({ allowed }: Decision) => allowed)
    .registerFunction("Decision.reason(): string", () => "")
    .registerFunction("Decision.errored(): bool", () => false)
    .registerFunction("Decision.error(): string", () => "");
}
