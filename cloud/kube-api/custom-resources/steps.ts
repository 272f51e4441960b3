/** Steps of one validation, some tenths of a second: a schema and an object of a megabyte each can multiply to hours. */
export const maxSteps = 2_000_000;
export const outOfBudget =
  "validation failed due to running out of cost budget, no further validation rules will be run";
