import { adoptCloudOperation } from "#edge/commands/adopt";
import { checkEdge, edgePrivatePlaces, refuseUnusableFiles, refuseUnusablePorts } from "#edge/commands/check";
import { logsOperation } from "#edge/commands/logs";
import { newMapperOperation, runMapperOperation } from "#edge/commands/mapper";
import { pauseImageOperation } from "#edge/commands/pause-image";
import { processHost, runProgram, type Options, type Program } from "#shared/cli";
import { edgeDefaults, edgeMinimum, loadEdgeConfig, type EdgeConfig } from "#shared/config";
import { startEdgecore } from "./compose.ts";

const help = `edgecore: the edge side of KubeEdge

Usage:
  edgecore [OPTIONS]                 run until SIGTERM
  edgecore COMMAND [OPTIONS]

Options:
  --config FILE                      configuration file
  --data-dir DIR                     directory for database, certificates and volumes
  --log-level LEVEL                  debug, info, warn or error
  --server HOST[:PORT]               cloudcore
  --token-file FILE                  file with the join token
  --token -                          read the join token from standard input
  --token TOKEN                      join token; other users of this machine can see it

Commands:
  check                              examine configuration, certificates, cloud, container engine,
                                     MQTT, ports and disk; exit code 1 if something fails
  adopt                              accept the cloud after its database changed
  logs POD [-c CONTAINER] [-f] [-p]  print the log of a pod on this node, without the cloud; takes
                                     -n NAMESPACE, --tail N, --since 5m, --since-time, --timestamps
                                     and --limit-bytes as kubectl logs does
  pause-image [NAME]                 write an archive with the image of sandboxes, for
                                     containerd on a node without a registry
  hash-password                      read a password from standard input and print its hash for
                                     mqtt.broker.users
  new-mapper NAME                    write a project for a mapper into a new directory
  run-mapper DIRECTORY               run the mapper of such a project until SIGTERM
  simulate                           play thermostats over MQTT; see edgecore simulate --help

Print and exit:
  --help, --version
  --defaultconfig                    every field with its default, commented
  --minconfig                        the fields that are usually set

A node joins once with a token of \`cloudcore token\`. It is taken from --token or --token-file, else
from the environment variable KUBEEDGE_TOKEN, else from edgehub.token or edgehub.token-file.

Without --config, the first that exists is used: conf/edge.yaml and edge.yaml in the working
directory, beside the executable, and in /etc/kubeedge. Without a file the defaults apply.

SIGTERM and SIGINT shut down gracefully and leave containers running; a second one exits at once.
SIGHUP reloads log level and the certificate of the MQTT broker.
`;

const edgecore: Program<EdgeConfig> = {
  program: "edgecore",
  commands: ["check", "hash-password", "simulate"],
  operations: {
    adopt: adoptCloudOperation,
    logs: logsOperation,
    "new-mapper": newMapperOperation,
    "pause-image": pauseImageOperation,
    "run-mapper": runMapperOperation,
  },
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
  longerStopMs: ({ edged }) => edged.shutdown.graceSeconds * 1000,
  check: checkEdge,
  // Loaded on demand: a node's edgecore never needs it, nor the memory it takes.
  simulate: async (words, host) => (await import("#edge/commands/simulate")).runSimulator(words, host),
};

/** Options of the command line take precedence over it. */
function tokenOfEnvironment({ tokenFile }: Options): { readonly token?: string } {
  const token = process.env["KUBEEDGE_TOKEN"];
  return token === undefined || token === "" || tokenFile !== undefined ? {} : { token };
}

process.exit(
  await runProgram(
    edgecore,
    processHost((code) => process.exit(code), process.env),
  ),
);
