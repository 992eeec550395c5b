import { desiredCommand } from '../desire.ts';

export const command = desiredCommand({
  name: 'activate',
  desired: 'Active',
  summary: 'let pods come again after cordon or drain',
  description: `Takes this side's cordon or drain back. The other side's stays, and is said. Pods are not brought back: what schedules
them places new ones there again.`,
  examples: { outgoing: 'Use a provider again', incoming: 'Take pods of a consumer again' },
  seconds: 30,
  advice: 'The wish stands, and the controller goes on by itself; hawser status shows what it says.',
});
