import type { LookupAddress } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { UnavailableError } from "#shared/errors";

/** All addresses of a name. */
export type Resolve = (name: string) => Promise<readonly LookupAddress[]>;

/**
 * How a connection finds its address: the one that is checked is the one that is used, so that a name that changes its
 * address in between leads nowhere else. A connection to an address asks nobody: see `refuseLocal`.
 */
export function checkedLookup(resolve: Resolve): LookupFunction {
  return (name, options, callback) => {
    const answer = async (): Promise<void> => {
      try {
        const found = await addressesOf(name, resolve);
        for (const { address } of found) refuseLocal(name, address);
        const [first] = found;
        if (options.all === true) callback(null, [...found]);
        else callback(null, first?.address ?? "", first?.family);
      } catch (error) {
        // What this function throws, and the errors of node:dns, are errors.
        callback(error as Error, "");
      }
    };
    void answer();
  };
}

/** @throws UnavailableError (code "refused-address") when the host of a URL is such an address */
export function refuseLocalHost(host: string): void {
  const name = host.replace(/^\[(.*)\]$/, "$1");
  if (isIP(name) !== 0) refuseLocal(host, name);
}

function refuseLocal(host: string, address: string): void {
  if (!isLocal(address)) return;
  const text = `${JSON.stringify(host)} is ${address}, an address of cloudcore's machine or link: refused unless router.local-targets is true`;
  throw new UnavailableError("refused-address", text);
}

async function addressesOf(name: string, resolve: Resolve): Promise<readonly LookupAddress[]> {
  try {
    return await resolve(name);
  } catch (error) {
    throw new UnavailableError("no-address", `cannot find the address of ${JSON.stringify(name)}`, {
      cause: error,
    });
  }
}

/** Loopback, unspecified, link-local, also of IPv4 within IPv6, and the metadata service of a cloud that is none of these. */
function isLocal(address: string): boolean {
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? mappedAddress(address);
  if (v4 !== undefined) return /^(127|0)\.|^169\.254\./.test(v4);
  return /^(::|::1|0:0:0:0:0:0:0:[01])$|^fe[89ab][0-9a-f]:|^fd00:ec2::254$/i.test(address);
}

/** `::ffff:7f00:1`, as URLs write it. */
function mappedAddress(address: string): string | undefined {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
}
