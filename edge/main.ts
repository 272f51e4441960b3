import { adoptOperation } from "#edge/adopt";
import { checkEdge, edgePrivatePlaces, refuseUnusableFiles, refuseUnusablePorts } from "#edge/check";
import { processHost, runProgram, type Options, type Program } from "#shared/cli";
import { edgeDefaults, edgeMinimum, loadEdgeConfig, type EdgeConfig } from "#shared/config";
import { startEdgecore } from "./compose.ts";

const help = `edgecore: the edge half of KubeEdge

  edgecore [--config FILE] [--data-dir DIR] [--log-level debug|info|warn|error]
           [--server HOST[:PORT]] [--token TOKEN | --token - | --token-file FILE]
  edgecore check      examine config, certificates, cloud, container engine, MQTT, ports and disk; exit 1 if something fails
  edgecore adopt      accept the cloud after its database changed
  edgecore hash-password    read a password from standard input, print its hash for mqtt.broker.users
  edgecore simulate   play thermostats over MQTT; edgecore simulate --help tells how

  --version  --help  --defaultconfig (every field, commented)  --minconfig

A node joins with the token that \`cloudcore token\` prints; it is needed once. Others on this machine can see it in the
process list with --token TOKEN, but not with --token - (read from standard input), --token-file or the variable KUBEEDGE_TOKEN.
Without --config: conf/edge.yaml or edge.yaml in the working directory, then beside the executable, then
in /etc/kubeedge; without any file, the defaults.
SIGTERM and SIGINT stop in good order (a second one at once) and leave containers running; SIGHUP reads log
level and the MQTT broker's certificate again.
`;

const edgecore: Program<EdgeConfig> = {
  program: "edgecore",
  commands: ["check", "hash-password", "simulate"],
  operations: { adopt: adoptOperation },
  flags: ["config", "data-dir", "log-level", "token", "token-file", "server"],
  help,
  defaultConfig: edgeDefaults,
  minConfig: edgeMinimum,
  load: (places, options) => loadEdgeConfig(places, { ...tokenOfEnvironment(options), ...options }),
  privatePlaces: edgePrivatePlaces,
  start: async (config, deps) => {
    refuseUnusableFiles(config);
    await refuseUnusablePorts(config);
    return startEdgecore(config, deps);
  },
  check: checkEdge,
  // An edgecore that serves has no use for it, nor for the memory it takes.
  simulate: async (words, host) => (await import("#edge/simulate")).runSimulator(words, host),
};

/** Anything on the command line goes before it. */
function tokenOfEnvironment({ tokenFile }: Options): { readonly token?: string } {
  const token = process.env["KUBEEDGE_TOKEN"];
  return token === undefined || token === "" || tokenFile !== undefined ? {} : { token };
}

process.exit(
  await runProgram(
    edgecore,
    processHost((code) => process.exit(code)),
  ),
);
