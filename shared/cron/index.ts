/** Schedules as CronJobs have them. */
export { longestSchedule, parseSchedule, timeZoneFault, type Schedule } from "./schedule.ts";
