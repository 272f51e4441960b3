/** The highest score that a node gets by one criterion. */
export const mostScore = 100;

/** Scores in proportion to the highest one (helper.DefaultNormalizeScore of kube-scheduler). */
export function shares(scores: readonly number[] | undefined): number[] | undefined {
  const most = Math.max(0, ...(scores ?? []));
  return most === 0 ? undefined : scores?.map((score) => Math.floor((mostScore * score) / most));
}

/** The same where less is better. */
export function reversedShares(scores: readonly number[] | undefined): number[] | undefined {
  return shares(scores)?.map((score) => mostScore - score);
}
