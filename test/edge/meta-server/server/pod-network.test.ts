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

test("auto admits peers in the network of CNI's bridge as well, at the same address", () => {
  const route = `${kernel.route}cni0\t0001580A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n`;
  const trie = `${kernel.trie}     |-- 10.88.1.1\n        /32 host LOCAL\n`;
  const both = findPodNetwork("auto", () => ({ route, trie }));
  const alone = findPodNetwork("auto", () => ({ route: route.replace("docker0", "other0"), trie }));
  expect([both?.address, both?.includes("10.88.1.7"), both?.includes("10.88.2.7")]).toEqual([
    "172.17.0.1",
    true,
    false,
  ]);
  expect([alone?.address, alone?.includes("10.88.1.7"), alone?.includes("172.17.0.2")]).toEqual([
    "10.88.1.1",
    true,
    false,
  ]);
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
