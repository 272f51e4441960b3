/** systemd answers within milliseconds, and within seconds on a slow machine that is stopping everything at once. */
const longestMs = 10_000;

/** Whether this machine is shutting down or rebooting, as systemd says; false where there is none. */
export async function isMachineStopping(): Promise<boolean> {
  try {
    const asked = Bun.spawn(["systemctl", "is-system-running"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: longestMs,
    });
    return (await new Response(asked.stdout).text()).trim() === "stopping";
  } catch {
    // No systemctl.
    return false;
  }
}
