import type { Clock } from "#shared/clock";
import type { ConfigPlaces, Loaded } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";
import { watchLoop, type Running } from "#shared/lifecycle";
import { tightenExposed, type PrivatePlaces } from "#shared/files";
import { HealthChecks, ServiceManager, type HealthCheck } from "#shared/service-manager";
import { createLogger, type Logger, type LogLevel } from "#shared/log";
import { commit, version } from "#shared/release";
import {
  readArguments,
  type Asked,
  type Command,
  type CommandGrammar,
  type Grammar,
  type Options,
} from "./arguments.ts";
import { openDataDir, type DataDir } from "./data-dir.ts";
import { fail, formatFinding, ok, warn, type Finding } from "./findings.ts";
import type { Host } from "./host.ts";

type Reload = () => void | Promise<void>;

/** What the process gives to `startCloudcore` and `startEdgecore`. */
export interface ProcessDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** Notes in `ports.json` which port a listener got, e.g. `reportPort("cloudhub", 10000)`. */
  readonly reportPort: (name: string, port: number) => void;
  /** Calls `reload` on SIGHUP: read certificates again. A failure is logged, and ends that reload. */
  readonly onReload: (reload: Reload) => Disposable;
  /** Whether a part still works; where systemd watches, a part that does not restarts the program. */
  readonly onHealth: (name: string, check: HealthCheck) => Disposable;
}

interface BaseConfig {
  readonly dataDir: string;
  readonly logLevel: LogLevel;
}

/** A command besides running and checking: `cloudcore token`. */
export interface Operation<Config> extends CommandGrammar {
  readonly run: (asked: Asked, config: Config, host: Host) => Promise<number>;
}

/** One of the two executables. */
export interface Program<Config extends BaseConfig> extends Grammar {
  readonly help: string;
  readonly defaultConfig: () => string;
  readonly minConfig: () => string;
  readonly load: (places: ConfigPlaces & { readonly hostName: string }, options: Options) => Loaded<Config>;
  /** What nobody else may read: found exposed at the start, it is taken from others. */
  readonly privatePlaces?: (config: Config) => PrivatePlaces;
  readonly start: (config: Config, deps: ProcessDeps) => Promise<Running>;
  /** How much longer than usual it may take to stop, milliseconds. */
  readonly longerStopMs?: (config: Config) => number;
  readonly check: (config: Config, clock: Clock) => AsyncIterable<Finding>;
  /** Further commands by name, each with its grammar; `run` returns the exit code and throws as `start` does. */
  readonly operations?: Readonly<Record<string, Operation<Config>>>;
  /** Simulates devices as the arguments ask. @returns the exit code */
  readonly simulate?: (words: readonly string[], host: Host) => Promise<number>;
}

/** Within the 30 s after which supervisors kill (TimeoutStopSec in the units, Kubernetes' grace period). */
const drainLimitMs = 25_000;

/** Runs what the command line asks for. @returns the exit code: 0 done, 1 failed, 2 misused or misconfigured */
export async function runProgram<Config extends BaseConfig>(
  program: Program<Config>,
  host: Host,
): Promise<number> {
  try {
    return await execute(readArguments(host.words, program), program, host);
  } catch (error) {
    const misused = error instanceof ConfigError;
    host.err(`${program.program}: ${misused ? error.message : describeError(error)}\n`);
    return misused ? 2 : 1;
  }
}

async function execute<Config extends BaseConfig>(
  command: Command,
  program: Program<Config>,
  host: Host,
): Promise<number> {
  switch (command.kind) {
    case "help":
      return print(host, program.help);
    case "version":
      return print(host, `${program.program} ${version} (commit ${commit}, bun ${Bun.version})\n`);
    case "defaultconfig":
      return print(host, program.defaultConfig());
    case "minconfig":
      return print(host, program.minConfig());
    case "refused":
      throw new ConfigError("usage", `${command.why} (${program.program} --help explains more)`);
    case "operate":
      return operate(program, host, command);
    case "hash-password":
      return print(host, await hashPassword(host));
    case "simulate":
      return play(program, command.words, host);
    case "check":
      return check(program, host, await readTypedToken(host, command.options));
    case "run":
      return serve(program, host, await readTypedToken(host, command.options));
  }
}

