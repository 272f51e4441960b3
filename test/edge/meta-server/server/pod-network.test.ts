import { expect, test } from "bun:test";
import { findPodNetwork } from "#internal/edge/meta-server/server/pod-network.ts";

/** Of a machine whose bridge has no containers. */
const kernel = {
  route: `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0102A8C0	0003	0	0	0	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
eth0	0002A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
`,
  trie: `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 172.17.0.1
        /32 host LOCAL
     |-- 172.17.255.255
        /32 link BROADCAST
     |-- 192.168.2.7
        /32 host LOCAL
`,
};
const find = (setting: string) => findPodNetwork(setting, () => kernel);

test("auto is the address of Docker's bridge, for peers in its network alone", () => {
  const network = find("auto");
  expect(network?.address).toBe("172.17.0.1");
  const peers = ["172.17.0.2", "::ffff:172.17.3.4", "172.18.0.2", "192.168.2.7", "127.0.0.1", "fe80::1", ""];
  expect(peers.filter((peer) => network?.includes(peer))).toEqual(["172.17.0.2", "::ffff:172.17.3.4"]);
});

test("an address of this machine is in its own network", () => {
  const network = find("192.168.2.7");
  expect([network?.address, network?.includes("192.168.2.9"), network?.includes("192.168.3.9")]).toEqual([
    "192.168.2.7",
    true,
    false,
  ]);
});

test.each(["", "10.0.0.1", "nonsense"])("there is no network for %p", (setting) => {
  expect(find(setting)).toBeUndefined();
});

test("without routes there is no network", () => {
  expect(findPodNetwork("auto", () => ({ route: "", trie: "" }))).toBeUndefined();
});
