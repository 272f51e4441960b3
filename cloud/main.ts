import { adoptNodesOperation } from "#cloud/commands/adopt";
import { newCaOperation } from "#cloud/cloud-hub/certificates";
import { checkCloud, cloudPrivatePlaces } from "#cloud/commands/check";
import {
  backupOperation,
  finishSwap,
  repairOperation,
  restoreOperation,
  rotateKeyOperation,
} from "#cloud/commands/maintenance";
import { nodeOperation } from "#cloud/commands/node";
import { tokenOperation } from "#cloud/commands/token";
import { processHost, runProgram, type Program } from "#shared/cli";
import { cloudDefaults, cloudMinimum, loadCloudConfig, type CloudConfig } from "#shared/config";
import { startCloudcore } from "#cloud/compose";

const help = `cloudcore: the cloud side of KubeEdge

Usage:
  cloudcore [OPTIONS]                run until SIGTERM
  cloudcore COMMAND … [OPTIONS]

Options:
  --config FILE                      configuration file
  --data-dir DIR                     directory for database, keys and certificates
  --log-level LEVEL                  debug, info, warn or error

Check:
  check                              examine configuration, certificates, ports, API server and
                                     disk; exit code 1 if something fails

Nodes (cloudcore has to run, unless it works on an existing cluster):
  token                              print a join token for one node, valid for 24 hours
  token create [--node NAME] [--hours N] [--uses N] [--description TEXT]
                                     print a join token with limits
  token list [--output json]         list join tokens and the nodes that used them
  token revoke ID                    make a join token unusable
  node list [--output json]          list nodes with certificates and bans
  node ban NAME [--reason TEXT]      disconnect a node and refuse it
  node unban NAME                    lift a ban
  node allow-rejoin NAME [--hours N]
                                     allow one machine to join under a name that is in use,
                                     or readmit a node whose Node object was deleted
  adopt NODE… | --all                make nodes accept this cloud after its database changed

Data (restore, repair and new-ca: stop cloudcore first):
  backup FILE [--without-telemetry]  write databases, keys and certificates to one archive,
                                     also while cloudcore runs
  restore FILE [--force]             restore a backup; --force moves existing data aside
  rotate-key [--prune]               add an encryption key for Secrets, used after a restart;
                                     --prune removes the old ones
  repair                             make a database with damaged objects usable without a backup
  new-ca                             create a CA in place of a lost or damaged one; all nodes have
                                     to join again

Print and exit:
  --help, --version
  --defaultconfig                    every field with its default, commented
  --minconfig                        the fields that are usually set

Without --config, the first that exists is used: conf/controller.yaml and controller.yaml in the
working directory, beside the executable, and in /etc/kubeedge. Without a file the defaults apply.

SIGTERM and SIGINT shut down gracefully; a second one exits at once. SIGHUP reloads log level and
certificates.
`;

const cloudcore: Program<CloudConfig> = {
  program: "cloudcore",
  commands: ["check"],
  operations: {
    adopt: adoptNodesOperation,
    "new-ca": newCaOperation,
    backup: backupOperation,
    node: nodeOperation,
    restore: restoreOperation,
    repair: repairOperation,
    "rotate-key": rotateKeyOperation,
    token: tokenOperation,
  },
  flags: ["config", "data-dir", "log-level"],
  help,
  defaultConfig: cloudDefaults,
  minConfig: cloudMinimum,
  load: loadCloudConfig,
  privatePlaces: cloudPrivatePlaces,
  start: async (config, deps) => {
    if (finishSwap(config.dataDir)) deps.log.warn("finished an interrupted restore");
    return startCloudcore(config, deps);
  },
  check: checkCloud,
};

process.exit(
  await runProgram(
    cloudcore,
    processHost((code) => process.exit(code), process.env),
  ),
);