/** `--token -`: it is read from standard input, so that it shows up nowhere. */
async function readTypedToken(host: Host, options: Options): Promise<Options> {
  if (options.token !== "-") return options;
  const token = (await askSecret(host, "Join token (it is not shown): ")).trim();
  if (token === "") throw new ConfigError("usage", "--token -: expected a join token on standard input");
  return { ...options, token };
}

async function askSecret(host: Host, prompt: string): Promise<string> {
  let asked = false;
  const text = await host.readSecret(() => {
    asked = true;
    host.err(prompt);
  });
  if (asked) host.err("\n");
  return text;
}

async function play<Config extends BaseConfig>(
  { simulate }: Program<Config>,
  words: readonly string[],
  host: Host,
): Promise<number> {
  return (await simulate?.(words, host)) ?? 2;
}

/** Reads a password from standard input, so that it shows up neither in the process list nor in a history. */
async function hashPassword(host: Host): Promise<string> {
  const password = await askSecret(host, "Password (it is not shown): ");
  if (password === "") throw new ConfigError("usage", "hash-password: expected a password on standard input");
  return `${await Bun.password.hash(password, { algorithm: "bcrypt", cost: 10 })}\n`;
}

async function operate<Config extends BaseConfig>(
  program: Program<Config>,
  host: Host,
  { asked, options }: Extract<Command, { readonly kind: "operate" }>,
): Promise<number> {
  const { config } = load(program, host, options);
  return (await program.operations?.[asked.command]?.run(asked, config, host)) ?? 2;
}

function print(host: Host, text: string): number {
  host.out(text);
  return 0;
}

function load<Config extends BaseConfig>(
  program: Program<Config>,
  host: Host,
  options: Options,
): Loaded<Config> {
  const { workingDir, executable, hostName } = host;
  return program.load({ file: options.config, workingDir, executable, hostName }, options);
}

async function check<Config extends BaseConfig>(
  program: Program<Config>,
  host: Host,
  options: Options,
): Promise<number> {
  let failed = false;
  const tell = (finding: Finding): void => {
    failed ||= finding.state === "fail";
    host.out(formatFinding(finding));
  };
  try {
    const { config, file, warnings, word } = load(program, host, options);
    tell(ok("config", file ?? "no file, defaults"));
    for (const text of warnings) tell(warn("config", text, "remove them from the file"));
    for await (const finding of program.check(config, host.clock)) tell(reword(finding, word));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    tell(fail("config", error.message.replaceAll("\n  ", " | "), "correct the file or the flag"));
  }
  return failed ? 1 : 0;
}

function reword(finding: Finding, word: (text: string) => string): Finding {
  const { subject, remedy } = finding;
  return { ...finding, subject: word(subject), ...(remedy !== undefined && { remedy: word(remedy) }) };
}

async function serve<Config extends BaseConfig>(
  program: Program<Config>,
  host: Host,
  options: Options,
): Promise<number> {
  const { config, file, warnings, word } = load(program, host, options);
  const log = createLogger({
    level: config.logLevel,
    clock: host.clock,
    write: (line) => host.err(line),
    readable: host.terminal,
  });
  using dataDir = openDataDir(config.dataDir, program.program, host.pid);
  const { pid } = host;
  log.info("starting", {
    program: program.program,
    version,
    commit,
    pid,
    config: file,
    dataDir: dataDir.path,
  });
  for (const text of warnings) log.warn(text, { config: file });
  const places = program.privatePlaces?.(config);
  if (places) tightenExposed(places, log);
  host.onCrash((error) => {
    log.error("unexpected error, exiting", { error, stack: (error as Error).stack });
    host.exit(1);
  });
  const stopping = listenForStop(host, log);
  const reloads = new Set<Reload>();
  host.onSignal("SIGHUP", () => {
    void reload(log, () => load(program, host, options).config.logLevel, reloads);
  });
  return await runUntilStopped({ program, config, word, log, host, dataDir, reloads, stopping });
}

