import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** An npm package of which code is in an executable. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier or expression */
  readonly license: string;
  /** Texts of its license and notice files, or the standard text where it ships none. */
  readonly texts: readonly string[];
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string | { readonly type?: string };
  readonly licenses?: readonly { readonly type?: string }[];
  readonly author?: string | { readonly name?: string };
}

/**
 * The packages behind the inputs of a bundle, by name and version.
 * @param inputs paths relative to `root`, as `Bun.build` lists them
 * @throws when one has no license: it must not be shipped then
 */
export function bundledPackages(root: string, inputs: readonly string[]): readonly BundledPackage[] {
  const folders = new Set(inputs.flatMap((input) => folderOf(input) ?? []));
  const packages = [...folders].map((folder) => readPackage(join(root, folder)));
  const once = new Map(packages.map((one) => [`${one.name}@${one.version}`, one]));
  return [...once.values()].sort(
    (a, b) => a.name.localeCompare(b.name) || a.version.localeCompare(b.version),
  );
}

/** The text of `THIRD_PARTY_NOTICES` of an executable: the runtime, then every package with its license. */
export function thirdPartyNotices(root: string, packages: readonly BundledPackage[]): string {
  const licenses = join(root, "scripts/release/licenses");
  const read = (name: string): string => readFileSync(join(licenses, name), "utf8").trim();
  const runtime = [`Bun ${Bun.version}`, read("bun.txt"), read("LGPL-2.0.txt"), read("LGPL-2.1.txt")];
  const sections = packages.map(({ name, version, license, texts }) => [
    `${name} ${version} (${license})`,
    ...texts,
  ]);
  const intro =
    "This executable contains the software below. KubeEdge for Bun itself is under the license in LICENSE.\n" +
    "The shapes and descriptions of the Kubernetes kinds come from kubernetes-types and @kubernetes/client-node,\n" +
    "Copyright The Kubernetes Authors, Apache License 2.0.";
  return `${[[intro], runtime, ...sections].map((section) => section.join("\n\n")).join(`\n\n${"=".repeat(80)}\n\n`)}\n`;
}

/** `…/node_modules/<name>`, the innermost of nested ones. */
function folderOf(input: string): readonly string[] | undefined {
  const folder = /^((?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
  return folder === undefined ? undefined : [folder];
}

function readPackage(folder: string): BundledPackage {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const { name = "", version = "" } = manifest;
  const license = licenseOf(manifest);
  if (license === undefined)
    throw new Error(`Cannot ship "${name}" ${version}: its package.json names no license`);
  const files = readdirSync(folder)
    .filter((file) => /^(licen[sc]e|copying|notice)/i.test(file))
    .sort();
  const texts = files.map((file) => readFileSync(join(folder, file), "utf8").trim());
  if (texts.length > 0) return { name, version, license, texts };
  const text = standardTexts[license]?.(holderOf(manifest));
  if (text === undefined)
    throw new Error(
      `Cannot ship "${name}" ${version}: it has no license file, and the text of ${license} is not known here`,
    );
  return { name, version, license, texts: [text] };
}

function licenseOf({ license, licenses }: Manifest): string | undefined {
  if (typeof license === "string") return license;
  return license?.type ?? licenses?.[0]?.type;
}

function holderOf({ name, author }: Manifest): string {
  const named = typeof author === "string" ? author.replace(/\s*[<(].*$/, "") : author?.name;
  return named ?? `the authors of ${name ?? "this package"}`;
}

const warranty =
  'THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL ' +
  "IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, " +
  "INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN " +
  "ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF " +
  "THIS SOFTWARE.";

const unlicense =
  "This is free and unencumbered software released into the public domain.\n\n" +
  "Anyone is free to copy, modify, publish, use, compile, sell, or distribute this software, either in source code form or " +
  "as a compiled binary, for any purpose, commercial or non-commercial, and by any means.\n\n" +
  'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE ' +
  "WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE " +
  "LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT " +
  "OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n\nhttps://unlicense.org";

/** For packages that name a license and ship no text of it. */
const standardTexts: Readonly<Record<string, (holder: string) => string>> = {
  Unlicense: () => unlicense,
  ISC: (holder) =>
    `Copyright (c) ${holder}\n\nPermission to use, copy, modify, and/or distribute this software for any purpose with or ` +
    "without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all " +
    `copies.\n\n${warranty}`,
};
