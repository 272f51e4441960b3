import { Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import type { ProgramName } from "./compile.ts";
import type { BundledPackage } from "./third-party.ts";

export interface Release {
  readonly program: ProgramName;
  readonly version: string;
  readonly packages: readonly BundledPackage[];
}

/**
 * The CycloneDX 1.6 bill of materials of an executable as JSON: the program, the runtime and every npm package inside, with
 * package URLs and licenses. The same input gives the same text, so that builds can be compared.
 */
export function billOfMaterials({ program, version, packages }: Release): string {
  const component = (type: Enums.ComponentType, one: Omit<BundledPackage, "texts">): Models.Component =>
    new Models.Component(type, one.name, {
      version: one.version,
      bomRef: purlOf(one),
      purl: purlOf(one),
      licenses: new Models.LicenseRepository([licenseOf(one.license)]),
    });
  const subject = new Models.Component(Enums.ComponentType.Application, program, {
    version,
    bomRef: program,
    licenses: new Models.LicenseRepository([licenseOf("Apache-2.0")]),
  });
  const parts = [
    component(Enums.ComponentType.Platform, { name: "bun", version: Bun.version, license: "MIT" }),
    ...packages.map((one) => component(Enums.ComponentType.Library, one)),
  ];
  for (const part of parts) subject.dependencies.add(part.bomRef);
  const bom = new Models.Bom({
    metadata: new Models.Metadata({ component: subject }),
    components: new Models.ComponentRepository(parts),
  });
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

/** https://github.com/package-url/purl-spec, type npm. */
function purlOf({ name, version }: { readonly name: string; readonly version: string }): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** An SPDX identifier, or an expression of several such as `(MIT OR Apache-2.0)`. */
function licenseOf(license: string): Models.SpdxLicense | Models.LicenseExpression {
  return /[\s(]/.test(license) ? new Models.LicenseExpression(license) : new Models.SpdxLicense(license);
}
