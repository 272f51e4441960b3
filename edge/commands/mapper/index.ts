import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Host, Operation } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { ConfigError, describeError, quote } from "#shared/errors";
import { startMapper, type DriverFactory } from "#shared/mapper";
import { mapperProject } from "./project.ts";

const label = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** `edgecore new-mapper NAME`: writes a project for a mapper into a new directory of that name. */
export const newMapperOperation: Operation<EdgeConfig> = {
  flags: [],
  run: async ({ operands: [name = "", more] }, _config, host) => {
    if (!label.test(name) || more !== undefined)
      throw usage(
        "new-mapper",
        `expected one name of lower-case letters, digits and "-", got ${quote(more ?? name)}`,
      );
    const folder = join(host.workingDir, name);
    if (existsSync(folder)) throw usage("new-mapper", `${folder} is there already`);
    for (const [path, text] of Object.entries(mapperProject(name))) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    host.out(`${folder}: write the driver in driver.ts, and run it by "edgecore run-mapper ${name}"\n`);
    return 0;
  },
};

/** `edgecore run-mapper DIRECTORY`: runs the driver of such a project until SIGTERM. */
export const runMapperOperation: Operation<EdgeConfig> = {
  flags: ["socket"],
  switches: ["with-input"],
  run: async ({ operands: [given = "", more], flags }, { deviceTwin }, host) => {
    const edgeSocket = flags.get("socket") ?? deviceTwin.dmiSocket;
    if (given === "" || more !== undefined) throw usage("run-mapper", "expected the directory of a mapper");
    if (edgeSocket === undefined)
      throw usage("run-mapper", "devicetwin.dmi-socket is empty: there is no edgecore for mappers");
    const folder = resolve(host.workingDir, given);
    const { protocol, driver } = await loadDriver(join(folder, "driver.ts"));
    const name = basename(folder);
    const onLog = (line: string): void => host.err(line);
    await using _mapper = await startMapper({
      name,
      protocol,
      driver,
      edgeSocket,
      onLog,
    });
    await ended(host, flags.has("with-input"));
    return 0;
  },
};

async function loadDriver(
  path: string,
): Promise<{ readonly protocol: string; readonly driver: DriverFactory }> {
  if (!existsSync(path)) throw usage("run-mapper", `there is no ${path}`);
  let loaded: Record<string, unknown>;
  try {
    loaded = await import(path);
  } catch (error) {
    throw usage("run-mapper", `${path} cannot be loaded: ${describeError(error)}`);
  }
  const { protocol, driver } = loaded;
  if (typeof protocol !== "string" || protocol === "" || !isFactory(driver))
    throw usage("run-mapper", `${path}: expected exports "protocol", a text, and "driver", a function`);
  return { protocol, driver };
}

/** What it makes is used as a driver; what is missing there is an error of the device. */
function isFactory(value: unknown): value is DriverFactory {
  return typeof value === "function";
}

/** @param withInput whether it ends with its standard input, too: that of a parent that is gone */
function ended(host: Pick<Host, "onSignal">, withInput: boolean): Promise<void> {
  return new Promise((resolveEnd) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) host.onSignal(name, () => resolveEnd());
    if (withInput) process.stdin.once("end", () => resolveEnd()).resume();
  });
}

function usage(command: string, message: string): ConfigError {
  return new ConfigError("usage", `${command}: ${message}`);
}
