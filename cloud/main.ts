import { adoptOperation } from "#cloud/adoption";
import { newCaOperation } from "#cloud/certificates";
import { checkCloud, cloudPrivatePlaces } from "#cloud/check";
import {
  backupOperation,
  finishSwap,
  repairOperation,
  restoreOperation,
  rotateKeyOperation,
} from "#cloud/maintenance";
import { nodeOperation } from "#cloud/node";
import { tokenOperation } from "#cloud/token";
import { processHost, runProgram, type Program } from "#shared/cli";
import { cloudDefaults, cloudMinimum, loadCloudConfig, type CloudConfig } from "#shared/config";
import { startCloudcore } from "./compose.ts";

const help = `cloudcore: the cloud half of KubeEdge

  cloudcore [--config FILE] [--data-dir DIR] [--log-level debug|info|warn|error]
  cloudcore token     print a new token with which one edge node joins within 24 hours
  cloudcore token create [--node NAME] [--hours N] [--uses N] [--description TEXT]
  cloudcore token list [--output json]     cloudcore token revoke ID
  cloudcore node list [--output json]      nodes, their certificates, and who is banned
  cloudcore node ban NAME [--reason TEXT]  end its connection and refuse it; cloudcore node unban NAME
  cloudcore node allow-rejoin NAME [--hours N]   allow another machine once under a name that is in use,
                                                 or readmit a node whose Node was deleted
  cloudcore adopt NODE…|--all    make nodes accept this cloud after its database changed
  cloudcore new-ca    replace a lost or damaged CA; nodes have to join again
  cloudcore backup FILE [--without-telemetry]    write database, CA, certificates and keys to one archive, also while cloudcore runs
  cloudcore restore FILE [--force]    restore a backup; --force moves existing data aside
  cloudcore rotate-key [--prune]    add an encryption key for Secrets, used after a restart; --prune removes the old ones
  cloudcore repair    repair a database with damaged objects if there is no backup
  cloudcore check     examine config, certificates, ports, API server and disk; exit 1 if something fails

  --version  --help  --defaultconfig (every field, commented)  --minconfig

Without --config: conf/controller.yaml or controller.yaml in the working directory, then beside the
executable, then in /etc/kubeedge; without any file, the defaults.
SIGTERM and SIGINT stop in good order (a second one at once), SIGHUP reads log level and certificates again.
`;

const cloudcore: Program<CloudConfig> = {
  program: "cloudcore",
  commands: ["check"],
  operations: {
    adopt: adoptOperation,
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
    processHost((code) => process.exit(code)),
  ),
);
