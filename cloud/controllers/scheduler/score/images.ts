import type { NodeLoad, PodNeeds } from "#cloud/controllers/scheduler/load";
import { mostScore } from "./normalized.ts";

/** Between these sizes an image counts: a smaller one is pulled soon, a larger one counts as this. */
const smallBytes = 23 * 2 ** 20;
const largeBytes = 1000 * 2 ** 20;

/** The bytes of the pod's images that a node has; images that few nodes have count less, as ImageLocality. */
export function imageScores(
  { pod }: PodNeeds,
  loads: readonly NodeLoad[],
  all: readonly NodeLoad[],
): number[] | undefined {
  const { containers, initContainers = [] } = pod.spec;
  const names = [...containers, ...initContainers].map(({ image = "" }) => withTag(image));
  if (!names.some((name) => loads.some(({ images }) => images.has(name)))) return undefined;
  const spread = new Map(
    names.map((name) => [name, all.filter(({ images }) => images.has(name)).length / all.length]),
  );
  const most = largeBytes * names.length;
  return loads.map(({ images }) => {
    const bytes = names.reduce((sum, name) => sum + (images.get(name) ?? 0) * (spread.get(name) ?? 0), 0);
    const counted = Math.min(most, Math.max(smallBytes, bytes));
    return Math.floor((mostScore * (counted - smallBytes)) / (most - smallBytes));
  });
}

function withTag(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") ? `${image}:latest` : image;
}
