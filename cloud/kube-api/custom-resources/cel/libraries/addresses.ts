import type { Environment } from "@marcbachmann/cel-js";
import { isIP, isIPv4 } from "node:net";

/** An address as a number of 32 or 128 bits. */
class CelAddress {
  readonly text: string;
  readonly bits: 32 | 128;
  readonly value: bigint;

  constructor(value: bigint, bits: 32 | 128) {
    this.value = value;
    this.bits = bits;
    this.text = bits === 32 ? textOfV4(value) : textOfV6(value);
  }
}

class CelBlock {
  readonly address: CelAddress;
  readonly length: number;

  constructor(address: CelAddress, length: number) {
    this.address = address;
    this.length = length;
  }

  /** The address without what is beyond the prefix. */
  get start(): bigint {
    const rest = BigInt(this.address.bits - this.length);
    return (this.address.value >> rest) << rest;
  }
}

/** IP addresses and blocks of them (KEP-4358): no zones, no IPv4 inside IPv6, no leading zeros. */
export function addAddresses(environment: Environment): void {
  const within = ({ value, bits }: CelAddress, text: string): boolean => {
    const block = parseBlock(text);
    return block?.address.bits === bits && contains(block, value);
  };
  const isLocal = (address: CelAddress, v4: string, v6: string): boolean =>
    within(address, address.bits === 32 ? v4 : v6);
  const isUnicast = (address: CelAddress): boolean =>
    address.value !== 0n &&
    !(address.bits === 32 && address.value === 0xff_ff_ff_ffn) &&
    !isLocal(address, "127.0.0.0/8", "::1/128") &&
    !isLocal(address, "224.0.0.0/4", "ff00::/8") &&
    !isLocal(address, "169.254.0.0/16", "fe80::/10");
  environment
    .registerType("IP", CelAddress)
    .registerOperator("IP == IP", (a: CelAddress, b: CelAddress) => a.text === b.text)
    .registerFunction("isIP(string): bool", (text: string) => parseAddress(text) !== undefined)
    .registerFunction("ip(string): IP", readAddress)
    .registerFunction("string(IP): string", ({ text }: CelAddress) => text)
    .registerFunction("IP.family(): int", ({ bits }: CelAddress) => (bits === 32 ? 4n : 6n))
    .registerFunction("IP.isUnspecified(): bool", ({ value }: CelAddress) => value === 0n)
    .registerFunction("IP.isLoopback(): bool", (one: CelAddress) => isLocal(one, "127.0.0.0/8", "::1/128"))
    .registerFunction("IP.isLinkLocalMulticast(): bool", (one: CelAddress) =>
      isLocal(one, "224.0.0.0/24", "ff02::/16"),
    )
    .registerFunction("IP.isLinkLocalUnicast(): bool", (one: CelAddress) =>
      isLocal(one, "169.254.0.0/16", "fe80::/10"),
    )
    .registerFunction("IP.isGlobalUnicast(): bool", isUnicast);
  environment
    .registerType("IPs", CelAddresses)
    .registerConstant("ip", "IPs", new CelAddresses())
    .registerFunction(
      "IPs.isCanonical(string): bool",
      (_ips: CelAddresses, text: string) => readAddress(text).text === text,
    );
  addBlocks(environment);
}

/** What `ip` is without arguments. */
class CelAddresses {
  readonly library = "ip";
}

function addBlocks(environment: Environment): void {
  const read = (text: string): CelBlock => {
    const block = parseBlock(text);
    if (!block) throw new Error(`network address parse error during conversion from string: ${text}`);
    return block;
  };
  const inside = (block: CelBlock, address: CelAddress | undefined): boolean =>
    address?.bits === block.address.bits && contains(block, address.value);
  const covers = (block: CelBlock, other: CelBlock): boolean =>
    other.length >= block.length && inside(block, other.address);
  environment
    .registerType("CIDR", CelBlock)
    .registerOperator(
      "CIDR == CIDR",
      (a: CelBlock, b: CelBlock) => a.length === b.length && a.address.text === b.address.text,
    )
    .registerFunction("isCIDR(string): bool", (text: string) => parseBlock(text) !== undefined)
    .registerFunction("cidr(string): CIDR", read)
    .registerFunction("string(CIDR): string", ({ address, length }: CelBlock) => `${address.text}/${length}`)
    .registerFunction("CIDR.containsIP(IP): bool", inside)
    .registerFunction("CIDR.containsIP(string): bool", (block: CelBlock, text: string) =>
      inside(block, readAddress(text)),
    )
    .registerFunction("CIDR.containsCIDR(CIDR): bool", covers)
    .registerFunction("CIDR.containsCIDR(string): bool", (block: CelBlock, text: string) =>
      covers(block, read(text)),
    )
    .registerFunction("CIDR.ip(): IP", ({ address }: CelBlock) => address)
    .registerFunction(
      "CIDR.masked(): CIDR",
      (block: CelBlock) => new CelBlock(new CelAddress(block.start, block.address.bits), block.length),
    )
    .registerFunction("CIDR.prefixLength(): int", ({ length }: CelBlock) => BigInt(length));
}

function contains(block: CelBlock, value: bigint): boolean {
  const rest = BigInt(block.address.bits - block.length);
  return value >> rest === block.address.value >> rest;
}

/** @throws Error in the words of apiserver's library */
function readAddress(text: string): CelAddress {
  const address = parseAddress(text);
  if (address) return address;
  throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
}

function parseAddress(text: string): CelAddress | undefined {
  if (text.length > 45 || text.includes("%") || isIP(text) === 0) return undefined;
  if (isIPv4(text))
    return new CelAddress(
      text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n),
      32,
    );
  // The host of a URL has the shortest form, without IPv4 inside.
  const [head = "", tail] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [left, right] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - left.length - right.length }, () => "0");
  const value = [...left, ...zeros, ...right].reduce((sum, part) => sum * 65_536n + BigInt(`0x${part}`), 0n);
  return value >> 32n === 0xff_ffn ? undefined : new CelAddress(value, 128);
}

function parseBlock(text: string): CelBlock | undefined {
  const [host = "", bits = "", more] = text.split("/", 3);
  const address = parseAddress(host);
  if (!address || more !== undefined || !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined;
  return Number(bits) <= address.bits ? new CelBlock(address, Number(bits)) : undefined;
}

function textOfV4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
}

function textOfV6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_none, index) =>
    ((value >> BigInt(112 - 16 * index)) & 0xff_ffn).toString(16),
  );
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
