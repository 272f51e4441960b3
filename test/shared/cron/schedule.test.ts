import { join } from "node:path";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import { parseSchedule, timeZoneFault, type Schedule } from "#shared/cron";
import { asText } from "#shared/json";

/** Times as RFC 3339, of a schedule with `zone`, or what is wrong with it. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  check: ({ input: [schedule] }) => {
    const parsed = parseSchedule(asText(schedule));
    return typeof parsed === "string" ? parsed : "valid";
  },
  next: ({ input: [schedule], options }) => {
    const { next } = made(asText(schedule), options.get("zone"));
    const times: string[] = [];
    let time: number | undefined = Date.parse(options.get("after") ?? "");
    for (let left = Number(options.get("count") ?? 1); left > 0; left -= 1) {
      time = time === undefined ? undefined : next(time);
      if (time !== undefined) times.push(timeText(time));
    }
    return times;
  },
  latest: ({ input: [schedule], options }) => {
    const [after = NaN, until = NaN] = ["after", "until"].map((name) => Date.parse(options.get(name) ?? ""));
    const found = made(asText(schedule), options.get("zone")).latest(after, until);
    return found === undefined ? null : timeText(found);
  },
  zone: ({ input: [name] }) => timeZoneFault(asText(name)) ?? "valid",
}));

function made(text: string, zone = "UTC"): Schedule {
  const schedule = parseSchedule(text, zone);
  if (typeof schedule === "string") throw new Error(schedule);
  return schedule;
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(".000Z", "Z");
}
