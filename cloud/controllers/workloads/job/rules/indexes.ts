/** Completion indexes as ordered, disjoint ranges, both ends included; a Job has up to 100,000 of them. */
export type Indexes = readonly (readonly [number, number])[];

/** Reads the form of `status.completedIndexes`, such as `1,3-5`; what is no index below `completions` is left out. */
export function parseIndexes(text: string, completions: number): Indexes {
  const found: number[] = [];
  for (const part of text.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!match) continue;
    const last = Math.min(Number(match[2] ?? match[1]), completions - 1);
    for (let index = Number(match[1]); index <= last; index += 1) found.push(index);
  }
  return rangesOf(found);
}

export function rangesOf(indexes: Iterable<number>): Indexes {
  const ranges: [number, number][] = [];
  for (const index of [...new Set(indexes)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
}

/** Two neighbours are written as such, three and more as a range; as orderedIntervals of indexed_job_utils.go. */
export function formatIndexes(indexes: Indexes): string {
  return indexes
    .map(([first, last]) => {
      if (first === last) return `${first}`;
      return last === first + 1 ? `${first},${last}` : `${first}-${last}`;
    })
    .join(",");
}

export function countIndexes(indexes: Indexes): number {
  return indexes.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

export function* eachIndex(indexes: Indexes): Generator<number> {
  for (const [first, last] of indexes) for (let index = first; index <= last; index += 1) yield index;
}

export function uniteIndexes(indexes: Indexes, more: Iterable<number>): Indexes {
  const added = [...more];
  return added.length === 0 ? indexes : rangesOf([...eachIndex(indexes), ...added]);
}