interface Service<Config extends BaseConfig> {
  readonly program: Program<Config>;
  readonly config: Config;
  readonly word: (text: string) => string;
  readonly log: Logger;
  readonly host: Host;
  readonly dataDir: DataDir;
  readonly reloads: Set<Reload>;
  readonly stopping: Promise<void>;
}

/** What is sent and read after a start is over by then. */
const settleMs = 10_000;

async function runUntilStopped<Config extends BaseConfig>(service: Service<Config>): Promise<number> {
  const { program, config, log, host, dataDir, reloads } = service;
  const health = new HealthChecks();
  using manager = new ServiceManager(host.manager, { clock: host.clock, log, pid: host.pid, health });
  void service.stopping.then(() => manager.stopping());
  const limitMs = drainLimitMs + (program.longerStopMs?.(config) ?? 0);
  void service.stopping.then(() => limitDrain(host, log, limitMs));
  const started = await startOrExplain(service, {
    clock: host.clock,
    log,
    version,
    reportPort: (name, port) => {
      log.info("listening", { listener: name, port });
      dataDir.reportPort(name, port);
    },
    onReload: (run) => {
      reloads.add(run);
      return { [Symbol.dispose]: () => void reloads.delete(run) };
    },
    onHealth: (name, isWell) => health.add(name, isWell),
  });
  if (typeof started === "number") return started;
  using _alive = host.clock.every(3_600_000, () => undefined);
  using _settling = host.clock.after(settleMs, () => host.settle());
  using _watch = watchLoop({ clock: host.clock, log, cpuMs: () => host.cpuMs() });
  manager.ready();
  log.info("running", { program: program.program, dataDir: config.dataDir });
  const ended = await Promise.race([service.stopping.then(() => undefined), started.done.catch(asFailure)]);
  if (ended) log.error("stopping because of a failure", { error: ended.error });
  using _limit = limitDrain(host, log, limitMs);
  await started[Symbol.asyncDispose]();
  log.info("stopped", { program: program.program });
  return ended ? 1 : 0;
}

/** A drain that hangs, be it of something half started, ends the process all the same. */
function limitDrain(host: Host, log: Logger, limitMs: number): Disposable {
  return host.clock.after(limitMs, () => {
    log.error("graceful shutdown timed out", { limitMs });
    host.exit(1);
  });
}

async function startOrExplain<Config extends BaseConfig>(
  { program, config, word, log }: Service<Config>,
  deps: ProcessDeps,
): Promise<Running | number> {
  try {
    return await program.start(config, deps);
  } catch (error) {
    const misused = error instanceof ConfigError;
    log.error("could not start", { error: misused ? word(describeError(error)) : error });
    return misused ? 2 : 1;
  }
}

function asFailure(error: unknown): { readonly error: unknown } {
  return { error };
}

/** The first SIGTERM or SIGINT asks for a drain, the second ends the process at once. */
function listenForStop(host: Host, log: Logger): Promise<void> {
  const asked = Promise.withResolvers<void>();
  let count = 0;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    host.onSignal(signal, () => {
      count += 1;
      log.info(count === 1 ? "stopping" : "stopping at once", { signal });
      if (count > 1) host.exit(1);
      asked.resolve();
    });
  }
  return asked.promise;
}

async function reload(log: Logger, readLevel: () => LogLevel, reloads: ReadonlySet<Reload>): Promise<void> {
  try {
    const level = readLevel();
    for (const run of reloads) await run();
    log.setLevel(level);
    log.info("reloaded log level and certificates");
  } catch (error) {
    log.error("could not reload, keeping the present settings", { error });
  }
}
