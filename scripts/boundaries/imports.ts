export interface Import {
  readonly from: string;
  /** Erased before running: `import type`, or nothing but `type` names. */
  readonly typeOnly: boolean;
}

const statement = /^[ \t]*(import|export)\s+(type\s+)?(?:([^"';]*?)\s*from\s*)?"([^"\n]+)"/gm;
const dynamic = /\bimport\(\s*"([^"\n]+)"\s*\)(\.[A-Z])?/g;

/**
 * The imports of a formatted source. `Bun.Transpiler.scanImports` leaves out what is erased,
 * and types are half of what the table is about.
 */
export function readImports(text: string): Import[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const statements = [...code.matchAll(statement)]
    .filter(([, verb, , names]) => verb === "import" || names !== undefined)
    .map(([, , type, names, from = ""]) => ({ from, typeOnly: type !== undefined || onlyTypes(names) }));
  const calls = [...code.matchAll(dynamic)].map(([, from = "", member]) => ({
    from,
    typeOnly: member !== undefined,
  }));
  return [...statements, ...calls];
}

function onlyTypes(names: string | undefined): boolean {
  const inner = /^\{([\s\S]*)\}$/.exec(names ?? "")?.[1];
  if (inner === undefined) return false;
  const each = inner
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  return each.length > 0 && each.every((name) => name.startsWith("type "));
}
