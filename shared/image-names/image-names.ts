const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const domain = `(?:(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?/)?`;
const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const rest =
  "(?::[\\w][\\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?";
const reference = new RegExp(`^${domain}${component}(?:/${component})*${rest}$`);

/** As Docker's reference grammar has it. A bare id would name any image, also one that others pulled with a password. */
export function isReference(ref: string): boolean {
  return ref.length <= 512 && reference.test(ref) && !/^(sha256:)?[0-9a-f]{64}$/.test(ref);
}

/** A reference in its parts; `suffix` is its tag and digest with their ":" and "@", ":latest" when it has neither. */
export interface ImageName {
  readonly registry: string;
  /** "library/nginx" */
  readonly path: string;
  readonly suffix: string;
}

/** A reference as Docker completes it: "nginx" is `library/nginx` of "docker.io". */
export function parseReference(ref: string): ImageName {
  const slash = ref.indexOf("/");
  const first = slash === -1 ? "" : ref.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  const registry = !isHost || first === "index.docker.io" ? "docker.io" : first;
  const [, name = "", suffix = ""] = /^([^:@]*)(.*)$/.exec(isHost ? ref.slice(slash + 1) : ref) ?? [];
  const path = registry === "docker.io" && !name.includes("/") ? `library/${name}` : name;
  return { registry, path, suffix: suffix === "" ? ":latest" : suffix };
}

/** "nginx" as "docker.io/library/nginx:latest": what two spellings of one image have in common. */
export function completeReference(ref: string): string {
  const { registry, path, suffix } = parseReference(ref);
  return `${registry}/${path}${suffix}`;
}
