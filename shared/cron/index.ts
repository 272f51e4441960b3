/** Schedules as CronJobs have them. */
export { parseSchedule, timeZoneFault, type Schedule } from "./schedule.ts";
