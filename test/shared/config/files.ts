import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  loadCloudConfig,
  loadEdgeConfig,
  type CloudConfig,
  type EdgeConfig,
  type EdgeOverrides,
  type Loaded,
} from "#shared/config";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export const nowhere = { workingDir: "/nonexistent", executable: "/nonexistent/bin" };

/** Loads a file of these lines, which is gone afterwards. */
function load<T>(text: string, read: (file: string) => T): T {
  using dir = tempDir("config");
  const file = join(dir.path, "1.yaml");
  writeFileSync(file, text);
  return read(file);
}

export function edge(text: string, overrides: EdgeOverrides = {}, hostName = "Pi-1"): Loaded<EdgeConfig> {
  return load(text, (file) => loadEdgeConfig({ file, ...nowhere, hostName }, overrides));
}

export function cloud(text: string): Loaded<CloudConfig> {
  return load(text, (file) => loadCloudConfig({ file, ...nowhere }, {}));
}

/** What is said of a file that is refused. */
export function refusalOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    return (error as Error).message.replace(/"[^"]*\/\d+\.yaml"/, "FILE");
  }
  return "accepted";
}

export const edgeRefusal = (text: string): string => refusalOf(() => edge(text));
export const cloudRefusal = (text: string): string => refusalOf(() => cloud(text));
