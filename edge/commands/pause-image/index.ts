import type { Host, Operation } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";
import { findEndpoint } from "#edge/runtime/choose";
import { examineCri } from "#edge/runtime/cri";
import { pauseImageArchive } from "#edge/runtime/pause-image";

const answerMs = 5000;

/**
 * `edgecore pause-image [NAME]`: an archive with the image that sandboxes run, under the name that the engine wants it to have, for
 * nodes without a registry. Engines with Docker's API get it from edgecore itself.
 */
export const pauseImageOperation: Operation<EdgeConfig> = {
  flags: [],
  run: async ({ operands: [given, more] }, config, host) => {
    if (more !== undefined) throw usage(`expected nothing more, got ${quote(more)}`);
    const name = given ?? (await nameOf(config, host));
    if (host.terminal)
      throw usage("an archive is not for a terminal: write it to a file, or pipe it into `ctr`");
    await host.pass(await pauseImageArchive(name, process.arch === "arm64" ? "arm64" : "amd64"));
    return 0;
  },
};

async function nameOf({ edged, dataDir }: EdgeConfig, { clock }: Host): Promise<string> {
  const endpoint = edged.runtimeEndpoint ?? (await findEndpoint({ dataDir, clock }))?.endpoint;
  if (endpoint?.kind !== "cri")
    throw usage("expected a name, as there is no engine of the CRI that tells it");
  const { sandboxImage } = await examineCri(endpoint.address, { clock, timeoutMs: answerMs });
  if (sandboxImage.name === "") throw usage("expected a name, as the engine does not tell it");
  return sandboxImage.name;
}

function usage(message: string): ConfigError {
  return new ConfigError("usage", `pause-image: ${message}`);
}
