import { parseArgs } from "node:util";
import { asError, errorCodeOf, nearest } from "#shared/errors";
import { parseMqttAddress, type MqttAddress } from "#shared/mqtt";

export interface SimulateOptions {
  readonly address: MqttAddress;
  /** The address without a password. */
  readonly shown: string;
  readonly devices: number;
  readonly prefix: string;
  readonly intervalMs: number;
  readonly connections: number;
  /** 0: until interrupted */
  readonly seconds: number;
  readonly quiet: boolean;
  /** Node whose Devices are to be written before; undefined: they are there. */
  readonly node: string | undefined;
  readonly kubeconfig: string | undefined;
}

export const help = `Simulate thermostats over MQTT.

  edgecore simulate [--broker mqtt://127.0.0.1:1884] [--devices 10] [--prefix thermo-]
                    [--interval 1000] [--connections 10] [--seconds 0] [--quiet]
                    [--apply --node NAME [--kubeconfig FILE]]

Each device <prefix><n> reports temperature, humidity and target on
$hw/events/device/<id>/twin/update every <interval> ms and takes a new target from its delta.
Devices of those names have to exist in Kubernetes, on the node of that broker; reports of others
are refused. The exit code is 1 if no report was accepted at all.

Options:
  --apply    write the Devices and their DeviceModel "thermostat" into namespace default with
             kubectl, which reads KUBECONFIG or the file of --kubeconfig; they stay afterwards
  --broker   tcp://, mqtt://, ssl://, ws:// or wss://, with user:password@ before the host if needed
  --seconds  0 runs until interrupted
`;

const flags = {
  broker: { type: "string", default: "mqtt://127.0.0.1:1884" },
  devices: { type: "string", default: "10" },
  prefix: { type: "string", default: "thermo-" },
  interval: { type: "string", default: "1000" },
  connections: { type: "string", default: "10" },
  seconds: { type: "string", default: "0" },
  quiet: { type: "boolean", default: false },
  apply: { type: "boolean", default: false },
  node: { type: "string" },
  kubeconfig: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

/** Parses the command line; `refusal` is why it cannot be run. */
export function readOptions(
  words: readonly string[],
): SimulateOptions | "help" | { readonly refusal: string } {
  try {
    const { values } = parseArgs({ args: [...words], options: flags });
    if (values.help) return "help";
    const { apply, node, kubeconfig } = values;
    if (apply && !node) return refuse("--apply needs --node NAME, the node whose broker this is");
    if (!apply && (node ?? kubeconfig) !== undefined) return refuse("--node and --kubeconfig need --apply");
    return {
      address: addressOf(values.broker),
      shown: values.broker.replace(/\/\/[^/]*@/, "//"),
      devices: whole("devices", values.devices, [1, 100_000]),
      prefix: nameStart(values.prefix),
      intervalMs: whole("interval", values.interval, [10, 3_600_000]),
      connections: whole("connections", values.connections, [1, 10_000]),
      seconds: whole("seconds", values.seconds, [0, 2_000_000]),
      quiet: values.quiet,
      node,
      kubeconfig,
    };
  } catch (error) {
    return refuse(explain(asError(error)));
  }
}

function refuse(why: string): { readonly refusal: string } {
  return { refusal: why };
}

function explain(error: Error): string {
  const { message } = error;
  const [, flag] = /Unknown option '([^']+)'/.exec(message) ?? [];
  if (errorCodeOf(error) !== "ERR_PARSE_ARGS_UNKNOWN_OPTION" || flag === undefined)
    return message.replace(/\.\s[\s\S]*$/, "");
  const meant = nearest(flag, Object.keys(flags));
  return `unknown flag "${flag}"${meant === undefined ? "" : `, did you mean --${meant}?`}`;
}

function whole(flag: string, text: string, [least, most]: readonly [number, number]): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new Error(`--${flag}: expected a whole number from ${least} to ${most}, got "${text}"`);
}

function nameStart(text: string): string {
  if (/^[a-z0-9][-a-z0-9.]*$/.test(text)) return text;
  throw new Error(
    `--prefix: expected the start of a Device's name (lower-case letters, digits, "-" and "."), got "${text}"`,
  );
}

function addressOf(text: string): MqttAddress {
  const address = parseMqttAddress(text);
  if (address) return address;
  const shown = text.replace(/\/\/[^/]*@/, "//…@");
  throw new Error(`--broker: expected a URL such as mqtt://127.0.0.1:1884, got "${shown}"`);
}
