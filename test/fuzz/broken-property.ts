import * as fc from "fast-check";
import { fuzz } from "./fuzzing.ts";

// A property that does not hold, for `fuzzing.test.ts`; by its name `bun test` does not run it.
fuzz("quantities", () => fc.property(fc.integer(), (value) => value < 1000));
