import driverText from "./driver.txt" with { type: "text" };
import mainText from "./main.txt" with { type: "text" };
import manifestText from "./manifest.txt" with { type: "text" };
import readmeText from "./readme.txt" with { type: "text" };
import sdkCode from "./sdk/index.js.txt" with { type: "text" };
import sdkTypes from "./sdk/index.d.ts.txt" with { type: "text" };
import sdkManifest from "./sdk/package.json.txt" with { type: "text" };

const dockerfile = `FROM oven/bun:1-alpine
WORKDIR /mapper
COPY . .
CMD ["bun", "run", "mapper.ts"]
`;

/** The files of a new project by their paths. @param name of the mapper, a DNS label */
export function mapperProject(name: string): Readonly<Record<string, string>> {
  const filled = (text: string): string => text.replaceAll("PROTOCOL", name).replaceAll("NAME", name);
  return {
    "driver.ts": filled(driverText),
    "mapper.ts": filled(mainText),
    "manifest.yaml": filled(manifestText),
    "README.md": filled(readmeText),
    Dockerfile: dockerfile,
    "package.json": json({ name, private: true, type: "module", scripts: { start: "bun run mapper.ts" } }),
    "tsconfig.json": json({
      compilerOptions: {
        strict: true,
        target: "ESNext",
        module: "Preserve",
        noEmit: true,
        allowImportingTsExtensions: true,
        verbatimModuleSyntax: true,
        skipLibCheck: true,
        paths: { "@kubeedge-bun/mapper": ["./sdk"] },
      },
    }),
    "sdk/package.json": sdkManifest,
    "sdk/index.d.ts": sdkTypes,
    "sdk/index.js": sdkCode,
  };
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
