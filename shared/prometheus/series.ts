import type { Family, Labels, Sample } from "./exposition.ts";

interface SeriesOptions {
  readonly name: string;
  readonly help: string;
}

/** Series of one family: a program has a few hundred; what is beyond is not counted, so that a stranger cannot fill the memory. */
const mostSeries = 2000;

/** A counter by labels. */
export class Counters {
  readonly #options: SeriesOptions;
  readonly #series = new Map<string, { readonly labels: Labels; value: number }>();

  constructor(options: SeriesOptions) {
    this.#options = options;
  }

  add(labels: Labels, value = 1): void {
    const key = keyOf(labels);
    const series = this.#series.get(key);
    if (series) series.value += value;
    else if (this.#series.size < mostSeries) this.#series.set(key, { labels, value });
  }

  family(): Family {
    return { ...this.#options, type: "counter", samples: [...this.#series.values()] };
  }
}

/** A histogram by labels, of seconds. */
export class Durations {
  readonly #options: SeriesOptions & { readonly bounds: readonly number[] };
  readonly #series = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>();

  /** @param options `bounds`: seconds, ascending */
  constructor(options: SeriesOptions & { readonly bounds: readonly number[] }) {
    this.#options = options;
  }

  observe(labels: Labels, seconds: number): void {
    const { bounds } = this.#options;
    const key = keyOf(labels);
    const series = this.#series.get(key) ?? { labels, counts: bounds.map(() => 0).concat(0), sum: 0 };
    if (!this.#series.has(key) && this.#series.size >= mostSeries) return;
    this.#series.set(key, series);
    const found = bounds.findIndex((bound) => seconds <= bound);
    const index = found < 0 ? bounds.length : found;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.sum += seconds;
  }

  family(): Family {
    const { name, help, bounds } = this.#options;
    return { name, help, type: "histogram", samples: [...this.#series.values()].flatMap(samplesOf(bounds)) };
  }
}

function samplesOf(
  bounds: readonly number[],
): (series: {
  readonly labels: Labels;
  readonly counts: readonly number[];
  readonly sum: number;
}) => Sample[] {
  return ({ labels, counts, sum }) => {
    let count = 0;
    const buckets = counts.map((one, index): Sample => {
      count += one;
      const le = index < bounds.length ? String(bounds[index]) : "+Inf";
      return { suffix: "_bucket", labels: { ...labels, le }, value: count };
    });
    return [...buckets, { suffix: "_sum", labels, value: sum }, { suffix: "_count", labels, value: count }];
  };
}

function keyOf(labels: Labels): string {
  return Object.values(labels).join("\n");
}
