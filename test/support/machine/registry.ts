import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "#internal/scripts/service.ts";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { freePort } from "#internal/test/support/machine/mosquitto.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Whether tests with a registry can run here. */
export function hasRegistry(): boolean {
  return needsCommands("docker-registry");
}

export interface User {
  readonly name: string;
  readonly password: string;
}

export interface Registry extends AsyncDisposable {
  /** "127.0.0.1:port": the engine speaks plain HTTP to the loopback. */
  readonly host: string;
  /** Copies an image of the machine's engine into it. @returns its name there */
  readonly push: (image: string, path: string) => string;
  /** Lines that it has logged, one a request. */
  readonly requests: () => Promise<string>;
}

/** A registry on the loopback; with a user nobody else gets in. */
export async function startRegistry(user?: User): Promise<Registry> {
  const dir = tempDir("registry");
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const config = join(dir.path, "config.json");
  writeFileSync(config, JSON.stringify(configOf(dir.path, host, user)));
  const log = join(dir.path, "registry.log");
  const child = Bun.spawn(["docker-registry", "serve", config], {
    stdout: Bun.file(log),
    stderr: Bun.file(log),
  });
  await eventually(10_000, () => fetch(`http://${host}/v2/`));
  const client = clientOf(dir.path, host, user);
  return {
    host,
    push: (image, path) => {
      const name = `${host}/${path}`;
      docker("tag", image, name);
      docker("--config", client, "push", "-q", name);
      docker("rmi", name);
      return name;
    },
    requests: () => Bun.file(log).text(),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
      dir[Symbol.dispose]();
    },
  };
}

/** A docker config with the credentials of a user for a place. */
export function dockerConfig(place: string, { name, password }: User): string {
  const auth = Buffer.from(`${name}:${password}`).toString("base64");
  return JSON.stringify({ auths: { [place]: { auth } } });
}

function configOf(dir: string, host: string, user: User | undefined): object {
  const file = join(dir, "htpasswd");
  const cost = { algorithm: "bcrypt", cost: 4 } as const;
  if (user) writeFileSync(file, `${user.name}:${Bun.password.hashSync(user.password, cost)}\n`);
  return {
    version: 0.1,
    log: { accesslog: { disabled: false }, level: "info" },
    storage: { filesystem: { rootdirectory: join(dir, "data") } },
    http: { addr: host },
    ...(user ? { auth: { htpasswd: { realm: "test", path: file } } } : {}),
  };
}

function clientOf(dir: string, host: string, user: User | undefined): string {
  const client = join(dir, "client");
  mkdirSync(client);
  writeFileSync(join(client, "config.json"), user ? dockerConfig(host, user) : "{}");
  return client;
}
