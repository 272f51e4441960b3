/** systemd answers within milliseconds; without it the program would wait for nothing. */
const longestMs = 3000;

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
