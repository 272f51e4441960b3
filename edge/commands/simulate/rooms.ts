/** The room of a simulated thermostat. */
export interface Room {
  readonly id: string;
  temperature: number;
  humidity: number;
  /** As it was asked for: reported in other words, "21.0" for "21", it would count as not reached. */
  target: string;
  /** seconds into its day */
  phase: number;
}

/** The `n`-th room starts at another temperature and time of day than its neighbors. */
export function makeRoom(id: string, n: number): Room {
  return { id, temperature: 18 + (n % 7), humidity: 45, target: "21", phase: n * 137 };
}

/** A room moves toward its set-point, with a daily swing and noise. */
export function advance(room: Room, seconds: number, random: () => number): void {
  room.phase += seconds;
  const outside = 8 + 6 * Math.sin((room.phase / 86_400) * 2 * Math.PI);
  const heating = Math.max(-1, Math.min(1, Number(room.target) - room.temperature));
  const noise = (random() - 0.5) * 0.1;
  room.temperature += seconds * (heating * 0.05 + (outside - room.temperature) * 0.0005) + noise;
  room.humidity = Math.min(95, Math.max(15, room.humidity + (random() - 0.5)));
}

/** What the thermostat reports of it. */
export function readings({ temperature, humidity, target }: Room): object {
  const reading = (value: string): object => ({ actual: { value }, metadata: { type: "float" } });
  return {
    temperature: reading(temperature.toFixed(1)),
    humidity: reading(humidity.toFixed(1)),
    target: reading(target),
  };
}
